"""A baseline is preserved: Fig. 6, Fig. 7 and Eq. (5) of Binder et al. (2022) on real networks."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from zennit.canonizers import SequentialMergeBatchNorm
from zennit.layer import Sum

from sanitygap.attribution import Sampling, attribute
from sanitygap.chapters.skips import BETAS
from sanitygap.images import ImageSet, load_images
from sanitygap.models.explainable import Explainable, Preprocessing
from sanitygap.partition import below, centred, resumed, stage_outputs
from sanitygap.randomization import RandomTwin
from sanitygap.residual_blocks import (
    PARTS,
    LinearTop,
    Residual,
    addends,
    blocks_of,
    explicit_sums,
    layers_of,
    one_layer,
    only_through,
    path_of,
    redrawn_layer,
    residual_blocks,
)
from sanitygap.seeds import generator, normal, stable_seed
from sanitygap.similarity import Reference, pearson, spearman
from sanitygap.table import Batch, Context, table
from sanitygap.training import descend, explained_by_layers

PREPROCESSING = Preprocessing(size=32, resize=32, mean=(0.3,) * 3, std=(0.35,) * 3)
CHANNELS, BLOCKS, CLASSES = 16, 4, 10
TRAINING_IMAGES, TEST_IMAGES = 1200, 300
EPOCHS, BATCH, RATE = 4, 40, 1e-2


class Block(nn.Module):
    """Two convolutions with batch normalisation; a skip around both, or none.

    The two kinds have the same layers, shapes and parameters.
    """

    def __init__(self, skip: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(CHANNELS)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(CHANNELS)
        self.sum = Sum() if skip else None
        self.relu2 = nn.ReLU()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Activations ``(N, C, H, W)`` to the same shape."""
        outputs = self.norm2(self.conv2(self.relu1(self.norm1(self.conv1(inputs)))))
        if self.sum is not None:
            outputs = self.sum(torch.stack([inputs, outputs], dim=-1))
        return self.relu2(outputs)


