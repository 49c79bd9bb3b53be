"""Activations of real networks (Binder et al. 2022, App. I and J) and the end of App. G."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from sanitygap import activations
from sanitygap.errors import UsageError
from sanitygap.models.explainable import Stage
from sanitygap.models.hooks import hooked
from sanitygap.randomization import RandomTwin, steps
from sanitygap.seeds import stable_seed
from sanitygap.table import Batch, table

#: neurons drawn from pooled activations for each image, layer and pair of quantiles
SIMULATED = 200

CONSERVATIVE = ("gradient-x-input", "lrp-epsilon-plus", "lrp-alpha2-beta1", "lrp-gamma-box")


def _named(rows: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Positions in a batch replaced by file names."""
    return rows.assign(image=[names[position] for position in rows["image"]])


@table(
    "activation-overtaking",
    smoke={"neurons": 5},
    quick={"neurons": 20, "max_images": 6},
    full={"max_images": 100},
)
def activation_overtaking(batch: Batch, neurons: int = 100) -> pd.DataFrame:
    """Bound on overtaking and its simulated frequency, for every layer and pair of quantiles.

    Args:
        batch: images.
        neurons: random neurons drawn for each image, layer and pair.
    """
    module, seed = batch.model.module, stable_seed(batch.seed, *batch.keys)
    layers = layers_of(module, batch.inputs[:1])
    rows = activations.overtaking(module, batch.inputs, layers, neurons=neurons, seed=seed)
    return _named(rows, batch.names)


@table(
    "redrawn-overtaking",
    smoke={"redraws": 1},
    quick={"redraws": 4, "max_images": 6},
    full={"max_images": 100},
)
def redrawn_overtaking(batch: Batch, redraws: int = 20) -> Iterator[dict[str, Any]]:
    """How often small activations overtake large ones when the next layer is really redrawn.

    Args:
        batch: images.
        redraws: He-normal draws of every layer for each image; each image has its own.

    Yields:
        One row an image, layer and pair of quantiles; none if no layer qualifies.
    """
    model, seed = batch.model, batch.seed
    for place, key in enumerate(batch.keys):
        layers = activations.fed_layers(model.module, batch.inputs[place : place + 1])
        stage = Stage("fed layers", tuple(dict.fromkeys(layer.name for layer in layers)))
        counts = []
        for redraw in range(redraws):
            with RandomTwin(model, stable_seed(seed, key, "redraw", redraw)).redrawn((stage,)):
                counts.append([layer.count() for layer in layers])
        for number, layer in enumerate(layers):
            rng = np.random.default_rng(stable_seed(seed, key, "simulated", layer.index))
            for high, low in itertools.product(activations.HIGH_ENDS, activations.LOW_ENDS):
                found = [count[number][high, low] for count in counts]
                simulated = activations.simulate_neurons(layer.pooled, high, low, SIMULATED, rng)
                yield {
                    "image": batch.names[place],
                    "position": batch.positions[place],
                    "layer": layer.name,
                    "layer_index": layer.index,
                    "fan_in": layer.fan_in,
                    **activations.quantile_bound(
                        high, low, layer.quantiles[high], layer.quantiles[low]
                    ),
                    "simulated_positive": simulated[0],
                    "simulated_overtaken": simulated[1],
                    "positive": sum(positive for positive, _ in found),
                    "overtaken": sum(overtaken for _, overtaken in found),
                }


def layers_of(module: nn.Module, example: Tensor) -> list[str]:
    """Names of the modules whose outputs are activations.

    These are the network's nonlinearities. Where all are calls of functions, it is the innermost
    modules that return what such a call returned, as the convolution blocks of Inception v3 do.

    Args:
        module: network in evaluation mode.
        example: inputs that it accepts, on its device.

    Raises:
        UsageError: no module returns activations.
    """
    try:
        return activations.activation_layers(module)
    except UsageError:
        found = _returning_activations(module, example)
        if not found:
            raise
        return found


class _CalledActivations(TorchFunctionMode):
    """Remembers what calls of nonlinear functions returned."""

    NAMES = ("relu", "relu_", "relu6", "silu", "gelu", "hardswish", "leaky_relu", "elu")

    def __init__(self) -> None:
        super().__init__()
        self.returned: list[Tensor] = []  # kept, so that no id is used twice

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        if getattr(func, "__name__", "") in self.NAMES:
            self.returned.append(made)
        return made


@torch.no_grad()
def _returning_activations(module: nn.Module, example: Tensor) -> list[str]:
    found: dict[int, str] = {}
    mode = _CalledActivations()

    def note(name: str, _inputs: object, output: object) -> None:
        if any(output is made for made in mode.returned):
            found.setdefault(id(output), name)  # the innermost module returns first

    with hooked(dict(module.named_modules()), note), mode:
        module(example)
    return list(dict.fromkeys(found.values()))


@table("activation-sparsity")
def activation_sparsity(batch: Batch) -> pd.DataFrame:
    """Fraction of activations that are not positive, layer by layer.

    Args:
        batch: images.
    """
    module = batch.model.module
    layers = layers_of(module, batch.inputs[:1])
    return _named(activations.sparsity(module, batch.inputs, layers), batch.names)


@table("positive-evidence", quick={"max_images": 6}, full={"max_images": 100})
def positive_evidence(batch: Batch) -> Iterator[pd.DataFrame]:
    """Sums of maps beside the logit they explain, before and after randomisation.

    Args:
        batch: images.
    """
    model, inputs, targets = batch.model, batch.inputs, batch.targets
    half, whole = (steps(model.stages, "top-down", 3)[index] for index in (1, 2))
    twin = RandomTwin(model, batch.seed)
    states = {"trained": (), "upper half redrawn": half.stages, "all redrawn": whole.stages}
    for state, stages in states.items():
        with twin.redrawn(stages):
            maps = batch.maps(CONSERVATIVE, batch.seed, state)
            with torch.no_grad():
                score = model.scores(inputs).gather(1, targets[:, None])[:, 0]
        for name, values in maps.items():
            sums = {"logit": score, "relevance": values.double().sum((1, 2))}
            yield batch.rows(sums, method=name, state=state)
