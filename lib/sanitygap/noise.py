"""Noise in attribution maps: how much of it there is, and how to add more.

Maps are ``(N, H, W)``; every function stays on the device of its inputs and gives one result an
image.
"""

import torch

from sanitygap.similarity import pearson, second_moment


def mixture(maps: torch.Tensor, noise: torch.Tensor, amount: float) -> torch.Tensor:
    """A map plus independent noise, in units of the map's own root mean square.

    Args:
        maps: ``(N, H, W)``.
        noise: of the same shape, mean square 1 in expectation.
        amount: lambda in ``E / sqrt(mean E^2) + lambda noise``; at 1 half of the mean square of
            the result is noise.

    Returns:
        ``(N, H, W)``; NaN where a map is zero everywhere.
    """
    return second_moment(maps) + amount * noise


def autocorrelation(maps: torch.Tensor, lag: int) -> torch.Tensor:
    """Correlation of each map with itself shifted by some pixels.

    Independent noise has 0 at every lag, a smooth map about 1 at small ones.

    Args:
        maps: ``(N, H, W)``, signed.
        lag: shift in pixels, at least 1.

    Returns:
        Mean of the Pearson correlations under a vertical and a horizontal shift, ``(N,)``; NaN
        for a constant map.
    """
    vertical = pearson(maps[:, lag:], maps[:, :-lag])
    horizontal = pearson(maps[:, :, lag:], maps[:, :, :-lag])
    return (vertical + horizontal) / 2
