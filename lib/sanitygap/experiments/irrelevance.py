"""Irrelevance is preserved: Fig. 4 and Eq. (4) of Binder et al. (2022) on real networks."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import torch
from pydantic import PositiveInt

from sanitygap.attribution import attribute
from sanitygap.models.explainable import Explainable
from sanitygap.preservation.irrelevance import (
    CHANGES,
    Compared,
    low_relevance_auc,
    smoothed,
    tile_responses,
    tile_sums,
    with_changed_tiles,
)
from sanitygap.preservation.partition import Cut, cut_model, feature_sum
from sanitygap.randomization import RandomTwin
from sanitygap.seeds import stable_seed
from sanitygap.table import Batch, Context, table

#: the method of Fig. 4
METHOD = "lrp-gamma"

#: kept share of the stages for the two readings of "layer 12" of VGG-16: ``features.12``, which is
#: the sixth of its sixteen stages, and the twelfth convolution
KEPT = (3 / 8, 3 / 4)

#: what could make maps of one image alike without any network
CONTROLS = ("edges", "noise-x-input")

#: images among which mismatched pairs are formed; positions 0 to 9 are one group, and so on
GROUP = 10

#: other images with which each image is paired for the null distribution
PARTNERS = 3

#: standard deviation of the noise in a tile over the image's value range, as in SmoothGrad
NOISE = 0.15


def redraw_seeds(run: Batch | Context, redraws: int) -> list[int]:
    """Seeds of several independent redraws: the run's seed and those that follow it."""
    return [run.seed + number for number in range(redraws)]


@table(
    "irrelevance",
    by=["shares"],
    smoke={"redraws": 2, "shares": (3 / 8,), "max_images": 2},
    quick={"max_images": 4},
)
def preserved_irrelevance(
    batch: Batch, method: str = METHOD, shares: Sequence[float] = KEPT, redraws: PositiveInt = 5
) -> Iterator[pd.DataFrame]:
    """Similarity of maps before and after redrawing g, beside mismatched images and controls.

    Args:
        batch: images.
        method: attribution method.
        shares: shares of the stages that are kept, one cut each.
        redraws: independent draws of g.
    """
    kinds, nothing = partners(batch.positions), torch.full((len(batch.names),), torch.nan)
    for share in shares:
        cut = cut_model(batch.model, share)
        for first, a, second, b, maps, seed in _pairs(batch, method, cut, redraws):
            compared, other = Compared(a), Compared(b)
            for number, partner in enumerate(kinds[:1] if first in CONTROLS else kinds):
                paired = partner.clamp_min(0)
                auc = low_relevance_auc(a, b[paired]) if maps == "smoothed" else nothing
                rows = batch.rows(
                    {**compared.with_(other, paired.to(a.device)), "auc": auc}, method=method,
                    share=share, kept=cut.name, seed=seed, first=first, second=second,
                    other=number, maps=maps,
                )  # fmt: skip
                yield rows[(partner >= 0).numpy()]


def _pairs(
    batch: Batch, method: str, cut: Cut, redraws: int
) -> Iterator[tuple[str, torch.Tensor, str, torch.Tensor, str, int]]:
    """Pairs of maps of one cut: name, map, name, map, how both are shown, and a seed."""
    model, run = batch.model, batch.seed
    trained = explained(model, batch, method, run)
    phi = smoothed(of_features(model, batch, method, cut, run))
    keys = batch.seeds(run, "irrelevance")
    blind = attribute(model, batch.inputs, batch.targets, CONTROLS, keys)
    yield "phi", phi, "trained", smoothed(trained), "smoothed", run
    for name, values in blind.items():
        yield name, values.abs(), "trained", trained.abs(), "absolute", run
        yield name, smoothed(values), "trained", smoothed(trained), "smoothed", run
    for seed in redraw_seeds(batch, redraws):
        with RandomTwin(model, seed).redrawn(cut.redrawn):
            redrawn = explained(model, batch, method, seed)
        yield "trained", trained, "redrawn", redrawn, "signed", seed
        yield "trained", trained.abs(), "redrawn", redrawn.abs(), "absolute", seed
        yield "phi", phi, "redrawn", smoothed(redrawn), "smoothed", seed
        for name, values in blind.items():
            yield name, values.abs(), "redrawn", redrawn.abs(), "absolute", seed


