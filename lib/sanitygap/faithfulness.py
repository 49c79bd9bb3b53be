"""Faithfulness by occlusion: blur the regions a map calls important and watch the prediction.

Region perturbation (Samek et al. 2017) as in Binder et al. 2022, A.1: regions are squares, ranked
by their mean attribution; the highest are replaced, one after the other and for good, by the same
place of a blurred copy of the image. Lengths are those of the paper's 224-pixel inputs and scale
with the size of the input (:func:`scaled`), so that a network for small images can be tested.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, pad

from sanitygap.errors import unknown_name
from sanitygap.models.explainable import Explainable
from sanitygap.similarity import sums_of_neighbours

BLUR = 15
REGIONS = 30

Tiling = Literal["tiles", "sliding"]


@dataclass(frozen=True)
class OcclusionCurves:
    """What the model says of each image as regions disappear.

    Attributes:
        softmax: probability of the target after 0, 1, ... regions, ``(N, regions + 1)``.
        logit: the target's logit, same shape.
    """

    softmax: Tensor
    logit: Tensor

    def followed_by(self, later: "OcclusionCurves") -> "OcclusionCurves":
        """These states of the images and then those of other curves."""
        return OcclusionCurves(
            torch.cat([self.softmax, later.softmax], 1), torch.cat([self.logit, later.logit], 1)
        )


def blurred(inputs: Tensor, kernel: int | None = None) -> Tensor:
    """Inputs ``(N, C, H, W)`` averaged over a square, edges reflected.

    Args:
        inputs: images.
        kernel: side of the square in pixels, odd; the paper's 15, scaled with the input, by
            default.
    """
    kernel = odd(scaled(BLUR, inputs.shape[-1])) if kernel is None else kernel
    margin = kernel // 2
    padded = pad(inputs, (margin,) * 4, mode="reflect")
    return sums_of_neighbours(sums_of_neighbours(padded, kernel, 2), kernel, 3) / kernel**2


def scaled(length: int, size: int) -> int:
    """A length in pixels of an ImageNet network's 224, for inputs of another size; at least 1."""
    return max(1, round(length * size / 224))


def odd(length: int) -> int:
    """The length, or the next longer one that is odd, as a square around a pixel needs it."""
    return length + 1 - length % 2


def _margins(length: int, patch: int) -> tuple[int, int]:
    """Pixels before and behind the full tiles that fit into a length, the tiles in the middle."""
    rest = length % patch
    return rest // 2, rest - rest // 2


def region_means(maps: Tensor, patch: int) -> Tensor:
    """Mean attribution of each tile, row by row.

    Only full tiles count, in the middle of the image: a sliver at its edge would hide fewer pixels
    than the others and, averaged over fewer, be chosen more often.

    Args:
        maps: ``(N, H, W)``.
        patch: side of a tile in pixels, at most that of the image.

    Returns:
        ``(N, rows * columns)`` with ``rows = H // patch``, likewise for columns.
    """
    (top, _), (left, _) = (_margins(length, patch) for length in maps.shape[1:])
    return avg_pool2d(maps[:, None, top:, left:], patch, stride=patch).flatten(1)


def occlusion_steps(
    maps: Tensor, patch: int, regions: int = REGIONS, tiling: Tiling = "tiles"
) -> Tensor:
    """At which step each pixel is replaced.

    Args:
        maps: attribution maps ``(N, H, W)``; higher is replaced earlier.
        patch: side of a region in pixels.
        regions: how many are replaced.
        tiling: ``tiles`` of a fixed grid, or ``sliding`` windows, which may lie on every third of
            their side; each is the best one of those that do not touch an earlier one.

    Returns:
        int64 ``(N, H, W)``: 1 for the pixels of the highest region, 2 for the next ..., and
        ``regions + 1`` for those that stay. Ties go to the earlier region in reading order.

    Raises:
        UsageError: unknown tiling.
    """
    if tiling == "tiles":
        return _tile_steps(maps, patch, regions)
    if tiling == "sliding":
        return _window_steps(maps, patch, regions)
    raise unknown_name("tiling", tiling, list(get_args(Tiling)))


