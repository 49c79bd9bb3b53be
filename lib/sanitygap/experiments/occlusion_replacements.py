"""Occlusion with other replacements than blur, and regions ranked by absolute maps."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import torch
from pydantic import PositiveInt

from sanitygap import faithfulness, replacements
from sanitygap.attribution import Method, Sampling, attribute
from sanitygap.attribution.applicable import families
from sanitygap.errors import unknown_name
from sanitygap.experiments.experiment import Chunk, Context, experiment
from sanitygap.experiments.randomization_test import code_of, sampling_of
from sanitygap.faithfulness import REGIONS, occlusion_steps, scaled
from sanitygap.replacements import REPLACEMENTS, replacement_curves
from sanitygap.similarity import sums_of_neighbours

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

COLUMNS = {
    "image": "file name of the image",
    "position": "place of the image in the set",
    "method": "attribution method; noise gives a random order of regions",
    "ranked_by": "regions are ranked by the mean of signed maps, or of their absolute values",
    "replacement": "what stands in for a hidden region",
    "patch": "side of a region in pixels of a 224-pixel input",
    "seed": "seed of all sampling",
    "regions": "how many regions have been replaced",
    "softmax": "probability of the target class, 0 to 1",
    "logit": "logit of the target class",
}


@experiment(
    "occlusion-replacements",
    knobs={
        "smoke": {
            "methods": ("gradient", "guided-backprop", "lrp-epsilon-plus", "noise"),
            "every": 30,
        },
        "quick": {"path_steps": 4, "every": 30, "max_images": 8},
        "full": {},
    },
    columns=COLUMNS,
)
def occlusion_replacements(
    context: Context,
    methods: Sequence[str] = RANKED,
    replace_by: Sequence[str] = tuple(REPLACEMENTS),
    patch: PositiveInt = 15,
    regions: int = REGIONS,
    every: int = 1,
    path_steps: int = 50,
    noisy_copies: int = 50,
    max_images: int | None = None,
) -> Iterator[Chunk]:
    """Occlusion curves for several replacements, and for absolute maps under blur.

    Args:
        context: model, images and seed.
        methods: attribution methods and controls.
        replace_by: names from :data:`sanitygap.replacements.REPLACEMENTS`.
        patch: side of the square regions, in pixels of a 224-pixel input.
        regions: how many are replaced.
        every: the model is asked after every so many regions.
        path_steps: points of integrated gradients.
        noisy_copies: copies in SmoothGrad.
        max_images: use at most that many images.

    Yields:
        One chunk a family of methods and a batch of images.

    Raises:
        UsageError: an unknown replacement.
    """
    for name in replace_by:
        if name not in REPLACEMENTS:
            raise unknown_name("replacement", name, list(REPLACEMENTS))
    sampling = Sampling(path_steps, noisy_copies)
    counts = [*range(0, regions, every), regions]
    for family in families(methods, context.model):
        for positions in context.positions(max_images):
            settings = {
                "methods": [member.name for member in family],
                "sampling": sampling_of(family, sampling),
                "replace_by": list(replace_by),
                "patch": patch,
                "counts": counts,
                "seed": context.seed,
            }

            def compute(
                family: list[Method] = family, positions: tuple[int, ...] = positions
            ) -> pd.DataFrame:
                return occlude_by_each(
                    context, family, positions, replace_by, patch, counts, sampling
                )

            code = (
                faithfulness, replacements, sums_of_neighbours, occlude_by_each, *code_of(family),
            )  # fmt: skip
            yield Chunk(settings, code, compute, positions)


def occlude_by_each(
    context: Context,
    family: Sequence[Method],
    positions: Sequence[int],
    replace_by: Sequence[str],
    patch: int,
    counts: Sequence[int],
    sampling: Sampling,
) -> pd.DataFrame:
    """Curves of one family of methods and one batch of images for each replacement."""
    batch, model = context.batch(positions), context.model
    names = [member.name for member in family]
    keys = batch.seeds(context.seed, "base")
    maps = attribute(model, batch.inputs, batch.targets, names, keys, sampling, context.batch_size)
    substitutes = {
        name: REPLACEMENTS[name](model, batch.inputs, batch.seeds(context.seed, name))
        for name in replace_by
    }
    variants = [("signed", name) for name in replace_by]
    variants += [("absolute", name) for name in replace_by if name == "blur"]
    with torch.no_grad():
        logits = model.module(batch.inputs)
    untouched = [scores.gather(1, batch.targets[:, None]) for scores in (logits.softmax(1), logits)]
    side = scaled(patch, batch.inputs.shape[-1])
    rows = []
    for name, values in maps.items():
        for ranked_by, replacement in variants:
            ranked = values if ranked_by == "signed" else values.abs()
            found = replacement_curves(
                model,
                batch.inputs,
                batch.targets,
                substitutes[replacement],
                occlusion_steps(ranked, side, counts[-1]),
                counts[1:],
                context.batch_size,
            )
            softmax, logit = (
                torch.cat(both, 1)
                for both in zip(untouched, (found.softmax, found.logit), strict=True)
            )
            rows.append(
                pd.DataFrame(
                    {
                        "image": np.repeat(batch.names, len(counts)),
                        "position": np.repeat(batch.positions, len(counts)),
                        "method": name,
                        "ranked_by": ranked_by,
                        "replacement": replacement,
                        "patch": patch,
                        "seed": context.seed,
                        "regions": np.tile(counts, len(batch.names)),
                        "softmax": softmax.flatten().cpu().numpy(),
                        "logit": logit.flatten().cpu().numpy(),
                    }
                )
            )
    return pd.concat(rows, ignore_index=True)
