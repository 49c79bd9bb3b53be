"""What replacing regions does to an image as an image: colours, entropy, feature distance."""

from collections.abc import Callable, Iterator, Sequence
from functools import cache

import pandas as pd
import torch
from pydantic import PositiveInt

from sanitygap import faithfulness, outliers, replacements
from sanitygap.errors import UsageError
from sanitygap.experiments.experiment import Chunk, Context, experiment, image_rows
from sanitygap.faithfulness import REGIONS, occlusion_steps, scaled
from sanitygap.outliers import FeatureCloud, color_change, respond
from sanitygap.replacements import REPLACEMENTS, replaced
from sanitygap.seeds import normal
from sanitygap.similarity import sums_of_neighbours

#: an image is compared with the other images' features: so many parts, each held out once
FOLDS = 5

COLUMNS = {
    "image": "file name of the image",
    "position": "place of the image in the set",
    "replacement": "what stands in for the hidden regions; none is the image itself",
    "seed": "seed of the random order of regions and of random colours",
    "entropy": "entropy of the softmax distribution over classes in nats",
    "distance": "Mahalanobis distance of the penultimate features to those of other images",
    "color_mean": "distance between mean colours of a region before and after, RGB in 0 to 1",
    "color_variance": "distance between colour variances of a region before and after",
}


@experiment(
    "outlier-images",
    knobs={
        "smoke": {"seeds": (0,)},
        "quick": {"seeds": (0,)},
        "full": {"seeds": (0, 1, 2, 3, 4)},
    },
    columns=COLUMNS,
)
def outlier_images(
    context: Context,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    patch: PositiveInt = 15,
    regions: int = REGIONS,
    max_images: int | None = None,
) -> Iterator[Chunk]:
    """Statistics of images in which regions in random order are replaced in several ways.

    The reference of the feature distance are the unchanged images of the table and their mirror
    images, without the fifth that the image itself belongs to. So every chunk depends on all of
    them.

    Args:
        context: model and images.
        seeds: of the random orders.
        patch: side of the square regions, in pixels of a 224-pixel input.
        regions: how many are replaced.
        max_images: use at most that many images.

    Yields:
        One chunk a batch of images.

    Raises:
        UsageError: fewer than two images.
    """
    batches = context.positions(max_images)
    everything = tuple(position for positions in batches for position in positions)
    if len(everything) < 2:
        raise UsageError("distances to other images need at least two images; use more")
    folds = min(FOLDS, len(everything))

    @cache
    def ordinary() -> torch.Tensor:
        """Features of each image and of its mirror image, ``(images, 2, D)``."""
        return torch.cat([ordinary_features(context, part) for part in batches])

    @cache
    def cloud_without(fold: int) -> FeatureCloud:
        others = [position for position in everything if position % folds != fold]
        return FeatureCloud(ordinary()[others].flatten(0, 1))

    def cloud(position: int) -> FeatureCloud:
        return cloud_without(position % folds)

    for positions in batches:

        def compute(positions: tuple[int, ...] = positions) -> pd.DataFrame:
            return replaced_images(context, positions, cloud, seeds, patch, regions)

        settings = {
            "positions": positions,
            "seeds": list(seeds),
            "patch": patch,
            "regions": regions,
            "replacements": list(REPLACEMENTS),
            "folds": folds,
        }
        code = (
            faithfulness, outliers, replacements, sums_of_neighbours, ordinary_features,
            replaced_images,
        )  # fmt: skip
        yield Chunk(settings, code, compute, everything)


def ordinary_features(context: Context, positions: Sequence[int]) -> torch.Tensor:
    """Features of unchanged images and of their mirror images, ``(images, 2, D)``."""
    inputs = context.batch(positions).inputs
    return torch.stack([respond(context.model, x).features for x in (inputs, inputs.flip(3))], 1)


def replaced_images(
    context: Context,
    positions: Sequence[int],
    cloud: Callable[[int], FeatureCloud],
    seeds: Sequence[int],
    patch: int,
    regions: int,
) -> pd.DataFrame:
    """One row an image, seed and replacement."""
    batch, model = context.batch(positions), context.model
    pixels = model.preprocessing.to_rgb(batch.inputs)
    shape = tuple(batch.inputs.shape[2:])
    side = scaled(patch, shape[-1])
    rows = []
    for seed in seeds:
        random_order = normal(shape, batch.seeds(seed, "random order"), batch.inputs)
        order = occlusion_steps(random_order, side, regions)
        versions = {"none": batch.inputs} | {
            name: replaced(batch.inputs, make(model, batch.inputs, keys), order, regions)
            for name, make in REPLACEMENTS.items()
            for keys in [batch.seeds(seed, name)]
        }
        for name, inputs in versions.items():
            response = respond(model, inputs)
            mean, variance = color_change(
                pixels, model.preprocessing.to_rgb(inputs), order <= regions, side
            )
            distances = [
                cloud(position).distance(features[None])
                for position, features in zip(positions, response.features, strict=True)
            ]
            values = {
                "entropy": response.entropy,
                "distance": torch.cat(distances),
                "color_mean": mean,
                "color_variance": variance,
            }
            rows.append(image_rows(batch, values, replacement=name, seed=seed))
    return pd.concat(rows, ignore_index=True)
