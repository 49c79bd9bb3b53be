"""Maps scaled, and their similarities measured, as Adebayo et al. (2018) did it.

Where the appendix and the authors' code differ, both are here: SSIM in uniform windows of 5 pixels
(appendix) and in Gaussian windows (code); Pearson (appendix) and Spearman correlation (code) of HOG
features. Maps come with their colour channels, ``(N, C, H, W)``: the absolute value of a sum over
channels is not the sum of absolute values.
"""

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from sanitygap.errors import UsageError
from sanitygap.similarity import Window, pearson, spearman, ssim

#: shares of a map's largest values that are clipped
CLIPPED = 0.99

#: scikit-image takes this range for float images if none is given, whatever they hold
DATA_RANGE = 2.0

#: the appendix's windows, and those of the authors' code
UNIFORM, GAUSSIAN = Window(5, 5), Window(11, 11, deviation=1.5)

#: of HOG: side of a cell in pixels, bins of orientation, and cells along each side of a block, in
#: which histograms are normalised together
CELL, ORIENTATIONS, BLOCK = 16, 9, 3

#: of scikit-image's L2-Hys normalisation: stabiliser, and largest share of one entry
EPSILON, LARGEST = 1e-5, 0.2


def absolute_map(values: Tensor) -> Tensor:
    """Sums of absolute values over channels, from their minimum to their 99th percentile.

    Args:
        values: float, ``(N, C, H, W)``.

    Returns:
        ``(N, H, W)`` in [0, 1]; NaN where a map is constant.
    """
    maps = values.abs().sum(1)
    low, high = maps.amin((1, 2), keepdim=True), _percentile(maps)
    return ((maps - low) / (high - low)).clamp(0, 1)


def diverging_map(values: Tensor) -> Tensor:
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


def _percentile(maps: Tensor) -> Tensor:
    """Shape ``(N, 1, 1)``; NaN for a map that is zero everywhere, which has no scale."""
    found = torch.quantile(maps.flatten(1), CLIPPED, dim=1).view(-1, 1, 1)
    return torch.where(found == 0, torch.nan, found)


def hog(maps: Tensor, cell: int = CELL) -> Tensor:
    """HOG features (Dalal and Triggs 2005) in batches, as scikit-image has them.

    Unsigned orientations in 9 bins, central differences, hard assignment of a pixel to a cell and
    to a bin, blocks of 3 x 3 cells, L2-Hys.

    Args:
        maps: float, ``(N, H, W)``.
        cell: side of a cell in pixels (16 in Adebayo et al. 2018, Appendix B).

    Returns:
        float64 ``(N, features)``.

    Raises:
        UsageError: maps of fewer than 3 x 3 cells.
    """
    if min(maps.shape[1:]) < BLOCK * cell:
        raise UsageError(
            f"HOG needs maps of at least {BLOCK * cell} pixels a side, not {min(maps.shape[1:])}; "
            "leave it out for small images"
        )
    values = maps.double()
    rows, columns = torch.zeros_like(values), torch.zeros_like(values)
    rows[:, 1:-1] = values[:, 2:] - values[:, :-2]
    columns[:, :, 1:-1] = values[:, :, 2:] - values[:, :, :-2]
    magnitude = torch.hypot(rows, columns)
    angle = torch.rad2deg(torch.arctan2(rows, columns)) % 180
    bins = (angle / (180 / ORIENTATIONS)).floor()
    cells = torch.stack(
        [avg_pool2d(magnitude * (bins == number), cell) for number in range(ORIENTATIONS)], -1
    )
    blocks = cells.unfold(1, BLOCK, 1).unfold(2, BLOCK, 1)  # (N, rows, columns, bins, 3, 3)
    blocks = blocks.permute(0, 1, 2, 4, 5, 3).flatten(3)
    blocks = _unit_length(_unit_length(blocks).clamp_max(LARGEST))
    return blocks.flatten(1)


def hog_pearson(first: Tensor, second: Tensor) -> Tensor:
    """Pearson correlation of the HOG features of maps, ``(N,)``; NaN for maps too small for any."""
    if min(first.shape[1:]) < BLOCK * CELL:
        return torch.full((len(first),), torch.nan, dtype=torch.float64)
    return pearson(hog(first), hog(second))


def _unit_length(blocks: Tensor) -> Tensor:
    return blocks / (blocks.square().sum(-1, keepdim=True) + EPSILON**2).sqrt()


class Scaled:
    """Maps in the scaling of the paper, prepared once and compared with many others.

    Args:
        maps: ``(N, H, W)``, as :func:`absolute_map` or :func:`diverging_map` gives them.
        measures_hog: whether HOG features are compared; maps below 48 pixels have none.
    """

    def __init__(self, maps: Tensor, measures_hog: bool = True) -> None:
        self.maps = maps
        self.measures_hog = measures_hog and min(maps.shape[1:]) >= BLOCK * CELL
        self.features = hog(maps) if self.measures_hog else None

    def compare(self, other: "Scaled") -> dict[str, Tensor]:
        """All similarities, each ``(N,)``; NaN where a map is constant, or has no HOG features."""
        nothing = torch.full((len(self.maps),), torch.nan, dtype=torch.float64)
        scores = {
            "ssim": ssim(self.maps, other.maps, DATA_RANGE, UNIFORM),
            "ssim_gaussian": ssim(self.maps.double(), other.maps.double(), DATA_RANGE, GAUSSIAN),
            "spearman": spearman(self.maps, other.maps),
            "hog_pearson": nothing,
            "hog_spearman": nothing,
        }
        if self.features is not None and other.features is not None:
            # float32, so that features that are equal but for rounding tie
            scores["hog_pearson"] = pearson(self.features, other.features)
            scores["hog_spearman"] = spearman(self.features.float(), other.features.float())
        return scores


def scaled(values: torch.Tensor, measures_hog: bool = True) -> dict[str, Scaled]:
    """Maps of values ``(N, C, H, W)`` in both scalings."""
    return {name: Scaled(scale(values), measures_hog) for name, scale in SCALINGS.items()}


SCALES = {"absolute": "absolute maps", "diverging": "signed maps"}
