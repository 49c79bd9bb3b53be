"""What the similarities of Adebayo et al. (2018) say of maps that have nothing in common."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from scipy.ndimage import gaussian_filter
from skimage.feature import canny
from torch import Tensor
from torch.nn.functional import max_pool2d

from sanitygap.adebayo_metrics import (
    DATA_RANGE,
    UNIFORM,
    Scaled,
    absolute_map,
    diverging_map,
    hog_pearson,
    scaled,
)
from sanitygap.attribution import Sampling, unpooled
from sanitygap.attribution.applicable import defined
from sanitygap.models.explainable import Explainable
from sanitygap.seeds import normal, stable_seed
from sanitygap.similarity import pearson, ranks, spearman, ssim
from sanitygap.table import BATCH, Batch, Context, Piece, cut_by, table

#: side of the masks of the appendix, the input of Inception v3, in pixels
SIDE = 299

METHODS = ("gradient", "integrated-gradients", "gradient-x-input")

#: kinds of random masks: name -> whether values are uniform, and how they are brought to [-1, 1]
Kind = Literal["uniform", "Gaussian", "Gaussian, min-max"]
MASKS: dict[Kind, str] = {
    "uniform": "max-abs",
    "Gaussian": "max-abs",
    "Gaussian, min-max": "min-max",
}


def on_unit_range(maps: Tensor, how: str = "max-abs") -> Tensor:
    """Maps ``(N, H, W)`` brought to [-1, 1].

    Args:
        maps: values.
        how: ``max-abs`` divides by the largest absolute value; ``min-max`` moves the smallest value
            to -1 and the largest to 1.
    """
    if how == "max-abs":
        return maps / maps.abs().amax((1, 2), keepdim=True)
    low, high = (bound((1, 2), keepdim=True) for bound in (maps.amin, maps.amax))
    return (maps - low) / (high - low) * 2 - 1


def masks(kind: Kind, keys: Sequence[int], side: int) -> Tensor:
    """Random masks on [-1, 1], float64 ``(N, side, side)``, one a key."""
    like = torch.empty(0, dtype=torch.float64)
    if kind == "uniform":
        sources = [torch.Generator().manual_seed(key) for key in keys]
        drawn = [
            torch.rand(side, side, generator=source, dtype=torch.float64) for source in sources
        ]
        return torch.stack(drawn) * 2 - 1
    return on_unit_range(normal((side, side), list(keys), like), MASKS[kind])


def four_similarities(first: Tensor, second: Tensor) -> dict[str, np.ndarray]:
    """The tuple of the appendix for maps on [-1, 1], each ``(N,)``."""
    found = {
        "spearman": spearman(first, second),
        "spearman_absolute": spearman(first.abs(), second.abs()),
        "hog_pearson": hog_pearson(first, second),
        "ssim": ssim(first, second, DATA_RANGE, UNIFORM),
    }
    return {name: values.cpu().double().numpy() for name, values in found.items()}


def _cut(context: Context, arguments: Mapping[str, Any]) -> Iterator[Piece]:
    yield from cut_by(False, ["kinds"])(context, {**arguments, "methods": ()})
    yield from cut_by(False, ["methods"])(context, {**arguments, "kinds": ()})


@table(
    "metric-calibration",
    cut=_cut,
    smoke={"pairs": 10, "methods": ("gradient", "gradient-x-input"), "max_images": 2},
    quick={"pairs": 50, "path_steps": 4, "max_images": 12},
    everything=True,
)
def metric_calibration(
    context: Context,
    pairs: int = 200,
    methods: Sequence[str] = METHODS,
    path_steps: int = 50,
    max_images: int | None = 50,
    kinds: Sequence[Kind] = tuple(MASKS),
) -> Iterator[pd.DataFrame]:
    """Each similarity between two random masks, and between a map and a random mask.

    Args:
        context: model, images and seed.
        pairs: number of pairs of masks of each kind, 299 x 299 pixels.
        methods: attribution methods whose signed maps are compared with Gaussian masks.
        path_steps: points of integrated gradients.
        max_images: use at most that many images.
        kinds: of random masks.

    Yields:
        One row a pair of masks, and one an image and method.
    """

    def rows(
        first: str, second: str, names: Sequence[str], maps: Tensor, drawn: Tensor
    ) -> pd.DataFrame:
        about = {"first": first, "second": second, "pair": names, "side": maps.shape[-1]}
        return pd.DataFrame(about | four_similarities(maps, drawn))

    for kind in kinds:
        for start in range(0, pairs, BATCH):
            numbers = range(start, min(start + BATCH, pairs))
            one, other = (
                masks(
                    kind,
                    [stable_seed(context.seed, "masks", kind, n, which) for n in numbers],
                    SIDE,
                )
                for which in ("first", "second")
            )
            yield rows(kind, kind, [str(n) for n in numbers], one, other)
    for positions in context.positions(max_images) if methods else []:
        batch = context.batch(positions)
        sampling = Sampling(path_steps)
        made = batch.unpooled(methods, context.seed, "calibration", sampling=sampling)
        for method, values in made.items():
            maps = on_unit_range(values.sum(1).double().cpu())
            drawn = masks("Gaussian", batch.seeds(context.seed, "mask", method), maps.shape[-1])
            yield rows(method, "Gaussian", batch.names, maps, drawn)


def _cut_nulls(context: Context, arguments: Mapping[str, Any]) -> Iterator[Piece]:
    yield Piece({**arguments, "methods": ()})
    yield from cut_by(False, ["methods"])(context, {**arguments, "smoothings": ()})


@table(
    "smooth-nulls",
    cut=_cut_nulls,
    smoke={"pairs": 200, "methods": ("gradient",), "max_images": 1, "shuffles": 50},
    quick={"pairs": 300, "max_images": 3, "shuffles": 60},
    everything=True,
)
def smooth_nulls(
    context: Context,
    smoothings: Sequence[float] = (0.0, 1.0, 2.0, 4.0),
    side: int = 64,
    pairs: int = 1000,
    methods: Sequence[str] = ("gradient", "guided-backprop", "grad-cam"),
    block: int = 28,
    shuffles: int = 300,
    max_images: int = 10,
) -> Iterator[dict[str, Any]]:
    """Spread of Spearman's correlation between maps that have nothing in common but smoothness.

    Args:
        context: model, images and seed.
        smoothings: of simulated maps.
        side: of simulated maps, in pixels.
        pairs: of simulated maps.
        methods: attribution methods.
        block: side of the blocks that are shuffled, in pixels.
        shuffles: of each map.
        max_images: use at most that many images.

    Yields:
        One row a smoothing, and one an image and method.
    """
    yield from simulated_nulls(context.seed, smoothings, side, pairs)
    for positions in context.positions(max_images) if methods else []:
        batch = context.batch(positions)
        made = unpooled(context.model, batch.inputs, batch.targets, methods, batch.keys)
        for method, values in made.items():
            maps = values.sum(1).cpu()
            height, width = (length // block * block for length in maps.shape[1:])
            for one, name in zip(maps[:, :height, :width].numpy(), batch.names, strict=True):
                rng = np.random.default_rng(stable_seed(context.seed, name, method, "shuffles"))
                if not one.any():
                    continue  # a Grad-CAM map may be zero everywhere, and then has no ranks
                shuffled = np.stack([in_shuffled_blocks(one, block, rng) for _ in range(shuffles)])
                ranked = ranks(torch.from_numpy(shuffled))
                own = ranks(torch.from_numpy(one[None])).expand(shuffles, -1)
                yield (
                    {"source": method, "smoothing": float(block), "image": name}
                    | spread(pearson(own, ranked).numpy(), one.size)
                    | {"length": correlation_length(one[None])}
                )


def correlation_length(maps: np.ndarray) -> float:
    """The lag at which the mean autocorrelation of maps ``(N, H, W)`` falls to 1/e, at least 1.

    Both axes are averaged; between two lags the autocorrelation is interpolated linearly.
    """
    centred = maps - maps.mean((1, 2), keepdims=True)
    power = (centred**2).mean()
    before = 1.0
    for lag in range(1, min(maps.shape[1:])):
        down = (centred[:, lag:] * centred[:, :-lag]).mean()
        across = (centred[:, :, lag:] * centred[:, :, :-lag]).mean()
        now = float((down + across) / 2 / power)
        if now <= np.exp(-1):
            return max(1.0, lag - 1 + (before - np.exp(-1)) / (before - now))
        before = now
    return float(min(maps.shape[1:]))


def simulated_nulls(
    seed: int, smoothings: Sequence[float], side: int, pairs: int
) -> Iterator[dict[str, Any]]:
    """One row a smoothing."""
    for smoothing in smoothings:
        rng = np.random.default_rng(stable_seed(seed, "smooth nulls", smoothing))
        drawn = rng.normal(size=(2, pairs, side, side))
        if smoothing:
            drawn = gaussian_filter(drawn, (0, 0, smoothing, smoothing), mode="wrap")
        first, second = (torch.from_numpy(values) for values in drawn)
        yield (
            {"source": "simulated", "smoothing": smoothing, "image": ""}
            | spread(spearman(first, second).numpy(), side * side)
            | {"length": correlation_length(drawn[0])}
        )


def in_shuffled_blocks(values: np.ndarray, block: int, rng: np.random.Generator) -> np.ndarray:
    """A map ``(H, W)`` of whole blocks with its blocks in random order."""
    height, width = values.shape[0] // block, values.shape[1] // block
    grid = values.reshape(height, block, width, block).swapaxes(1, 2)
    parts = grid.reshape(-1, block, block)
    mixed = parts[rng.permutation(len(parts))].reshape(height, width, block, block)
    return np.asarray(mixed.swapaxes(1, 2).reshape(values.shape))


def spread(correlations: np.ndarray, pixels: int) -> dict[str, object]:
    """Number, mean and standard deviation of correlations, beside that for independent pixels."""
    return {
        "pixels": pixels,
        "pairs": len(correlations),
        "mean": float(correlations.mean()),
        "deviation": float(correlations.std(ddof=1)),
        "independent": float(1 / np.sqrt(pixels - 1)),
    }


#: standard deviation of the Gaussian filter in Canny's edge detector, in pixels
CANNY_SIGMA = 2.0

#: pixels on either side of an edge that are kept with it
MARGIN = 1


def edge_masks(model: Explainable, inputs: Tensor) -> Tensor:
    """Where the edges of inputs ``(N, 3, H, W)`` are, by Canny's detector: bool ``(N, H, W)``."""
    grey = model.preprocessing.to_rgb(inputs).mean(1).cpu().numpy()
    found = np.stack([canny(image, CANNY_SIGMA) for image in grey])
    return torch.from_numpy(found).to(inputs.device)


