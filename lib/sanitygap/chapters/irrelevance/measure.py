"""A network whose true contributions are known, pixel by pixel (Binder et al. 2022, Sec. 4.1).

It sees every pixel alone: convolutions of size 1, average pooling, a dense layer. A logit is thus
a sum over pixels, and what a pixel adds to it is not a matter of opinion.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from sanitygap.attribution import Sampling, attribute
from sanitygap.attribution.applicable import families
from sanitygap.faithfulness import blurred
from sanitygap.models.explainable import Explainable, Preprocessing, Stage
from sanitygap.partition import (
    Cut,
    Features,
    centred,
    cut_model,
    feature_sum,
    resumed,
    stage_outputs,
)
from sanitygap.randomization import RandomTwin
from sanitygap.sanity_check import ALL_METHODS
from sanitygap.seeds import generator, normal, stable_seed
from sanitygap.similarity import (
    joint_range,
    normalized_mse,
    pearson,
    ranks,
    relative_change,
    second_moment,
    ssim,
)
from sanitygap.table import Batch, Context, Piece, table

SIZE = 64
FEATURES, HIDDEN, CLASSES = 16, 32, 10

#: a feature answers to colours at least this far from the mean colour, in its own direction
THRESHOLD = 0.75


class PixelNetwork(nn.Module):
    """phi: colour features with a threshold; g: two layers on top. ``(N, 3, H, W)`` to logits.

    Args:
        seed: of all weights. phi has random unit directions in colour space and one threshold; g
            has He-normal weights and no biases.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, FEATURES, 1)
        self.feature_relu = nn.ReLU()
        self.hidden = nn.Conv2d(FEATURES, HIDDEN, 1)
        self.hidden_relu = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(HIDDEN, CLASSES)
        source = generator(seed, "planted")
        directions = torch.randn(FEATURES, 3, 1, 1, generator=source)
        with torch.no_grad():
            self.features.weight.copy_(directions / directions.norm(dim=1, keepdim=True))
            self.features.bias.fill_(-THRESHOLD)  # type: ignore[union-attr]
            for layer in (self.hidden, self.fc):
                deviation = (2 / layer.weight[0].numel()) ** 0.5
                layer.weight.copy_(deviation * torch.randn(layer.weight.shape, generator=source))
                layer.bias.zero_()  # type: ignore[union-attr]

    def units(self, inputs: torch.Tensor) -> torch.Tensor:
        """Activations below the pooling, ``(N, HIDDEN, H, W)``."""
        return self.hidden_relu(self.hidden(self.feature_relu(self.features(inputs))))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Inputs ``(N, 3, H, W)`` to logits ``(N, CLASSES)``."""
        return self.fc(self.flatten(self.pool(self.units(inputs))))

    @torch.no_grad()
    def contributions(self, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """What each pixel adds to its image's target logit, compared with the mean colour.

        All attributions that respect additivity agree on it, the Shapley value among them.

        Args:
            inputs: float ``(N, 3, H, W)``.
            targets: int64 ``(N,)``.

        Returns:
            ``(N, H, W)``; they sum to ``f(x) - f(0)``.
        """
        gained = self.units(inputs) - self.units(torch.zeros_like(inputs))
        weights = self.fc.weight[targets][:, :, None, None]
        return (gained * weights).sum(1) / gained[0, 0].numel()


def planted_model(seed: int, device: torch.device | str = "cpu") -> Explainable:
    """A :class:`PixelNetwork` to be explained; g is its top two stages, ``fc`` and ``hidden``.

    Args:
        seed: of all weights.
        device: a torch device.
    """
    names = ("fc", "hidden", "features")
    return Explainable(
        spec="planted",
        module=PixelNetwork(seed).eval().requires_grad_(False).to(device),
        preprocessing=Preprocessing(size=SIZE, resize=SIZE),
        stages=tuple(Stage(name, (name,)) for name in names),
        canonizers=tuple,
    )


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

    def __init__(self, maps: Tensor) -> None:
        self.normalized = second_moment(maps)
        self.ranks = ranks(self.normalized)

    def with_(self, other: "Compared", partner: Tensor) -> dict[str, Tensor]:
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
            "ssim": ssim(self.normalized, second, joint_range(self.normalized, second)),
        }


def smoothed(maps: Tensor) -> Tensor:
    """Absolute values, averaged over squares of 15 of 224 pixels; ``(N, H, W)``, also returned."""
    return blurred(maps.abs()[:, None])[:, 0]


def low_relevance_auc(predictor: Tensor, outcome: Tensor) -> Tensor:
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


def tile_sums(maps: Tensor, side: int) -> Tensor:
    """Sum of each of ``side * side`` tiles of maps ``(N, H, W)``, row by row: ``(N, side ** 2)``.

    Pixels at the right and the lower end that do not fill a tile belong to none.
    """
    size = (maps.shape[1] // side, maps.shape[2] // side)
    return avg_pool2d(maps[:, None], size)[:, 0, :side, :side].flatten(1) * size[0] * size[1]


def with_changed_tiles(image: Tensor, side: int, change: Change, level: float, seed: int) -> Tensor:
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
    model: Explainable, cut: Cut, image: Tensor, changed: Tensor, twins: Sequence[RandomTwin]
) -> tuple[Tensor, list[Tensor]]:
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


def _change(values: Tensor) -> Tensor:
    """Relative distance of every row from the first."""
    return relative_change(values[:1].expand_as(values[1:]), values[1:])


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


@table(
    "irrelevance",
    by=["shares"],
    smoke={"redraws": 2, "shares": (3 / 8,), "max_images": 2},
    quick={"max_images": 3},
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
) -> Iterator[tuple[str, Tensor, str, Tensor, str, int]]:
    """Pairs of maps of one cut: name, map, name, map, how both are shown, and a seed."""
    model, run = batch.model, batch.seed
    trained = explained(batch, method, run)
    phi = smoothed(of_features(batch, method, cut, run))
    keys = batch.seeds(run, "irrelevance")
    blind = attribute(model, batch.inputs, batch.targets, CONTROLS, keys)
    yield "phi", phi, "trained", smoothed(trained), "smoothed", run
    for name, values in blind.items():
        yield name, values.abs(), "trained", trained.abs(), "absolute", run
        yield name, smoothed(values), "trained", smoothed(trained), "smoothed", run
    for seed in range(run, run + redraws):
        with RandomTwin(model, seed).redrawn(cut.redrawn):
            redrawn = explained(batch, method, seed)
        yield "trained", trained, "redrawn", redrawn, "signed", seed
        yield "trained", trained.abs(), "redrawn", redrawn.abs(), "absolute", seed
        yield "phi", phi, "redrawn", smoothed(redrawn), "smoothed", seed
        for name, values in blind.items():
            yield name, values.abs(), "redrawn", redrawn.abs(), "absolute", seed


def partners(positions: Sequence[int]) -> list[Tensor]:
    """For each kind of pair, which image of a batch each is paired with; the first is itself.

    Pairs stay within groups of ten neighbours, so they do not depend on the size of a batch. An
    image alone in its group is paired with nothing: -1.
    """
    groups = pd.Series(range(len(positions))).groupby(np.array(positions) // GROUP)

    def following(members: pd.Series, shift: int) -> Any:
        return np.roll(members, -shift) if shift < len(members) else -1

    return [
        torch.tensor(groups.transform(following, shift).to_numpy()) for shift in range(PARTNERS + 1)
    ]


def explained(batch: Batch, method: str, seed: int) -> Tensor:
    """Signed maps ``(N, H, W)`` of a batch by one method, for the model as it is."""
    return batch.maps([method], seed, "irrelevance")[method]


def of_features(batch: Batch, method: str, cut: Cut, seed: int) -> Tensor:
    """Signed maps ``(N, H, W)`` that explain the sum of phi's activations."""
    model, targets = feature_sum(batch.model, cut), torch.zeros_like(batch.targets)
    keys = batch.seeds(seed, "irrelevance")
    return attribute(model, batch.inputs, targets, [method], keys)[method]


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
    model, cut = batch.model, cut_model(batch.model, share)
    twins = [RandomTwin(model, seed) for seed in range(batch.seed, batch.seed + redraws)]
    maps = [explained(batch, method, batch.seed)]
    for twin in twins:
        with twin.redrawn(cut.redrawn):
            maps.append(explained(batch, method, twin.seed))
    sums = [tile_sums(values.abs(), side) for values in maps]
    shares = [values / values.sum(1, keepdim=True) for values in sums]
    for index, (name, position) in enumerate(zip(batch.names, batch.positions, strict=True)):
        image, noise = batch.inputs[index], stable_seed(batch.keys[index], batch.seed, "tiles")
        for change in CHANGES:
            changed = with_changed_tiles(image, side, change, NOISE, noise)
            phi, logits = tile_responses(model, cut, image, changed, twins)
            named: dict[str, Any] = {"image": name, "position": position, "method": method}
            named |= {"share": share, "kept": cut.name, "change": change}
            for state, seed in enumerate([None, *(twin.seed for twin in twins)]):
                yield pd.DataFrame(
                    {
                        **named,
                        "seed": pd.array([seed] * side**2, dtype="Int64"),
                        "tile": np.arange(side**2),
                        "phi": phi.cpu().numpy(),
                        "logits": logits[state].cpu().numpy(),
                        "attribution": shares[state][index].cpu().numpy(),
                    }
                )


