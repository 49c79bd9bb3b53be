"""What replacing regions does to an image as an image: colours, entropy, feature distance."""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import pandas as pd
import torch
from pydantic import PositiveInt

from sanitygap.errors import UsageError
from sanitygap.faithfulness import REGIONS, occlusion_steps, scaled
from sanitygap.outliers import FeatureCloud, color_change, respond
from sanitygap.replacements import REPLACEMENTS, replaced
from sanitygap.seeds import normal
from sanitygap.table import Batch, Context, Piece, table

#: an image is compared with the other images' features: so many parts, each held out once
FOLDS = 5


def whole_batches(context: Context, arguments: Mapping[str, Any]) -> Iterator[Piece]:
    """Parts by batches of images, which are told how many images the table is about."""
    for positions in context.positions(arguments["max_images"]):
        yield Piece(arguments, positions)


@table(
    "outlier-images",
    cut=whole_batches,
    smoke={"seeds": (0,)},
    quick={"seeds": (0,)},
    everything=True,
)
def outlier_images(
    batch: Batch,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    patch: PositiveInt = 15,
    regions: int = REGIONS,
    max_images: int | None = None,
) -> Iterator[pd.DataFrame]:
    """Statistics of images in which regions in random order are replaced in several ways.

    The reference of the feature distance are the unchanged images of the table and their mirror
    images, without the fifth that the image itself belongs to.

    Args:
        batch: images.
        seeds: of the random orders.
        patch: side of the square regions, in pixels of a 224-pixel input.
        regions: how many are replaced.
        max_images: use at most that many images.

    Raises:
        UsageError: fewer than two images.
    """
    model, inputs, context = batch.model, batch.inputs, batch.context
    clouds = clouds_of(context, min(len(context.images), max_images or len(context.images)))
    pixels = model.preprocessing.to_rgb(inputs)
    shape = tuple(inputs.shape[2:])
    side = scaled(patch, shape[-1])
    for seed in seeds:
        random_order = normal(shape, batch.seeds(seed, "random order"), inputs)
        order = occlusion_steps(random_order, side, regions)
        versions = {"none": inputs} | {
            name: replaced(inputs, make(model, inputs, batch.seeds(seed, name)), order, regions)
            for name, make in REPLACEMENTS.items()
        }
        for name, version in versions.items():
            response = respond(model, version)
            mean, variance = color_change(
                pixels, model.preprocessing.to_rgb(version), order <= regions, side
            )
            distances = [
                clouds[position % len(clouds)].distance(features[None])
                for position, features in zip(batch.positions, response.features, strict=True)
            ]
            values = {
                "entropy": response.entropy,
                "distance": torch.cat(distances),
                "color_mean": mean,
                "color_variance": variance,
            }
            yield batch.rows(values, replacement=name, seed=seed)


@lru_cache(maxsize=1)  # all parts of a table share them
def clouds_of(context: Context, count: int) -> list[FeatureCloud]:
    """For each fold, the features of the first images and their mirror images without that fold.

    Raises:
        UsageError: fewer than two images.
    """
    if count < 2:
        raise UsageError("distances to other images need at least two images; use more")
    batches = (context.batch(positions).inputs for positions in context.positions(count))
    features = torch.cat(
        [
            torch.stack([respond(context.model, x).features for x in (inputs, inputs.flip(3))], 1)
            for inputs in batches
        ]
    )
    places, folds = torch.arange(count), min(FOLDS, count)
    return [FeatureCloud(features[places % folds != fold].flatten(0, 1)) for fold in range(folds)]