def thick(edges: Tensor) -> Tensor:
    """Edges with their neighbours, bool ``(N, H, W)``."""
    size = 2 * MARGIN + 1
    return max_pool2d(edges[:, None].float(), size, 1, MARGIN)[:, 0] > 0


def overlap(maps: Tensor, edges: Tensor) -> Tensor:
    """Share of the edges' pixels among the strongest of a map, as many as there are edges.

    A map without any relation to the edges has the share of the edges in the image.

    Args:
        maps: float ``(N, H, W)``, absolute.
        edges: bool ``(N, H, W)``.

    Returns:
        ``(N,)``; NaN for an image without edges.
    """
    shares = []
    for values, mask in zip(maps.flatten(1), edges.flatten(1), strict=True):
        count = int(mask.sum())
        top = values.topk(count).indices if count else torch.empty(0, dtype=torch.long)
        shares.append(float(mask[top].double().mean()) if count else float("nan"))
    return torch.tensor(shares, dtype=torch.float64)


@table(
    "random-gradient",
    smoke={"max_images": 2},
    quick={"seeds": (0, 1), "max_images": 12},
    full={"max_images": 50},
)
def random_gradient(batch: Batch, seeds: Sequence[int] = (0, 1, 2, 3, 4)) -> Iterator[pd.DataFrame]:
    """Input times random gradients, beside another one, the input, and gradient x input (Fig. 10).

    Args:
        batch: images.
        seeds: of the random gradients, which are independent standard normal values.
    """
    inputs, shape = batch.inputs, tuple(batch.inputs.shape[1:])
    edges = thick(edge_masks(batch.model, batch.inputs))
    own = unpooled(batch.model, inputs, batch.targets, ["gradient-x-input"], batch.keys)
    fixed = {"input": scaled(inputs), "gradient-x-input": scaled(own["gradient-x-input"])}
    for seed in seeds:
        one, other = (
            inputs * normal(shape, batch.seeds(batch.seed, seed, name), inputs)
            for name in ("first random gradient", "second random gradient")
        )
        first = scaled(one)
        share = overlap(one.abs().sum(1), edges)
        for name, second in {"another random gradient": scaled(other), **fixed}.items():
            for kind in ("absolute", "diverging"):
                values = {"overlap": share, "edges": edges.double().mean((1, 2))}
                values |= first[kind].compare(second[kind])
                yield batch.rows(
                    values, first="input x random gradient", second=name, maps=kind, seed=seed
                )


