"""Maps of nearby inputs: gradient shattering in the sense of Balduzzi et al. (2017).

They call gradients shattered where those of neighbouring inputs are uncorrelated, as white noise
would be. That is a property of a method around an image, not of a single map.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated

import pandas as pd
import torch
from pydantic import Field

from sanitygap import similarity
from sanitygap.attribution import Method, Sampling, attribute
from sanitygap.attribution.applicable import families
from sanitygap.experiments.experiment import Chunk, Context, experiment, image_rows
from sanitygap.experiments.noise_curve import IMAGE_COLUMNS, SMOOTHNESS_METHODS
from sanitygap.experiments.randomization_test import code_of, sampling_of
from sanitygap.seeds import normal
from sanitygap.similarity import pearson

#: standard deviations of the disturbance over the image's value range
LEVELS = (0.001, 0.01, 0.1)

Level = Annotated[float, Field(gt=0)]


@experiment(
    "nearby-inputs",
    knobs={
        "smoke": {"levels": (0.01,), "path_steps": 2, "noisy_copies": 2, "max_images": 2},
        "quick": {"levels": (0.01,), "path_steps": 4, "noisy_copies": 4, "max_images": 6},
        "full": {"max_images": 100},
    },
    columns=IMAGE_COLUMNS
    | {
        "level": "standard deviation of normal noise on the image, over its value range",
        "correlation": "Pearson correlation over pixels of the signed maps of the image and of the "
        "disturbed image, for the same class; a method that draws at random draws anew",
    },
)
def nearby_inputs(
    context: Context,
    methods: Sequence[str] = SMOOTHNESS_METHODS,
    levels: Sequence[Level] = LEVELS,
    path_steps: int = 50,
    noisy_copies: int = 50,
    max_images: int | None = None,
) -> Iterator[Chunk]:
    """How alike the maps of an image and of its close neighbours are, on the trained network.

    All levels of an image share one direction of the disturbance.

    Args:
        context: model, images and seed.
        methods: attribution methods and controls.
        levels: see the column.
        path_steps: points of integrated gradients.
        noisy_copies: copies in SmoothGrad.
        max_images: use at most that many images.

    Yields:
        One chunk a family of methods and a batch of images.
    """
    sampling = Sampling(path_steps, noisy_copies)
    for family in families(methods, context.model):
        for positions in context.positions(max_images):
            settings = {
                "methods": [member.name for member in family],
                "sampling": sampling_of(family, sampling),
                "levels": list(levels),
                "seed": context.seed,
            }

            def compute(
                family: list[Method] = family, positions: tuple[int, ...] = positions
            ) -> pd.DataFrame:
                return compare_with_neighbours(context, family, positions, levels, sampling)

            code = (similarity, compare_with_neighbours, *code_of(family))
            yield Chunk(settings, code, compute, positions)


def compare_with_neighbours(
    context: Context,
    family: Sequence[Method],
    positions: Sequence[int],
    levels: Sequence[float],
    sampling: Sampling,
) -> pd.DataFrame:
    """Correlations of the maps of one family of methods for one batch of images and all levels."""
    model, batch = context.model, context.batch(positions)
    names = [member.name for member in family]
    extent = (batch.inputs.amax((1, 2, 3)) - batch.inputs.amin((1, 2, 3))).view(-1, 1, 1, 1)
    shape = tuple(batch.inputs.shape[1:])
    direction = extent * normal(shape, batch.seeds(context.seed, "direction"), batch.inputs)

    def maps(state: object, inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        keys = batch.seeds(context.seed, state)
        return attribute(model, inputs, batch.targets, names, keys, sampling, context.batch_size)

    base = maps("base", batch.inputs)
    rows = []
    for level in levels:
        near = maps(level, batch.inputs + level * direction)
        rows += [
            image_rows(
                batch,
                {"correlation": pearson(base[name], near[name])},
                method=name,
                seed=context.seed,
                level=level,
            )
            for name in names
        ]
    return pd.concat(rows, ignore_index=True)
