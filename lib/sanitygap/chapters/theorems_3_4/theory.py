"""Theorem 4: the mean squared error of normalised maps rewards zero covariance (App. D).

Equation numbers are those of Binder et al. (2022). Maps are float64 tensors (maps, height, width);
normalised means divided by the root of the second moment over the pixels (Eq. 20).
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from scipy.stats import rankdata, spearmanr

from sanitygap import similarity
from sanitygap.seeds import stable_seed
from sanitygap.table import table
from sanitygap.theory import Array
from sanitygap.theory.montecarlo import Row, mean_estimate, proportion

SIDE = 32


@dataclass(frozen=True)
class PixelMoments:
    """Population moments of one pixel of A and B."""

    mean_a: float
    mean_b: float
    second_a: float
    second_b: float
    covariance: float

    @property
    def scale(self) -> float:
        """sqrt(E[A^2] E[B^2])."""
        return float(np.sqrt(self.second_a * self.second_b))

    @property
    def mse(self) -> float:
        """Eq. (23): 2 - 2 covariance / scale - 2 mean_a mean_b / scale."""
        return self.bound - 2 * self.covariance / self.scale

    @property
    def bound(self) -> float:
        """Eq. (24): Eq. (23) at zero covariance."""
        return 2 - 2 * self.mean_a * self.mean_b / self.scale


@table("equation-20", smoke={"n": 5}, quick={"n": 50}, full={"n": 200})
def second_moment_check(*, n: int, seed: int) -> Iterator[Row]:
    """Eq. (20), as printed and as meant: is the mean square of a normalised map one?

    The printed denominator sums a symbol h that is defined nowhere; the nearest reading is another
    map, here an independent one.

    Args:
        n: number of maps for each distribution.
        seed: seed of the maps.

    Returns:
        One row a (formula, noise, scale): the largest distance of the mean square from one.
    """
    for name, draw in NOISE.items():
        rng = np.random.default_rng(stable_seed(seed, "equation-20", name))
        for scale in (1e-6, 1.0, 1e6):
            maps, other = torch.from_numpy(scale * draw(rng, (2, n, SIDE, SIDE)))
            printed = maps / other.square().mean((1, 2), keepdim=True).sqrt()
            for formula, normalised in {
                "denominator of A": similarity.second_moment(maps),
                "denominator of another map h": printed,
            }.items():
                distance = float((normalised.square().mean((1, 2)) - 1).abs().max())
                named: Row = {"formula": formula, "noise": name, "scale": scale}
                yield {**named, "max_difference": distance, "maps": n}


# --- Theorem 4 ----------------------------------------------------------------------------------

Noise = Callable[[np.random.Generator, tuple[int, ...]], Array]

NOISE: dict[str, Noise] = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "Laplace": lambda rng, shape: rng.laplace(size=shape),
    "absolute normal": lambda rng, shape: np.abs(rng.normal(size=shape)),
    "absolute Laplace": lambda rng, shape: np.abs(rng.laplace(size=shape)),
    "absolute, heavy-tailed": lambda rng, shape: np.abs(
        rng.lognormal(size=shape) * rng.normal(size=shape)
    ),
}

# mean and second moment of a pixel of each kind of noise
_ROOT = float(np.sqrt(2 / np.pi))
MOMENTS = {
    "normal": (0.0, 1.0),
    "Laplace": (0.0, 2.0),
    "absolute normal": (_ROOT, 1.0),
    "absolute Laplace": (1.0, 2.0),
    "absolute, heavy-tailed": (float(np.exp(0.5)) * _ROOT, float(np.exp(2.0))),
}


@table("theorem-4", smoke={"n": 50}, quick={"n": 500}, full={"n": 2_000})
def normalized_mse(*, n: int, seed: int) -> Iterator[Row]:
    """Normalised MSE of random maps against Eq. (23), and against the bound (24).

    Processes: independent maps of several kinds of noise; normal maps of means 2 and -2; and
    normal maps with means 0 or 1 (fixed) whose correlation rises from 0 to 1 at fixed second
    moments.

    Args:
        n: number of map pairs for each process, of 32 x 32 pixels.
        seed: seed of the draws.

    Returns:
        One row a process: process, correlation, the mean MSE with its interval, the population
        value `formula` of Eq. (23), the `bound` of Eq. (24), and `identity_error`, the largest
        distance over pairs between the MSE and Eq. (23) at the sample moments.
    """
    for name, draw in NOISE.items():
        mean, second = MOMENTS[name]
        rng = np.random.default_rng(stable_seed(seed, "theorem-4", name))
        a, b = torch.from_numpy(draw(rng, (2, n, SIDE, SIDE)))
        yield _row(name, 0.0, a, b, PixelMoments(mean, mean, second, second, 0.0))
    rng = np.random.default_rng(stable_seed(seed, "theorem-4", "correlated"))
    e1, e2 = torch.from_numpy(rng.normal(size=(2, n, SIDE, SIDE)))
    for name, mean_a, mean_b in (
        ("normal, zero means", 0.0, 0.0),
        ("normal, equal means", 1.0, 1.0),
        ("normal, opposite means", 2.0, -2.0),
    ):
        for rho in (0.0, 0.25, 0.5, 0.75, 1.0):
            a, b = mean_a + e1, mean_b + rho * e1 + np.sqrt(1 - rho**2) * e2
            moments = PixelMoments(mean_a, mean_b, mean_a**2 + 1, mean_b**2 + 1, rho)
            yield _row(name, rho, a, b, moments)


def _row(
    process: str, correlation: float, a: torch.Tensor, b: torch.Tensor, moments: PixelMoments
) -> Row:
    mse = similarity.normalized_mse(a, b)
    x, y = (similarity.second_moment(maps).flatten(1) for maps in (a, b))
    means = x.mean(1) * y.mean(1)
    covariances = (x * y).mean(1) - means
    error = float((mse - (2 - 2 * means - 2 * covariances)).abs().max())
    named: Row = {"process": process, "correlation": correlation, **mean_estimate(mse)}
    return named | {"formula": moments.mse, "bound": moments.bound, "identity_error": error}


@table("equations-25-28", smoke={"n": 20}, quick={"n": 200}, full={"n": 1_000})
def scale_dependence(*, n: int, seed: int) -> Iterator[Row]:
    """Eq. (25)-(28): the unnormalised MSE grows with the square of the scale, Eq. (21) does not.

    Args:
        n: number of map pairs (normal with means 0.5 and -0.2, correlation 0.3).
        seed: seed of the draws.

    Returns:
        One row a (scale, measure) with measure `MSE` or `normalised MSE`: the mean with its
        interval, `smallest` and `largest` value, `identity_error` of Eq. (27) at the sample
        moments relative to the MSE (of the MSE only).
    """
    rng = np.random.default_rng(stable_seed(seed, "equations-25-28"))
    e1, e2 = torch.from_numpy(rng.normal(size=(2, n, SIDE, SIDE)))
    base = 0.5 + e1, -0.2 + 0.3 * e1 + np.sqrt(1 - 0.3**2) * e2
    for scale in (0.01, 0.1, 1.0, 10.0, 100.0):
        a, b = (scale * x for x in base)
        plain = (a - b).square().mean((1, 2))
        means = a.mean((1, 2)), b.mean((1, 2))
        centred = [x - mean[:, None, None] for x, mean in zip((a, b), means, strict=True)]
        variances = sum(x.square().mean((1, 2)) for x in centred)
        covariance = (centred[0] * centred[1]).mean((1, 2))
        identity = variances + (means[0] - means[1]).square() - 2 * covariance
        for measure, values, error in (
            ("MSE", plain, float(((identity - plain) / plain).abs().max())),
            ("normalised MSE", similarity.normalized_mse(a, b), float("nan")),
        ):
            named: Row = {"scale": scale, "measure": measure, **mean_estimate(values)}
            named |= {"smallest": float(values.min()), "largest": float(values.max())}
            yield named | {"identity_error": error}


# --- why the second moment and not the standard deviation ---------------------------------------


@table("second-moment-rationale", smoke={"n": 20}, quick={"n": 200}, full={"n": 1_000})
def mean_share(*, n: int, seed: int) -> Iterator[Row]:
    """Share of the mean in the second moment, mu^2 / E[A^2], of gradient maps of random networks.

    A share near zero means that dividing by the standard deviation or by the root of the second
    moment gives the same map; rms / sd = 1 / sqrt(1 - share).

    Args:
        n: number of maps, each of its own random convolutional network and normal input of
            3 x 32 x 32.
        seed: seed of networks and inputs.

    Returns:
        One row a reduction over RGB (`Sensitivity, l2`, `Gradient, mean`, `Gradient x Input`): the
        mean share with its interval, and `rms_over_sd`, the mean ratio of the two normalisers.
    """
    for method, maps in random_gradient_maps(n=n, seed=seed).items():
        share = maps.mean((1, 2)).square() / maps.square().mean((1, 2))
        ratio = float((1 - share).rsqrt().mean())
        yield {"method": method, **mean_estimate(share), "rms_over_sd": ratio}


def random_gradient_maps(*, n: int, seed: int) -> dict[str, torch.Tensor]:
    """Gradient maps of random convolutional networks at normal inputs of 3 x 32 x 32.

    Returns:
        Reduction over RGB -> maps (n, 32, 32), float64.
    """
    gradients, products = [], []
    for index in range(n):
        generator = torch.Generator().manual_seed(stable_seed(seed, "random-network", index))
        inputs = torch.randn(1, 3, SIDE, SIDE, generator=generator, requires_grad=True)
        (gradient,) = torch.autograd.grad(_random_network(inputs, generator).sum(), inputs)
        gradients.append(gradient)
        products.append((gradient * inputs.detach()).sum(1))
    gradient = torch.cat(gradients).double()
    return {
        "Sensitivity, l2": gradient.norm(dim=1),
        "Gradient, mean": gradient.mean(1),
        "Gradient x Input": torch.cat(products).double(),
    }


def _random_network(inputs: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """The logit of a He-normal network of three convolutions with ReLU and a linear layer."""
    features = inputs
    for channels, stride in ((16, 1), (32, 2), (32, 2)):
        fan_in = features.shape[1] * 9
        kernel = torch.randn(channels, features.shape[1], 3, 3, generator=generator)
        features = torch.relu(
            torch.conv2d(features, kernel * (2 / fan_in) ** 0.5, stride=stride, padding=1)
        )
    flat = features.flatten(1)
    return flat @ torch.randn(flat.shape[1], generator=generator) / flat.shape[1] ** 0.5


Sampler = Callable[[np.random.Generator, tuple[int, int]], Iterable[Array]]


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


def _common_envelope(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[Array, Array]:
    envelope = rng.lognormal(size=shape)
    return envelope * rng.normal(size=shape), envelope * rng.normal(size=shape)


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
    "independent": lambda rng, shape: (rng.normal(size=shape), rng.normal(size=shape)),
    "common envelope": _common_envelope,
    "common envelope, absolute": lambda rng, shape: np.abs(_common_envelope(rng, shape)),
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


LAWS: dict[str, Callable[[np.random.Generator, tuple[int, int]], Array]] = {
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
    for name, noise in LAWS.items():
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
            named: Row = {"noise": name, "dependence": dependence, "pixels": pixels}
            yield {
                **named,
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
