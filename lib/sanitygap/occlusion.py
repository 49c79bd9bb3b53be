"""The occlusion test (Samek et al. 2017; Binder et al. 2022, Fig. 1), as a table of curves."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from pydantic import PositiveInt
from torch import Tensor

from sanitygap import faithfulness
from sanitygap.attribution import Sampling
from sanitygap.faithfulness import REGIONS, blurred, occlusion_steps, scaled
from sanitygap.reductions import Reduction, reduce
from sanitygap.sanity_check import ALL_METHODS, CORE_METHODS
from sanitygap.table import Batch, table


def untouched(batch: Batch) -> faithfulness.OcclusionCurves:
    """The first state of all curves: nothing is replaced."""
    nothing = torch.ones_like(batch.inputs[:, 0])
    model, x = batch.model, batch.inputs
    return faithfulness.replacement_curves(model, x, batch.targets, x, nothing, [0], batch.size)


def curve_rows(
    batch: Batch,
    whole: faithfulness.OcclusionCurves,
    substitute: Tensor,
    order: Tensor,
    counts: Sequence[int],
    **constant: Any,
) -> pd.DataFrame:
    """One row an image and a number of regions, as regions are replaced in an order.

    Args:
        batch: images.
        whole: of :func:`untouched`.
        substitute: what is seen in place of a region, of the inputs' shape.
        order: step in which each pixel is replaced, ``(N, H, W)``.
        counts: numbers of replaced regions, ascending from 0.
        constant: further columns.
    """
    later = faithfulness.replacement_curves(
        batch.model, batch.inputs, batch.targets, substitute, order, counts[1:], batch.size
    )
    curves = whole.followed_by(later)
    return pd.DataFrame(
        {
            "image": np.repeat(batch.names, len(counts)),
            "position": np.repeat(batch.positions, len(counts)),
            **constant,
            "regions": np.tile(counts, len(batch.names)),
            "softmax": curves.softmax.flatten().cpu().numpy(),
            "logit": curves.logit.flatten().cpu().numpy(),
        }
    )


@table(
    "occlusion",
    by=["methods"],
    smoke={"methods": CORE_METHODS, "path_steps": 2, "noisy_copies": 2, "regions": 3, "every": 3},
    quick={
        "methods": CORE_METHODS, "path_steps": 5, "noisy_copies": 5, "patches": (15,), "every": 3,
    },
)  # fmt: skip
def occlusion_test(
    batch: Batch,
    methods: Sequence[str] = ALL_METHODS,
    patches: Sequence[PositiveInt] = (15, 8),
    rank_by: Sequence[Reduction] = ("signed", "sum-abs"),
    regions: int = REGIONS,
    every: PositiveInt = 1,
    path_steps: int = 50,
    noisy_copies: int = 50,
) -> Iterator[pd.DataFrame]:
    """Softmax and logit of the target as the regions ranked highest by a map are blurred.

    Args:
        batch: images.
        methods: attribution methods and controls.
        patches: sides of the square regions, in pixels of a 224-pixel input.
        rank_by: reductions of the maps whose means rank the regions.
        regions: how many are replaced.
        every: the prediction is taken after every that many of them.
        path_steps: points of integrated gradients.
        noisy_copies: copies in SmoothGrad.
    """
    sampling = Sampling(path_steps, noisy_copies)
    values = batch.unpooled(methods, batch.seed, "base", sampling=sampling)
    yield from occlude(batch, values, patches, rank_by, regions, every)


def occlude(
    batch: Batch,
    values: Mapping[str, Tensor],
    patches: Sequence[int] = (15,),
    rank_by: Sequence[Reduction] = ("sum-abs",),
    regions: int = REGIONS,
    every: int = 1,
) -> Iterator[pd.DataFrame]:
    """The rows of :func:`occlusion_test` for maps that are there already.

    Args:
        batch: images.
        values: method -> maps ``(N, C, H, W)``.
        patches, rank_by, regions, every: as in :func:`occlusion_test`.
    """
    counts, width = faithfulness.counts_of(regions, every), batch.inputs.shape[-1]
    soft, whole = blurred(batch.inputs), untouched(batch)
    for (name, channels), reduction in itertools.product(values.items(), rank_by):
        maps = reduce(channels, reduction)
        for patch in patches:
            order = occlusion_steps(maps, scaled(patch, width), counts[-1])
            yield curve_rows(
                batch, whole, soft, order, counts, method=name, reduction=reduction, patch=patch,
                seed=batch.seed,
            )  # fmt: skip
