"""What replacing regions does to an image as an image: colours, entropy, feature distance."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pandas as pd
import torch
from pydantic import PositiveInt
from sklearn.covariance import ledoit_wolf_shrinkage
from torch import Tensor

from sanitygap.errors import UsageError
from sanitygap.faithfulness import REGIONS, occlusion_steps, region_means, replaced, scaled
from sanitygap.models.explainable import Explainable
from sanitygap.replacements import REPLACEMENTS
from sanitygap.seeds import normal
from sanitygap.table import Batch, Context, Piece, table


@dataclass(frozen=True)
class Response:
    """What a network makes of images.

    Attributes:
        features: input of its last layer with parameters, averaged over positions, ``(N, D)``.
        entropy: of the softmax distribution over classes in nats, ``(N,)``.
    """

    features: Tensor
    entropy: Tensor


@torch.no_grad()
def respond(model: Explainable, inputs: Tensor) -> Response:
    """Penultimate features and softmax entropy.

    Args:
        model: the network; the last module of its top stage is taken for the classifier.
        inputs: ``(N, 3, H, W)``.
    """
    seen: list[Tensor] = []
    classifier = model.module.get_submodule(model.stages[0].modules[-1])
    with classifier.register_forward_pre_hook(lambda _, given: seen.append(given[0])):
        logits = model.module(inputs)
    features = seen[-1].flatten(2).mean(2) if seen[-1].ndim > 2 else seen[-1]
    probabilities = logits.double().softmax(1)
    entropy = torch.special.entr(probabilities).sum(1)
    return Response(features.double().cpu(), entropy.cpu())


class FeatureCloud:
    """The features of ordinary images as one normal distribution.

    The covariance is shrunk towards a multiple of the identity (Ledoit and Wolf 2004), because
    there may be fewer images than features. It varies in the span of the images and is constant
    outside, so its eigenvectors are those of a matrix of N x N.

    Args:
        features: of unchanged images, ``(N, D)``.

    Raises:
        UsageError: fewer than two images.
    """

    def __init__(self, features: Tensor) -> None:
        count, size = features.shape
        if count < 2:
            raise UsageError("distances between features need at least two images; use more")
        values = features.double()
        self._centre = values.mean(0)
        spread = values - self._centre
        shrinkage = float(ledoit_wolf_shrinkage(values.numpy(force=True)))
        sizes, vectors = torch.linalg.eigh(spread @ spread.T)
        spanned = sizes > size * torch.finfo(sizes.dtype).eps * sizes[-1]
        self._axes = (vectors[:, spanned] / sizes[spanned].sqrt()).T @ spread
        self._outside = shrinkage * float(spread.square().mean())
        self._along = (1 - shrinkage) / count * sizes[spanned] + self._outside
        # what is zero up to rounding counts for nothing, as in a pseudoinverse
        largest = max(self._along.tolist(), default=0.0)
        self._bounded = self._outside > size * torch.finfo(sizes.dtype).eps * largest

    def distance(self, features: Tensor) -> Tensor:
        """Mahalanobis distance of features ``(N, D)`` to the centre of the cloud, ``(N,)``.

        Where nothing is shrunk, as with two images, only differences within their span count.
        """
        off = features.double() - self._centre
        along = (off @ self._axes.T).square()
        squared = (along / self._along).sum(1)
        if self._bounded:
            squared += (off.square().sum(1) - along.sum(1)).clamp_min(0) / self._outside
        return squared.sqrt().cpu()


def color_change(
    original: Tensor, changed: Tensor, hidden: Tensor, patch: int
) -> tuple[Tensor, Tensor]:
    """How far colour mean and colour variance of the hidden regions move.

    Args:
        original, changed: RGB values in ``[0, 1]``, ``(N, 3, H, W)``.
        hidden: which pixels were replaced, bool ``(N, H, W)``; whole regions.
        patch: side of a region in pixels.

    Returns:
        Euclidean distance over channels between the two mean colours, and between the two
        variances, each averaged over the hidden regions, ``(N,)``.
    """
    chosen = region_means(hidden.float(), patch) > 0.5

    def moments(pixels: Tensor) -> tuple[Tensor, Tensor]:
        channels = pixels.double().unbind(1)
        means = torch.stack([region_means(values, patch) for values in channels])
        squares = torch.stack([region_means(values.square(), patch) for values in channels])
        return means, squares - means.square()

    distances = [
        (ours - theirs).square().sum(0).sqrt()
        for ours, theirs in zip(moments(original), moments(changed), strict=True)
    ]
    count = chosen.sum(1)
    mean, variance = ((distance * chosen).sum(1) / count for distance in distances)
    return mean, variance


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
