"""The set-up of Binder et al. (2022, App. A.1): steps, and ways to redraw the weights."""

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from sanitygap.experiments.randomization_test import randomization_test
from sanitygap.models.explainable import Explainable
from sanitygap.models.stages import step_counts
from sanitygap.randomization import NORM_LAYERS, Norms, RandomTwin, Redraw, Weights
from sanitygap.table import Batch, Context, Piece, table

#: methods of Fig. 2 of the paper, one of each family, and those of a single pass each
FIGURE_2 = (
    "gradient", "gradient-x-input", "integrated-gradients", "guided-backprop", "lrp-epsilon-plus",
    "lrp-alpha2-beta1", "lrp-gamma-box",
)  # fmt: skip
FAMILIES = FIGURE_2[:5]
ONE_PASS = ("gradient", "gradient-x-input", "guided-backprop")

#: the library's own way to redraw, and the two that the paper's words allow as well
VARIANTS: tuple[tuple[Weights, Norms], ...] = (
    ("he-normal", "reset"),
    ("he-uniform", "reset"),
    ("he-normal", "kept"),
)


def variants(model: Explainable) -> list[tuple[Weights, Norms]]:
    """The ways to redraw that differ for a network: without normalisation nothing is kept."""
    normalised = any(isinstance(module, NORM_LAYERS) for module in model.module.modules())
    return [
        (weights, norms) for weights, norms in VARIANTS if normalised or norms == VARIANTS[0][1]
    ]


table("step-counts")(step_counts)


@table(
    "configurations", cut=lambda context, given: [Piece(given, tuple(range(len(context.images))))]
)
def configurations(context: Context) -> Iterator[dict[str, Any]]:
    """What the paper leaves open about its set-up, as it is in this run; measured, not stated.

    Args:
        context: model, images and seed.
    """
    model, images = context.model, context.images
    for weights, norms in variants(model):
        yield {
            "weights_sha256": model.weights_sha256,
            "images_sha256": images.sha256,
            "n_images": len(images),
            "weights": weights,
            "norms": norms,
            **measured(model, Redraw(weights, norms), context.seed),
        }


def measured(model: Explainable, redraw: Redraw, seed: int) -> dict[str, object]:
    """How a whole redraw looks, from the redrawn tensors themselves.

    Args:
        model: the network.
        redraw: how it is redrawn.
        seed: of the draw.
    """
    norms = [module for module in model.module.modules() if isinstance(module, NORM_LAYERS)]
    trained = [dict(_tensors(module)) for module in norms]
    sums, biases = torch.zeros(4, dtype=torch.float64), [0.0]
    with RandomTwin(model, seed, redraw).redrawn(model.stages):
        for module in model.module.modules():
            for _, value in [] if isinstance(module, NORM_LAYERS) else _tensors(module):
                if value.ndim < 2:
                    biases.append(float(value.abs().max()))
                    continue
                # a dense or convolutional weight is (out, in, ...); groups see their part of "in"
                by_in, by_out = value[0].numel() / 2, value[:, 0].numel() / 2
                second, fourth = _powers(value)
                terms = [value.numel(), by_in * second, by_out * second, by_in**2 * fourth]
                sums += torch.tensor(terms, dtype=torch.float64)
        redrawn = [dict(_tensors(module)) for module in norms]
    squared, from_out, fourth = (sums[1:] / sums[0]).tolist()
    kurtosis = fourth / squared**2
    deviation, from_out = squared**0.5, from_out**0.5
    return {
        "distribution": "normal" if abs(kurtosis - 3) < abs(kurtosis - 1.8) else "uniform",
        "kurtosis": kurtosis,
        "fan": "fan-in" if abs(deviation - 1) < abs(from_out - 1) else "fan-out",
        "deviation": deviation,
        "biases": max(biases),
        "norm_affine": _state(trained, redrawn, ("weight", "bias")),
        "norm_statistics": _state(trained, redrawn, ("running_mean", "running_var")),
    }


def _powers(value: Tensor, part: int = 2**22) -> tuple[float, float]:
    """Sums of the squares and of the fourth powers, in parts that fit into memory."""
    second = fourth = 0.0
    for values in value.flatten().split(part):
        squares = values.double().square()
        second, fourth = second + float(squares.sum()), fourth + float(squares.square().sum())
    return second, fourth


def _tensors(module: nn.Module) -> list[tuple[str, Tensor]]:
    """A module's own parameters and running statistics, copied."""
    found = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
    return [(name, value.detach().clone()) for name, value in found if value.is_floating_point()]


def _state(
    before: list[dict[str, Tensor]], after: list[dict[str, Tensor]], names: Sequence[str]
) -> str:
    """``none``, ``kept``, ``reset`` or ``mixed``: what became of some tensors of each module."""
    pairs = [(a[name], b[name]) for a, b in zip(before, after, strict=True) for name in names]
    if not pairs:
        return "none"
    if all(torch.equal(a, b) for a, b in pairs):
        return "kept"
    constant = all(b.eq(0).all() or b.eq(1).all() for _, b in pairs)
    return "reset" if constant else "mixed"


@table(
    "initializations",
    by=["methods"],
    smoke={"methods": ONE_PASS, "n_steps": 1, "max_images": 2},
    quick={"methods": FAMILIES, "n_steps": 2, "path_steps": 4, "max_images": 4},
    full={"methods": FIGURE_2},
)
def initializations(
    batch: Batch,
    methods: Sequence[str] = FIGURE_2,
    n_steps: int | None = None,
    path_steps: int = 50,
) -> Iterator[pd.DataFrame]:
    """The top-down randomisation under each way to redraw that the paper's words allow.

    Args:
        batch: images.
        methods: attribution methods.
        n_steps: that many steps, evenly spread; all by default.
        path_steps: points of integrated gradients.
    """
    for weights, norms in variants(batch.model):
        for rows in randomization_test(
            batch, methods, "top-down", n_steps, path_steps, weights=weights, norms=norms
        ):
            yield rows.assign(weights=weights, norms=norms)
