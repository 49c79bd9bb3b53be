"""Appendix D.1: normalising by the maximum, and the variance of quantile estimators (Eq. 29).

Equation numbers are those of Binder et al. (2022).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import stats
from torch import Tensor

from sanitygap import similarity
from sanitygap.attribution import Sampling, gradient
from sanitygap.attribution.applicable import defined
from sanitygap.chapters.theorems_3_4.theory import random_gradient_maps
from sanitygap.inference import Interval, bootstrap, bootstrap_mean
from sanitygap.randomization import RandomTwin
from sanitygap.seeds import stable_seed
from sanitygap.table import Batch, table
from sanitygap.theory import Array
from sanitygap.theory.montecarlo import SIMULATED_METHODS, Row, correlated_maps

# --- Eq. (29) -----------------------------------------------------------------------------------

FROZEN: dict[str, Any] = {
    "normal": stats.norm(),
    "normal, sd 3": stats.norm(0, 3),
    "exponential": stats.expon(),
    "Laplace": stats.laplace(),
    "uniform on [0, 1]": stats.uniform(),
    "uniform on [0, 5]": stats.uniform(0, 5),
}


@table("quantile-variance", smoke={"n": 10_000}, quick={"n": 100_000}, full={"n": 1_000_000})
def quantile_variance(*, n: int, seed: int, sample_size: int = 20_001) -> Iterator[Row]:
    """Variance of the sample quantile against Eq. (29) as printed and with the density squared.

    With 20 001 values the quantiles at p = 0.5, 0.9 and 0.99 are order statistics. Order
    statistic k of a uniform sample is Beta(k, m + 1 - k) distributed, so it is drawn directly and
    mapped through the quantile function: the same law as sorting samples, at no cost.

    Args:
        n: number of sample quantiles drawn for each setting.
        seed: seed of the draws.
        sample_size: size m of each sample; (m - 1) p has to be an integer.

    Returns:
        One row a (distribution, p): the simulated variance as estimate with its interval, the
        values `printed` and `squared` of the two formulas and their ratios to the simulation.
    """
    for name, law in FROZEN.items():
        for p in (0.5, 0.9, 0.99):
            rng = np.random.default_rng(stable_seed(seed, "quantile-variance", name, p))
            values = law.ppf(sample_quantile(rng, n, sample_size, p))
            deviation = (values - values.mean()) ** 2
            variance = float(deviation.sum() / (n - 1))
            error = float(deviation.std(ddof=1) / np.sqrt(n))
            density = float(law.pdf(law.ppf(p)))
            printed = p * (1 - p) / (sample_size * density)
            squared = printed / density
            named: Row = {"distribution": name, "p": p, "sample_size": sample_size, "draws": n}
            named |= {"estimate": variance, "standard_error": error}
            named |= {"low": variance - 1.96 * error, "high": variance + 1.96 * error}
            for formula, value in (("printed", printed), ("squared", squared)):
                named |= {formula: value, f"{formula}_ratio": value / variance}
            yield named


def sample_quantile(rng: np.random.Generator, n: int, sample_size: int, p: float) -> Array:
    """`n` sample p-quantiles of uniform samples of the given size, without drawing the samples."""
    rank = round((sample_size - 1) * p) + 1
    return rng.beta(rank, sample_size + 1 - rank, size=n)


TAILS: dict[str, Any] = {
    "uniform": stats.uniform(),
    "normal": stats.norm(),
    "exponential": stats.expon(),
    "Student t4": stats.t(4),
    "Pareto 3": stats.pareto(3),
    "Cauchy": stats.cauchy(),
}


@table("quantile-tail", smoke={"n": 12}, quick={"n": 45}, full={"n": 89})
def tail_variance(*, n: int, seed: int) -> Iterator[Row]:
    """Eq. (29) times the sample size as p approaches 1, as printed and with the density squared.

    Args:
        n: number of tail probabilities 1 - p between 1e-1 and 1e-12.
        seed: not used; the values are exact.

    Returns:
        One row a (distribution, formula, tail_probability): value.
    """
    for name, law in TAILS.items():
        for tail in np.geomspace(1e-1, 1e-12, n):
            density = law.pdf(law.isf(tail))
            for formula, power in (("printed", 1), ("squared density", 2)):
                value = tail * (1 - tail) / density**power
                named: Row = {"distribution": name, "formula": formula}
                yield {**named, "tail_probability": tail, "value": value}


# --- the maximum as a normaliser ----------------------------------------------------------------

SYMMETRIC: dict[str, Any] = {
    "uniform": stats.uniform(-1, 2),
    "normal": stats.norm(),
    "Laplace": stats.laplace(),
    "Student t3": stats.t(3),
    "Student t1.5": stats.t(1.5),
}


@table(
    "maximum-dispersion",
    smoke={"n": 100, "sizes": (100, 1_000)},
    quick={"n": 500},
    full={"n": 1_000, "sizes": (100, 1_000, 10_000, 100_000)},
)
def maximum_dispersion(
    *, n: int, seed: int, sizes: tuple[int, ...] = (100, 1_000, 10_000)
) -> Iterator[Row]:
    """Relative standard deviation of the maximum of |x| and of the root mean square.

    Two sources: samples of known distributions, where the maximum is drawn exactly through the
    quantile function; and gradient maps of random networks, where the pixels are resampled.

    Args:
        n: number of samples for each setting, and of resamplings of each map.
        seed: seed of the draws.
        sizes: numbers of values in a sample.

    Returns:
        One row a (source, distribution, size): `maximum` and `rms`, the relative standard
        deviations; estimate, low, high: their difference with its 95 % bootstrap interval (over
        samples, or over maps).
    """
    for name, law in SYMMETRIC.items():
        for size in sizes:
            rng = np.random.default_rng(stable_seed(seed, "maximum-dispersion", name, size))
            # |x| exceeds its maximum with probability 1 - U^(1/size), half of it on each side.
            outside = -np.expm1(np.log(rng.uniform(size=n)) / size)
            maximum = law.isf(outside / 2)
            rms = np.array([_rms(law.rvs(size, random_state=rng)) for _ in range(n)])
            pairs = np.column_stack([maximum, rms])
            interval = bootstrap(pairs, _excess, resamples=300, seed=seed)
            yield _dispersion("distribution", name, size, _spreads(pairs), interval, n)
    for method, maps in random_gradient_maps(n=20, seed=seed).items():
        seeds = [stable_seed(seed, "resampled-dispersion", index) for index in range(len(maps))]
        spreads = resampled_spreads(maps, n, seeds)
        interval = bootstrap_mean(spreads[:, 0] - spreads[:, 1], resamples=300, seed=seed)
        source, size = "maps of random networks", maps[0].numel()
        yield _dispersion(source, method, size, spreads.mean(0), interval, n)


def _dispersion(
    source: str, distribution: str, size: int, spreads: Array, excess: Interval, draws: int
) -> Row:
    """A row: the spreads of the maximum and of the root mean square, and their difference."""
    named: Row = {"source": source, "distribution": distribution, "size": size, "draws": draws}
    named |= {"maximum": spreads[0], "rms": spreads[1], "estimate": excess.estimate}
    return named | {"low": excess.low, "high": excess.high}


def resampled_spreads(maps: torch.Tensor, n: int, seeds: Sequence[int]) -> Array:
    """Relative standard deviations of max |x| and of the root mean square, map by map.

    The pixels of a map are drawn again with replacement; what varies is the normaliser that each
    draw would get.

    Args:
        maps: attribution maps (N, H, W).
        n: resamplings of the pixels of each map.
        seeds: one a map, of its resampling.

    Returns:
        Float64 (N, 2): of the maximum, and of the root mean square.
    """
    found = []
    for pixels, seed in zip(maps.flatten(1).double().numpy(force=True), seeds, strict=True):
        rng = np.random.default_rng(seed)
        drawn = (np.abs(rng.choice(pixels, len(pixels))) for _ in range(n))  # one at a time: memory
        found.append(_spreads(np.array([(x.max(), _rms(x)) for x in drawn])))
    return np.array(found)


def _rms(x: Array) -> float:
    return float(np.sqrt((x**2).mean()))


def _spreads(samples: Array) -> Array:
    """Relative standard deviation of each column."""
    return samples.std(0, ddof=1) / samples.mean(0)


def _excess(pairs: Array) -> float:
    first, second = _spreads(pairs)
    return float(first - second)


@table("normalizer-ranking", smoke={"n": 20}, quick={"n": 200}, full={"n": 1_000})
def normalizer_ranking(*, n: int, seed: int) -> Iterator[pd.DataFrame]:
    """MSE of pairs of maps after dividing each map by its maximum, or by its second moment.

    Args:
        n: number of map pairs for each simulated method.
        seed: seed of the maps.

    Returns:
        One row a (method, normaliser, pair): mse.
    """
    for method, (draw, correlation) in SIMULATED_METHODS.items():
        key = stable_seed(seed, "normalizer-ranking", method)
        a, b = correlated_maps(draw, correlation, n=n, seed=key)
        by_maximum = [x / x.abs().amax((1, 2), keepdim=True) for x in (a, b)]
        for normaliser, mse in {
            "maximum": (by_maximum[0] - by_maximum[1]).square().mean((1, 2)),
            "second moment": similarity.normalized_mse(a, b),
        }.items():
            named: Row = {"method": method, "normaliser": normaliser, "pair": range(n)}
            yield pd.DataFrame({**named, "mse": mse.numpy()})


METHODS = (
    "gradient", "gradient-x-input", "integrated-gradients", "guided-backprop", "lrp-epsilon-plus",
    "lrp-gamma-box",
)  # fmt: skip

#: the l2 norm of the gradient over the colour channels, which is never negative
SENSITIVITY = "sensitivity-l2"


@table(
    "map-normalizers",
    smoke={"path_steps": 2, "resamples": 20},
    quick={"path_steps": 4, "resamples": 50, "max_images": 6},
    full={"max_images": 100},
)
def map_normalizers(
    batch: Batch, methods: Sequence[str] = METHODS, path_steps: int = 50, resamples: int = 200
) -> Iterator[pd.DataFrame]:
    """Candidates for the scale of a map: how they vary, and what they make of a comparison.

    Args:
        batch: images.
        methods: attribution methods, besides the l2 norm of the gradient.
        path_steps: points of integrated gradients.
        resamples: how often the pixels of each map are resampled.
    """
    model, inputs, targets = batch.model, batch.inputs, batch.targets
    methods, sampling = defined(model, methods), Sampling(path_steps)

    def maps_of(state: str) -> dict[str, Tensor]:
        norm = gradient.input_gradient(model.scores, inputs, targets).norm(dim=1)
        return {SENSITIVITY: norm} | batch.maps(methods, batch.seed, state, sampling=sampling)

    trained = maps_of("trained")
    with RandomTwin(model, batch.seed).redrawn(model.stages):
        redrawn = maps_of("redrawn")
    for name, maps in trained.items():
        own = [stable_seed(batch.seed, key, name) for key in batch.keys]
        seeds = [stable_seed(seed, "resampled-dispersion", 0) for seed in own]
        maximum, rms = torch.from_numpy(resampled_spreads(maps, resamples, seeds)).float().T
        values = share_of_mean(maps) | {"maximum_spread": maximum, "rms_spread": rms}
        yield batch.rows(values | normalized_differences(maps, redrawn[name]), method=name)


def share_of_mean(maps: Tensor) -> dict[str, Tensor]:
    """mu^2 / E[A^2], and root mean square over standard deviation; each (N,), float64.

    Args:
        maps: (N, H, W).
    """
    pixels = maps.flatten(1).double()
    rms = pixels.square().mean(1).sqrt()
    return {
        "mean_share": (pixels.mean(1) / rms).square(),
        "rms_over_sd": rms / pixels.std(1, correction=0),
    }


def normalized_differences(first: Tensor, second: Tensor) -> dict[str, Tensor]:
    """Mean squared difference of two sets of maps (N, H, W) by normaliser; each (N,), float64."""
    pair = [maps.flatten(1).double() for maps in (first, second)]
    scales: Mapping[str, list[Tensor]] = {
        "mse_second_moment": [pixels.square().mean(1, keepdim=True).sqrt() for pixels in pair],
        "mse_deviation": [pixels.std(1, correction=0, keepdim=True) for pixels in pair],
        "mse_maximum": [pixels.abs().amax(1, keepdim=True) for pixels in pair],
    }
    return {
        name: (pair[0] / one - pair[1] / other).square().mean(1)
        for name, (one, other) in scales.items()
    }
