"""Eq. (5)-(6): the additive component of networks with skip connections (Sec. 4.2, Fig. 6).

A block adds a branch with randomised parameters theta to its input h; a top maps the sum to logits.
"""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import torch

from sanitygap.seeds import stable_seed
from sanitygap.theory import dense
from sanitygap.theory.dense import DenseNetworks
from sanitygap.theory.montecarlo import mean_estimate

FEATURES, CLASSES = 64, 100


def additive_surrogate(*, n: int, seed: int) -> pd.DataFrame:
    """Error of f^(x; theta) = A(x; theta) + B(x) when theta is drawn again.

    The top is either affine or a ReLU followed by an affine map, as in a ResNet. The surrogate
    linearises the top at the original theta; its error is measured at new draws of theta.

    Args:
        n: number of random networks, each with two draws of theta and one input.
        seed: seed of networks and inputs.

    Returns:
        One row a (top, branch_scale): the mean relative error |f^ - f| / |change of f| with its
        interval, the `largest` absolute error, and `logit_correlation`, the mean correlation of
        the logits before and after the draw. The branch scale is its standard deviation over that
        of h.
    """
    rows = []
    for scale in (0.3, 1.0, 3.0):
        generator = torch.Generator().manual_seed(stable_seed(seed, "skip", scale))

        def normal(*shape: int, g: torch.Generator = generator) -> torch.Tensor:
            return torch.randn(n, *shape, generator=g, dtype=torch.float64)

        h = torch.relu(normal(FEATURES))
        inner = normal(FEATURES, FEATURES) * (2 / FEATURES) ** 0.5
        hidden = torch.relu(torch.einsum("nij,nj->ni", inner, h))
        before, after = (_branch(hidden, normal(FEATURES, FEATURES), h, scale) for _ in range(2))
        top, shift = normal(CLASSES, FEATURES) / FEATURES**0.5, normal(CLASSES)

        def logits(
            z: torch.Tensor, top: torch.Tensor = top, shift: torch.Tensor = shift
        ) -> torch.Tensor:
            return torch.einsum("ncj,nj->nc", top, z) + shift

        gate = (h + before > 0).to(h)
        for name, function, mask in (
            ("affine", lambda z: z, torch.ones_like(h)),
            ("ReLU, affine", torch.relu, gate),
        ):
            old, new = logits(function(h + before)), logits(function(h + after))
            # A depends on theta, B does not; both go through the linearised top
            surrogate = (logits(mask * after) - shift) + logits(mask * h)
            error = (surrogate - new).norm(dim=1) / (new - old).norm(dim=1)
            rows.append(
                {
                    "top": name,
                    "branch_scale": scale,
                    **mean_estimate(error),
                    "largest": float((surrogate - new).abs().max()),
                    "logit_correlation": float(_correlation(old, new).mean()),
                }
            )
    return pd.DataFrame(rows)


def _branch(
    hidden: torch.Tensor, outer: torch.Tensor, h: torch.Tensor, scale: float
) -> torch.Tensor:
    """Output of the branch, brought to `scale` times the standard deviation of h."""
    out = torch.einsum("nij,nj->ni", outer, hidden)
    return scale * out * h.std(1, keepdim=True) / out.std(1, keepdim=True)


def _correlation(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    a, b = (x - x.mean(1, keepdim=True) for x in (a, b))
    return (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))


LINEARITY: dict[str, Callable[[DenseNetworks, torch.Tensor], torch.Tensor]] = {
    "Gradient": lambda net, x: dense.gradients(net, x)[0],
    "Gradient x Input": lambda net, x: dense.gradient_x_input(net, x)[0],
    # without refinement: the same points of the path for both sides
    "Integrated Gradients": lambda net, x: dense.integrated_gradients(net, x, tolerance=1e9),
    "Shapley": dense.shapley,
    "LRP-0": lambda net, x: dense.lrp(net, x, "0")[0],
    "LRP-beta": lambda net, x: dense.lrp(net, x, "beta")[0],
    "Guided Backpropagation": lambda net, x: dense.gradients(net, x, guided=True)[0],
}


def linearity(*, n: int, seed: int) -> pd.DataFrame:
    """Eq. (6): is the explanation of A + B the sum of the explanations of A and of B?

    A and B are random networks without biases, the combined network holds both side by side.

    Args:
        n: number of pairs of networks, each with one input of 8 features.
        seed: seed of networks and inputs.

    Returns:
        One row a (method, combination) with combination `A + B` or `A - B`: the `largest` and the
        mean distance between both sides, relative to the largest attribution.
    """
    generator = torch.Generator().manual_seed(stable_seed(seed, "linearity"))
    first, second = (dense.random_networks(n, (8, 16, 16, 1), generator) for _ in range(2))
    x = torch.randn(n, 8, generator=generator, dtype=torch.float64)
    rows = []
    for combination, sign in (("A + B", 1.0), ("A - B", -1.0)):
        both = side_by_side(first, second, sign)
        for method, explain in LINEARITY.items():
            whole, parts = explain(both, x), explain(first, x) + sign * explain(second, x)
            largest = torch.maximum(whole.abs().amax(1), parts.abs().amax(1))
            error = (whole - parts).abs().amax(1) / largest
            rows.append(
                {
                    "method": method,
                    "combination": combination,
                    "largest": float(error.max()),
                    "mean": float(error.mean()),
                    "networks": n,
                }
            )
    return pd.DataFrame(rows)


def side_by_side(first: DenseNetworks, second: DenseNetworks, sign: float) -> DenseNetworks:
    """One network that computes first + sign * second, with separate hidden units."""
    weights: list[torch.Tensor] = []
    last = len(first.weights) - 1
    for index, (a, b) in enumerate(zip(first.weights, second.weights, strict=True)):
        if index == 0:
            weights.append(torch.cat([a, b], 1))
        elif index == last:
            weights.append(torch.cat([a, sign * b], 2))
        else:
            upper = torch.cat([a, torch.zeros(len(a), a.shape[1], b.shape[2]).to(a)], 2)
            lower = torch.cat([torch.zeros(len(b), b.shape[1], a.shape[2]).to(b), b], 2)
            weights.append(torch.cat([upper, lower], 1))
    biases = [torch.cat([a, b], 1) for a, b in zip(first.biases, second.biases, strict=True)]
    biases[-1] = first.biases[-1] + sign * second.biases[-1]
    return DenseNetworks(weights, biases)
