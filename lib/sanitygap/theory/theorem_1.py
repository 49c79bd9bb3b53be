"""Theorem 1 of Binder et al. (2022): the SSIM of two patches from five numbers, and its bound.

A patch is one window of two attribution maps A and B. Its SSIM depends on the means, the variances
and the covariance of its pixels (Eq. 1). Arrays are float64 and broadcast against each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sanitygap.errors import UsageError
from sanitygap.theory import Array


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
            a, b: patches.
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
    """Eq. (2): the largest absolute SSIM that patches with zero covariance can have."""
    _, c2 = constants(data_range)
    return c2 / (np.asarray(variance_a) + np.asarray(variance_b) + c2)
