"""Maps scaled, and their similarities measured, as Adebayo et al. (2018) did it.

Where the appendix and the authors' code differ, both are here: SSIM in uniform windows of 5 pixels
(appendix) and in Gaussian windows (code); Pearson (appendix) and Spearman correlation (code) of HOG
features. Maps come with their colour channels, ``(N, C, H, W)``: the absolute value of a sum over
channels is not the sum of absolute values.
"""

import torch
from torch.nn.functional import conv2d

from sanitygap.hog import BLOCK, hog
from sanitygap.similarity import K1, K2, pearson, spearman, ssim

#: shares of a map's largest values that are clipped
CLIPPED = 0.99

#: scikit-image takes this range for float images if none is given, whatever they hold
DATA_RANGE = 2.0

WINDOW, CELL = 5, 16

#: the Gaussian windows of scikit-image: 11 x 11 pixels
SIGMA, RADIUS = 1.5, 5

#: names of what :func:`compare` measures
SIMILARITIES = ("ssim", "ssim_gaussian", "spearman", "hog_pearson", "hog_spearman")


def absolute_map(values: torch.Tensor) -> torch.Tensor:
    """Sums of absolute values over channels, from their minimum to their 99th percentile.

    Args:
        values: float, ``(N, C, H, W)``.

    Returns:
        ``(N, H, W)`` in [0, 1]; NaN where a map is constant.
    """
    maps = values.abs().sum(1)
    low, high = maps.amin((1, 2), keepdim=True), _percentile(maps)
    return ((maps - low) / (high - low)).clamp(0, 1)


def diverging_map(values: torch.Tensor) -> torch.Tensor:
    """Sums over channels, from minus to plus their 99th percentile; zero becomes one half.

    Args:
        values: float, ``(N, C, H, W)``.

    Returns:
        ``(N, H, W)`` in [0, 1]; NaN where that percentile is zero.
    """
    maps = values.sum(1)
    extent = _percentile(maps).abs()
    return ((maps / extent + 1) / 2).clamp(0, 1)


SCALINGS = {"absolute": absolute_map, "diverging": diverging_map}


def _percentile(maps: torch.Tensor) -> torch.Tensor:
    """Shape ``(N, 1, 1)``; NaN for a map that is zero everywhere, which has no scale."""
    found = torch.quantile(maps.flatten(1), CLIPPED, dim=1).view(-1, 1, 1)
    return torch.where(found == 0, torch.nan, found)


def gaussian_ssim(
    first: torch.Tensor, second: torch.Tensor, data_range: float = DATA_RANGE
) -> torch.Tensor:
    """SSIM in Gaussian windows of 11 x 11 pixels, standard deviation 1.5 (Wang et al. 2004).

    Sample covariances and windows inside the map only, as in scikit-image.

    Args:
        first, second: maps ``(N, H, W)``.
        data_range: the range L.

    Returns:
        Mean SSIM, ``(N,)``.
    """
    offsets = torch.arange(-RADIUS, RADIUS + 1, dtype=torch.float64)
    weights = torch.exp(-(offsets**2) / (2 * SIGMA**2))
    weights = weights / weights.sum()
    count = (2 * RADIUS + 1) ** 2
    a, b = first.double(), second.double()

    def mean(values: torch.Tensor) -> torch.Tensor:
        kernel = weights.to(values)
        rows = conv2d(values[:, None], kernel.view(1, 1, -1, 1))
        return conv2d(rows, kernel.view(1, 1, 1, -1))[:, 0]

    mean_a, mean_b = mean(a), mean(b)
    sample = count / (count - 1)
    variances = sample * (mean(a * a) - mean_a**2 + mean(b * b) - mean_b**2)
    covariance = sample * (mean(a * b) - mean_a * mean_b)
    c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    return (luminance * (2 * covariance + c2) / (variances + c2)).mean((1, 2))


class Scaled:
    """Maps in the scaling of the paper, prepared once and compared with many others.

    Args:
        maps: ``(N, H, W)``, as :func:`absolute_map` or :func:`diverging_map` gives them.
        measures_hog: whether HOG features are compared; maps below 48 pixels have none.
    """

    def __init__(self, maps: torch.Tensor, measures_hog: bool = True) -> None:
        self.maps = maps
        self.measures_hog = measures_hog and min(maps.shape[1:]) >= BLOCK * CELL
        self.features = hog(maps, CELL) if self.measures_hog else None

    def compare(self, other: "Scaled") -> dict[str, torch.Tensor]:
        """All similarities, each ``(N,)``; NaN where a map is constant, or has no HOG features."""
        nothing = torch.full((len(self.maps),), torch.nan, dtype=torch.float64)
        scores = {
            "ssim": ssim(self.maps, other.maps, DATA_RANGE, WINDOW),
            "ssim_gaussian": gaussian_ssim(self.maps, other.maps),
            "spearman": spearman(self.maps, other.maps),
            "hog_pearson": nothing,
            "hog_spearman": nothing,
        }
        if self.features is not None and other.features is not None:
            # float32, so that features that are equal but for rounding tie
            scores["hog_pearson"] = pearson(self.features, other.features)
            scores["hog_spearman"] = spearman(self.features.float(), other.features.float())
        return scores