class DigitNetwork(nn.Module):
    """Stem, four blocks, pooling, dense layer: ``(N, 3, 32, 32)`` to ``(N, 10)``."""

    def __init__(self, skips: bool) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, CHANNELS, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(CHANNELS),
            nn.ReLU(),
        )
        self.blocks = nn.Sequential(*(Block(skips) for _ in range(BLOCKS)))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(CHANNELS, CLASSES)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Inputs to logits."""
        return self.fc(self.flatten(self.pool(self.blocks(self.stem(inputs)))))


#: the layers that are redrawn one by one: those that have a skip around them, where there is one
LAYERS = tuple(f"blocks.{block}.conv{number}" for block in range(BLOCKS) for number in (1, 2))


def trained_network(
    skips: bool, inputs: torch.Tensor, labels: torch.Tensor, seed: int
) -> Explainable:
    """Train one of the two networks.

    Args:
        skips: whether it has skip connections.
        inputs: float ``(N, 3, 32, 32)``.
        labels: int64 ``(N,)``.
        seed: of initial weights and order of the images; both kinds start from the same weights.

    Returns:
        The network in evaluation mode, one stage a layer.
    """
    with torch.random.fork_rng():
        torch.manual_seed(stable_seed(seed, "digits"))
        network = DigitNetwork(skips).train()
        optimizer = torch.optim.Adam(network.parameters(), RATE)
        steps = EPOCHS * -(-len(inputs) // BATCH)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
        for _ in range(EPOCHS):
            for chosen in torch.randperm(len(inputs)).split(BATCH):
                descend(network, optimizer, inputs, labels, chosen)
                schedule.step()
    return explained_by_layers(
        "digits with skips" if skips else "digits without skips", network, PREPROCESSING,
        canonizers=lambda: (SequentialMergeBatchNorm(),),
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Digits:
    """Handwritten digits, split once and for all.

    Attributes:
        train, test: inputs ``(N, 3, 32, 32)``, float.
        train_labels, test_labels: int64 ``(N,)``.
        test_names: one a test image.
    """

    train: torch.Tensor
    train_labels: torch.Tensor
    test: torch.Tensor
    test_labels: torch.Tensor
    test_names: tuple[str, ...]

    @classmethod
    def of(cls, images: ImageSet, training_images: int = TRAINING_IMAGES) -> "Digits":
        """Split labelled digits at random, always in the same way.

        Args:
            images: labelled digits.
            training_images: how many are for training; the 300 for testing do not depend on it.
        """
        order = torch.randperm(len(images), generator=generator("split of the digits")).tolist()
        order = order[TEST_IMAGES:][:training_images] + order[:TEST_IMAGES]
        inputs = torch.stack([PREPROCESSING(images.open(place)) for place in order])
        labels = torch.from_numpy(np.array([images.labels[p] for p in order], dtype=np.int64))
        held_out = order[-TEST_IMAGES:]
        return cls(
            inputs[:-TEST_IMAGES],
            labels[:-TEST_IMAGES],
            inputs[-TEST_IMAGES:],
            labels[-TEST_IMAGES:],
            tuple(images.names[place] for place in held_out),
        )


# --- tables ---

#: standard deviation of noise on the input over its value range
NOISE = (0.001, 0.01, 0.1)


@table(
    "skip-relevance",
    own=False,
    by=["methods"],
    smoke={"redraws": 1, "max_images": 2},
    quick={"max_images": 2},
)
def skip_relevance(
    batch: Batch, methods: Sequence[str] = tuple(BETAS), redraws: PositiveInt = 5
) -> Iterator[pd.DataFrame]:
    """Fig. 7: maps split into what flows through the skip and what flows through the branch.

    The topmost residual block is split; the last layer of its branch is redrawn. The whole map is
    explained on its own for the trained network and the first redraw, where it shows how well the
    parts add up; for further redraws it is their sum.

    Args:
        batch: images.
        methods: attribution methods.
        redraws: independent draws of the layer.

    Yields:
        Nothing for a network that has no residual blocks.
    """
    blocks = blocks_of(batch.model)
    if not blocks:
        return
    residual = blocks[-1]
    layer = redrawn_layer(batch.model, residual)
    with explicit_sums(batch.model) as model:

        def parts(*which: str) -> dict[str, dict[str, Tensor]]:
            return {part: maps_through(model, residual, part, batch, methods) for part in which}

        before = parts("total", *PARTS)
        base = {
            (name, part): Reference(values)
            for part, maps in before.items()
            for name, values in maps.items()
        }
        gap = {name: _gap(before, name) for name in methods}
        for number in range(redraws):
            seed = batch.seed + number
            with RandomTwin(model, seed).redrawn(one_layer(layer)):
                after = parts(*PARTS) if number else parts("total", *PARTS)
            for name in methods:
                if number:
                    whole = after["skip"][name] + after["branch"][name]
                    after.setdefault("total", {})[name] = whole
                else:
                    gap[name] = torch.maximum(gap[name], _gap(after, name))
                for part in ("total", *PARTS):
                    scores = base[name, part].compare(after[part][name])
                    scores["mass"] = _mass(before, name, part)
                    scores["mass_after"] = _mass(after, name, part)
                    scores["gap"] = gap[name]
                    yield batch.rows(
                        scores, block=residual.block, layer=layer, method=name, seed=seed,
                        part=part,
                    )  # fmt: skip


def maps_through(
    model: Explainable, residual: Residual, part: str, batch: Batch, names: Sequence[str]
) -> dict[str, Tensor]:
    """Maps ``(N, H, W)`` of several methods: the whole (``total``), or one part of a block.

    Args:
        model: the network inside :func:`~sanitygap.residual_blocks.explicit_sums`.
        residual: the block at whose addition the maps are split.
        part: ``total``, ``skip`` or ``branch``.
        batch: images and targets.
        names: attribution methods.
    """
    keys = batch.seeds(batch.seed, "skip")
    with only_through(model, residual, part) if part in PARTS else nullcontext():
        return attribute(model, batch.inputs, batch.targets, names, keys)


Maps = Mapping[str, Mapping[str, Tensor]]


def _size(values: Tensor) -> Tensor:
    return values.double().abs().sum((1, 2))


def _mass(maps: Maps, name: str, part: str) -> Tensor:
    """Sum of absolute values of a part over that of the whole map, ``(N,)``."""
    return _size(maps[part][name]) / _size(maps["total"][name])


def _gap(maps: Maps, name: str) -> Tensor:
    """How far the parts are from adding up to the whole, relative to it, ``(N,)``."""
    rest = maps["total"][name] - maps["skip"][name] - maps["branch"][name]
    return _size(rest) / _size(maps["total"][name])


@table(
    "skip-surrogate",
    smoke={"redraws": 1, "blocks": 1, "max_images": 2},
    quick={"redraws": 2, "max_images": 2},
)
def skip_surrogate(
    batch: Batch, redraws: PositiveInt = 10, blocks: PositiveInt = 3
) -> Iterator[pd.DataFrame]:
    """Eq. (5) on a real network: the additive surrogate under noise and under redraws.

    The layers above an addition are linearised at the trained weights and the given image.

    Args:
        batch: images.
        redraws: independent draws of the layer, and of each level of noise.
        blocks: how many residual blocks, evenly spread, the topmost among them.

    Yields:
        Nothing for a network that has no residual blocks.
    """
    found = blocks_of(batch.model)
    if found:
        last = len(found) - 1
        chosen = np.linspace(last, 0, min(blocks, len(found))).round().astype(int)
        for index in np.unique(chosen):
            yield from _surrogate_errors(batch, found[index], redraws)


@torch.no_grad()
def _surrogate_errors(batch: Batch, residual: Residual, redraws: int) -> list[pd.DataFrame]:
    """Fidelity of the surrogate at one block."""
    inputs, layer = batch.inputs, redrawn_layer(batch.model, residual)
    extent = (inputs.amax((1, 2, 3)) - inputs.amin((1, 2, 3))).view(-1, 1, 1, 1)
    frames = []
    with explicit_sums(batch.model) as model:
        outputs = stage_outputs(model, inputs)
        resting = (model, outputs, below(model, layer))
        with resumed(*resting):
            top = LinearTop(model, residual, inputs)
            constant = top.constant()

        def row(change: str, size: float, seed: int, state: Any) -> None:
            skip, branch, logits = state
            with resumed(*resting):
                surrogate = top.surrogate(skip, branch)
            moved = centred(logits - top.logits).norm(dim=1)
            values = {
                "error": centred(surrogate - logits).norm(dim=1) / moved,
                "correlation": pearson(top.logits, logits),
                "constant": pearson(constant, logits),
            }
            frames.append(
                batch.rows(values, block=residual.block, layer=layer, change=change, size=size,
                           seed=seed)
            )  # fmt: skip

        for seed in range(batch.seed, batch.seed + redraws):
            with resumed(*resting), RandomTwin(model, seed).redrawn(one_layer(layer)):
                state = addends(model, residual, inputs)
            row("redraw", 0.0, seed, state)
            draws = batch.seeds(seed, "noise")
            noise = normal(tuple(inputs.shape[1:]), draws, inputs) * extent
            for level in NOISE:
                row("noise", level, seed, addends(model, residual, inputs + level * noise))
    return frames


@table(
    "layer-logits",
    smoke={"redraws": 2, "every": 12, "max_images": 2},
    quick={"redraws": 5, "max_images": 2},
)
def layer_logits(
    batch: Batch, redraws: PositiveInt = 10, every: PositiveInt = 1
) -> Iterator[pd.DataFrame]:
    """Fig. 5: correlation of the logits before and after redrawing a single layer.

    Args:
        batch: images.
        redraws: independent draws of each layer.
        every: take every so many layers only, from the output.
    """
    model, inputs, seeds = batch.model, batch.inputs, range(batch.seed, batch.seed + redraws)
    names, blocks, outputs = layers_of(model), blocks_of(model), stage_outputs(model, inputs)
    with torch.no_grad():
        trained = model.module(inputs)
    for seed, layer in itertools.product(seeds, names[::-every][::-1]):
        path, block = path_of(layer, blocks)
        twin = RandomTwin(model, seed).redrawn(one_layer(layer))
        with torch.no_grad(), resumed(model, outputs, below(model, layer)), twin:
            logits = model.module(inputs)
        values = {
            "pearson": pearson(trained, logits),
            "spearman": spearman(trained, logits),
            "change": centred(logits - trained).norm(dim=1) / centred(trained).norm(dim=1),
            "kept_class": (logits.argmax(1) == trained.argmax(1)).float(),
        }
        yield batch.rows(
            values, layer=layer, depth=names.index(layer), path=path, block=block, seed=seed
        )


@table(
    "skip-networks",
    smoke={"trainings": 1, "redraws": 1, "test_images": 5, "path_steps": 2, "training_images": 200},
    quick={"trainings": 1, "redraws": 1, "test_images": 20, "path_steps": 8},
)
def skip_networks(
    seed: int,
    methods: Sequence[str] = ("gradient-x-input", "integrated-gradients"),
    trainings: PositiveInt = 5,
    redraws: PositiveInt = 5,
    test_images: PositiveInt = 100,
    path_steps: int = 16,
    training_images: PositiveInt = TRAINING_IMAGES,
) -> Iterator[pd.DataFrame]:
    """Sanity check of single layers in two small networks, one with skips and one without.

    Networks and digits come from this module, not the run.

    Args:
        seed: of the first training and the first redraw.
        methods: attribution methods.
        trainings: how often both networks are trained.
        redraws: independent draws of each layer.
        test_images: how many digits are explained.
        path_steps: points of integrated gradients.
        training_images: digits that the networks are trained on.
    """
    data = Digits.of(load_images("digits"), training_images)
    seeds, sampling = range(seed, seed + redraws), Sampling(path_steps)
    for training in range(seed, seed + trainings):
        for skips, network in ((True, "with skips"), (False, "without skips")):
            model = trained_network(skips, data.train, data.train_labels, training)
            accuracy = (model.predict(data.test) == data.test_labels).float().mean()
            for rows in check_layers(model, data, methods, seeds, test_images, sampling):
                yield rows.assign(training=training, network=network, accuracy=float(accuracy))


def check_layers(
    model: Explainable,
    data: Digits,
    methods: Sequence[str],
    seeds: Sequence[int],
    test_images: int,
    sampling: Sampling,
) -> Iterator[pd.DataFrame]:
    """Similarities after redrawing each layer of one network; without E{B} where there is one."""
    names = data.test_names[:test_images]
    inputs = data.test[: len(names)]
    keys = tuple(stable_seed(name) for name in names)
    context = Context(lambda: model, lambda: load_images("digits"), 0)
    batch = Batch(tuple(range(len(names))), inputs, model.predict(inputs), names, keys, context)
    blocks = {layer: residual for residual in residual_blocks(model) for layer in residual.branch}

    def maps(residual: Residual | None) -> dict[str, Tensor]:
        with only_through(model, residual, "branch") if residual else nullcontext():
            return attribute(model, inputs, batch.targets, methods, keys, sampling, len(names))

    for layer in LAYERS:
        parts = {"total": None} | ({"branch": blocks[layer]} if layer in blocks else {})
        for part, residual in parts.items():
            before = {name: Reference(values) for name, values in maps(residual).items()}
            for seed in seeds:
                with RandomTwin(model, seed).redrawn(one_layer(layer)):
                    after = maps(residual)
                for name, values in after.items():
                    scores = before[name].compare(values)
                    shown = {"ssim": scores["ssim"], "pearson": scores["pearson"]}
                    yield batch.rows(shown, layer=layer, method=name, seed=seed, part=part)