def partners(positions: Sequence[int]) -> list[torch.Tensor]:
    """For each kind of pair, which image of a batch each is paired with; the first is itself.

    Pairs stay within groups of ten neighbours, so they do not depend on the size of a batch. An
    image alone in its group is paired with nothing: -1.
    """
    groups: dict[int, list[int]] = {}
    for index, position in enumerate(positions):
        groups.setdefault(position // GROUP, []).append(index)
    found = [torch.arange(len(positions))]
    for shift in range(1, PARTNERS + 1):
        other = torch.full((len(positions),), -1)
        for members in groups.values():
            for place, index in enumerate(members):
                if shift < len(members):
                    other[index] = members[(place + shift) % len(members)]
        found.append(other)
    return found


def explained(model: Explainable, batch: Batch, method: str, seed: int) -> torch.Tensor:
    """Signed maps ``(N, H, W)`` of a batch by one method, for the model as it is."""
    keys = batch.seeds(seed, "irrelevance")
    return attribute(model, batch.inputs, batch.targets, [method], keys)[method]


def of_features(model: Explainable, batch: Batch, method: str, cut: Cut, seed: int) -> torch.Tensor:
    """Signed maps ``(N, H, W)`` that explain the sum of phi's activations."""
    targets = torch.zeros_like(batch.targets)
    keys = batch.seeds(seed, "irrelevance")
    return attribute(feature_sum(model, cut), batch.inputs, targets, [method], keys)[method]


@table(
    "ignored-tiles",
    smoke={"redraws": 1, "side": 2, "max_images": 2},
    quick={"redraws": 2, "side": 4, "max_images": 2},
)
def ignored_tiles(
    batch: Batch,
    method: str = METHOD,
    share: float = KEPT[0],
    redraws: PositiveInt = 5,
    side: PositiveInt = 7,
) -> Iterator[pd.DataFrame]:
    """Eq. (4): response of phi, response of the logits and attribution, tile by tile.

    Args:
        batch: images.
        method: attribution method.
        share: share of the stages that is kept.
        redraws: independent draws of g.
        side: tiles in a row and in a column.
    """
    model, cut, seeds = batch.model, cut_model(batch.model, share), redraw_seeds(batch, redraws)
    twins = [RandomTwin(model, seed) for seed in seeds]
    maps = [explained(model, batch, method, batch.seed)]
    for twin in twins:
        with twin.redrawn(cut.redrawn):
            maps.append(explained(model, batch, method, twin.seed))
    sums = [tile_sums(values.abs(), side) for values in maps]
    shares = [values / values.sum(1, keepdim=True) for values in sums]
    for index, (name, position) in enumerate(zip(batch.names, batch.positions, strict=True)):
        image, noise = batch.inputs[index], stable_seed(batch.keys[index], batch.seed, "tiles")
        for change in CHANGES:
            changed = with_changed_tiles(image, side, change, NOISE, noise)
            phi, logits = tile_responses(model, cut, image, changed, twins)
            for state, seed in enumerate([None, *seeds]):
                yield pd.DataFrame(
                    {
                        "image": name,
                        "position": position,
                        "method": method,
                        "share": share,
                        "kept": cut.name,
                        "change": change,
                        "seed": pd.array([seed] * side**2, dtype="Int64"),
                        "tile": np.arange(side**2),
                        "phi": phi.cpu().numpy(),
                        "logits": logits[state].cpu().numpy(),
                        "attribution": shares[state][index].cpu().numpy(),
                    }
                )
