"""Theorem 2 in real neurons: the next layer's weights are drawn again (end of App. I).

A layer here is a convolution or a linear layer; its neurons are its output channels at every
position, each with its own connections, padding and receptive field. What the theorem asks of a
neuron can be asked of all of them at once: the layer is applied to its inputs with everything set
to zero but the large activations, and again with everything but the small ones. The two outputs
are the sums L and S over X_L and X_S. Equation numbers are those of Binder et al. (2022).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import nn

from sanitygap.errors import UsageError

#: q_h and q_l: the ends of the paper's ranges
HIGH = (0.95, 0.85)
LOW = (0.50, 0.10)

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
    inputs: torch.Tensor

    @property
    def fan_in(self) -> int:
        """Inputs of one neuron."""
        weight = self.layer.weight
        assert isinstance(weight, torch.Tensor)
        return weight[0].numel()

    @cached_property
    def pooled(self) -> np.ndarray:
        """All inputs in ascending order, float32."""
        ordered: np.ndarray = np.sort(self.inputs.numpy(force=True).ravel())
        return ordered

    @cached_property
    def quantiles(self) -> dict[float, float]:
        """Level q -> quantile V(q) of the inputs, linear interpolation."""
        levels = (*HIGH, *LOW)
        return dict(zip(levels, np.quantile(self.pooled, levels).tolist(), strict=True))

    @cached_property
    def parts(self) -> torch.Tensor:
        """Inputs without all but the large ones (for each q_h), and all but the small ones (q_l).

        Shape (len(HIGH) + len(LOW), ...).
        """
        large = [self.inputs * (self.inputs >= self.quantiles[level]) for level in HIGH]
        small = [self.inputs * (self.inputs <= self.quantiles[level]) for level in LOW]
        return torch.stack(large + small)

    @torch.no_grad()
    def count(self) -> dict[tuple[float, float], tuple[int, int]]:
        """Overtaken neurons under the weights that the layer has now; its bias has to be zero.

        Returns:
            (q_h, q_l) -> how many neurons have L > 0, and how many of these have S >= L.
        """
        sums = self.layer(self.parts)
        found = {}
        for i, high in enumerate(HIGH):
            large = sums[i]
            positive = large > 0
            for j, low in enumerate(LOW):
                overtaken = positive & (sums[len(HIGH) + j] >= large)
                found[high, low] = int(positive.sum()), int(overtaken.sum())
        return found


def fed_layers(module: nn.Module, image: torch.Tensor) -> list[FedLayer]:
    """The layers whose inputs are activations as Theorem 2 assumes them: none is negative.

    The first layer is left out, because its inputs are pixels.

    Args:
        module: network in evaluation mode.
        image: float (1, ...), on its device.

    Returns:
        The layers in the order of their calls; one that is called several times counts once a
        call.

    Raises:
        UsageError: the network is in training mode.
    """
    return [
        FedLayer(name, index, layer, inputs[0])
        for index, (name, layer, inputs) in enumerate(_calls(module, image)[1:])
        if bool((inputs >= 0).all())
    ]


@torch.no_grad()
def _calls(module: nn.Module, image: torch.Tensor) -> list[tuple[str, nn.Module, torch.Tensor]]:
    """Name, layer and inputs of every call of a convolution or linear layer."""
    if module.training:
        raise UsageError("the model is in training mode; call its eval() first")
    calls: list[tuple[str, nn.Module, torch.Tensor]] = []
    handles = [
        part.register_forward_pre_hook(
            # a copy: an in-place operation may follow
            lambda layer, values, name=name: calls.append((name, layer, values[0].clone()))
        )
        for name, part in module.named_modules()
        if isinstance(part, WEIGHTED)
    ]
    try:
        module(image)
    finally:
        for handle in handles:
            handle.remove()
    return calls
