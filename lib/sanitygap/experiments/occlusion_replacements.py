"""Occlusion with other replacements than blur, and regions ranked by absolute maps."""

from collections.abc import Iterator, Sequence

import pandas as pd
import torch
from pydantic import PositiveInt

from sanitygap.attribution import Sampling, attribute
from sanitygap.errors import unknown_name
from sanitygap.experiments.occlusion_test import counts_of, curve_rows
from sanitygap.faithfulness import REGIONS, OcclusionCurves, occlusion_steps, scaled
from sanitygap.replacements import REPLACEMENTS, replacement_curves
from sanitygap.table import Batch, table

#: the methods that the paper's figures name, and a random order
RANKED = (
    "gradient",
    "gradient-x-input",
    "integrated-gradients",
    "guided-backprop",
    "lrp-epsilon-plus",
    "lrp-alpha2-beta1",
    "lrp-gamma-box",
    "noise",
)


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
    keys, sampling = batch.seeds(seed, "base"), Sampling(path_steps, noisy_copies)
    maps = attribute(model, inputs, targets, methods, keys, sampling, batch.size)
    substitutes = {
        name: REPLACEMENTS[name](model, inputs, batch.seeds(seed, name)) for name in replace_by
    }
    variants = [("signed", name) for name in replace_by]
    variants += [("absolute", name) for name in replace_by if name == "blur"]
    with torch.no_grad():
        logits = model.module(inputs)
    softmax, logit = (scores.gather(1, targets[:, None]) for scores in (logits.softmax(1), logits))
    counts, side = counts_of(regions, every), scaled(patch, inputs.shape[-1])
    for name, values in maps.items():
        for ranked_by, replacement in variants:
            order = occlusion_steps(
                values if ranked_by == "signed" else values.abs(), side, counts[-1]
            )
            later = replacement_curves(
                model, inputs, targets, substitutes[replacement], order, counts[1:], batch.size
            )
            curves = OcclusionCurves(
                torch.cat([softmax, later.softmax], 1), torch.cat([logit, later.logit], 1)
            )
            yield curve_rows(
                batch, curves, counts, method=name, ranked_by=ranked_by, replacement=replacement,
                patch=patch, seed=seed,
            )  # fmt: skip
