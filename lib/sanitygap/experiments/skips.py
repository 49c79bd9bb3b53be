"""A baseline is preserved: Fig. 6, Fig. 7 and Eq. (5) of Binder et al. (2022) on real networks."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import pandas as pd
import torch
from pydantic import PositiveInt

from sanitygap import randomization, similarity
from sanitygap.attribution import Sampling, attribute
from sanitygap.attribution.applicable import families
from sanitygap.experiments.experiment import Batch, Chunk, Context, experiment, image_rows
from sanitygap.experiments.irrelevance import redraw_seeds
from sanitygap.experiments.randomization_test import code_of, sampling_of
from sanitygap.models.explainable import Explainable
from sanitygap.preservation import partition, skips
from sanitygap.preservation.partition import below, centred, resumed, stage_outputs
from sanitygap.preservation.skips import (
    PARTS,
    LinearTop,
    Residual,
    addends,
    blocks_of,
    explicit_sums,
    one_layer,
    only_through,
    redrawn_layer,
)
from sanitygap.randomization import RandomTwin
from sanitygap.seeds import normal, stable_seed
from sanitygap.similarity import Reference, pearson

#: LRP-beta in convolutions and LRP-epsilon in dense layers, with beta 0 and 1: Fig. 7 names these
#: rules, but not beta
BETAS = {"lrp-epsilon-plus": 0.0, "lrp-alpha2-beta1": 1.0}

#: standard deviation of noise on the input over its value range
NOISE = (0.001, 0.01, 0.1)

IMAGE_COLUMNS = {
    "image": "file name of the image",
    "position": "place of the image in the set",
}
LAYER_COLUMNS = IMAGE_COLUMNS | {
    "block": "residual block",
    "layer": "redrawn layer, the last of the block's weighted path that is no normalisation",
}


def nothing(columns: Mapping[str, str]) -> Chunk:
    """A part without rows: the answer for a network that has no skip connections."""
    return Chunk({"skips": 0}, (skips,), lambda: pd.DataFrame({name: [] for name in columns}))


RELEVANCE_COLUMNS = LAYER_COLUMNS | {
    "method": "attribution method",
    "seed": "seed of the redrawn weights",
    "part": "the whole map, or what flows through the skip or through the branch",
    "pearson": "Pearson correlation over pixels before and after redrawing the layer",
    "spearman": "Spearman's rank correlation over pixels",
    "ssim": "SSIM of second-moment-normalised maps, window 7, L = joint range of the pair",
    "mass": "sum of the part's absolute values over that of the whole map, trained network",
    "mass_after": "the same for the redrawn network",
    "gap": "sum of |whole - skip - branch| over that of |whole|, the larger of the trained "
    "network's and the first redraw's",
}


@experiment(
    "skip-relevance",
    knobs={
        "smoke": {"redraws": 1, "max_images": 2},
        "quick": {"max_images": 2},
        "full": {},
    },
    columns=RELEVANCE_COLUMNS,
)
def skip_relevance(
    context: Context,
    methods: Sequence[str] = tuple(BETAS),
    redraws: PositiveInt = 5,
    max_images: int | None = None,
) -> Iterator[Chunk]:
    """Fig. 7: maps split into what flows through the skip and what flows through the branch.

    The topmost residual block is split; the last layer of its branch is redrawn.

    Args:
        context: model, images and seed.
        methods: attribution methods.
        redraws: independent draws of the layer.
        max_images: use at most that many images.

    Yields:
        One chunk a family of methods and a batch of images; one without rows for a network that
        has no residual blocks.
    """
    blocks = blocks_of(context.model)
    if not blocks:
        yield nothing(RELEVANCE_COLUMNS)
        return
    residual, sampling = blocks[-1], Sampling()
    seeds = redraw_seeds(context, redraws)
    for family in families(methods, context.model):
        names = [member.name for member in family]
        for positions in context.positions(max_images):

            def compute(
                names: list[str] = names, positions: tuple[int, ...] = positions
            ) -> pd.DataFrame:
                return split_relevance(context, names, positions, residual, seeds, sampling)

            settings = {
                "methods": names, "sampling": sampling_of(family, sampling),
                "block": residual.block, "seeds": seeds,
            }  # fmt: skip
            code = (
                skips, randomization, similarity, split_relevance, maps_through, *code_of(family),
            )  # fmt: skip
            yield Chunk(settings, code, compute, positions)


def maps_through(
    model: Explainable,
    residual: Residual,
    part: str,
    batch: Batch,
    names: Sequence[str],
    sampling: Sampling,
    seed: int,
) -> dict[str, torch.Tensor]:
    """Maps ``(N, H, W)`` of several methods: the whole (``total``), or one part of a block.

    Args:
        model: the network inside :func:`~sanitygap.preservation.skips.explicit_sums`.
        residual: the block at whose addition the maps are split.
        part: ``total``, ``skip`` or ``branch``.
        batch: images and targets.
        names: attribution methods.
        sampling: sizes of the sampling methods.
        seed: of all sampling.
    """
    keys = batch.seeds(seed, "skip")
    with only_through(model, residual, part) if part in PARTS else nullcontext():
        return attribute(model, batch.inputs, batch.targets, names, keys, sampling)


def split_relevance(
    context: Context,
    names: Sequence[str],
    positions: Sequence[int],
    residual: Residual,
    seeds: Sequence[int],
    sampling: Sampling,
) -> pd.DataFrame:
    """Similarity and mass of whole and parts, before and after redrawing, for one batch.

    The whole map is explained on its own for the trained network and the first redraw, where it
    shows how well the parts add up; for further redraws it is their sum.
    """
    batch, layer = context.batch(positions), redrawn_layer(context.model, residual)
    frames = []
    with explicit_sums(context.model) as model:

        def parts(*which: str) -> dict[str, dict[str, torch.Tensor]]:
            return {
                part: maps_through(model, residual, part, batch, names, sampling, context.seed)
                for part in which
            }

        before = parts("total", *PARTS)
        base = {
            (name, part): Reference(values)
            for part, maps in before.items()
            for name, values in maps.items()
        }
        gap = {name: _gap(before, name) for name in names}
        for number, seed in enumerate(seeds):
            with RandomTwin(model, seed).redrawn(one_layer(layer)):
                after = parts(*PARTS) if number else parts("total", *PARTS)
            for name in names:
                if number:
                    whole = after["skip"][name] + after["branch"][name]
                    after.setdefault("total", {})[name] = whole
                else:
                    gap[name] = torch.maximum(gap[name], _gap(after, name))
                for part in ("total", *PARTS):
                    scores = base[name, part].compare(after[part][name])
                    values = {key: scores[key] for key in ("pearson", "spearman", "ssim")}
                    values["mass"] = _mass(before, name, part)
                    values["mass_after"] = _mass(after, name, part)
                    values["gap"] = gap[name]
                    rows = image_rows(
                        batch, values, block=residual.block, layer=layer, method=name, seed=seed,
                        part=part,
                    )  # fmt: skip
                    frames.append(rows)
    return pd.concat(frames, ignore_index=True)[list(RELEVANCE_COLUMNS)]


Maps = Mapping[str, Mapping[str, torch.Tensor]]


def _size(values: torch.Tensor) -> torch.Tensor:
    return values.double().abs().sum((1, 2))


def _mass(maps: Maps, name: str, part: str) -> torch.Tensor:
    """Sum of absolute values of a part over that of the whole map, ``(N,)``."""
    return _size(maps[part][name]) / _size(maps["total"][name])


def _gap(maps: Maps, name: str) -> torch.Tensor:
    """How far the parts are from adding up to the whole, relative to it, ``(N,)``."""
    rest = maps["total"][name] - maps["skip"][name] - maps["branch"][name]
    return _size(rest) / _size(maps["total"][name])


SURROGATE_COLUMNS = LAYER_COLUMNS | {
    "change": "what is changed: the weights of the layer (redraw), or the input (noise)",
    "size": "standard deviation of the noise over the input's value range; 0 for a redraw",
    "seed": "seed of the redraw or of the noise",
    "error": "norm of surrogate - network over that of the network's change, without means",
    "correlation": "Pearson correlation over classes of the network's logits before and after",
    "constant": "the same between B(x), the part without random weights, and the logits after",
}


@experiment(
    "skip-surrogate",
    knobs={
        "smoke": {"redraws": 1, "blocks": 1, "max_images": 2},
        "quick": {"redraws": 2, "max_images": 2},
        "full": {},
    },
    columns=SURROGATE_COLUMNS,
)
def skip_surrogate(
    context: Context,
    redraws: PositiveInt = 10,
    blocks: PositiveInt = 3,
    max_images: int | None = None,
) -> Iterator[Chunk]:
    """Eq. (5) on a real network: the additive surrogate under noise and under redraws.

    The layers above an addition are linearised at the trained weights and the given image.

    Args:
        context: model, images and seed.
        redraws: independent draws of the layer, and of each level of noise.
        blocks: how many residual blocks, evenly spread, the topmost among them.
        max_images: use at most that many images.

    Yields:
        One chunk a block and a batch of images; one without rows for a network that has no
        residual blocks.
    """
    found = blocks_of(context.model)
    if not found:
        yield nothing(SURROGATE_COLUMNS)
        return
    chosen = np.unique(np.linspace(len(found) - 1, 0, min(blocks, len(found))).round().astype(int))
    seeds = redraw_seeds(context, redraws)
    for residual in (found[index] for index in chosen):
        for positions in context.positions(max_images):

            def compute(
                residual: Residual = residual, positions: tuple[int, ...] = positions
            ) -> pd.DataFrame:
                return surrogate_errors(context, positions, residual, seeds)

            settings = {"block": residual.block, "seeds": seeds, "noise": NOISE}
            code = (
                skips, partition, randomization, similarity, surrogate_errors,
            )  # fmt: skip
            yield Chunk(settings, code, compute, positions)


@torch.no_grad()
def surrogate_errors(
    context: Context, positions: Sequence[int], residual: Residual, seeds: Sequence[int]
) -> pd.DataFrame:
    """Fidelity of the surrogate at one block, for one batch of images."""
    batch, layer = context.batch(positions), redrawn_layer(context.model, residual)
    extent = batch.inputs.amax((1, 2, 3)) - batch.inputs.amin((1, 2, 3))
    shape = tuple(batch.inputs.shape[1:])
    frames = []
    with explicit_sums(context.model) as model:
        outputs = stage_outputs(model, batch.inputs)
        resting = (model, outputs, below(model, layer))
        with resumed(*resting):
            top = LinearTop(model, residual, batch.inputs)
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
                image_rows(batch, values, block=residual.block, layer=layer, change=change,
                           size=size, seed=seed)
            )  # fmt: skip

        for seed in seeds:
            with resumed(*resting), RandomTwin(model, seed).redrawn(one_layer(layer)):
                state = addends(model, residual, batch.inputs)
            row("redraw", 0.0, seed, state)
            draws = [stable_seed(key, seed, "noise") for key in batch.keys]
            noise = normal(shape, draws, batch.inputs) * extent.view(-1, 1, 1, 1)
            for level in NOISE:
                row("noise", level, seed, addends(model, residual, batch.inputs + level * noise))
    return pd.concat(frames, ignore_index=True)[list(SURROGATE_COLUMNS)]
