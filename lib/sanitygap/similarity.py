"""How alike two attribution maps are: normalisation and batched similarities.

All functions take maps ``(N, H, W)`` (or anything flattened to ``(N, M)`` where said), stay on the
device of their inputs and give one number an image. A map that is zero everywhere has no
second-moment normalisation: its similarity is NaN, to be counted by the caller, never replaced.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import conv2d

WINDOW = 7
K1, K2 = 0.01, 0.03

#: share of a map's pixels inside its robust range
ROBUST = 0.999


def second_moment(maps: Tensor) -> Tensor:
    """Maps divided by the root of their mean square (Binder et al. 2022, Eq. 20).

    Args:
        maps: float, ``(N, H, W)``.

    Returns:
        Maps of mean square 1, or NaN where a map is zero everywhere.
    """
    scale = maps.abs().amax(
        (1, 2), keepdim=True
    )  # first, so that squares neither over- nor underflow
    scaled = maps / scale
    return scaled / scaled.square().mean((1, 2), keepdim=True).sqrt()


def joint_range(first: Tensor, second: Tensor) -> Tensor:
    """Largest minus smallest value of a pair of maps, shape ``(N,)``."""
    high = torch.maximum(first.amax((1, 2)), second.amax((1, 2)))
    low = torch.minimum(first.amin((1, 2)), second.amin((1, 2)))
    return high - low


def sums_of_neighbours(values: Tensor, count: int, dim: int) -> Tensor:
    """Sums of ``count`` neighbours along a dimension, by adding shifted copies of partial sums.

    Sums of 1, 2, 4 ... neighbours are each the sum of two earlier ones, so a window of 7 takes
    four additions. This is about ten times faster on a CPU than average pooling.
    """
    length = values.shape[dim] - count + 1
    total, offset, power, width = None, 0, values, 1
    while True:
        if count & width:
            part = power.narrow(dim, offset, length)
            total = part if total is None else total + part
            offset += width
        if offset == count:
            assert total is not None
            return total
        size = power.shape[dim] - width
        power = power.narrow(dim, 0, size) + power.narrow(dim, width, size)
        width *= 2


@dataclass(frozen=True)
class Window:
    """The pixels around a place over which SSIM takes moments, and how much each of them counts.

    Attributes:
        height, width: in pixels.
        deviation: None if all count alike; else the standard deviation of Gaussian weights, in
            pixels.
    """

    height: int = WINDOW
    width: int = WINDOW
    deviation: float | None = None

    def means(self, maps: Tensor) -> Tensor:
        """Mean over every window that lies inside maps ``(N, H, W)``: ``(N, H - h + 1, ...)``."""
        if self.deviation is None:
            rows = sums_of_neighbours(maps, self.width, 2)
            return sums_of_neighbours(rows, self.height, 1) / (self.height * self.width)
        offsets = torch.arange(self.width, dtype=torch.float64) - self.width // 2
        weights = torch.exp(-(offsets**2) / (2 * self.deviation**2))
        kernel = (weights / weights.sum()).to(maps)
        rows = conv2d(maps[:, None], kernel.view(1, 1, -1, 1))
        return conv2d(rows, kernel.view(1, 1, 1, -1))[:, 0]


#: what the randomisation test uses
SQUARE = Window()


class WindowMoments:
    """Local means and squares of maps, kept so that a reference is filtered only once."""

    def __init__(self, maps: Tensor, window: Window = SQUARE) -> None:
        self.maps = maps
        self.window = window
        self.mean = window.means(maps)
        self.square = window.means(maps.square())


def ssim(
    first: Tensor | WindowMoments,
    second: Tensor,
    data_range: float | Tensor,
    window: Window = SQUARE,
) -> Tensor:
    """Structural similarity (Wang et al. 2004; Binder et al. 2022, Eq. 1), mean over windows.

    Sample covariances, windows inside the map only, ``C1 = (0.01 L)^2`` and ``C2 = (0.03 L)^2``:
    the conventions of scikit-image, for uniform and for Gaussian windows.

    Args:
        first: maps ``(N, H, W)`` or their window moments.
        second: maps ``(N, H, W)``.
        data_range: the range L, one number or one a pair ``(N,)``.
        window: uniform, 7 by 7 pixels, by default.

    Returns:
        Mean SSIM, ``(N,)``, between -1 and 1.
    """
    return ssim_for_ranges(first, second, {"ssim": data_range}, window)["ssim"]


def ssim_for_ranges(
    first: Tensor | WindowMoments,
    second: Tensor,
    data_ranges: Mapping[str, float | Tensor],
    window: Window = SQUARE,
) -> dict[str, Tensor]:
    """:func:`ssim` for several ranges L at once; the windows are filtered once for all."""
    local = local_ssim(first, second, data_ranges, window)
    return {name: values.mean((1, 2)) for name, values in local}


def local_ssim(
    first: Tensor | WindowMoments,
    second: Tensor,
    data_ranges: Mapping[str, float | Tensor],
    window: Window = SQUARE,
) -> Iterator[tuple[str, Tensor]]:
    """For each range L its name and the SSIM of every window, ``(N, H - h + 1, W - w + 1)``."""
    a = first if isinstance(first, WindowMoments) else WindowMoments(first, window)
    b = WindowMoments(second, a.window)
    count = a.window.height * a.window.width
    sample = count / (count - 1)
    product = a.mean * b.mean
    covariance = sample * (a.window.means(a.maps * second) - product)
    squares = a.mean.square() + b.mean.square()
    variances = sample * (a.square + b.square - squares)
    for name, data_range in data_ranges.items():
        extent = torch.as_tensor(data_range).to(second).reshape(-1, 1, 1)
        c1, c2 = (K1 * extent) ** 2, (K2 * extent) ** 2
        luminance = (2 * product + c1) / (squares + c1)
        structure = (2 * covariance + c2) / (variances + c2)
        yield name, luminance * structure


def ranks(maps: Tensor) -> Tensor:
    """Ranks of the pixels of each map, ties sharing their average rank, from 1.

    Args:
        maps: ``(N, H, W)`` or ``(N, M)``.

    Returns:
        float32 ``(N, M)``; NaN for a map that holds NaN.
    """
    return _sorted_and_ranked(maps)[1]


def _sorted_and_ranked(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Values in ascending order and ranks in place, each ``(N, M)``, from one sort."""
    flat = maps.flatten(1)
    values, order = flat.sort(dim=1)
    count = flat.shape[1]
    position = torch.arange(count, device=flat.device).expand_as(order)
    starts = torch.ones_like(values, dtype=torch.bool)
    starts[:, 1:] = values[:, 1:] != values[:, :-1]
    # asking whether there are ties saves most of the time on a CPU; a GPU would have to wait for it
    if flat.device.type == "cpu" and bool(starts.all()):
        average = position + 1.0
    else:
        first = torch.where(starts, position, 0).cummax(1).values
        ends = torch.where(starts.roll(-1, 1), position, count)
        last = ends.flip(1).cummin(1).values.flip(1)
        average = (first + last) / 2 + 1.0
    placed = torch.empty_like(values, dtype=torch.float32).scatter_(1, order, average.float())
    return values, placed.masked_fill(values[:, -1:].isnan(), torch.nan)


