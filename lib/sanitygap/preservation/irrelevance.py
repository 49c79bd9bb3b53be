"""Irrelevance that is preserved: measures for Sec. 4.1 and Eq. (4) of Binder et al. (2022)."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch.nn.functional import avg_pool2d

from sanitygap.faithfulness import blurred
from sanitygap.models.explainable import Explainable
from sanitygap.preservation.partition import Cut, Features, centred, resumed, stage_outputs
from sanitygap.randomization import RandomTwin
from sanitygap.seeds import normal
from sanitygap.similarity import WindowMoments, joint_range, pearson, ranks, second_moment, ssim

#: how a tile of an image is changed
Change = Literal["noise", "blur"]
CHANGES: tuple[Change, ...] = ("noise", "blur")

#: share of the pixels that count as irrelevant in :func:`low_relevance_auc`
LOW = 0.5


class Compared:
    """Maps prepared once and compared with many others, pair by pair.

    Args:
        maps: float ``(N, H, W)``.
    """

    def __init__(self, maps: torch.Tensor) -> None:
        self.normalized = second_moment(maps)
        self.ranks = ranks(self.normalized)

    def with_(self, other: "Compared", partner: torch.Tensor) -> dict[str, torch.Tensor]:
        """Similarities of map i with the other's map ``partner[i]``.

        Args:
            other: maps of the same shape.
            partner: int64 ``(N,)``; ``arange(N)`` compares maps of the same image.

        Returns:
            ``pearson``, ``spearman`` and ``ssim`` (window 7, L = joint range of the pair), each
            ``(N,)``; NaN where a map is zero everywhere.
        """
        second = other.normalized[partner]
        return {
            "pearson": pearson(self.normalized, second),
            "spearman": pearson(self.ranks, other.ranks[partner]),
            "ssim": ssim(
                WindowMoments(self.normalized), second, joint_range(self.normalized, second)
            ),
        }


def smoothed(maps: torch.Tensor) -> torch.Tensor:
    """Absolute values, averaged over squares of 15 of 224 pixels; ``(N, H, W)``, also returned."""
    return blurred(maps.abs()[:, None])[:, 0]


def low_relevance_auc(predictor: torch.Tensor, outcome: torch.Tensor) -> torch.Tensor:
    """How well low values of one map predict low values of another, pixel by pixel.

    Args:
        predictor, outcome: non-negative maps ``(N, H, W)``. The pixels below the outcome's median
            are to be found by the predictor's low values.

    Returns:
        Area under the ROC curve, ``(N,)``: 0.5 by chance, 1 if every such pixel lies below every
        other one. It is the share of pairs in the right order, from ranks (Mann and Whitney).
    """
    placed = ranks(predictor).double()
    pixels = placed.shape[1]
    count = int(LOW * pixels)
    lowest = outcome.flatten(1).argsort(dim=1, stable=True)[:, :count]
    below = placed.gather(1, lowest).sum(1) - count * (count + 1) / 2
    return 1 - below / (count * (pixels - count))


def tile_sums(maps: torch.Tensor, side: int) -> torch.Tensor:
    """Sum of each of ``side * side`` tiles of maps ``(N, H, W)``, row by row: ``(N, side ** 2)``.

    Pixels at the right and the lower end that do not fill a tile belong to none.
    """
    size = (maps.shape[1] // side, maps.shape[2] // side)
    return avg_pool2d(maps[:, None], size)[:, 0, :side, :side].flatten(1) * size[0] * size[1]


def with_changed_tiles(
    image: torch.Tensor, side: int, change: Change, level: float, seed: int
) -> torch.Tensor:
    """Copies of one image, each with another tile changed.

    Args:
        image: float ``(3, H, W)``.
        side: tiles in a row and in a column.
        change: ``noise`` adds the same pattern to every tile, so that all are changed by the same
            amount; ``blur`` takes the tile from the image blurred over 15 pixels, so that what is
            to be seen there is lost, and a uniform tile hardly changes.
        level: standard deviation of the noise over the image's value range.
        seed: of the noise.

    Returns:
        ``(side ** 2, 3, H, W)``, tiles row by row.
    """
    height, width = (length // side for length in image.shape[1:])
    if change == "noise":
        spread = level * (image.amax() - image.amin())
        pattern = normal((len(image), height, width), [seed], image)[0] * spread
        tiled = pattern.repeat(1, side, side)
        changed = image.clone()
        changed[:, : side * height, : side * width] += tiled
    else:
        changed = blurred(image[None])[0]
    copies = image.repeat(side * side, 1, 1, 1)
    for tile in range(side * side):
        rows = slice(tile // side * height, (tile // side + 1) * height)
        columns = slice(tile % side * width, (tile % side + 1) * width)
        copies[tile, :, rows, columns] = changed[:, rows, columns]
    return copies


@torch.no_grad()
def tile_responses(
    model: Explainable,
    cut: Cut,
    image: torch.Tensor,
    changed: torch.Tensor,
    twins: Sequence[RandomTwin],
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """How strongly phi, and several g on top of it, respond to a change of each tile.

    Args:
        model: the network.
        cut: where phi ends.
        image: one input, ``(3, H, W)``.
        changed: copies of it with one tile changed each, ``(tiles, 3, H, W)``.
        twins: each lends one redrawn g.

    Returns:
        Norm of the change of phi(x) over that of phi(x), ``(tiles,)``; and for the trained g and
        each redrawn one the norm of the change of the logits over that of the logits (from which
        their mean is subtracted, because softmax does not see it), ``(tiles,)`` each.
    """
    states = torch.cat([image[None], changed]).contiguous(memory_format=torch.channels_last)
    outputs = stage_outputs(model, states)
    with resumed(model, outputs, cut.kept):
        features = Features(model.module, cut.place)(states)
        responses = [_change(centred(model.module(states)))]
        for twin in twins:
            with twin.redrawn(cut.redrawn):
                responses.append(_change(centred(model.module(states))))
    return _change(features), responses


def _change(values: torch.Tensor) -> torch.Tensor:
    """Relative distance of every row from the first."""
    flat = values.flatten(1).double()
    return (flat[1:] - flat[:1]).norm(dim=1) / flat[:1].norm(dim=1)