EDGE_METHODS = (
    "gradient", "gradient-x-input", "guided-backprop", "grad-cam", "guided-grad-cam", "smoothgrad",
    "integrated-gradients",
)  # fmt: skip


@table(
    "edge-input",
    smoke={"methods": EDGE_METHODS[:5], "max_images": 2},
    quick={"methods": EDGE_METHODS[:5], "max_images": 12},
    full={"max_images": 50},
)
def edge_input(
    batch: Batch,
    methods: Sequence[str] = EDGE_METHODS,
    path_steps: int = 50,
    noisy_copies: int = 50,
) -> Iterator[pd.DataFrame]:
    """Maps of images, beside those of the same images with all but their edges set to zero.

    Args:
        batch: images.
        methods: attribution methods.
        path_steps: points of integrated gradients.
        noisy_copies: copies in SmoothGrad.
    """
    model, sampling = batch.model, Sampling(path_steps, noisy_copies)
    methods = defined(model, methods)
    kept = thick(edge_masks(model, batch.inputs))
    both = []
    for name, inputs in (("image", batch.inputs), ("edges", batch.inputs * kept[:, None])):
        keys = batch.seeds(batch.seed, name)
        both.append(unpooled(model, inputs, batch.targets, methods, keys, sampling, batch.size))
    edges = Scaled(kept.to(batch.inputs))
    for method in methods:
        whole, reduced = (values[method] for values in both)
        for kind, scale in (("absolute", absolute_map), ("diverging", diverging_map)):
            first = Scaled(scale(whole))
            others = {"map of the edges": Scaled(scale(reduced))}
            if kind == "absolute":
                others["edges"] = edges
            for name, second in others.items():
                values = {"edges": kept.double().mean((1, 2))} | first.compare(second)
                yield batch.rows(values, method=method, second=name, maps=kind)
