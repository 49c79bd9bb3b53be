"""Occlusion: curves (Samek et al. 2017; Binder et al. 2022, Fig. 1), replacements, outliers."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
import torch
from pydantic import PositiveInt
from sklearn.covariance import LedoitWolf
from torch import Tensor

from sanitygap import faithfulness
from sanitygap.attribution import Sampling, attribute
from sanitygap.attribution.applicable import defined
from sanitygap.errors import NotDefinedError, unknown_name
from sanitygap.faithfulness import REGIONS, blurred, occlusion_steps, scaled
from sanitygap.images import ImageSet
from sanitygap.models.explainable import Explainable
from sanitygap.occlusion import curve_rows, untouched
from sanitygap.seeds import generator, normal, stable_seed
from sanitygap.table import Batch, Context, table, whole_batches

#: side of the wide blur in pixels of a 224-pixel input: three regions, so that shapes vanish too
WIDE_BLUR = 45

#: (model, inputs (N, 3, H, W), one seed an image) to substitutes of the inputs' shape
Replacement = Callable[[Explainable, Tensor, Sequence[int]], Tensor]


def blur(model: Explainable, inputs: Tensor, seeds: Sequence[int]) -> Tensor:
    """Box blur of 15 of 224 pixels: the paper's own choice (Binder et al. 2022, A.1)."""
    return blurred(inputs)


def wide_blur(model: Explainable, inputs: Tensor, seeds: Sequence[int]) -> Tensor:
    """Box blur of 45 of 224 pixels."""
    return blurred(inputs, faithfulness.odd(scaled(WIDE_BLUR, inputs.shape[-1])))


def black(model: Explainable, inputs: Tensor, seeds: Sequence[int]) -> Tensor:
    """The colour black."""
    low, _ = model.preprocessing.bounds()
    return low.to(inputs).expand_as(inputs)


def mean_color(model: Explainable, inputs: Tensor, seeds: Sequence[int]) -> Tensor:
    """Each image's own mean colour."""
    return inputs.mean((2, 3), keepdim=True).expand_as(inputs)


def uniform_noise(model: Explainable, inputs: Tensor, seeds: Sequence[int]) -> Tensor:
    """Colours drawn uniformly, pixel by pixel and channel by channel (Samek et al. 2017)."""
    low, high = (bound.to(inputs) for bound in model.preprocessing.bounds())
    shape = tuple(inputs.shape[1:])
    shares = torch.stack([torch.rand(shape, generator=generator(seed)) for seed in seeds])
    return low + (high - low) * shares.to(inputs)


REPLACEMENTS: dict[str, Replacement] = {
    "blur": blur,
    "wide blur": wide_blur,
    "black": black,
    "mean colour": mean_color,
    "random colours": uniform_noise,
}


