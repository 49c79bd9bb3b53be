"""Both tests under every choice that the paper leaves open, and properties of maps."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from sanitygap.attribution import Sampling
from sanitygap.errors import NotDefinedError
from sanitygap.seeds import normal
from sanitygap.similarity import relative_change
from sanitygap.specifications import (
    cut_occlusion,
    cut_randomization,
    occlusion_specifications,
    randomization_specifications,
)
from sanitygap.table import Batch, Context, Piece, cut_by, table

table(
    "occlusion-specifications",
    cut=cut_occlusion,
    smoke={"path_steps": 2, "every": 30, "patches": (15,), "level_images": 1},
    quick={"path_steps": 4, "every": 10, "patches": (15,), "level_images": 2},
)(occlusion_specifications)

table(
    "randomization-specifications",
    cut=cut_randomization,
    smoke={"path_steps": 2, "n_steps": 2, "level_images": 1},
    quick={"path_steps": 4, "n_steps": 2, "level_images": 2},
    full={"seeds": (0, 1, 2, 3, 4)},
)(randomization_specifications)


def gini(maps: Tensor) -> Tensor:
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


def mosaics(inputs: Tensor, others: Sequence[Tensor], shift: int = 0) -> Tensor:
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


def focus(maps: Tensor, shift: int = 0) -> Tensor:
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


FAMILY_METHODS = (
    "gradient", "gradient-x-input", "integrated-gradients", "smoothgrad", "guided-backprop",
    "lrp-epsilon-plus", "lrp-alpha2-beta1", "lrp-gamma-box", "noise", "edges",
)  # fmt: skip


def _cut(context: Context, arguments: Mapping[str, Any]) -> Iterator[Piece]:
    """Parts know how many images there are: mosaics are made of those."""
    count = len(_places(context, arguments["max_images"]))
    if count < 2:
        raise NotDefinedError("a mosaic needs at least two images; use more")
    for piece in cut_by(True, ["methods"])(context, arguments):
        yield replace(piece, arguments={**piece.arguments, "max_images": count})


def _places(context: Context, limit: int | None) -> range:
    return range(len(context.images))[:limit]


@table(
    "map-properties",
    cut=_cut,
    smoke={
        "methods": ("gradient", "guided-backprop", "noise", "edges"),
        "path_steps": 2,
        "noisy_copies": 2,
    },
    quick={"path_steps": 2, "noisy_copies": 2, "max_images": 4},
    full={"max_images": 100},
    everything=True,
)
def map_properties(
    batch: Batch,
    methods: Sequence[str] = FAMILY_METHODS,
    noise_level: float = 0.01,
    path_steps: int = 50,
    noisy_copies: int = 50,
    max_images: int | None = None,
) -> Iterator[pd.DataFrame]:
    """How sparse and how stable maps are, and how well they find an image in a mosaic.

    In all three columns low is good.

    Args:
        batch: images.
        methods: attribution methods and controls.
        noise_level: standard deviation of the disturbance over the image's value range.
        path_steps: points of integrated gradients.
        noisy_copies: copies in SmoothGrad.
        max_images: mosaics are made of at most that many images.

    Raises:
        UsageError: fewer than two images.
    """
    sampling = Sampling(path_steps, noisy_copies)
    everything = _places(batch.context, max_images)
    around = [_others(position, everything) for position in batch.positions]
    needed = sorted({position for group in around for position in group})
    neighbours = dict(zip(needed, batch.context.batch(needed).inputs, strict=True))
    others = [torch.stack([neighbours[group[k]] for group in around]) for k in range(3)]
    # an image's quadrant depends on its place in the set, not in the batch
    shift = batch.positions[0] % 4
    extent = (batch.inputs.amax((1, 2, 3)) - batch.inputs.amin((1, 2, 3))).view(-1, 1, 1, 1)
    shape = tuple(batch.inputs.shape[1:])
    weak = normal(shape, batch.seeds(batch.seed, "disturbance"), batch.inputs)
    disturbed = batch.inputs + noise_level * extent * weak

    whole = mosaics(batch.inputs, others, shift)
    base, near, found = (
        batch.maps(methods, batch.seed, state, sampling=sampling, inputs=inputs)
        for state, inputs in (("base", None), ("disturbed", disturbed), ("mosaic", whole))
    )
    for name, values in base.items():
        measured = {
            "complexity": 1 - gini(values),
            "robustness": relative_change(values, near[name]),
            "localization": 1 - focus(found[name], shift),
        }
        yield batch.rows(measured, method=name, seed=batch.seed)


def _others(position: int, everything: Sequence[int]) -> tuple[int, ...]:
    """Three images that follow one in the set, cyclically and without itself."""
    rest = [other for other in everything if other != position]
    start = sum(other < position for other in rest)
    return tuple(rest[(start + offset) % len(rest)] for offset in range(3))
