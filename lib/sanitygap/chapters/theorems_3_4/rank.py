"""Theorem 3: Spearman's rank correlation rewards zero rank covariance (App. C).

Equation numbers are those of Binder et al. (2022). A batch of maps has shape (maps, pixels),
float64; ranks start at 1 and ties share their average rank.
"""

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
import torch
from scipy.stats import rankdata, spearmanr

from sanitygap import similarity
from sanitygap.seeds import stable_seed
from sanitygap.table import table
from sanitygap.theory.montecarlo import Array, Row, mean_estimate, proportion

Sampler = Callable[[np.random.Generator, tuple[int, int]], tuple[Array, Array]]


@table("equation-17", smoke={"n": 10}, quick={"n": 100}, full={"n": 1_000})
def library_agreement(*, n: int, seed: int, pixels: int = 81) -> Iterator[Row]:
    """Eq. (17) as implemented in `sanitygap.similarity` against scipy, with and without ties.

    Args:
        n: number of pairs of maps for each kind of value.
        seed: seed of the maps.

    Returns:
        One row a kind of value: values, distinct (mean number of distinct values in a map),
        max_difference, pairs.
    """
    rng = np.random.default_rng(stable_seed(seed, "equation-17"))
    noise = rng.normal(size=(n, 2, pixels))
    noise[:, 1] += 0.5 * noise[:, 0]
    kinds = {
        "continuous": noise,
        "rounded to one digit": noise.round(1),
        "integers": noise.round(),
        "half of them zero": np.maximum(noise, 0),
    }
    for values, maps in kinds.items():
        a, b = torch.from_numpy(maps).unbind(1)
        own = similarity.spearman(a, b).numpy()
        reference = np.array([spearmanr(x, y)[0] for x, y in maps])
        yield {
            "values": values,
            "distinct": float(np.mean([len(np.unique(x)) for x in maps[:, 0]])),
            "max_difference": float(np.abs(own - reference).max()),
            "pairs": n,
        }


# --- Theorem 3 ----------------------------------------------------------------------------------