def _tile_steps(maps: Tensor, patch: int, regions: int) -> Tensor:
    images, height, width = maps.shape
    means = region_means(maps, patch)
    order = means.argsort(dim=1, descending=True, stable=True)[:, :regions]
    step = torch.full_like(means, regions + 1)
    numbers = torch.arange(1, order.shape[1] + 1).to(means).expand_as(order)
    step.scatter_(1, order, numbers)
    grid = step.view(images, 1, height // patch, width // patch)
    tiles = interpolate(grid, scale_factor=patch, mode="nearest")
    edges = (*_margins(width, patch), *_margins(height, patch))
    return pad(tiles, edges, value=regions + 1)[:, 0].long()


def _window_steps(maps: Tensor, patch: int, regions: int) -> Tensor:
    images, height, width = maps.shape
    stride = max(1, patch // 3)
    means = avg_pool2d(maps[:, None], patch, stride=stride)[:, 0]
    rows = torch.arange(means.shape[1], device=maps.device) * stride
    columns = torch.arange(means.shape[2], device=maps.device) * stride
    open_windows = means.clone()
    step = torch.full(maps.shape, regions + 1, device=maps.device)
    for number in range(1, regions + 1):
        best = open_windows.flatten(1).argmax(1)
        top, left = rows[best // len(columns)], columns[best % len(columns)]
        free = open_windows.flatten(1).amax(1) > -torch.inf
        for image in free.nonzero()[:, 0].tolist():
            y, x = int(top[image]), int(left[image])
            step[image, y : y + patch, x : x + patch] = number
            touching = ((rows - y).abs() < patch)[:, None] & ((columns - x).abs() < patch)
            open_windows[image].masked_fill_(touching, -torch.inf)
    return step


@torch.no_grad()
def greedy_steps(
    model: Explainable,
    inputs: Tensor,
    targets: Tensor,
    patch: int,
    regions: int = REGIONS,
    blur: int | None = None,
    batch_size: int = 10,
) -> Tensor:
    """The steps of an order that no map gives: next comes the tile that hurts the softmax most.

    It is what a perfect ranking could do one tile at a time, a bound for all methods, and costs a
    pass for every tile that is left at every step.

    Args:
        model: the network.
        inputs: ``(N, 3, H, W)``.
        targets: explained classes ``(N,)``.
        patch: side of a tile in pixels.
        regions: how many are replaced.
        blur: side of the averaging square of the blurred copy, see :func:`blurred`.
        batch_size: occluded images in one pass.

    Returns:
        As :func:`occlusion_steps`.
    """
    height, width = inputs.shape[2:]
    rows, columns = height // patch, width // patch
    (top, _), (left, _) = _margins(height, patch), _margins(width, patch)
    result = torch.full((len(inputs), height, width), regions + 1, device=inputs.device)
    for number, (image, soft) in enumerate(zip(inputs, blurred(inputs, blur), strict=True)):
        current, left_over = image.clone(), list(range(rows * columns))
        for step in range(1, min(regions, rows * columns) + 1):
            scores = []
            for start in range(0, len(left_over), batch_size):
                tiles = left_over[start : start + batch_size]
                states = current.expand(len(tiles), -1, -1, -1).clone()
                for state, tile in zip(states, tiles, strict=True):
                    y, x = top + tile // columns * patch, left + tile % columns * patch
                    state[:, y : y + patch, x : x + patch] = soft[:, y : y + patch, x : x + patch]
                batch = states.contiguous(memory_format=torch.channels_last)
                scores.append(model.module(batch).softmax(1)[:, targets[number]])
            tile = left_over.pop(int(torch.cat(scores).argmin()))
            y, x = top + tile // columns * patch, left + tile % columns * patch
            current[:, y : y + patch, x : x + patch] = soft[:, y : y + patch, x : x + patch]
            result[number, y : y + patch, x : x + patch] = step
    return result


@torch.no_grad()
def occlusion_curves(
    model: Explainable,
    inputs: Tensor,
    targets: Tensor,
    maps: Tensor,
    patch: int = 15,
    regions: int = REGIONS,
    blur: int | None = None,
    batch_size: int = 10,
) -> OcclusionCurves:
    """Occlusion curves of attribution maps.

    Args:
        model: the network.
        inputs: ``(N, 3, H, W)``.
        targets: explained classes ``(N,)``.
        maps: ``(N, H, W)``.
        patch: side of a tile in pixels.
        regions: how many tiles are replaced.
        blur: side of the averaging square of the blurred copy, see :func:`blurred`.
        batch_size: occluded images in one pass.

    Returns:
        Curves over 0 to ``regions`` replaced tiles.
    """
    steps, soft = occlusion_steps(maps, patch, regions), blurred(inputs, blur)
    return replacement_curves(model, inputs, targets, soft, steps, range(regions + 1), batch_size)


def replaced(inputs: Tensor, substitutes: Tensor, steps: Tensor, count: int | Tensor) -> Tensor:
    """Inputs with their first ``count`` regions shown from the substitutes.

    Args:
        inputs, substitutes: ``(N, 3, H, W)``.
        steps: at which step each pixel is replaced, ``(N, H, W)``, from :func:`occlusion_steps`.
        count: how many regions are replaced; one number, or one an image ``(N,)``.

    Returns:
        ``(N, 3, H, W)``, channels-last.
    """
    limit = torch.as_tensor(count, device=steps.device).view(-1, 1, 1)
    changed = torch.where((steps <= limit)[:, None], substitutes, inputs)
    return changed.contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def replacement_curves(
    model: Explainable,
    inputs: Tensor,
    targets: Tensor,
    substitutes: Tensor,
    steps: Tensor,
    counts: Sequence[int],
    batch_size: int = 10,
) -> OcclusionCurves:
    """Softmax and logit of the target after some numbers of replaced regions.

    Args:
        model: the network.
        inputs, substitutes, steps: see :func:`replaced`.
        targets: explained classes ``(N,)``.
        counts: numbers of replaced regions.
        batch_size: images in one pass.

    Returns:
        Curves ``(N, len(counts))``.
    """
    images, numbers = len(inputs), torch.tensor(counts, device=inputs.device)
    logits = []
    for states in torch.arange(images * len(numbers), device=inputs.device).split(batch_size):
        image, count = states % images, numbers[states // images]
        shown = replaced(inputs[image], substitutes[image], steps[image], count)
        logits.append(model.module(shown))
    scores, column = torch.cat(logits), targets.repeat(len(numbers))[:, None]
    softmax, logit = (
        values.gather(1, column).view(len(numbers), images).T
        for values in (scores.softmax(1), scores)
    )
    return OcclusionCurves(softmax, logit)


def counts_of(regions: int, every: int) -> list[int]:
    """After how many replaced regions the prediction is taken; the first and last always."""
    return [*range(0, regions, every), regions]
