"""Faithfulness by occlusion (Samek et al. 2017; Binder et al. 2022, Fig. 1 and App. 1)."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from pydantic import PositiveInt

from sanitygap import faithfulness
from sanitygap.attribution import Method, Sampling, attribute
from sanitygap.experiments.experiment import Chunk, Context, experiment
from sanitygap.experiments.randomization_test import (
    ALL_METHODS,
    CORE_METHODS,
    code_of,
    families,
    sampling_of,
)
from sanitygap.faithfulness import REGIONS, occlusion_curves, scaled
from sanitygap.similarity import sums_of_neighbours

COLUMNS = {
    "image": "file name of the image",
    "position": "place of the image in the set",
    "method": "attribution method or control; noise gives a random order of regions",
    "patch": "side of a region in pixels of a 224-pixel input",
    "seed": "seed of all sampling",
    "regions": "how many regions have been replaced by their blurred copy",
    "softmax": "probability of the target class, 0 to 1",
    "logit": "logit of the target class",
}


@experiment(
    "occlusion",
    knobs={
        "smoke": {"methods": CORE_METHODS, "path_steps": 2, "noisy_copies": 2, "regions": 3},
        "quick": {
            "methods": CORE_METHODS,
            "path_steps": 8,
            "noisy_copies": 8,
            "patches": (15,),
        },
        "full": {},
    },
    columns=COLUMNS,
)
def occlusion_test(
    context: Context,
    methods: Sequence[str] = ALL_METHODS,
    patches: Sequence[PositiveInt] = (15, 8),
    regions: int = REGIONS,
    path_steps: int = 50,
    noisy_copies: int = 50,
    max_images: int | None = None,
) -> Iterator[Chunk]:
    """Softmax and logit of the target as the regions ranked highest by a map are blurred.

    Args:
        context: model, images and seed.
        methods: attribution methods and controls.
        patches: sides of the square regions, in pixels of a 224-pixel input.
        regions: how many are replaced.
        path_steps: points of integrated gradients.
        noisy_copies: copies in SmoothGrad.
        max_images: use at most that many images.

    Yields:
        One chunk a family of methods and a batch of images.
    """
    sampling = Sampling(path_steps, noisy_copies)
    for family in families(methods, context.model):
        for positions in context.image_chunks(max_images):
            settings = {
                "methods": [member.name for member in family],
                "sampling": sampling_of(family, sampling),
                "patches": list(patches),
                "regions": regions,
                "seed": context.seed,
            }

            def compute(
                family: list[Method] = family, positions: tuple[int, ...] = positions
            ) -> pd.DataFrame:
                return occlude(context, family, positions, patches, regions, sampling)

            code = (faithfulness, sums_of_neighbours, occlude, *code_of(family))
            yield Chunk(settings, code, compute, positions)


def occlude(
    context: Context,
    family: Sequence[Method],
    positions: Sequence[int],
    patches: Sequence[int],
    regions: int,
    sampling: Sampling,
) -> pd.DataFrame:
    """Occlusion curves of one family of methods for one batch of images."""
    batch = context.batch(positions)
    names = [member.name for member in family]
    maps = attribute(
        context.model,
        batch.inputs,
        batch.targets,
        names,
        batch.seeds(context.seed, "base"),
        sampling,
        context.batch_size,
    )
    rows = []
    for name, values in maps.items():
        for patch in patches:
            curves = occlusion_curves(
                context.model,
                batch.inputs,
                batch.targets,
                values,
                scaled(patch, batch.inputs.shape[-1]),
                regions,
                batch_size=context.batch_size,
            )
            count = curves.softmax.shape[1]
            rows.append(
                pd.DataFrame(
                    {
                        "image": np.repeat(batch.names, count),
                        "position": np.repeat(batch.positions, count),
                        "method": name,
                        "patch": patch,
                        "seed": context.seed,
                        "regions": np.tile(np.arange(count), len(batch.names)),
                        "softmax": curves.softmax.flatten().cpu().numpy(),
                        "logit": curves.logit.flatten().cpu().numpy(),
                    }
                )
            )
    return pd.concat(rows, ignore_index=True)