def _cut(context: Context, arguments: Mapping[str, Any]) -> Iterator[Piece]:
    """As tables are cut by methods, but none is left out: the network is not the run's."""
    for family in families(arguments["methods"]):
        names = tuple(member.name for member in family)
        for positions in context.positions(arguments["max_images"]):
            shared = {name: value for name, value in arguments.items() if name != "max_images"}
            yield Piece({**shared, "methods": names}, positions)


@table(
    "limited-change",
    cut=_cut,
    smoke={"redraws": 2, "path_steps": 2, "noisy_copies": 2},
    quick={"redraws": 5, "path_steps": 5, "noisy_copies": 5, "max_images": 6},
    modelled=False,
)
def limited_change(
    batch: Batch,
    methods: Sequence[str] = ALL_METHODS,
    redraws: PositiveInt = 10,
    path_steps: int = 50,
    noisy_copies: int = 50,
) -> Iterator[pd.DataFrame]:
    """A network with known contributions: how much change is attainable, and who reaches it.

    The network is :class:`PixelNetwork`, not the run's model.

    Args:
        batch: images.
        methods: attribution methods and controls.
        redraws: networks, each with one redraw of its g.
        path_steps: points of integrated gradients.
        noisy_copies: copies in SmoothGrad.
    """
    sampling = Sampling(path_steps, noisy_copies)
    pictures = [batch.context.images.open(position) for position in batch.positions]
    for seed in range(batch.seed, batch.seed + redraws):
        model = planted_model(seed)
        module = model.module
        assert isinstance(module, PixelNetwork)
        inputs = model.prepare(pictures)
        batch = replace(batch, inputs=inputs, targets=model.predict(inputs))

        def state(
            name: str, model: Explainable = model, module: PixelNetwork = module,
            batch: Batch = batch, seed: int = seed,
        ) -> tuple[Tensor, dict[str, Tensor]]:  # fmt: skip
            truth = module.contributions(batch.inputs, batch.targets)
            keys = batch.seeds(seed, name)
            maps = attribute(model, batch.inputs, batch.targets, methods, keys, sampling)
            scores = model.scores(batch.inputs).gather(1, batch.targets[:, None])[..., None]
            # the truth is what pixels add to a score; LRP tells which share of it each one has
            return truth, {
                method: values * scores if method.startswith("lrp-") else values
                for method, values in maps.items()
            }

        before, maps = state("before")
        with RandomTwin(model, seed).redrawn(model.stages[:-1]):
            after, changed = state("after")
        attainable = _alike(before, after)
        for name in methods:
            error = normalized_mse(maps[name], before) + normalized_mse(changed[name], after)
            values = {"ssim": _alike(maps[name], changed[name]), "attainable": attainable}
            yield batch.rows(values | {"error": error / 2}, seed=seed, method=name)


def _alike(first: Tensor, second: Tensor) -> Tensor:
    """SSIM of second-moment-normalised maps, L = joint range."""
    a, b = second_moment(first), second_moment(second)
    return ssim(a, b, joint_range(a, b))