def pearson(first: Tensor, second: Tensor) -> Tensor:
    """Pearson correlation over the pixels, ``(N,)``; NaN for a constant map."""
    a, b = (values.flatten(1).double() for values in (first, second))
    a, b = (values - values.mean(1, keepdim=True) for values in (a, b))
    scale = a.square().sum(1).sqrt() * b.square().sum(1).sqrt()
    return ((a * b).sum(1) / scale).clamp(-1, 1)


def spearman(first: Tensor, second: Tensor) -> Tensor:
    """Spearman's rank correlation over the pixels (Binder et al. 2022, Eq. 17), ``(N,)``."""
    return pearson(ranks(first), ranks(second))


def normalized_mse(first: Tensor, second: Tensor) -> Tensor:
    """Mean squared difference of second-moment-normalised maps (Binder et al. 2022, Eq. 21)."""
    return (second_moment(first) - second_moment(second)).square().mean((1, 2))


def relative_change(maps: Tensor, disturbed: Tensor) -> Tensor:
    """Euclidean distance of two sets of maps ``(N, H, W)`` over the norm of the first, ``(N,)``.

    With maps of slightly disturbed inputs it is the local sensitivity of Alvarez-Melis and
    Jaakkola (2018), made independent of a map's scale.
    """
    first, second = (values.flatten(1).double() for values in (maps, disturbed))
    return (first - second).norm(dim=1) / first.norm(dim=1)


def robust_bounds(ascending: Tensor) -> tuple[Tensor, Tensor]:
    """Bounds of the central 99.9 % of the values, for sorted values ``(N, M)``; each ``(N,)``."""
    cut = round((1 - ROBUST) / 2 * ascending.shape[1])
    return ascending[:, cut], ascending[:, -1 - cut]


class Reference:
    """Base maps prepared once, compared with many others.

    Args:
        maps: ``(N, H, W)``, normalised here by their second moment.
    """

    def __init__(self, maps: Tensor) -> None:
        self.normalized = second_moment(maps)
        self.moments = WindowMoments(self.normalized)
        ascending, self.ranks = _sorted_and_ranked(self.normalized)
        self.low, self.high = robust_bounds(ascending)

    def compare(self, maps: Tensor) -> dict[str, Tensor]:
        """All similarities between the base maps and others.

        SSIM is computed for four ranges L of the normalised maps: ``ssim`` uses the joint range
        of the pair, ``ssim_robust`` the joint range of their central 99.9 %, ``ssim_L1`` and
        ``ssim_L2`` use 1 and 2. ``mse`` equals ``2 - 2 product`` (Binder et al. 2022, Eq. 24),
        where ``product`` is the mean product of the normalised maps and ``means`` the product of
        their means.

        Returns:
            Similarity name -> ``(N,)``.
        """
        other = second_moment(maps)
        ascending, other_ranks = _sorted_and_ranked(other)
        low, high = robust_bounds(ascending)
        robust = torch.maximum(self.high, high) - torch.minimum(self.low, low)
        scores = ssim_for_ranges(
            self.moments,
            other,
            {"ssim": joint_range(self.normalized, other), "ssim_robust": robust}
            | {"ssim_L1": 1.0, "ssim_L2": 2.0},
        )
        scores["spearman"] = pearson(self.ranks, other_ranks)
        scores["pearson"] = pearson(self.normalized, other)
        scores["mse"] = (self.normalized - other).square().mean((1, 2))
        scores["product"] = (self.normalized * other).mean((1, 2))
        scores["means"] = self.normalized.mean((1, 2)) * other.mean((1, 2))
        return scores
