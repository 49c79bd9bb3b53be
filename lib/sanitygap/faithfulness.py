"""Faithfulness by occlusion: blur the regions a map calls important and watch the prediction.

Region perturbation (Samek et al. 2017) as in Binder et al. 2022, A.1: regions are square tiles,
ranked by their mean attribution; the highest are replaced, one after the other and for good, by
the same place of a blurred copy of the image.
"""

from dataclasses import dataclass

import torch
from torch.nn.functional import avg_pool2d, interpolate, pad

from sanitygap.models.explainable import Explainable
from sanitygap.similarity import sums_of_neighbours

BLUR = 15
REGIONS = 30


@dataclass(frozen=True)
class OcclusionCurves:
    """What the model says of each image as regions disappear.

    Attributes:
        softmax: probability of the target after 0, 1, ... regions, ``(N, regions + 1)``.
        logit: the target's logit, same shape.
    """

    softmax: torch.Tensor
    logit: torch.Tensor


def blurred(inputs: torch.Tensor, kernel: int = BLUR) -> torch.Tensor:
    """Inputs ``(N, C, H, W)`` averaged over a square of ``kernel`` pixels, edges reflected."""
    margin = kernel // 2
    padded = pad(inputs, (margin,) * 4, mode="reflect")
    return sums_of_neighbours(sums_of_neighbours(padded, kernel, 2), kernel, 3) / kernel**2


def region_means(maps: torch.Tensor, patch: int) -> torch.Tensor:
    """Mean attribution of each tile, row by row.

    Tiles start at the upper left corner; the last row and column are cut where the image ends and
    are averaged over what is left of them.

    Args:
        maps: ``(N, H, W)``.
        patch: side of a tile in pixels.

    Returns:
        ``(N, rows * columns)`` with ``rows = ceil(H / patch)``, likewise for columns.
    """
    return avg_pool2d(
        maps[:, None], patch, stride=patch, ceil_mode=True, count_include_pad=False
    ).flatten(1)


def occlusion_steps(maps: torch.Tensor, patch: int, regions: int = REGIONS) -> torch.Tensor:
    """At which step each pixel is replaced.

    Args:
        maps: signed attribution maps ``(N, H, W)``; higher means more in favour of the target.
        patch: side of a tile in pixels.
        regions: how many tiles are replaced.

    Returns:
        int64 ``(N, H, W)``: 1 for the pixels of the highest tile, 2 for the next ..., and
        ``regions + 1`` for those that stay. Ties go to the earlier tile in reading order.
    """
    images, height, width = maps.shape
    rows, columns = -(-height // patch), -(-width // patch)
    means = region_means(maps, patch)
    order = means.argsort(dim=1, descending=True, stable=True)[:, :regions]
    step = torch.full_like(means, regions + 1)
    numbers = torch.arange(1, order.shape[1] + 1).to(means).expand_as(order)
    step.scatter_(1, order, numbers)
    grid = step.view(images, 1, rows, columns)
    full = interpolate(grid, scale_factor=patch, mode="nearest")[:, 0, :height, :width]
    return full.long()


@torch.no_grad()
def occlusion_curves(
    model: Explainable,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    maps: torch.Tensor,
    patch: int = 15,
    regions: int = REGIONS,
    blur: int = BLUR,
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
        blur: side of the averaging square of the blurred copy.
        batch_size: occluded images in one pass.

    Returns:
        Curves over 0 to ``regions`` replaced tiles.
    """
    steps = occlusion_steps(maps, patch, regions)
    soft = blurred(inputs, blur)
    images, count = len(inputs), regions + 1
    chosen = torch.arange(images * count, device=inputs.device)
    logits = []
    for states in chosen.split(batch_size):
        image, done = states // count, states % count
        hidden = steps[image] <= done.view(-1, 1, 1)
        occluded = torch.where(hidden[:, None], soft[image], inputs[image])
        logits.append(model.module(occluded.contiguous(memory_format=torch.channels_last)))
    scores = torch.cat(logits)
    column = targets.repeat_interleave(count)[:, None]
    softmax = scores.softmax(1).gather(1, column).view(images, count)
    return OcclusionCurves(softmax, scores.gather(1, column).view(images, count))
