"""Similarity on the pixels that a network responds to (Binder et al. 2022, Sec. 5, direction 1).

Everything below the redrawn stages is kept by randomisation, and what the kept part phi does not
respond to no network on top of it can. The paper proposes to measure the change of a map on the
other pixels only: those with a non-zero attribution from phi.
"""

from collections.abc import Sequence

import numpy as np
import torch
from skimage.metrics import structural_similarity

from sanitygap.similarity import WINDOW, joint_range, second_moment


def responsive(relevance: torch.Tensor, threshold: float) -> torch.Tensor:
    """The pixels that are left when the least relevant ones are dropped.

    Args:
        relevance: attribution of the kept features, ``(N, H, W)``, any sign.
        threshold: share of the sum of absolute values that the dropped pixels may hold, 0 to
            below 1; 0 drops exactly the zeros.

    Returns:
        bool ``(N, H, W)``; False everywhere for an all-zero map.
    """
    mass = relevance.abs().flatten(1).double()
    ascending, order = mass.sort(dim=1)
    dropped = ascending.cumsum(1) <= threshold * ascending.sum(1, keepdim=True)
    keep = torch.zeros_like(mass, dtype=torch.bool).scatter_(1, order, ~dropped)
    return (keep & (mass > 0)).view_as(relevance)


def local_ssim(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """SSIM of every window of two maps, each divided by the root of its mean square.

    Windows, constants and range are those of the randomisation test: its score is the mean of
    these values.

    Args:
        first, second: ``(N, H, W)``.

    Returns:
        float64 ``(N, H - 6, W - 6)``, one value a window of 7 x 7 pixels, at its centre; NaN for
        a map that is zero everywhere.
    """
    a, b = second_moment(first), second_moment(second)
    ranges = joint_range(a, b)
    margin = WINDOW // 2
    inner = slice(margin, -margin)
    maps = []
    for one, other, extent in zip(a.double().cpu(), b.double().cpu(), ranges.cpu(), strict=True):
        _, local = structural_similarity(
            one.numpy(), other.numpy(), win_size=WINDOW, data_range=float(extent), full=True
        )
        maps.append(local[inner, inner])
    return torch.from_numpy(np.stack(maps))


def mean_where(
    local: torch.Tensor, masks: Sequence[torch.Tensor]
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Mean of window scores over the windows whose centre a mask keeps.

    Args:
        local: of :func:`local_ssim`, ``(N, h, w)``.
        masks: bool ``(N, H, W)`` each.

    Returns:
        For each mask the means ``(N,)``, NaN where no window is kept, and the shares of windows
        that are kept ``(N,)``.
    """
    margin = WINDOW // 2
    found = []
    for mask in masks:
        kept = mask[:, margin:-margin, margin:-margin].to(local)
        total = kept.sum((1, 2))
        found.append(((local * kept).sum((1, 2)) / total, total / kept[0].numel()))
    return found
