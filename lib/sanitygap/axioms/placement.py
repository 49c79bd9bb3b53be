"""Backgrounds and places: where patches lie, and on what (Khakzar et al. 2022, Sec. 3 and 3.5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from sanitygap.models.explainable import Preprocessing
from sanitygap.seeds import generator

#: the authors' patch is 86 pixels wide in an image of 224
PATCH_SHARE = 86 / 224

#: mean and standard deviation of the noise that stands for missing features
GREY, NOISE = 0.5, 0.1

BACKGROUNDS = ("noise", "grey", "black", "blur")

#: standard deviation of the blur of the background of that name, in pixels
BLUR = 4.0


def patch_size(size: int) -> int:
    """Side of a patch for a square input of that side, in pixels."""
    return round(PATCH_SHARE * size)


@dataclass(frozen=True)
class Place:
    """A background and the upper left corners of the patches.

    Attributes:
        background: RGB values in [0, 1], ``(3, size, size)``.
        corners: ``(row, column)`` of each patch.
    """

    background: torch.Tensor
    corners: tuple[tuple[int, int], ...]


def draw_place(
    size: int,
    patches: int,
    *seed: object,
    background: str = "noise",
    offset: tuple[float, float] | None = None,
) -> Place:
    """A fresh background with room for patches that do not overlap.

    Args:
        size: side of the input in pixels.
        patches: one or two.
        seed: what the draw is for.
        background: ``noise`` is clamp(N(0.5, 0.1), 0, 1), the paper's; ``blur`` is the same noise
            after a Gaussian filter, brought back to that spread; ``grey`` and ``black`` are plain.
        offset: of the second patch from the first, down and right, as shares of the side; they
            move together in the room that is left. None places each on its own.
    """
    source = generator(*seed, "place")
    noise = torch.randn(3, size, size, generator=source)
    if background == "blur":
        noise = _smoothed(noise)
    level = {"grey": GREY, "black": 0.0}
    if background in level:
        pixels = torch.full_like(noise, level[background])
    else:
        pixels = (GREY + NOISE * noise).clamp(0, 1)
    side = patch_size(size)
    if offset is not None:
        down, right = (round(share * size) for share in offset)
        row, column = (
            int(torch.randint(0, size - side - shift + 1, (1,), generator=source))
            for shift in (down, right)
        )
        return Place(pixels, ((row, column), (row + down, column + right))[:patches])
    while True:
        drawn = torch.randint(0, size - side + 1, (patches, 2), generator=source).tolist()
        corners = tuple((int(row), int(column)) for row, column in drawn)
        if all(apart(one, other, side) for one in corners for other in corners if one is not other):
            return Place(pixels, corners)


def _smoothed(noise: torch.Tensor) -> torch.Tensor:
    reach = round(3 * BLUR)
    weights = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / BLUR).square())
    rows = torch.nn.functional.pad(noise, (reach,) * 4, mode="reflect")[:, None]
    rows = torch.nn.functional.conv2d(rows, weights.view(1, 1, -1, 1))
    rows = torch.nn.functional.conv2d(rows, weights.view(1, 1, 1, -1))[:, 0]
    return rows / rows.std()


def apart(one: tuple[int, int], other: tuple[int, int], side: int) -> bool:
    """Whether two squares of that side share no pixel."""
    return max(abs(one[0] - other[0]), abs(one[1] - other[1])) >= side


def composed(place: Place, patches: torch.Tensor, present: Sequence[bool]) -> torch.Tensor:
    """The background with some of the patches on it.

    Args:
        place: background and corners.
        patches: RGB values in [0, 1], ``(patches, 3, side, side)``.
        present: which of them.

    Returns:
        RGB values ``(3, size, size)``.
    """
    image = place.background.to(patches.device, copy=True)
    side = patches.shape[-1]
    for (row, column), patch, shown in zip(place.corners, patches, present, strict=True):
        if shown:
            image[:, row : row + side, column : column + side] = patch
    return image


def regions(place: Place, side: int) -> torch.Tensor:
    """Which pixels each patch covers: bool, ``(patches, size, size)``."""
    masks = torch.zeros(len(place.corners), *place.background.shape[1:], dtype=torch.bool)
    for mask, (row, column) in zip(masks, place.corners, strict=True):
        mask[row : row + side, column : column + side] = True
    return masks


def to_inputs(preprocessing: Preprocessing, pixels: torch.Tensor) -> torch.Tensor:
    """RGB values in [0, 1] as model inputs; the inverse of ``Preprocessing.to_rgb``.

    Args:
        preprocessing: of the model.
        pixels: ``(N, 3, H, W)``.
    """
    values = pixels.flip(1) if preprocessing.channels == "BGR" else pixels
    mean, std = (
        torch.tensor(v).view(3, 1, 1).to(values) for v in (preprocessing.mean, preprocessing.std)
    )
    inputs = (values * preprocessing.scale - mean) / std
    return inputs.contiguous(memory_format=torch.channels_last)


def slopes_of_pixels(preprocessing: Preprocessing, slopes: torch.Tensor) -> torch.Tensor:
    """Gradients with respect to model inputs as gradients with respect to RGB values."""
    std = torch.tensor(preprocessing.std).view(3, 1, 1).to(slopes)
    values = slopes * preprocessing.scale / std
    return values.flip(1) if preprocessing.channels == "BGR" else values
