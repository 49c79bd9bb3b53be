"""Appendix G: does positive evidence dominate in every layer of a network with a positive logit?

Relevance is summed over each layer of small ReLU networks with non-positive biases.
"""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import torch

from sanitygap.seeds import stable_seed
from sanitygap.theory import dense
from sanitygap.theory.dense import DenseNetworks
from sanitygap.theory.montecarlo import proportion

WIDTHS = (8, 16, 16, 1)
BIAS_SCALES = (0.0, -0.3, -1.0, -2.0)

Explain = Callable[[DenseNetworks, torch.Tensor], list[torch.Tensor]]

# Relevance a layer; Integrated Gradients and Shapley values exist at the input only.
METHODS: dict[str, Explain] = {
    "Gradient x Input": dense.gradient_x_input,
    "Integrated Gradients": lambda net, x: [dense.integrated_gradients(net, x)],
    "Shapley": lambda net, x: [dense.shapley(net, x)],
    "LRP-0": lambda net, x: dense.lrp(net, x, "0"),
    "LRP-0, bias absorbed": lambda net, x: dense.lrp(net, x, "0", bias_absorbed=True),
    "LRP-epsilon": lambda net, x: dense.lrp(net, x, "epsilon"),
    "LRP-epsilon, bias absorbed": lambda net, x: dense.lrp(net, x, "epsilon", bias_absorbed=True),
    "LRP-gamma": lambda net, x: dense.lrp(net, x, "gamma"),
    "LRP-gamma, bias absorbed": lambda net, x: dense.lrp(net, x, "gamma", bias_absorbed=True),
    "LRP-beta": lambda net, x: dense.lrp(net, x, "beta"),
}


def layer_sums(*, n: int, seed: int, training_steps: int = 100) -> pd.DataFrame:
    """How often the relevance of a layer does not sum to something positive.

    Args:
        n: number of networks for each bias scale; only those with a positive logit count.
        seed: seed of networks and inputs.
        training_steps: steps of Adam for the trained networks, whose biases are kept non-positive.

    Returns:
        One row a (training, bias_scale, method): the share of networks with a sum <= 0 in some
        layer, with its interval; `smallest` sum over the logit; `conservation_error`, the largest
        distance of a layer's sum from the logit, over the logit.
    """
    rows = []
    for training in ("random", "trained"):
        for scale in BIAS_SCALES:
            generator = torch.Generator().manual_seed(stable_seed(seed, "appendix-g", scale))
            networks = dense.random_networks(n, WIDTHS, generator, bias_scale=scale)
            if training == "trained":
                networks = train(networks, generator, steps=training_steps)
            x = torch.randn(n, WIDTHS[0], generator=generator, dtype=torch.float64).abs()
            positive = networks(x) > 0
            chosen, inputs = networks[positive], x[positive]
            logit = chosen(inputs)
            for method, explain in METHODS.items():
                sums = torch.stack([layer.sum(1) for layer in explain(chosen, inputs)])
                failing = (sums <= 0).any(0)
                rows.append(
                    {
                        "training": training,
                        "bias_scale": scale,
                        "method": method,
                        **proportion(int(failing.sum()), len(logit)),
                        "smallest": float((sums / logit).min()),
                        "conservation_error": float((sums / logit - 1).abs().max()),
                    }
                )
    return pd.DataFrame(rows)


def train(networks: DenseNetworks, generator: torch.Generator, *, steps: int) -> DenseNetworks:
    """Fit each network to its own random teacher by logistic loss, with biases at most zero.

    The teacher of a network is the sign of a random linear function of non-negative inputs.
    """
    n, width = len(networks), networks.weights[0].shape[2]
    x = torch.randn(n, 16, width, generator=generator, dtype=torch.float64).abs()
    teacher = torch.randn(n, width, generator=generator, dtype=torch.float64)
    label = (torch.einsum("nsi,ni->ns", x, teacher) > 0).double()
    weights = [w.clone().requires_grad_(True) for w in networks.weights]
    biases = [b.clone().requires_grad_(True) for b in networks.biases]
    optimizer = torch.optim.Adam([*weights, *biases], lr=0.02)
    for _ in range(steps):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            DenseNetworks(weights, biases)(x), label, reduction="sum"
        )
        for parameter, gradient in zip(
            [*weights, *biases], torch.autograd.grad(loss, [*weights, *biases]), strict=True
        ):
            parameter.grad = gradient
        optimizer.step()
        with torch.no_grad():
            for bias in biases:
                bias.clamp_(max=0)
    return DenseNetworks([w.detach() for w in weights], [b.detach() for b in biases])
