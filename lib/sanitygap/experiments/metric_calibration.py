"""What the similarities of Adebayo et al. (2018) say of maps that have nothing in common."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import torch
from scipy.ndimage import gaussian_filter

from sanitygap import adebayo_metrics, hog, seeds, similarity
from sanitygap.adebayo_metrics import CELL, DATA_RANGE, WINDOW
from sanitygap.attribution import Sampling, unpooled
from sanitygap.experiments.experiment import CHUNK, Chunk, Code, Context, experiment
from sanitygap.experiments.parameter_test import code_for
from sanitygap.hog import hog as features_of
from sanitygap.seeds import normal, stable_seed
from sanitygap.similarity import pearson, ranks, spearman, ssim

ROOMS: tuple[Code, ...] = (adebayo_metrics, hog, seeds, similarity)

#: side of the masks of the appendix, the input of Inception v3, in pixels
SIDE = 299

METHODS = ("gradient", "integrated-gradients", "gradient-x-input")

#: kinds of random masks: name -> whether values are uniform, and how they are brought to [-1, 1]
MASKS = {
    "uniform": "max-abs",
    "Gaussian": "max-abs",
    "Gaussian, min-max": "min-max",
}

COLUMNS = {
    "first": "an attribution method, or a kind of random mask",
    "second": "kind of random mask that it is compared with",
    "pair": "number of the pair of masks, or file name of the image",
    "side": "side of the maps in pixels",
    "spearman": "Spearman correlation of signed maps",
    "spearman_absolute": "Spearman correlation of absolute maps",
    "hog_pearson": "Pearson correlation of HOG features, cells of 16 pixels, maps on [-1, 1]",
    "ssim": "SSIM, window 5, maps on [-1, 1], L = 2",
}


def on_unit_range(maps: torch.Tensor, how: str = "max-abs") -> torch.Tensor:
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


def masks(kind: str, keys: Sequence[int], side: int) -> torch.Tensor:
    """Random masks on [-1, 1], float64 ``(N, side, side)``, one a key."""
    like = torch.empty(0, dtype=torch.float64)
    if kind == "uniform":
        sources = [torch.Generator().manual_seed(key) for key in keys]
        drawn = [
            torch.rand(side, side, generator=source, dtype=torch.float64) for source in sources
        ]
        return torch.stack(drawn) * 2 - 1
    return on_unit_range(normal((side, side), list(keys), like), MASKS[kind])


def four_similarities(first: torch.Tensor, second: torch.Tensor) -> dict[str, np.ndarray]:
    """The tuple of the appendix for maps on [-1, 1], each ``(N,)``."""
    found = {
        "spearman": spearman(first, second),
        "spearman_absolute": spearman(first.abs(), second.abs()),
        "hog_pearson": pearson(features_of(first, CELL), features_of(second, CELL)),
        "ssim": ssim(first, second, DATA_RANGE, WINDOW),
    }
    return {name: values.cpu().double().numpy() for name, values in found.items()}


@experiment(
    "metric-calibration",
    knobs={
        "smoke": {"pairs": 10, "methods": ("gradient", "gradient-x-input"), "max_images": 2},
        "quick": {"pairs": 50, "path_steps": 4, "max_images": 12},
        "full": {},
    },
    columns=COLUMNS,
)
def metric_calibration(
    context: Context,
    pairs: int = 200,
    methods: Sequence[str] = METHODS,
    path_steps: int = 50,
    max_images: int | None = 50,
) -> Iterator[Chunk]:
    """Each similarity between two random masks, and between a map and a random mask.

    Args:
        context: model, images and seed.
        pairs: number of pairs of masks of each kind, 299 x 299 pixels.
        methods: attribution methods whose maps are compared with Gaussian masks.
        path_steps: points of integrated gradients.
        max_images: use at most that many images.

    Yields:
        One chunk ten pairs of masks, and one a batch of images.
    """
    for kind in MASKS:
        for start in range(0, pairs, CHUNK):
            numbers = range(start, min(start + CHUNK, pairs))

            def simulate(kind: str = kind, numbers: Sequence[int] = numbers) -> pd.DataFrame:
                return compare_masks(context.seed, kind, numbers)

            settings = {"kind": kind, "pairs": list(numbers), "seed": context.seed}
            yield Chunk(settings, (*ROOMS, compare_masks, masks), simulate, needs_model=False)
    for positions in context.positions(max_images):

        def compute(positions: tuple[int, ...] = positions) -> pd.DataFrame:
            return compare_with_masks(context, positions, methods, Sampling(path_steps))

        settings = {"methods": list(methods), "path_steps": path_steps, "seed": context.seed}
        code = (*ROOMS, *code_for(methods), compare_with_masks, masks, on_unit_range)
        yield Chunk(settings, tuple(dict.fromkeys(code)), compute, positions)


def compare_masks(seed: int, kind: str, numbers: Sequence[int]) -> pd.DataFrame:
    """One row a pair of random masks."""
    first, second = (
        masks(kind, [stable_seed(seed, "masks", kind, number, which) for number in numbers], SIDE)
        for which in ("first", "second")
    )
    return pd.DataFrame(
        {"first": kind, "second": kind, "pair": [str(number) for number in numbers], "side": SIDE}
        | four_similarities(first, second)
    )


def compare_with_masks(
    context: Context, positions: Sequence[int], methods: Sequence[str], sampling: Sampling
) -> pd.DataFrame:
    """One row an image and method: its signed map against a Gaussian mask."""
    batch = context.batch(positions)
    side = batch.inputs.shape[-1]
    keys = batch.seeds(context.seed, "calibration")
    made = unpooled(
        context.model, batch.inputs, batch.targets, methods, keys, sampling, context.batch_size
    )
    tables = []
    for method, values in made.items():
        maps = on_unit_range(values.sum(1).double().cpu())
        drawn = masks("Gaussian", batch.seeds(context.seed, "mask", method), side)
        tables.append(
            pd.DataFrame(
                {"first": method, "second": "Gaussian", "pair": batch.names, "side": side}
                | four_similarities(maps, drawn)
            )
        )
    return pd.concat(tables, ignore_index=True)


NULL_COLUMNS = {
    "source": "simulated: Gaussian noise after a Gaussian filter; else an attribution method, "
    "whose map is compared with copies of itself in shuffled blocks",
    "smoothing": "standard deviation of the filter in pixels, 0 for none; for maps the side of a "
    "block",
    "image": "file name of the image, empty where simulated",
    "pixels": "pixels in a map",
    "length": "correlation length: the lag in pixels at which the autocorrelation falls to 1/e; 1 "
    "for independent pixels",
    "pairs": "pairs of maps, or shuffles",
    "mean": "mean of their Spearman correlations",
    "deviation": "standard deviation of their Spearman correlations",
    "independent": "1 / sqrt(pixels - 1), the standard deviation for independent pixels",
}


@experiment(
    "smooth-nulls",
    knobs={
        "smoke": {"pairs": 200, "methods": ("gradient",), "max_images": 1, "shuffles": 50},
        "quick": {"pairs": 300, "max_images": 3, "shuffles": 60},
        "full": {},
    },
    columns=NULL_COLUMNS,
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
) -> Iterator[Chunk]:
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
        One chunk for the simulation, and one a batch of images.
    """
    simulated = {"smoothings": list(smoothings), "side": side, "pairs": pairs, "seed": context.seed}
    code: tuple[Code, ...] = (seeds, similarity, simulated_nulls, correlation_length)
    yield Chunk(
        simulated, code, lambda: simulated_nulls(context.seed, smoothings, side, pairs),
        needs_model=False,
    )  # fmt: skip
    for positions in context.positions(max_images):

        def compute(positions: tuple[int, ...] = positions) -> pd.DataFrame:
            return shuffled_nulls(context, positions, methods, block, shuffles)

        settings = {
            "methods": list(methods), "block": block, "shuffles": shuffles, "seed": context.seed,
        }  # fmt: skip
        code = (*code_for(methods), seeds, shuffled_nulls, correlation_length)
        yield Chunk(settings, tuple(dict.fromkeys(code)), compute, positions)


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


