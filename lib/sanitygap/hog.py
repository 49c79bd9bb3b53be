"""Histograms of oriented gradients, in batches: what scikit-image's ``hog`` computes one by one."""

import torch
from torch.nn.functional import avg_pool2d

from sanitygap.errors import UsageError

ORIENTATIONS = 9

#: cells along each side of a block, in which histograms are normalised together
BLOCK = 3

#: of scikit-image's L2-Hys normalisation: stabiliser, and largest share of one entry
EPSILON, LARGEST = 1e-5, 0.2


def hog(maps: torch.Tensor, cell: int = 16) -> torch.Tensor:
    """HOG features (Dalal and Triggs 2005) with scikit-image's defaults, in its order.

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


def _unit_length(blocks: torch.Tensor) -> torch.Tensor:
    return blocks / (blocks.square().sum(-1, keepdim=True) + EPSILON**2).sqrt()
