"""One statistic for each other family of tests of attribution maps: complexity, robustness,
localisation (Binder et al. 2022, §1.1, name five families with faithfulness and randomisation).
"""

from collections.abc import Sequence

import torch
from torch.nn.functional import interpolate


def gini(maps: torch.Tensor) -> torch.Tensor:
    """Gini index of the absolute values (Chalasani et al. 2020): how few pixels hold the mass.

    Args:
        maps: ``(N, H, W)``.

    Returns:
        ``(N,)``: 0 if all pixels are equal, near 1 if one pixel holds all; NaN for a zero map.
    """
    ascending = maps.abs().flatten(1).double().sort(dim=1).values
    count = ascending.shape[1]
    weights = (2 * torch.arange(1, count + 1, device=maps.device) - count - 1) / count
    return (ascending * weights).sum(1) / ascending.sum(1)


def relative_change(maps: torch.Tensor, disturbed: torch.Tensor) -> torch.Tensor:
    """Euclidean distance of two sets of maps ``(N, H, W)`` over the norm of the first, ``(N,)``.

    With maps of slightly disturbed inputs it is the local sensitivity of Alvarez-Melis and
    Jaakkola (2018), made independent of a map's scale.
    """
    first, second = (values.flatten(1).double() for values in (maps, disturbed))
    return (first - second).norm(dim=1) / first.norm(dim=1)


def mosaics(inputs: torch.Tensor, others: Sequence[torch.Tensor], shift: int = 0) -> torch.Tensor:
    """Each image at half its size in one quadrant, three others in the rest.

    Image i stands in quadrant ``(i + shift) mod 4``, counted from the upper left row by row.

    Args:
        inputs: ``(N, 3, H, W)``.
        others: three tensors of that shape.
        shift: quadrant of the first image.

    Returns:
        ``(N, 3, H, W)``.
    """
    height, width = inputs.shape[2:]
    canvas = torch.empty_like(inputs)
    for number in range(len(inputs)):
        parts = [tensor[number] for tensor in others]
        parts.insert((number + shift) % 4, inputs[number])
        for place, part in enumerate(parts):
            rows, columns = quadrant(place, height, width)
            size = (rows.stop - rows.start, columns.stop - columns.start)
            small = interpolate(part[None], size, mode="bilinear", antialias=True)
            canvas[number, :, rows, columns] = small[0]
    return canvas.contiguous(memory_format=torch.channels_last)


def quadrant(place: int, height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns of a quadrant, 0 to 3 from the upper left row by row."""
    down, right = divmod(place, 2)
    rows = slice(height // 2, height) if down else slice(0, height // 2)
    columns = slice(width // 2, width) if right else slice(0, width // 2)
    return rows, columns


def focus(maps: torch.Tensor, shift: int = 0) -> torch.Tensor:
    """Share of the positive attribution of mosaics that lies on the explained image.

    As Arias-Duart et al. (2022) do, on mosaics of :func:`mosaics`.

    Args:
        maps: ``(N, H, W)``; image i is in quadrant ``(i + shift) mod 4``.
        shift: quadrant of the first image.

    Returns:
        ``(N,)``: 1/4 for a map that does not care; NaN without positive values.
    """
    positive = maps.clamp_min(0).double()
    height, width = maps.shape[1:]
    inside = [
        values[quadrant((number + shift) % 4, height, width)].sum()
        for number, values in enumerate(positive)
    ]
    return torch.stack(inside) / positive.sum((1, 2))
