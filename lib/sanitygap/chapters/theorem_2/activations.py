"""Activation statistics of trained networks and what Theorem 2 makes of them (App. I and J).

Equation, section and figure numbers are those of Binder et al. (2022). A layer is the output of a
module, named as in `module.named_modules()`; all values of one image are pooled over channels and
positions, as the paper does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from sanitygap.errors import UsageError
from sanitygap.models.hooks import hooked
from sanitygap.seeds import stable_seed
from sanitygap.theory.theorem_2 import cauchy_tail

#: q_h and q_l of App. I: fractions below the large, and of the small activations
HIGH = (0.95, 0.90, 0.85)
LOW = (0.50, 0.45, 0.40, 0.35, 0.30, 0.25, 0.20, 0.15, 0.10)

#: inputs of a simulated neuron in :func:`overtaking`
FAN_IN = 200


def overtaking(
    module: nn.Module, inputs: Tensor, layers: Sequence[str], *, neurons: int = 100, seed: int = 0
) -> pd.DataFrame:
    """Overtaking probabilities from activation quantiles, image by image (App. I).

    The large set holds the activations above their q_h-quantile, the small one those below their
    q_l-quantile, so that gamma = sqrt(q_l / (1 - q_h)), and K = V(q_h) / V(q_l). If both quantiles
    are negative K is inverted, as the paper says. K is infinite and the bound 0 if only V(q_l) is
    0; a negative low with a non-negative high quantile, and two zeros, have no bound.

    Args:
        module: network in evaluation mode.
        inputs: float (N, ...), on its device.
        layers: names of modules; one that is called several times counts once a call.
        neurons: random neurons simulated for each image, layer and pair of quantiles, each with
            `FAN_IN` inputs drawn from the pooled activations in the proportions q_l and 1 - q_h;
            0 for none.
        seed: seed of the simulated neurons.

    Returns:
        One row an (image, layer, q_high, q_low): image (position in the batch), layer,
        layer_index (order of the calls), value_high, value_low, sign (`positive`, `zero`,
        `negative`, `mixed`), ratio K, gamma, bound (NaN where not covered), `positive` neurons
        (sum over large activations above 0) and `overtaken`, those whose small activations reach
        that sum.

    Raises:
        UsageError: a layer whose output is not a tensor of one row an image.
    """
    rows = []
    for index, layer, values in _pooled(module, inputs, layers):
        ordered = values.sort(dim=1).values
        levels = torch.tensor([*HIGH, *LOW], dtype=ordered.dtype, device=ordered.device)
        for image, quantiles in enumerate(_quantiles(ordered, levels).tolist()):
            rng = np.random.default_rng(stable_seed(seed, "overtaking", layer, index, image))
            activations = ordered[image].numpy(force=True)
            at = dict(zip((*HIGH, *LOW), quantiles, strict=True))
            for high, low in product(HIGH, LOW):
                positive, overtaken = simulate_neurons(activations, high, low, neurons, rng)
                named = {"image": image, "layer": layer, "layer_index": index}
                named |= quantile_bound(high, low, at[high], at[low])
                rows.append(named | {"positive": positive, "overtaken": overtaken})
    return pd.DataFrame(rows)


def quantile_bound(high: float, low: float, value_high: float, value_low: float) -> dict[str, Any]:
    """The bound of App. I for one pair of quantiles, with what it is computed from.

    Args:
        high, low: the levels q_h and q_l.
        value_high, value_low: the quantiles V(q_h) and V(q_l).

    Returns:
        q_high, q_low, value_high, value_low, sign and ratio (:func:`quantile_ratio`), gamma, and
        bound, which is NaN where the paper's rule does not cover the two quantiles.
    """
    sign, ratio = quantile_ratio(value_low, value_high)
    gamma = float(np.sqrt(low / (1 - high)))
    return {
        "q_high": high,
        "q_low": low,
        "value_high": value_high,
        "value_low": value_low,
        "sign": sign,
        "ratio": ratio,
        "gamma": gamma,
        "bound": float(cauchy_tail(ratio, gamma)),
    }


def quantile_ratio(value_low: float, value_high: float) -> tuple[str, float]:
    """Which case of App. I two quantiles are, and K: infinity for a zero, NaN if not covered."""
    if value_low > 0:
        return "positive", value_high / value_low
    if value_low == 0 < value_high:
        return "zero", float("inf")
    if value_low < 0 and value_high < 0:
        return "negative", value_low / value_high
    return "mixed", float("nan")


def sparsity(module: nn.Module, inputs: Tensor, layers: Sequence[str]) -> pd.DataFrame:
    """Fraction of activations that are not positive, image by image (App. J).

    Args:
        module: network in evaluation mode.
        inputs: float (N, ...), on its device.
        layers: names of modules; one that is called several times counts once a call.

    Returns:
        One row an (image, layer): image (position in the batch), layer, layer_index, elements,
        non_positive and negative (fractions, 0 to 1).

    Raises:
        UsageError: a layer whose output is not a tensor of one row an image.
    """
    rows = []
    for index, layer, values in _pooled(module, inputs, layers):
        named = {"layer": layer, "layer_index": index, "elements": values.shape[1]}
        shares = {"non_positive": values <= 0, "negative": values < 0}
        named |= {name: x.double().mean(1).numpy(force=True) for name, x in shares.items()}
        rows.append(pd.DataFrame({"image": range(len(values)), **named}))
    return pd.concat(rows, ignore_index=True)


@torch.no_grad()
def _pooled(
    module: nn.Module, inputs: Tensor, layers: Sequence[str]
) -> Iterator[tuple[int, str, Tensor]]:
    """Order of the call, layer name and pooled activations (N, elements), float32."""
    calls: list[tuple[str, Tensor]] = []

    def keep(name: str, _: object, output: object) -> None:
        if not isinstance(output, Tensor) or output.ndim < 2 or len(output) != len(inputs):
            raise UsageError(f"the output of layer {name!r} is not a tensor of one row an image")
        # a copy: an in-place operation may follow
        calls.append((name, output.flatten(1).float().clone()))

    with hooked({name: module.get_submodule(name) for name in layers}, keep):
        module(inputs)
    for index, (name, values) in enumerate(calls):
        yield index, name, values


def _quantiles(ordered: Tensor, levels: Tensor) -> Tensor:
    """Quantiles (N, levels) of rows sorted in ascending order, linear interpolation.

    `torch.quantile` refuses rows beyond 16 million values, and sorts again.
    """
    position = levels.double() * (ordered.shape[1] - 1)
    below = position.floor().long()
    above = position.ceil().long()
    weight = (position - below).to(ordered)
    return torch.lerp(ordered[:, below], ordered[:, above], weight)


def simulate_neurons(
    ordered: np.ndarray, high: float, low: float, neurons: int, rng: np.random.Generator
) -> tuple[int, int]:
    """Neurons whose `FAN_IN` inputs are drawn from pooled activations, with normal weights.

    Args:
        ordered: activations in ascending order.
        high, low: levels q_h and q_l; a neuron has inputs from above and below them in the
            proportions 1 - q_h and q_l.
        neurons: how many to draw.
        rng: source of inputs and weights.

    Returns:
        How many have a positive sum over their large inputs, and how many of these are overtaken.
    """
    if not neurons:
        return 0, 0
    count = len(ordered)
    below = ordered[: max(1, int(low * count))]
    above = ordered[min(count - 1, int(np.ceil(high * count))) :]
    sums = []
    for part, share in ((below, low), (above, 1 - high)):
        drawn = rng.choice(part, (neurons, max(1, round(FAN_IN * share))))
        sums.append((rng.standard_normal(drawn.shape) * drawn).sum(1))
    small, large = sums
    return int((large > 0).sum()), int(((large > 0) & (small >= large)).sum())


#: q_h and q_l: the ends of the paper's ranges
HIGH_ENDS = HIGH[::2]
LOW_ENDS = LOW[::8]

WEIGHTED = (nn.modules.conv._ConvNd, nn.Linear)


@dataclass(frozen=True, eq=False)
class FedLayer:
    """A layer and what one image makes the layers below feed into it.

    Attributes:
        name: as in `module.named_modules()`.
        index: order of the call among the layers.
        layer: the convolution or linear layer.
        inputs: its inputs for one image, without the axis of images.
    """

    name: str
    index: int
    layer: nn.Module
    inputs: Tensor

    @property
    def fan_in(self) -> int:
        """Inputs of one neuron."""
        weight = self.layer.weight
        assert isinstance(weight, Tensor)
        return weight[0].numel()

    @cached_property
    def pooled(self) -> np.ndarray:
        """All inputs in ascending order, float32."""
        ordered: np.ndarray = np.sort(self.inputs.numpy(force=True).ravel())
        return ordered

    @cached_property
    def quantiles(self) -> dict[float, float]:
        """Level q -> quantile V(q) of the inputs, linear interpolation."""
        levels = (*HIGH_ENDS, *LOW_ENDS)
        return dict(zip(levels, np.quantile(self.pooled, levels).tolist(), strict=True))

    @cached_property
    def parts(self) -> Tensor:
        """Inputs without all but the large ones (for each q_h), and all but the small ones (q_l).

        Shape (len(HIGH_ENDS) + len(LOW_ENDS), ...).
        """
        large = [self.inputs * (self.inputs >= self.quantiles[level]) for level in HIGH_ENDS]
        small = [self.inputs * (self.inputs <= self.quantiles[level]) for level in LOW_ENDS]
        return torch.stack(large + small)

    @torch.no_grad()
    def count(self) -> dict[tuple[float, float], tuple[int, int]]:
        """Overtaken neurons under the weights that the layer has now; its bias has to be zero.

        Returns:
            (q_h, q_l) -> how many neurons have L > 0, and how many of these have S >= L.
        """
        sums = dict(zip((*HIGH_ENDS, *LOW_ENDS), self.layer(self.parts), strict=True))
        found = {}
        for high, low in product(HIGH_ENDS, LOW_ENDS):
            positive = sums[high] > 0
            overtaken = positive & (sums[low] >= sums[high])
            found[high, low] = int(positive.sum()), int(overtaken.sum())
        return found


def fed_layers(module: nn.Module, image: Tensor) -> list[FedLayer]:
    """The layers whose inputs are activations as Theorem 2 assumes them: none is negative.

    The first layer is left out, because its inputs are pixels.

    Args:
        module: network in evaluation mode.
        image: float (1, ...), on its device.

    Returns:
        The layers in the order of their calls; one that is called several times counts once a
        call.
    """
    parts = {name: part for name, part in module.named_modules() if isinstance(part, WEIGHTED)}
    calls: list[tuple[str, Tensor]] = []
    with (
        torch.no_grad(),
        hooked(  # a copy: an in-place operation may follow
            parts, before=lambda name, given: calls.append((name, given[0].clone()))
        ),
    ):
        module(image)
    return [
        FedLayer(name, index, parts[name], inputs[0])
        for index, (name, inputs) in enumerate(calls[1:])
        if bool((inputs >= 0).all())
    ]