def _independent(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[Array, Array]:
    return rng.normal(size=shape), rng.normal(size=shape)


def _common_envelope(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[Array, Array]:
    envelope = rng.lognormal(size=shape)
    return envelope * rng.normal(size=shape), envelope * rng.normal(size=shape)


def _absolute_envelope(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[Array, Array]:
    a, b = _common_envelope(rng, shape)
    return np.abs(a), np.abs(b)


def _mirrored(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[Array, Array]:
    a = rng.normal(size=shape)
    return a, -a


def _tied_or_equal(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[Array, Array]:
    """Equal maps without ties, or opposite maps with one non-zero pixel: the chances are such that
    the expected rank covariance is zero."""
    pixels = shape[1]
    a = rng.normal(size=shape)
    b = a.copy()
    tie_free = (pixels**2 - 1) / 12
    single = (pixels - 1) / 4  # variance of the ranks of a map that is zero but for one pixel
    opposite = rng.uniform(size=shape[0]) < tie_free / (tie_free + single)
    a[opposite] = 0
    a[opposite, 0] = 1
    b[opposite] = -a[opposite]
    return a, b


PROCESSES: dict[str, Sampler] = {
    "independent": _independent,
    "common envelope": _common_envelope,
    "common envelope, absolute": _absolute_envelope,
    "mirrored": _mirrored,
    "ties, zero expected rank covariance": _tied_or_equal,
}


@table("theorem-3", smoke={"n": 1_000}, quick={"n": 10_000}, full={"n": 100_000})
def expected_spearman(
    *, n: int, seed: int, pixels: tuple[int, ...] = (25, 49, 121, 784)
) -> Iterator[Row]:
    """Expectations of Spearman's correlation over random maps, by Monte Carlo.

    Args:
        n: number of pairs of maps of up to 121 pixels; larger maps get proportionally fewer.
        seed: seed of the draws.
        pixels: sizes of the maps.

    Returns:
        One row a (process, pixels, functional) with functional `E[rank covariance]`,
        `E[Spearman]` or `E[|Spearman|]`: estimate with its interval, the theoretical `spread`
        1 / sqrt(pixels - 1) of the correlation of independent maps and the `floor`
        sqrt(2 / (pi (pixels - 1))) of its mean absolute value.
    """
    for process, sample in PROCESSES.items():
        for size in pixels:
            draws = max(50, n * 121 // max(size, 121))
            rng = np.random.default_rng(stable_seed(seed, "theorem-3", process, size))
            ranks = [rankdata(x, axis=1) for x in sample(rng, (draws, size))]
            correlation = _correlation(*ranks)
            for functional, values in {
                "E[rank covariance]": _covariance(*ranks)
                / size**2,  # ranks as shares of the pixels
                "E[Spearman]": correlation,
                "E[|Spearman|]": np.abs(correlation),
            }.items():
                spread, floor = 1 / np.sqrt(size - 1), np.sqrt(2 / (np.pi * (size - 1)))
                named: Row = {"process": process, "pixels": size, "functional": functional}
                yield {**named, **mean_estimate(values), "spread": spread, "floor": floor}


@table("theorem-3-pairs", smoke={"n": 50}, quick={"n": 300}, full={"n": 300})
def random_pairs(*, n: int, seed: int, pixels: int = 25) -> Iterator[pd.DataFrame]:
    """Single pairs of maps: rank covariance and Spearman's correlation, without and with ties.

    Without ties all maps have ranks of the same variance, so one is a multiple of the other. Ties
    are made by setting the lowest values of a map to the same value, a random share of them.

    Args:
        n: number of pairs for each kind.
        seed: seed of the maps.
        pixels: pixels of a map.

    Returns:
        One row a (values, pair): values (`no ties` or `ties`), rank_covariance, that of ranks as
        fractions of the pixels, and spearman.
    """
    rng = np.random.default_rng(stable_seed(seed, "random-pairs", pixels))
    dependence = rng.uniform(-1, 1, (n, 1))
    a = rng.normal(size=(n, pixels))
    b = dependence * a + np.sqrt(1 - dependence**2) * rng.normal(size=(n, pixels))
    floors = [np.quantile(x, rng.uniform(0, 0.9, n), axis=1).diagonal()[:, None] for x in (a, b)]
    tied = [np.maximum(x, floor) for x, floor in zip((a, b), floors, strict=True)]
    for values, pair in {"no ties": (a, b), "ties": tied}.items():
        ranks = [rankdata(x, axis=1) for x in pair]
        covariance, correlation = _covariance(*ranks) / pixels**2, _correlation(*ranks)
        columns = {"values": values, "rank_covariance": covariance, "spearman": correlation}
        yield pd.DataFrame(columns)


# --- the equivalence claimed after Theorem 3 ----------------------------------------------------


NOISE: dict[str, Callable[[np.random.Generator, tuple[int, int]], Array]] = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "Student t2": lambda rng, shape: rng.standard_t(2, size=shape),
    "lognormal": lambda rng, shape: rng.lognormal(0, 1.5, size=shape),
}


@table("theorem-3-equivalence", smoke={"n": 1_000}, quick={"n": 20_000}, full={"n": 100_000})
def sign_disagreement(*, n: int, seed: int, pixels: int = 25) -> Iterator[Row]:
    """How often the covariance of two maps and the covariance of their ranks differ in sign.

    The maps depend on each other through B = dependence * A + noise. The column
    `sorted_index_correlation` correlates the indices that sort the maps, a literal reading of
    "sorted indices" used as ranks.

    Args:
        n: number of pairs of maps for each setting.
        seed: seed of the draws.
        pixels: size of the maps.

    Returns:
        One row a (noise, dependence): the frequency as estimate with its interval, an example pair
        with its covariance and rank covariance, mean Spearman and sorted-index correlation.
    """
    for name, noise in NOISE.items():
        rng = np.random.default_rng(stable_seed(seed, "theorem-3-equivalence", name))
        a, e = noise(rng, (n, pixels)), noise(rng, (n, pixels))
        for dependence in (0.1, 2.0):
            b = dependence * a + e
            covariance = _covariance(a, b)
            ranks = [rankdata(x, axis=1) for x in (a, b)]
            rank_covariance = _covariance(*ranks)
            differ = covariance * rank_covariance < 0
            example = int(np.argmax(differ * np.abs(rank_covariance)))
            some = differ.any()
            order = [np.argsort(x, axis=1).astype(float) for x in (a, b)]
            yield {
                "noise": name,
                "dependence": dependence,
                "pixels": pixels,
                **proportion(int(differ.sum()), n),
                "example_covariance": covariance[example] if some else np.nan,
                "example_rank_covariance": rank_covariance[example] if some else np.nan,
                "spearman": float(_correlation(*ranks).mean()),
                "sorted_index_correlation": float(_correlation(*order).mean()),
            }


def _covariance(a: Array, b: Array) -> Array:
    return ((a - a.mean(1, keepdims=True)) * (b - b.mean(1, keepdims=True))).mean(1)


def _correlation(a: Array, b: Array) -> Array:
    return _covariance(a, b) / np.sqrt(_covariance(a, a) * _covariance(b, b))
