"""Small dense ReLU networks, batched over networks, with every attribution in closed form.

Each network of a batch has its own weights and its own input. They serve the formal checks, where
thousands of networks are explained at once and relevance is needed in every layer; the attribution
methods for real models live in `sanitygap.attribution`. Everything is float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from sanitygap.theory.shapley import coalitions, shapley_values

Rule = Literal["0", "epsilon", "gamma", "beta", "z+"]


@dataclass(frozen=True)
class DenseNetworks:
    """ReLU networks with one linear output.

    Attributes:
        weights: one tensor (networks, out, in) a layer; the last has out = 1.
        biases: one tensor (networks, out) a layer.
    """

    weights: Sequence[torch.Tensor]
    biases: Sequence[torch.Tensor]

    def __len__(self) -> int:
        return len(self.weights[0])

    def __getitem__(self, chosen: torch.Tensor) -> DenseNetworks:
        """The networks selected by a mask or by indices."""
        return DenseNetworks([w[chosen] for w in self.weights], [b[chosen] for b in self.biases])

    def trace(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Activations of all layers for inputs (networks, ..., in): input, hidden ..., output."""
        layers = [x]
        last = len(self.weights) - 1
        for index, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            shape = (len(bias), *(1,) * (x.ndim - 2), bias.shape[1])
            z = torch.einsum("n...i,noi->n...o", layers[-1], weight) + bias.reshape(shape)
            layers.append(z if index == last else torch.relu(z))
        return layers

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (networks, ...) of inputs (networks, ..., in)."""
        return self.trace(x)[-1][..., 0]


def gradients(
    networks: DenseNetworks, x: torch.Tensor, *, guided: bool = False
) -> list[torch.Tensor]:
    """Gradient of the logit by the activations of every layer, input first.

    Args:
        networks: a batch of N networks.
        x: inputs (N, ..., in).
        guided: clip negative gradients at every ReLU (Guided Backpropagation).
    """
    layers = networks.trace(x)
    gradient = torch.ones_like(layers[-1])
    found = [gradient]
    for index in reversed(range(len(networks.weights))):
        if index < len(networks.weights) - 1:
            gradient = gradient * (layers[index + 1] > 0)
            if guided:
                gradient = gradient.clamp(min=0)
        gradient = torch.einsum("n...o,noi->n...i", gradient, networks.weights[index])
        found.append(gradient)
    return found[::-1]


def gradient_x_input(networks: DenseNetworks, x: torch.Tensor) -> list[torch.Tensor]:
    """Gradient times activation in every layer, input first, shapes (N, units)."""
    pairs = zip(gradients(networks, x), networks.trace(x), strict=True)
    return [gradient * layer for gradient, layer in pairs]


def integrated_gradients(
    networks: DenseNetworks, x: torch.Tensor, *, steps: int = 64, tolerance: float = 1e-3
) -> torch.Tensor:
    """Integrated gradients (N, in) along the straight path from zero, midpoint rule.

    Networks whose attributions do not sum to f(x) - f(0) within `tolerance` times |f(x)| are
    integrated again with four times as many steps, up to 2^14.
    """
    alphas = (torch.arange(steps, dtype=x.dtype) + 0.5) / steps
    path = gradients(networks, x[:, None] * alphas[:, None])[0]
    attribution = x * path.mean(1)
    logit, baseline = networks(x), networks(torch.zeros_like(x))
    rough = (attribution.sum(1) - (logit - baseline)).abs() > tolerance * logit.abs()
    if steps < 2**14 and rough.any():
        attribution[rough] = integrated_gradients(
            networks[rough], x[rough], steps=4 * steps, tolerance=tolerance
        )
    return attribution


def shapley(networks: DenseNetworks, x: torch.Tensor) -> torch.Tensor:
    """Exact Shapley values (N, in) of the game in which absent inputs are zero."""
    masks = coalitions(x.shape[1]).to(x)
    return shapley_values(networks(x[:, None] * masks))


def lrp(
    networks: DenseNetworks,
    x: torch.Tensor,
    rule: Rule,
    *,
    bias_absorbed: bool = False,
    epsilon: float = 1e-2,
    gamma: float = 0.25,
    beta: float = 1.0,
) -> list[torch.Tensor]:
    """Layer-wise relevance propagation of the logit; relevance in every layer, input first.

    Args:
        networks: a batch of N networks.
        x: inputs (N, in).
        rule: LRP-0, LRP-epsilon, LRP-gamma, LRP-beta (Eq. 61 of Binder et al. 2022: fraction
            1 + beta through positive and beta through negative contributions) or z+ (LRP-beta
            with beta = 0).
        bias_absorbed: the bias takes its share of the denominator, so that relevance is lost to
            it; otherwise the contributions alone share the relevance. LRP-beta and z+ never count
            the bias.
        epsilon, gamma, beta: parameters of the rules.

    Returns:
        Tensors (N, units). A neuron without positive (or negative) contributions passes nothing
        through that part: 0 / 0 counts as 0.
    """
    layers = networks.trace(x)
    relevance = layers[-1]
    found = [relevance]
    for index in reversed(range(len(networks.weights))):
        weight, bias = networks.weights[index], networks.biases[index]
        active = layers[index + 1] != 0  # an inactive unit has no relevance to pass on
        if rule == "gamma":
            weight, bias = (t + gamma * t.clamp(min=0) for t in (weight, bias))
        contributions = weight * layers[index][:, None, :]
        if rule in ("beta", "z+"):
            fraction = 0.0 if rule == "z+" else beta
            positive, negative = contributions.clamp(min=0), contributions.clamp(max=0)
            shares = (1 + fraction) * normalised(positive) - fraction * normalised(negative)
        else:
            total = contributions.sum(2) + (bias if bias_absorbed else 0)
            if rule == "epsilon":
                total = total + epsilon * torch.where(total >= 0, 1.0, -1.0)
            shares = contributions / torch.where(total == 0, torch.inf, total)[..., None]
        relevance = torch.einsum("no,noi->ni", relevance * active, shares)
        found.append(relevance)
    return found[::-1]


def normalised(parts: torch.Tensor) -> torch.Tensor:
    """Parts divided by their sum over the last axis, 0 where they are all zero."""
    total = parts.sum(-1, keepdim=True)
    return parts / torch.where(total == 0, torch.ones_like(total), total)


def random_networks(
    n: int, widths: Sequence[int], generator: torch.Generator, *, bias_scale: float = 0.0
) -> DenseNetworks:
    """He-normal networks with biases of one sign: `bias_scale` times |normal|.

    Args:
        n: number of networks.
        widths: units a layer, input first; the last is 1.
        generator: of the weights, then of the biases, layer by layer.
        bias_scale: 0 for no biases, negative for non-positive ones.
    """
    weights, biases = [], []
    for fan_in, out in zip(widths[:-1], widths[1:], strict=True):
        normal = torch.randn(n, out, fan_in, generator=generator, dtype=torch.float64)
        weights.append(normal * (2 / fan_in) ** 0.5)
        size = torch.randn(n, out, generator=generator, dtype=torch.float64).abs()
        biases.append(bias_scale * size)
    return DenseNetworks(weights, biases)
