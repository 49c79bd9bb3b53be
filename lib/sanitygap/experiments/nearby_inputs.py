"""Maps of nearby inputs: gradient shattering in the sense of Balduzzi et al. (2017).

They call gradients shattered where those of neighbouring inputs are uncorrelated, as white noise
would be. That is a property of a method around an image, not of a single map.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated

import pandas as pd
import torch
from pydantic import Field

from sanitygap.attribution import Sampling, attribute
from sanitygap.experiments.noise_curve import SMOOTHNESS_METHODS
from sanitygap.seeds import normal
from sanitygap.similarity import pearson
from sanitygap.table import Batch, table

#: standard deviations of the disturbance over the image's value range
LEVELS = (0.001, 0.01, 0.1)

Level = Annotated[float, Field(gt=0)]


@table(
    "nearby-inputs",
    by=["methods"],
    smoke={"levels": (0.01,), "path_steps": 2, "noisy_copies": 2, "max_images": 2},
    quick={"levels": (0.01,), "path_steps": 4, "noisy_copies": 4, "max_images": 6},
    full={"max_images": 100},
)
def nearby_inputs(
    batch: Batch,
    methods: Sequence[str] = SMOOTHNESS_METHODS,
    levels: Sequence[Level] = LEVELS,
    path_steps: int = 50,
    noisy_copies: int = 50,
) -> Iterator[pd.DataFrame]:
    """How alike the maps of an image and of its close neighbours are, on the trained network.

    All levels of an image share one direction of the disturbance.

    Args:
        batch: images.
        methods: attribution methods and controls.
        levels: see the column.
        path_steps: points of integrated gradients.
        noisy_copies: copies in SmoothGrad.
    """
    x, sampling = batch.inputs, Sampling(path_steps, noisy_copies)
    extent = (x.amax((1, 2, 3)) - x.amin((1, 2, 3))).view(-1, 1, 1, 1)
    direction = extent * normal(tuple(x.shape[1:]), batch.seeds(batch.seed, "direction"), x)

    def maps(state: object, inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        keys = batch.seeds(batch.seed, state)
        return attribute(batch.model, inputs, batch.targets, methods, keys, sampling, batch.size)

    base = maps("base", x)
    for level in levels:
        for name, near in maps(level, x + level * direction).items():
            correlation = {"correlation": pearson(base[name], near)}
            yield batch.rows(correlation, method=name, seed=batch.seed, level=level)