@table(
    "greedy-occlusion",
    smoke={"patch": 30, "regions": 1, "max_images": 2},
    quick={"regions": 1, "max_images": 2},
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
    inputs, side = batch.inputs, scaled(patch, batch.inputs.shape[-1])
    order = faithfulness.greedy_steps(
        batch.model, inputs, batch.targets, side, regions, batch_size=batch.size
    )
    counts = faithfulness.counts_of(regions, every)
    return curve_rows(batch, untouched(batch), blurred(inputs), order, counts, patch=patch)


#: the methods that the paper's figures name, and a random order
RANKED = (
    "gradient", "gradient-x-input", "integrated-gradients", "guided-backprop", "lrp-epsilon-plus",
    "lrp-alpha2-beta1", "lrp-gamma-box", "noise",
)  # fmt: skip


@table(
    "occlusion-replacements",
    by=["methods"],
    smoke={"methods": ("gradient", "guided-backprop", "lrp-epsilon-plus", "noise"), "every": 30},
    quick={"path_steps": 4, "every": 30, "max_images": 5},
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
        replace_by: names from :data:`REPLACEMENTS`.
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
    inputs, seed = batch.inputs, batch.seed
    maps = batch.maps(methods, seed, "base", sampling=Sampling(path_steps, noisy_copies))
    substitutes = {
        name: REPLACEMENTS[name](batch.model, inputs, batch.seeds(seed, name))
        for name in replace_by
    }
    variants = [("signed", name) for name in replace_by]
    variants += [("absolute", name) for name in replace_by if name == "blur"]
    whole = untouched(batch)
    counts, side = faithfulness.counts_of(regions, every), scaled(patch, inputs.shape[-1])
    for (name, values), (ranked_by, replacement) in itertools.product(maps.items(), variants):
        ranked = values if ranked_by == "signed" else values.abs()
        order = occlusion_steps(ranked, side, counts[-1])
        yield curve_rows(
            batch, whole, substitutes[replacement], order, counts, method=name,
            ranked_by=ranked_by, replacement=replacement, patch=patch, seed=seed,
        )  # fmt: skip


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
    chosen = faithfulness.region_means(hidden.float(), patch) > 0.5

    def moments(pixels: Tensor) -> tuple[Tensor, Tensor]:
        channels = pixels.double().unbind(1)
        means = torch.stack([faithfulness.region_means(values, patch) for values in channels])
        squares = torch.stack(
            [faithfulness.region_means(values.square(), patch) for values in channels]
        )
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
            name: faithfulness.replaced(
                inputs, make(model, inputs, batch.seeds(seed, name)), order, regions
            )
            for name, make in REPLACEMENTS.items()
        }
        for name, version in versions.items():
            response = respond(model, version)
            mean, variance = color_change(
                pixels, model.preprocessing.to_rgb(version), order <= regions, side
            )
            squares = [
                clouds[position % len(clouds)].mahalanobis(features[None].numpy())
                for position, features in zip(batch.positions, response.features, strict=True)
            ]
            values = {
                "entropy": response.entropy,
                "distance": torch.from_numpy(np.concatenate(squares)).sqrt(),
                "color_mean": mean,
                "color_variance": variance,
            }
            yield batch.rows(values, replacement=name, seed=seed)


@lru_cache(maxsize=1)  # all parts of a table share them
def clouds_of(context: Context, count: int) -> list[LedoitWolf]:
    """For each fold, the features of the first images and their mirror images without that fold.

    They are taken for one normal distribution. Its covariance is shrunk towards a multiple of the
    identity (Ledoit and Wolf 2004), because there may be fewer images than features.

    Raises:
        UsageError: fewer than two images.
    """
    if count < 2:
        raise NotDefinedError("distances to other images need at least two images; use more")
    batches = (context.batch(positions).inputs for positions in context.positions(count))
    features = torch.cat(
        [
            torch.stack([respond(context.model, x).features for x in (inputs, inputs.flip(3))], 1)
            for inputs in batches
        ]
    )
    places, folds = torch.arange(count), min(FOLDS, count)
    return [
        LedoitWolf().fit(features[places % folds != fold].flatten(0, 1).numpy())
        for fold in range(folds)
    ]


@dataclass(frozen=True)
class ExampleOcclusion:
    """One photograph as the regions that each map ranks highest are blurred.

    Attributes:
        picture: what the model sees, RGB ``(H, W, 3)`` in ``[0, 1]``.
        soft: its blurred copy, of the same shape.
        name: of the photograph.
        class_name: the explained class.
        patch: side of a region in pixels.
        counts: how many regions are blurred in each step, ascending from 0.
        maps: method -> signed map ``(H, W)``.
        boxes: method -> left, top, width and height of its regions in pixels, the highest first.
        scores: columns ``method``, ``regions``, ``softmax``, ``logit``.
    """

    picture: np.ndarray
    soft: np.ndarray
    name: str
    class_name: str
    patch: int
    counts: tuple[int, ...]
    maps: dict[str, Tensor]
    boxes: dict[str, list[tuple[int, int, int, int]]]
    scores: pd.DataFrame


def example_occlusion(
    model: Explainable,
    images: ImageSet,
    position: int,
    methods: Sequence[str],
    counts: Sequence[int],
    seed: int = 0,
    sampling: Sampling | None = None,
    patch: int = 15,
    batch_size: int = 10,
) -> ExampleOcclusion:
    """Occlude one photograph as the occlusion test does (Binder et al. 2022, Fig. 1).

    Args:
        model: the network.
        images: where the photograph is.
        position: which it is.
        methods: attribution methods and controls; those that the network has no use for are
            left out.
        counts: how many regions to blur, ascending; those beyond the number of regions that the
            photograph has are left out. 0 is always among the steps.
        seed: of all sampling.
        sampling: sizes of the sampling methods.
        patch: side of a region, in pixels of a 224-pixel input.
        batch_size: occluded images in one pass.
    """
    methods = defined(model, methods)
    inputs = model.prepare([images.open(position)])
    target = model.predict(inputs)
    keys = [stable_seed(images.keys[position], seed, "base")]
    maps = attribute(model, inputs, target, methods, keys, sampling)
    height, width = inputs.shape[2:]
    side = scaled(patch, width)
    most = height // side * (width // side)
    wanted = (0, *(count for count in counts if 0 < count <= most))
    order = occlusion_steps(torch.cat(list(maps.values())), side, wanted[-1])
    soft = blurred(inputs)

    # an image for each method; nothing is hidden in the first state, whatever the method
    many = (len(order), -1, -1, -1)
    curves = faithfulness.replacement_curves(
        model, inputs.expand(many), target.expand(len(order)), soft.expand(many), order, wanted,
        batch_size,
    )  # fmt: skip
    scores = pd.DataFrame(
        {
            "method": np.repeat(list(maps), len(wanted)),
            "regions": np.tile(wanted, len(order)),
            "softmax": curves.softmax.flatten().double().cpu().numpy(),
            "logit": curves.logit.flatten().double().cpu().numpy(),
        }
    )
    rgb = model.preprocessing.to_rgb(torch.cat([inputs, soft])).permute(0, 2, 3, 1).cpu().numpy()
    return ExampleOcclusion(
        picture=rgb[0],
        soft=rgb[1],
        name=images.names[position],
        class_name=model.class_name(int(target[0])),
        patch=side,
        counts=wanted,
        maps={name: values[0].cpu() for name, values in maps.items()},
        boxes={
            name: [_box(steps == number) for number in range(1, wanted[-1] + 1)]
            for name, steps in zip(maps, order, strict=True)
        },
        scores=scores,
    )


def _box(inside: Tensor) -> tuple[int, int, int, int]:
    """Left, top, width and height of the rectangle of the true pixels of ``(H, W)``."""
    rows, columns = inside.any(1).nonzero(), inside.any(0).nonzero()
    left, top = int(columns[0]), int(rows[0])
    return left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1