def simulated_nulls(seed: int, smoothings: Sequence[float], side: int, pairs: int) -> pd.DataFrame:
    """One row a smoothing."""
    rows = []
    for smoothing in smoothings:
        rng = np.random.default_rng(stable_seed(seed, "smooth nulls", smoothing))
        drawn = rng.normal(size=(2, pairs, side, side))
        if smoothing:
            drawn = gaussian_filter(drawn, (0, 0, smoothing, smoothing), mode="wrap")
        first, second = (torch.from_numpy(values) for values in drawn)
        rows.append(
            {"source": "simulated", "smoothing": smoothing, "image": ""}
            | spread(spearman(first, second).numpy(), side * side)
            | {"length": correlation_length(drawn[0])}
        )
    return pd.DataFrame(rows)[list(NULL_COLUMNS)]


def shuffled_nulls(
    context: Context, positions: Sequence[int], methods: Sequence[str], block: int, shuffles: int
) -> pd.DataFrame:
    """One row an image and method."""
    batch = context.batch(positions)
    made = unpooled(context.model, batch.inputs, batch.targets, methods, batch.keys)
    rows = []
    for method, values in made.items():
        maps = values.sum(1).cpu()
        height, width = (length // block * block for length in maps.shape[1:])
        maps = maps[:, :height, :width]
        for number, name in enumerate(batch.names):
            rng = np.random.default_rng(stable_seed(context.seed, name, method, "shuffles"))
            one = maps[number].numpy()
            if not one.any():
                continue  # a Grad-CAM map may be zero everywhere, and then has no ranks
            shuffled = np.stack([in_shuffled_blocks(one, block, rng) for _ in range(shuffles)])
            ranked = ranks(torch.from_numpy(shuffled))
            own = ranks(torch.from_numpy(one[None])).expand(shuffles, -1)
            rows.append(
                {"source": method, "smoothing": float(block), "image": name}
                | spread(pearson(own, ranked).numpy(), one.size)
                | {"length": correlation_length(one[None])}
            )
    return pd.DataFrame(rows, columns=list(NULL_COLUMNS))


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
