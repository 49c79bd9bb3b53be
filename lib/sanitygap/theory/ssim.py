"""Theorem 1: structural similarity (SSIM) of two patches rewards zero covariance (Sec. 3, App. B).

A patch is one window of two attribution maps A and B. Its SSIM depends on five numbers: the means,
the variances and the covariance of its pixels (Eq. 1). Equation numbers are those of Binder et al.
(2022). Arrays are float64; a batch of patches has shape (patches, pixels).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray
from skimage.metrics import structural_similarity

from sanitygap.errors import UsageError
from sanitygap.seeds import stable_seed
from sanitygap.theory.montecarlo import mean_estimate

Array = NDArray[np.float64]


@dataclass(frozen=True)
class PatchMoments:
    """Moments of patches of A and B; scalars or arrays that broadcast against each other."""

    mean_a: float | Array
    mean_b: float | Array
    variance_a: float | Array
    variance_b: float | Array
    covariance: float | Array

    @classmethod
    def of(cls, a: Array, b: Array, *, weights: Array | None = None, ddof: int = 1) -> PatchMoments:
        """Sample moments along the last axis of two arrays of the same shape (..., pixels).

        Args:
            a: patches of A.
            b: patches of B.
            weights: one weight a pixel, of sum one, such as a Gaussian window; None: all equal.
            ddof: 1 for variances and covariances over pixels - 1 (unbiased), 0 over pixels.

        Raises:
            UsageError: if the shapes differ.
        """
        if a.shape != b.shape:
            raise UsageError(f"patches must have the same shape, not {a.shape} and {b.shape}")
        pixels = a.shape[-1]
        w = np.full(pixels, 1 / pixels) if weights is None else weights
        mean_a, mean_b = a @ w, b @ w
        # Centring first: E[AB] - E[A] E[B] loses digits when the means dominate the spread.
        centred_a, centred_b = a - mean_a[..., None], b - mean_b[..., None]
        scale = pixels / (pixels - ddof)
        return cls(
            mean_a=mean_a,
            mean_b=mean_b,
            variance_a=scale * (centred_a**2 @ w),
            variance_b=scale * (centred_b**2 @ w),
            covariance=scale * ((centred_a * centred_b) @ w),
        )


def constants(data_range: float) -> tuple[float, float]:
    """The stabilisers C1 = (0.01 L)^2 and C2 = (0.03 L)^2 of a data range L > 0."""
    return (0.01 * data_range) ** 2, (0.03 * data_range) ** 2


def luminance(moments: PatchMoments, data_range: float = 1.0) -> Array:
    """First factor of Eq. (1); 1 for equal means, negative for means of opposite sign."""
    c1, _ = constants(data_range)
    a, b = np.asarray(moments.mean_a), np.asarray(moments.mean_b)
    return (2 * a * b + c1) / (a**2 + b**2 + c1)


def structure(moments: PatchMoments, data_range: float = 1.0) -> Array:
    """Second factor of Eq. (1): contrast times structure, merged by C3 = C2 / 2."""
    _, c2 = constants(data_range)
    spread = np.asarray(moments.variance_a) + np.asarray(moments.variance_b)
    return (2 * np.asarray(moments.covariance) + c2) / (spread + c2)


def ssim(moments: PatchMoments, data_range: float = 1.0) -> Array:
    """Eq. (1), the SSIM of patches with these moments; in (-1, 1] for attainable moments."""
    return luminance(moments, data_range) * structure(moments, data_range)


def bound(variance_a: ArrayLike, variance_b: ArrayLike, data_range: float = 1.0) -> Array:
    """Eq. (2): the largest |SSIM| that patches with zero covariance can have."""
    _, c2 = constants(data_range)
    return c2 / (np.asarray(variance_a) + np.asarray(variance_b) + c2)


def finite_window_floor(pixels: int) -> float:
    """sqrt(2 / (pi pixels)): about E|SSIM| of independent patches when C2 is negligible.

    The sample correlation of independent patches has a standard deviation near 1 / sqrt(pixels);
    its mean absolute value does not vanish although its mean does.
    """
    return float(np.sqrt(2 / (np.pi * pixels)))


# --- Eq. (1) against a library ----------------------------------------------------------------


def gaussian_window(sigma: float = 1.5, radius: int = 5) -> Array:
    """Weights of a (2 radius + 1) x (2 radius + 1) Gaussian window, flattened, of sum one."""
    x = np.arange(-radius, radius + 1)
    profile = np.exp(-(x**2) / (2 * sigma**2))
    weights = np.outer(profile, profile).ravel()
    return weights / weights.sum()


def library_agreement(*, n: int, seed: int, side: int = 24) -> pd.DataFrame:
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
    rows = []
    for window, width, weights in (
        ("uniform 5", 5, None),
        ("uniform 7", 7, None),
        ("uniform 11", 11, None),
        ("Gaussian 1.5", 11, gaussian_window()),
    ):
        for unbiased in (True, False):
            for data_range in (1.0, 2.0, 255.0):
                maps = pairs * data_range / 6
                reference = _library(maps, width, weights is not None, unbiased, data_range)
                windows = sliding_window_view(maps, (width, width), axis=(2, 3))
                a, b = np.moveaxis(windows.reshape(*windows.shape[:4], -1), 1, 0)
                moments = PatchMoments.of(a, b, weights=weights, ddof=int(unbiased))
                for formula, value in {
                    "equation 1": ssim(moments, data_range),
                    "C3 = C2": _three_factors(moments, data_range),
                }.items():
                    rows.append(
                        {
                            "formula": formula,
                            "window": window,
                            "sample_covariance": unbiased,
                            "data_range": data_range,
                            "max_difference": float(np.abs(value - reference).max()),
                            "windows": value.size,
                        }
                    )
    return pd.DataFrame(rows)


def _library(maps: Array, width: int, gaussian: bool, unbiased: bool, data_range: float) -> Array:
    """scikit-image's SSIM map, cropped to the windows that lie inside the image."""
    crop = slice(width // 2, -(width // 2))
    images = [
        structural_similarity(
            a, b, win_size=None if gaussian else width, gaussian_weights=gaussian, sigma=1.5,
            use_sample_covariance=unbiased, data_range=data_range, full=True,
        )[1][crop, crop]
        for a, b in maps
    ]  # fmt: skip
    return np.stack(images)


def _three_factors(moments: PatchMoments, data_range: float) -> Array:
    """Luminance, contrast and structure with C3 = C2: not Eq. (1)."""
    _, c2 = constants(data_range)
    sd = np.sqrt(np.asarray(moments.variance_a) * np.asarray(moments.variance_b))
    spread = np.asarray(moments.variance_a) + np.asarray(moments.variance_b)
    contrast = (2 * sd + c2) / (spread + c2)
    return luminance(moments, data_range) * contrast * (moments.covariance + c2) / (sd + c2)


# --- Theorem 1 as a statement about the five moments ------------------------------------------


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
    rows = []
    for mean_a, mean_b, degenerate in means:
        for sd_a in (0.03, 0.1, 1.0):
            for sd_b in (0.03, 0.1, 1.0):
                steps = np.arange(n) - n // 2
                root = -c2 / 2 / (sd_a * sd_b)
                for correlation in np.append(steps / (n // 2), root):
                    rows.append((mean_a, mean_b, sd_a, sd_b, correlation, degenerate))
    names = ["mean_a", "mean_b", "sd_a", "sd_b", "correlation", "degenerate"]
    table = pd.DataFrame(rows, columns=names)
    table["covariance"] = table["correlation"] * table["sd_a"] * table["sd_b"]
    moments = PatchMoments(
        mean_a=table["mean_a"].to_numpy(),
        mean_b=table["mean_b"].to_numpy(),
        variance_a=table["sd_a"].to_numpy() ** 2,
        variance_b=table["sd_b"].to_numpy() ** 2,
        covariance=table["covariance"].to_numpy(),
    )
    table["ssim"] = ssim(moments, data_range)
    table["bound"] = bound(moments.variance_a, moments.variance_b, data_range)
    return table


# --- Theorem 1 as a statement about sampled patches -------------------------------------------

Sampler = Callable[[np.random.Generator, tuple[int, int]], tuple[Array, Array]]


@dataclass(frozen=True)
class PatchProcess:
    """A random pair of patches: how to draw it and its population moments."""

    name: str
    independent: bool
    moments: PatchMoments
    sample: Sampler


def _independent(name: str, mean_a: float, mean_b: float, sd: float) -> PatchProcess:
    def sample(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[Array, Array]:
        return rng.normal(mean_a, sd, shape), rng.normal(mean_b, sd, shape)

    return PatchProcess(name, True, PatchMoments(mean_a, mean_b, sd**2, sd**2, 0.0), sample)


def _uniform(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[Array, Array]:
    return rng.uniform(size=shape), rng.uniform(size=shape)


def _random_sign(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[Array, Array]:
    a = rng.normal(size=shape)
    a -= a.mean(-1, keepdims=True)
    return a, a * rng.choice([-1.0, 1.0], (shape[0], 1))


PROCESSES = (
    PatchProcess("uniform", True, PatchMoments(0.5, 0.5, 1 / 12, 1 / 12, 0.0), _uniform),
    _independent("normal", 0.5, 0.5, 0.2),
    _independent("normal, zero means", 0.0, 0.0, 1.0),
    _independent("normal, opposite means", 0.5, -0.5, 0.2),
    # B is A or -A by the toss of a coin: the covariance is zero on average, never in a patch.
    PatchProcess("random sign", False, PatchMoments(0.0, 0.0, 1.0, 1.0, 0.0), _random_sign),
)


def expected_ssim(
    *, n: int, seed: int, windows: tuple[int, ...] = (25, 49, 121), data_range: float = 1.0
) -> pd.DataFrame:
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
    rows = []
    for process in PROCESSES:
        for pixels in windows:
            draws = max(200, n * 121 // max(pixels, 121))
            rng = np.random.default_rng(stable_seed(seed, "theorem-1", process.name, pixels))
            value, shuffled, limit = _sampled(process, rng, draws, pixels, data_range)
            signed = mean_estimate(value)
            functionals = {
                "E[SSIM]": signed,
                "E[|SSIM|]": mean_estimate(np.abs(value)),
                "E[bound]": mean_estimate(limit),
            }
            if process.independent:
                functionals["E[SSIM], shuffled"] = mean_estimate(shuffled)
            for functional, estimate in functionals.items():
                rows.append(
                    {
                        "process": process.name,
                        "independent": process.independent,
                        "pixels": pixels,
                        "functional": functional,
                        **estimate,
                        "bound": float(
                            bound(
                                process.moments.variance_a, process.moments.variance_b, data_range
                            )
                        ),
                        "floor": finite_window_floor(pixels),
                    }
                )
    return pd.DataFrame(rows)


def _sampled(
    process: PatchProcess, rng: np.random.Generator, draws: int, pixels: int, data_range: float
) -> tuple[Array, Array, Array]:
    """SSIM, its average over shuffles and the bound at sample variances, one value a patch."""
    parts = []
    for size in _chunks(draws, pixels):
        moments = PatchMoments.of(*process.sample(rng, (size, pixels)))
        limit = bound(moments.variance_a, moments.variance_b, data_range)
        light = luminance(moments, data_range)
        parts.append((ssim(moments, data_range), light * limit, limit))
    value, shuffled, limit = (np.concatenate(column) for column in zip(*parts, strict=True))
    return value, shuffled, limit


def _chunks(draws: int, pixels: int, budget: int = 4_000_000) -> Iterator[int]:
    """Split `draws` so that no array holds more than about `budget` numbers."""
    size = max(1, budget // pixels)
    for start in range(0, draws, size):
        yield min(size, draws - start)
