"""Theorem 1: structural similarity (SSIM) of two patches rewards zero covariance (Sec. 3, App. B).

A patch is one window of two attribution maps A and B. Its SSIM depends on five numbers: the means,
the variances and the covariance of its pixels (Eq. 1). Equation numbers are those of Binder et al.
(2022). Arrays are float64; a batch of patches has shape (patches, pixels).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd
import sympy
import torch
from numpy.lib.stride_tricks import sliding_window_view
from skimage.metrics import structural_similarity
from z3 import And, ArithRef, Q, Reals

from sanitygap import similarity
from sanitygap.errors import UsageError
from sanitygap.seeds import stable_seed
from sanitygap.table import table
from sanitygap.theory import Array
from sanitygap.theory.montecarlo import (
    NOISE,
    SIDE,
    SIMULATED_METHODS,
    Row,
    chunks,
    correlated_maps,
    mean_estimate,
)
from sanitygap.theory.prover import Formula, Statement, absolute, proof_table
from sanitygap.theory.theorem_1 import PatchMoments, bound, constants, luminance, ssim

# --- Eq. (1) against a library ----------------------------------------------------------------


def gaussian_window(sigma: float = 1.5, radius: int = 5) -> Array:
    """Weights of a (2 radius + 1) x (2 radius + 1) Gaussian window, flattened, of sum one."""
    x = np.arange(-radius, radius + 1)
    profile = np.exp(-(x**2) / (2 * sigma**2))
    weights = np.outer(profile, profile).ravel()
    return weights / weights.sum()


@table("equation-1", smoke={"n": 1}, quick={"n": 4}, full={"n": 16})
def library_agreement(*, n: int, seed: int, side: int = 24) -> Iterator[Row]:
    """Eq. (1) on every window of random maps against scikit-image.

    The variant with C3 = C2 instead of C2 / 2 in the three-factor form of Wang et al. (2004) is
    computed too: it must disagree.

    Args:
        n: number of pairs of maps.
        seed: seed of the maps, side x side pixels with values over the data range.

    Returns:
        One row a (formula, window, sample covariance, data_range): the largest absolute difference
        over pairs and windows, and the number of windows compared.
    """
    rng = np.random.default_rng(stable_seed(seed, "equation-1"))
    pairs = rng.normal(size=(n, 2, side, side))
    pairs[:, 1] += 0.5 * pairs[:, 0] + 0.3
    windows: list[tuple[str, int, Array | None]]
    windows = [(f"uniform {width}", width, None) for width in (5, 7, 11)]
    windows.append(("Gaussian 1.5", 11, gaussian_window()))
    settings = product(windows, (True, False), (1.0, 2.0, 255.0))
    for (window, width, weights), unbiased, data_range in settings:
        maps = pairs * data_range / 6
        reference = _library(maps, width, weights is not None, unbiased, data_range)
        views = sliding_window_view(maps, (width, width), axis=(2, 3))
        a, b = np.moveaxis(views.reshape(*views.shape[:4], -1), 1, 0)
        moments = PatchMoments.of(a, b, weights=weights, ddof=int(unbiased))
        for formula, value in {
            "equation 1": ssim(moments, data_range),
            "C3 = C2": _three_factors(moments, data_range),
        }.items():
            distance = float(np.abs(value - reference).max())
            named: Row = {"formula": formula, "window": window, "sample_covariance": unbiased}
            named |= {"data_range": data_range, "max_difference": distance}
            yield {**named, "windows": value.size}


def _library(maps: Array, width: int, gaussian: bool, unbiased: bool, data_range: float) -> Array:
    """scikit-image's SSIM map, cropped to the windows that lie inside the image."""
    crop = slice(width // 2, -(width // 2))
    _, values = structural_similarity(
        maps[:, 0], maps[:, 1], win_size=None if gaussian else width, gaussian_weights=gaussian,
        sigma=1.5, use_sample_covariance=unbiased, data_range=data_range, full=True, channel_axis=0,
    )  # fmt: skip
    return values[:, crop, crop]


def _three_factors(moments: PatchMoments, data_range: float) -> Array:
    """Luminance, contrast and structure with C3 = C2: not Eq. (1)."""
    _, c2 = constants(data_range)
    sd = np.sqrt(np.asarray(moments.variance_a) * np.asarray(moments.variance_b))
    spread = np.asarray(moments.variance_a) + np.asarray(moments.variance_b)
    contrast = (2 * sd + c2) / (spread + c2)
    return luminance(moments, data_range) * contrast * (moments.covariance + c2) / (sd + c2)


# --- Theorem 1 as a statement about the five moments ------------------------------------------


@table("theorem-1-covariance", smoke={"n": 21}, quick={"n": 41}, full={"n": 201})
def covariance_grid(*, n: int, seed: int, data_range: float = 1.0) -> pd.DataFrame:
    """SSIM on a grid of means and spreads, as the covariance runs through its whole range.

    One pair of means satisfies 2 mean_a mean_b = -C1 up to rounding: there SSIM vanishes for every
    covariance and the minimiser is not unique. Zero covariance and -C2 / 2, the root of the second
    factor, are always grid points.

    Args:
        n: number of correlations between -1 and 1 (odd, so that zero is one of them).
        seed: not used; the grid is deterministic.

    Returns:
        One row a grid point: mean_a, mean_b, sd_a, sd_b, correlation, covariance, degenerate,
        ssim, bound.
    """
    if n % 2 == 0:
        raise UsageError(f"n must be odd so that zero covariance is on the grid, not {n}")
    c1, c2 = constants(data_range)
    levels = (-1.0, -0.2, 0.0, 0.2, 1.0)
    means = [(a, b, False) for a in levels for b in levels] + [(-c1 / 2, 1.0, True)]
    spreads, steps = (0.03, 0.1, 1.0), np.arange(n) - n // 2
    rows = [
        (mean_a, mean_b, sd_a, sd_b, correlation, degenerate)
        for (mean_a, mean_b, degenerate), sd_a, sd_b in product(means, spreads, spreads)
        for correlation in np.append(steps / (n // 2), -c2 / 2 / (sd_a * sd_b))
    ]
    names = ["mean_a", "mean_b", "sd_a", "sd_b", "correlation", "degenerate"]
    grid = pd.DataFrame(rows, columns=names)
    grid["covariance"] = grid["correlation"] * grid["sd_a"] * grid["sd_b"]
    columns = grid[["mean_a", "mean_b", "sd_a", "sd_b", "covariance"]]
    mean_a, mean_b, sd_a, sd_b, covariance = columns.to_numpy().T
    moments = PatchMoments(mean_a, mean_b, sd_a**2, sd_b**2, covariance)
    grid["ssim"] = ssim(moments, data_range)
    grid["bound"] = bound(moments.variance_a, moments.variance_b, data_range)
    return grid


# --- Theorem 1 as a statement about sampled patches -------------------------------------------

Sampler = Callable[[np.random.Generator, tuple[int, int]], tuple[Array, Array]]


@dataclass(frozen=True)
class PatchProcess:
    """A random pair of patches of zero expected covariance: how to draw it.

    Attributes:
        name: what the patches are.
        variance: of a pixel of either patch.
        sample: draws a batch of pairs.
        independent: whether the two patches are.
    """

    name: str
    variance: float
    sample: Sampler
    independent: bool = True


def _normals(mean_a: float, mean_b: float, sd: float) -> Sampler:
    return lambda rng, shape: (rng.normal(mean_a, sd, shape), rng.normal(mean_b, sd, shape))


def _random_sign(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[Array, Array]:
    a = rng.normal(size=shape)
    a -= a.mean(-1, keepdims=True)
    return a, a * rng.choice([-1.0, 1.0], (shape[0], 1))


PROCESSES = (
    PatchProcess("uniform", 1 / 12, lambda rng, shape: (rng.random(shape), rng.random(shape))),
    PatchProcess("normal", 0.2**2, _normals(0.5, 0.5, 0.2)),
    PatchProcess("normal, zero means", 1.0, _normals(0.0, 0.0, 1.0)),
    PatchProcess("normal, opposite means", 0.2**2, _normals(0.5, -0.5, 0.2)),
    # B is A or -A by the toss of a coin: the covariance is zero on average, never in a patch.
    PatchProcess("random sign", 1.0, _random_sign, independent=False),
)


@table("theorem-1", smoke={"n": 2_000}, quick={"n": 20_000}, full={"n": 200_000})
def expected_ssim(
    *, n: int, seed: int, windows: tuple[int, ...] = (25, 49, 121), data_range: float = 1.0
) -> Iterator[Row]:
    """Expectations of SSIM over random patches of zero expected covariance, by Monte Carlo.

    For independent patches of exchangeable pixels, shuffling the pixels of one patch keeps means
    and variances and averages the covariance to zero. Hence E[SSIM] is exactly
    E[luminance * C2 / (s_A^2 + s_B^2 + C2)] with the sample variances s^2: the row
    `E[SSIM], shuffled` estimates this with a much smaller error, and `E[bound]` is Eq. (2) at the
    sample variances, which it cannot exceed.

    Args:
        n: number of patch pairs for each process and window of up to 121 pixels; larger windows
            get proportionally fewer.
        seed: seed of the draws.
        windows: numbers of pixels in a patch.

    Returns:
        One row a (process, pixels, functional): estimate, standard_error, low, high, draws, the
        population `bound` of Eq. (2), the `floor` of finite windows, independent.
    """
    for process in PROCESSES:
        limits = {"bound": float(bound(process.variance, process.variance, data_range))}
        for pixels in windows:
            draws = max(200, n * 121 // max(pixels, 121))
            rng = np.random.default_rng(stable_seed(seed, "theorem-1", process.name, pixels))
            value, shuffled, limit = _sampled(process, rng, draws, pixels, data_range)
            functionals = {"E[SSIM]": value, "E[|SSIM|]": np.abs(value), "E[bound]": limit}
            if process.independent:
                functionals["E[SSIM], shuffled"] = shuffled
            # about E|SSIM| of independent patches when C2 is negligible: their correlation has a
            # standard deviation near 1 / sqrt(pixels), so its mean absolute value does not vanish
            limits["floor"] = float(np.sqrt(2 / (np.pi * pixels)))
            for functional, values in functionals.items():
                named: Row = {"process": process.name, "independent": process.independent}
                named |= {"pixels": pixels, "functional": functional}
                yield {**named, **mean_estimate(values), **limits}


def _sampled(
    process: PatchProcess, rng: np.random.Generator, draws: int, pixels: int, data_range: float
) -> tuple[Array, Array, Array]:
    """SSIM, its average over shuffles and the bound at sample variances, one value a patch."""
    parts = []
    for size in chunks(draws, pixels):
        moments = PatchMoments.of(*process.sample(rng, (size, pixels)))
        limit = bound(moments.variance_a, moments.variance_b, data_range)
        light = luminance(moments, data_range)
        parts.append((ssim(moments, data_range), light * limit, limit))
    value, shuffled, limit = (np.concatenate(column) for column in zip(*parts, strict=True))
    return value, shuffled, limit


# --- scale and normalisation: maps of independent pixels, windows of 7 x 7 pixels -------------


@table("theorem-1-normalization", smoke={"n": 20}, quick={"n": 200}, full={"n": 2_000})
def normalized_ssim(*, n: int, seed: int) -> Iterator[Row]:
    """SSIM against correlation, against the scale of one map and against the spread of both.

    Three experiments, in the column `experiment`: `correlation` (second-moment normalised maps,
    data range 1), `scale` (B = c A without normalisation, so the correlation is one) and `spread`
    (independent maps around 0.5 with a small standard deviation; a map scaled to [0, 1] whose mass
    sits in a few pixels looks like this).

    Args:
        n: number of map pairs for each setting.
        seed: seed of the draws.

    Returns:
        One row a setting: experiment, noise, correlation, scale, spread, the mean SSIM with its
        interval, the bound of Eq. (2), and for `correlation` the paired difference to the previous
        correlation (step, step_low, step_high).
    """
    for name, draw in NOISE.items():
        key = stable_seed(seed, "normalized-ssim", name)
        previous: torch.Tensor | None = None
        for correlation in np.round(np.arange(0, 0.91, 0.05), 2):
            a, b = correlated_maps(draw, float(correlation), n=n, seed=key)
            values = similarity.ssim(a, b, data_range=1.0)
            row = _row("correlation", name, values, correlation=float(correlation))
            if previous is not None:
                step = mean_estimate(values - previous)
                row |= {"step": step["estimate"]} | {f"step_{x}": step[x] for x in ("low", "high")}
            previous = values
            yield row
        a, _ = correlated_maps(draw, 1.0, n=n, seed=key)
        for scale in (1.0, 3.0, 10.0, 30.0, 100.0):
            values = similarity.ssim(a, scale * a, data_range=1.0)
            yield _row("scale", name, values, scale=scale, correlation=1.0)
        a, b = correlated_maps(draw, 0.0, n=n, seed=key)
        for spread in (0.3, 0.1, 0.03, 0.01):
            values = similarity.ssim(0.5 + spread * a, 0.5 + spread * b, data_range=1.0)
            yield _row("spread", name, values, spread=spread, correlation=0.0)


def _row(
    experiment: str,
    noise: str,
    values: torch.Tensor,
    *,
    correlation: float,
    scale: float = 1.0,
    spread: float = 1.0,
) -> Row:
    named: Row = {"experiment": experiment, "noise": noise, "correlation": correlation}
    named |= {"scale": scale, "spread": spread, **mean_estimate(values)}
    return named | {"bound": float(bound(spread**2, (scale * spread) ** 2))}


FIXED_RANGES = (1, 2, 10, 20, 40)


@table("theorem-1-data-range", smoke={"n": 20}, quick={"n": 200}, full={"n": 2_000})
def data_range_sensitivity(*, n: int, seed: int) -> Iterator[Row]:
    """SSIM of second-moment normalised maps for several data ranges L.

    After second-moment normalisation no range is distinguished, yet C1 and C2 need one. Simulated
    methods differ in the shape of their pixel distribution and in the correlation between the two
    maps. The last two data ranges are measured on each pair of maps: the spread between the 0.05 %
    and 99.95 % quantiles, and between minimum and maximum.

    Args:
        n: number of map pairs for each simulated method.
        seed: seed of the draws.

    Returns:
        One row a (method, data range): method, correlation, data_range, mean_data_range and the
        mean SSIM with its interval.
    """
    for method, (draw, correlation) in SIMULATED_METHODS.items():
        key = stable_seed(seed, "data-range", method)
        a, b = correlated_maps(draw, correlation, n=n, seed=key)
        ranges = _data_ranges(a, b)
        for label, values in similarity.ssim_for_ranges(a, b, ranges).items():
            mean = float(torch.as_tensor(ranges[label]).mean())
            named: Row = {"method": method, "correlation": correlation, "data_range": label}
            yield {**named, "mean_data_range": mean, **mean_estimate(values)}


def _data_ranges(a: torch.Tensor, b: torch.Tensor) -> dict[str, float | torch.Tensor]:
    """Label -> data range L, fixed or measured on each pair of maps."""
    pixels = torch.stack([a, b], 1).flatten(1)
    low, high = torch.quantile(pixels, torch.tensor([0.0005, 0.9995]).to(pixels), dim=1)
    fixed: dict[str, float | torch.Tensor] = {str(L): float(L) for L in FIXED_RANGES}
    return fixed | {"99.9 % range": high - low, "max - min": similarity.joint_range(a, b)}


# --- change and noise cannot be separated -----------------------------------------------------

EXPLAINERS = ("change, no noise", "noise, no change")


@table("noise-entanglement", smoke={"n": 100}, quick={"n": 1_000}, full={"n": 4_000})
def entanglement(*, n: int, seed: int, correlation: float = 0.4) -> Iterator[Row]:
    """SSIM (L = 1) and normalised MSE of two explainers, after randomisation and on retest.

    Both have the same score: one is noiseless and its map changes with the model; the other's
    noiseless map does not change at all, but every map carries fresh noise. Test-retest tells them
    apart (Sec. 3, last paragraph; App. D). Signals and noise are fields of independent normal
    pixels. The noise variance of the second explainer is (1 - rho) / rho times that of its signal,
    which gives its maps before and after randomisation the correlation rho of the first's.

    Args:
        n: number of pairs of maps.
        seed: seed of the maps.
        correlation: rho, of the maps before and after randomisation, in (0, 1).

    Returns:
        One row a (explainer, comparison, similarity) with comparison `randomised`, `retest` or
        `noiseless part`: the mean over pairs with its interval.
    """
    generator = torch.Generator().manual_seed(stable_seed(seed, "entanglement"))

    def field() -> torch.Tensor:
        return torch.randn(n, SIDE, SIDE, generator=generator, dtype=torch.float64)

    before, other = field(), field()
    after = correlation * before + (1 - correlation**2) ** 0.5 * other
    noise_level = ((1 - correlation) / correlation) ** 0.5
    signal = field()
    noisy = [signal + noise_level * field() for _ in range(3)]
    change, noise = EXPLAINERS
    pairs = {
        (change, "randomised"): (before, after),
        (change, "retest"): (before, before),
        (change, "noiseless part"): (before, after),
        (noise, "randomised"): (noisy[0], noisy[1]),
        (noise, "retest"): (noisy[0], noisy[2]),
        (noise, "noiseless part"): (signal, signal),
    }
    for (explainer, comparison), (first, second) in pairs.items():
        a, b = (similarity.second_moment(maps) for maps in (first, second))
        for name, values in {
            "SSIM": similarity.ssim(a, b, data_range=1.0),
            "MSE": similarity.normalized_mse(first, second),
            "Pearson": similarity.pearson(first, second),
        }.items():
            named: Row = {"explainer": explainer, "comparison": comparison, "similarity": name}
            yield {**named, **mean_estimate(values)}


@proof_table("theorem-1-proofs")
def statements() -> Iterator[Formula]:
    """What Theorem 1 says, step by step, each with a wrong variant that must be refuted."""
    a, b, cov, va, vb, c1, c2 = Reals("mean_a mean_b cov var_a var_b C1 C2")
    va2, vb2 = Reals("var_a2 var_b2")
    positive = [c1 > 0, c2 > 0, va >= 0, vb >= 0]
    cauchy_schwarz = cov * cov <= va * vb
    standard = [c1 == Q(1, 10000), c2 == Q(9, 10000)]  # data range 1
    attainable = [*standard, va > 0, vb > 0, cauchy_schwarz]
    spread, luminance = va + vb + c2, a * a + b * b + c1

    def numerator(covariance: ArithRef) -> ArithRef:
        return absolute((2 * a * b + c1) * (2 * covariance + c2))

    at_zero = absolute((2 * a * b + c1) * c2)
    yield Statement(
        "minimum at zero covariance",
        "with means and variances fixed and cov >= 0, |SSIM(cov)| >= |SSIM(0)|",
    ).holds(*positive, cov >= 0, numerator(cov) >= at_zero)
    yield Statement(
        "minimum at zero covariance, cov >= -1",
        "with means and variances fixed and cov >= -1, |SSIM(cov)| >= |SSIM(0)|",
    ).mutant(*positive, cov >= -1, numerator(cov) >= at_zero)
    fixed = [*standard, a > 0, b > 0, va == 1, vb == 1, va2 == 1]
    yield Statement(
        "minimum with free variances",
        "with means fixed, variances free and cov > 0, |SSIM(cov)| >= |SSIM(0)|",
    ).mutant(
        *fixed, vb2 > 0, cov > 0, cov * cov <= va2 * vb2,
        numerator(cov) * spread >= at_zero * (va2 + vb2 + c2),
    )  # fmt: skip
    yield Statement(
        "luminance at most one",
        "|2 mean_a mean_b + C1| <= mean_a^2 + mean_b^2 + C1, Eq. (14)-(16)",
    ).holds(c1 > 0, absolute(2 * a * b + c1) <= luminance)
    yield Statement(
        "luminance at most one, factor 3", "|3 mean_a mean_b + C1| <= mean_a^2 + mean_b^2 + C1"
    ).mutant(c1 > 0, absolute(3 * a * b + c1) <= luminance)
    yield Statement("bound (2)", "|SSIM(0)| <= C2 / (var_a + var_b + C2), Eq. (2)").holds(
        *positive, at_zero * spread <= c2 * luminance * spread
    )
    yield Statement(
        "bound (2), one per cent lower", "|SSIM(0)| <= 0.99 C2 / (var_a + var_b + C2)"
    ).mutant(*positive, at_zero * spread <= Q(99, 100) * c2 * luminance * spread)
    yield Statement("unique minimiser", "if cov > 0 then |SSIM(cov)| > |SSIM(0)|").fails(
        *standard, va > 0, vb > 0, cov > 0, cauchy_schwarz, numerator(cov) > at_zero
    )
    yield Statement(
        "unique minimiser, 2 mean_a mean_b != -C1",
        "if cov > 0 and 2 mean_a mean_b != -C1 then |SSIM(cov)| > |SSIM(0)|",
    ).holds(*positive, 2 * a * b != -c1, cov > 0, numerator(cov) > at_zero)
    yield Statement(
        "zero covariance optimal among all covariances",
        "|SSIM(cov)| >= |SSIM(0)| for every cov with cov^2 <= var_a var_b",
    ).fails(*attainable, numerator(cov) >= at_zero)
    yield Statement("exact zero at cov = -C2 / 2", "SSIM vanishes at cov = -C2 / 2").holds(
        *positive, cov == -c2 / 2, numerator(cov) == 0
    )
    inside = And(2 * cov + c2 <= spread, 2 * cov + c2 >= -spread)
    yield Statement(
        "SSIM in [-1, 1]", "|2 cov + C2| <= var_a + var_b + C2 if cov^2 <= var_a var_b"
    ).holds(c2 > 0, va >= 0, vb >= 0, cauchy_schwarz, inside)
    yield Statement(
        "SSIM in [-1, 1] without Cauchy-Schwarz", "|2 cov + C2| <= var_a + var_b + C2 for any cov"
    ).mutant(c2 > 0, va >= 0, vb >= 0, inside)
    yield Statement("SSIM is non-negative", "SSIM >= 0 for attainable moments").fails(
        *attainable, (2 * a * b + c1) * (2 * cov + c2) >= 0
    )
    yield from _factors()


def _factors() -> Iterator[Formula]:
    """Eq. (1) from luminance, contrast and structure of Wang et al. (2004)."""
    sa, sb, c2 = sympy.symbols("sd_a sd_b C2", positive=True)
    cov = sympy.Symbol("cov", real=True)

    def product(c3: sympy.Expr) -> sympy.Expr:
        contrast = (2 * sa * sb + c2) / (sa**2 + sb**2 + c2)
        return contrast * (cov + c3) / (sa * sb + c3)

    merged = (2 * cov + c2) / (sa**2 + sb**2 + c2)
    words = "contrast * structure = (2 cov + C2) / (var_a + var_b + C2) if C3 = "
    yield Statement("Eq. (1) from three factors", f"{words}C2 / 2").holds(product(c2 / 2), merged)
    yield Statement("Eq. (1) from three factors, C3 = C2", f"{words}C2").mutant(product(c2), merged)
