"""Faithfulness by occlusion (Samek et al. 2017; Binder et al. 2022, Fig. 1 and App. 1)."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from pydantic import PositiveInt

from sanitygap import faithfulness, reductions, replacements
from sanitygap.attribution import Method, Sampling, unpooled
from sanitygap.attribution.applicable import families
from sanitygap.experiments.experiment import Batch, Chunk, Context, experiment
from sanitygap.experiments.randomization_test import ALL_METHODS, CORE_METHODS, code_of, sampling_of
from sanitygap.faithfulness import (
    REGIONS,
    OcclusionCurves,
    blurred,
    greedy_steps,
    occlusion_steps,
    scaled,
)
from sanitygap.reductions import Reduction, reduce
from sanitygap.replacements import replacement_curves
from sanitygap.similarity import sums_of_neighbours

COLUMNS = {
    "image": "file name of the image",
    "position": "place of the image in the set",
    "method": "attribution method or control; noise gives a random order of regions",
    "reduction": "how colour channels become one number a pixel",
    "patch": "side of a region in pixels of a 224-pixel input",
    "seed": "seed of all sampling",
    "regions": "how many regions have been replaced by their blurred copy",
    "softmax": "probability of the target class, 0 to 1",
    "logit": "logit of the target class",
}

GREEDY_COLUMNS = {
    name: COLUMNS[name] for name in ("image", "position", "patch", "regions", "softmax", "logit")
}


def counts_of(regions: int, every: int) -> list[int]:
    """After how many replaced regions the prediction is taken; the first and last always."""
    return [*range(0, regions, every), regions]


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


@experiment(
    "occlusion",
    knobs={
        "smoke": {"methods": CORE_METHODS, "path_steps": 2, "noisy_copies": 2, "regions": 3},
        "quick": {
            "methods": CORE_METHODS,
            "path_steps": 8,
            "noisy_copies": 8,
            "patches": (15,),
            "every": 2,
        },
        "full": {},
    },
    columns=COLUMNS,
)
def occlusion_test(
    context: Context,
    methods: Sequence[str] = ALL_METHODS,
    patches: Sequence[PositiveInt] = (15, 8),
    rank_by: Sequence[Reduction] = ("signed", "sum-abs"),
    regions: int = REGIONS,
    every: PositiveInt = 1,
    path_steps: int = 50,
    noisy_copies: int = 50,
    max_images: int | None = None,
) -> Iterator[Chunk]:
    """Softmax and logit of the target as the regions ranked highest by a map are blurred.

    Args:
        context: model, images and seed.
        methods: attribution methods and controls.
        patches: sides of the square regions, in pixels of a 224-pixel input.
        rank_by: reductions of the maps whose means rank the regions.
        regions: how many are replaced.
        every: the prediction is taken after every that many of them.
        path_steps: points of integrated gradients.
        noisy_copies: copies in SmoothGrad.
        max_images: use at most that many images.

    Yields:
        One chunk a family of methods and a batch of images.
    """
    sampling = Sampling(path_steps, noisy_copies)
    counts = counts_of(regions, every)
    for family in families(methods, context.model):
        for positions in context.positions(max_images):
            settings = {
                "methods": [member.name for member in family],
                "sampling": sampling_of(family, sampling),
                "patches": list(patches),
                "rank_by": list(rank_by),
                "counts": counts,
                "seed": context.seed,
            }

            def compute(
                family: list[Method] = family, positions: tuple[int, ...] = positions
            ) -> pd.DataFrame:
                return occlude(context, family, positions, patches, rank_by, counts, sampling)

            code = (
                faithfulness, reductions, replacements, sums_of_neighbours, occlude,
                *code_of(family),
            )  # fmt: skip
            yield Chunk(settings, code, compute, positions)


def occlude(
    context: Context,
    family: Sequence[Method],
    positions: Sequence[int],
    patches: Sequence[int],
    rank_by: Sequence[Reduction],
    counts: Sequence[int],
    sampling: Sampling,
) -> pd.DataFrame:
    """Occlusion curves of one family of methods for one batch of images."""
    model, batch = context.model, context.batch(positions)
    inputs, targets = batch.inputs, batch.targets
    names = [member.name for member in family]
    keys = batch.seeds(context.seed, "base")
    values = unpooled(model, inputs, targets, names, keys, sampling, context.batch_size)
    soft = blurred(inputs)
    whole = replacement_curves(
        model, inputs, targets, inputs, torch.ones_like(inputs[:, 0]), [0], context.batch_size
    )  # the same for every ranking
    rows = []
    for name, channels in values.items():
        for reduction in rank_by:
            maps = reduce(channels, reduction)
            for patch in patches:
                later = replacement_curves(
                    model,
                    inputs,
                    targets,
                    soft,
                    occlusion_steps(maps, scaled(patch, inputs.shape[-1]), counts[-1]),
                    counts[1:],
                    context.batch_size,
                )
                rows.append(
                    curve_rows(
                        batch,
                        _joined(whole, later),
                        counts,
                        method=name,
                        reduction=reduction,
                        patch=patch,
                        seed=context.seed,
                    )
                )
    return pd.concat(rows, ignore_index=True)


def _joined(first: OcclusionCurves, rest: OcclusionCurves) -> OcclusionCurves:
    return OcclusionCurves(
        torch.cat([first.softmax, rest.softmax], 1), torch.cat([first.logit, rest.logit], 1)
    )


@experiment(
    "greedy-occlusion",
    knobs={
        "smoke": {"regions": 1, "max_images": 1},
        "quick": {"regions": 3, "max_images": 1},
        "full": {"max_images": 10},
    },
    columns=GREEDY_COLUMNS,
)
def greedy_occlusion(
    context: Context,
    patch: PositiveInt = 15,
    regions: int = REGIONS,
    every: PositiveInt = 1,
    max_images: int | None = None,
) -> Iterator[Chunk]:
    """The occlusion curve of the order that always takes the region that hurts the softmax most.

    Args:
        context: model and images.
        patch: side of the square regions, in pixels of a 224-pixel input.
        regions: how many are replaced.
        every: the prediction is taken after every that many of them.
        max_images: use at most that many images.

    Yields:
        One chunk a batch of images.
    """
    counts = counts_of(regions, every)
    for positions in context.positions(max_images):

        def compute(positions: tuple[int, ...] = positions) -> pd.DataFrame:
            model, batch = context.model, context.batch(positions)
            inputs, targets, size = batch.inputs, batch.targets, context.batch_size
            side = scaled(patch, inputs.shape[-1])
            order = greedy_steps(model, inputs, targets, side, counts[-1], batch_size=size)
            curves = replacement_curves(
                model, inputs, targets, blurred(inputs), order, counts, size
            )
            return curve_rows(batch, curves, counts, patch=patch)

        code = (faithfulness, replacements, sums_of_neighbours)
        yield Chunk({"patch": patch, "counts": counts}, code, compute, positions)
