"""Faithfulness by occlusion (Samek et al. 2017; Binder et al. 2022, Fig. 1 and App. 1)."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from pydantic import PositiveInt

from sanitygap.attribution import Sampling
from sanitygap.errors import unknown_name
from sanitygap.experiments.randomization_test import ALL_METHODS, CORE_METHODS
from sanitygap.faithfulness import (
    REGIONS,
    OcclusionCurves,
    blurred,
    greedy_steps,
    occlusion_steps,
    replacement_curves,
    scaled,
)
from sanitygap.reductions import Reduction, reduce
from sanitygap.replacements import REPLACEMENTS
from sanitygap.table import Batch, table


def counts_of(regions: int, every: int) -> list[int]:
    """After how many replaced regions the prediction is taken; the first and last always."""
    return [*range(0, regions, every), regions]


def untouched(batch: Batch) -> OcclusionCurves:
    """The first state of all curves: nothing is replaced."""
    nothing = torch.ones_like(batch.inputs[:, 0])
    model, x = batch.model, batch.inputs
    return replacement_curves(model, x, batch.targets, x, nothing, [0], batch.size)


def curve_rows(
    batch: Batch, curves: OcclusionCurves, counts: Sequence[int], **constant: Any
) -> pd.DataFrame:
    """One row an image and a number of regions."""
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
    smoke={"methods": CORE_METHODS, "path_steps": 2, "noisy_copies": 2, "regions": 3},
    quick={
        "methods": CORE_METHODS,
        "path_steps": 8,
        "noisy_copies": 8,
        "patches": (15,),
        "every": 2,
    },
)
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
    model, inputs, targets, counts = (
        batch.model, batch.inputs, batch.targets, counts_of(regions, every),
    )  # fmt: skip
    sampling = Sampling(path_steps, noisy_copies)
    values = batch.unpooled(methods, batch.seed, "base", sampling=sampling)
    soft, whole = blurred(inputs), untouched(batch)
    for name, channels in values.items():
        for reduction in rank_by:
            maps = reduce(channels, reduction)
            for patch in patches:
                order = occlusion_steps(maps, scaled(patch, inputs.shape[-1]), counts[-1])
                later = replacement_curves(
                    model, inputs, targets, soft, order, counts[1:], batch.size
                )
                yield curve_rows(
                    batch, whole.followed_by(later), counts, method=name, reduction=reduction,
                    patch=patch, seed=batch.seed,
                )  # fmt: skip


@table(
    "greedy-occlusion",
    smoke={"regions": 1, "max_images": 2},
    quick={"regions": 2, "max_images": 2},
    full={"max_images": 10},
)
def greedy_occlusion(
    batch: Batch, patch: PositiveInt = 15, regions: int = REGIONS, every: PositiveInt = 1
) -> pd.DataFrame:
    """The occlusion curve of the order that always takes the region that hurts the softmax most.

    Args:
        batch: images.
        patch: side of the square regions, in pixels of a 224-pixel input.
        regions: how many are replaced.
        every: the prediction is taken after every that many of them.
    """
    model, inputs, targets = batch.model, batch.inputs, batch.targets
    counts = counts_of(regions, every)
    side = scaled(patch, inputs.shape[-1])
    order = greedy_steps(model, inputs, targets, side, regions, batch_size=batch.size)
    curves = replacement_curves(model, inputs, targets, blurred(inputs), order, counts, batch.size)
    return curve_rows(batch, curves, counts, patch=patch)


#: the methods that the paper's figures name, and a random order
RANKED = (
    "gradient", "gradient-x-input", "integrated-gradients", "guided-backprop", "lrp-epsilon-plus",
    "lrp-alpha2-beta1", "lrp-gamma-box", "noise",
)  # fmt: skip


@table(
    "occlusion-replacements",
    by=["methods"],
    smoke={"methods": ("gradient", "guided-backprop", "lrp-epsilon-plus", "noise"), "every": 30},
    quick={"path_steps": 4, "every": 30, "max_images": 8},
)
def occlusion_replacements(
    batch: Batch,
    methods: Sequence[str] = RANKED,
    replace_by: Sequence[str] = tuple(REPLACEMENTS),
    patch: PositiveInt = 15,
    regions: int = REGIONS,
    every: int = 1,
    path_steps: int = 50,
    noisy_copies: int = 50,
) -> Iterator[pd.DataFrame]:
    """Occlusion curves for several replacements, and for absolute maps under blur.

    Args:
        batch: images.
        methods: attribution methods and controls.
        replace_by: names from :data:`sanitygap.replacements.REPLACEMENTS`.
        patch: side of the square regions, in pixels of a 224-pixel input.
        regions: how many are replaced.
        every: the model is asked after every so many regions.
        path_steps: points of integrated gradients.
        noisy_copies: copies in SmoothGrad.

    Raises:
        UsageError: an unknown replacement.
    """
    for name in replace_by:
        if name not in REPLACEMENTS:
            raise unknown_name("replacement", name, list(REPLACEMENTS))
    model, inputs, targets, seed = batch.model, batch.inputs, batch.targets, batch.seed
    maps = batch.maps(methods, seed, "base", sampling=Sampling(path_steps, noisy_copies))
    substitutes = {
        name: REPLACEMENTS[name](model, inputs, batch.seeds(seed, name)) for name in replace_by
    }
    variants = [("signed", name) for name in replace_by]
    variants += [("absolute", name) for name in replace_by if name == "blur"]
    whole = untouched(batch)
    counts, side = counts_of(regions, every), scaled(patch, inputs.shape[-1])
    for name, values in maps.items():
        for ranked_by, replacement in variants:
            order = occlusion_steps(
                values if ranked_by == "signed" else values.abs(), side, counts[-1]
            )
            later = replacement_curves(
                model, inputs, targets, substitutes[replacement], order, counts[1:], batch.size
            )
            yield curve_rows(
                batch, whole.followed_by(later), counts, method=name, ranked_by=ranked_by,
                replacement=replacement, patch=patch, seed=seed,
            )  # fmt: skip
