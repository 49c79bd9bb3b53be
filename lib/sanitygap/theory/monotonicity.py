"""Eq. (9) and Appendix F: do larger contributions to a neuron get larger explanations?

Inputs i = 1..d reach the output only through one neuron y = g(sum_i c_i + b), with contributions
c_i = w_i x_i; a head h turns y into the output. Everything is float64 and batched over neurons.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pandas as pd
import torch

from sanitygap.seeds import stable_seed
from sanitygap.theory.montecarlo import proportion
from sanitygap.theory.shapley import coalitions, shapley_values

TOLERANCE = 1e-10
Function = Callable[[torch.Tensor], torch.Tensor]

ACTIVATIONS: dict[str, Function] = {
    "ReLU": torch.relu,
    "tanh": torch.tanh,
    "step": lambda z: (z > 0.3).to(z) + 0 * z,  # with a derivative, which is zero
}


def monotonicity(*, n: int, seed: int, inputs: tuple[int, ...] = (2, 4, 6)) -> pd.DataFrame:
    """How often a larger contribution gets a smaller explanation, by method, head and version.

    Versions, for pairs of inputs: `non-strict` c_i >= c_j > 0 implies |R_i| >= |R_j|; `strict` the
    same with >; `strong` |c_i| >= |c_j| implies |R_i| >= |R_j|; `non-negative` c_j > 0 implies
    R_j >= 0 (Shapley values only).

    Args:
        n: number of random neurons for each setting.
        seed: seed of the neurons.
        inputs: numbers of inputs d.

    Returns:
        One row a (method, setting, version): the share of violating pairs with its interval (draws
        = pairs), violations, and `explained`, the violations in which the derivative behind the
        neuron is zero (Gradient x Input only, else NaN).
    """
    counts: dict[tuple[str, str, str], list[int]] = {}
    for d in inputs:
        generator = torch.Generator().manual_seed(stable_seed(seed, "appendix-f", d))
        for key, violated, zero in _cases(n, d, generator):
            count = counts.setdefault(key, [0, 0, 0])
            count[0] += violated.numel()
            count[1] += int(violated.sum())
            count[2] += int((violated & zero).sum())
    return pd.DataFrame(
        {
            "method": method,
            "setting": setting,
            "version": version,
            **proportion(violations, pairs),
            "violations": violations,
            "explained": explained if method == "Gradient x Input" else float("nan"),
        }
        for (method, setting, version), (pairs, violations, explained) in counts.items()
    )


#: contributions of the neuron of `example_neuron`
EXAMPLE = (-0.6, -0.2, 0.3, 0.6, 1.0, 1.4)


def example_neuron(*, n: int, seed: int) -> pd.DataFrame:
    """What each method gives the inputs of one neuron, against their contributions.

    The neuron has a ReLU and no bias. On top of its output y is nothing, or a zigzag that rises
    from 0 to 1 at y = 1, falls to 0 at y = 2, and so on.

    Args:
        n: not used; the neuron is fixed.
        seed: not used.

    Returns:
        One row a (method, setting, input): contribution and relevance.
    """
    c = torch.tensor([EXAMPLE], dtype=torch.float64)
    outputs = torch.relu(c @ coalitions(len(EXAMPLE)).to(c).T)
    zigzag = 1 - (outputs % 2 - 1).abs()
    explained = {
        ("Gradient x Input", "neuron itself"): c,
        ("Shapley", "neuron itself"): shapley_values(outputs),
        ("LRP-beta", "common neuron"): lrp_beta(c, 1.0) * c.sum(),
        ("Shapley", "any function"): shapley_values(zigzag),
    }
    return pd.DataFrame(
        {
            "method": method,
            "setting": setting,
            "contribution": contribution,
            "relevance": value,
        }
        for (method, setting), relevance in explained.items()
        for contribution, value in zip(EXAMPLE, relevance[0].tolist(), strict=True)
    )


Case = tuple[tuple[str, str, str], torch.Tensor, torch.Tensor]


def _cases(n: int, d: int, generator: torch.Generator) -> Iterator[Case]:
    """Key, violation and zero derivative of every pair that meets the premise."""
    c = torch.randn(n, d, generator=generator, dtype=torch.float64)
    bias = 0.5 * torch.randn(n, 1, generator=generator, dtype=torch.float64)
    for name, g in ACTIVATIONS.items():
        for kind, head in _heads(n, generator).items():
            setting = f"{name}, {kind}"
            values = head(g(c @ coalitions(d).to(c).T + bias))
            for version, (bad, pairs) in violations(c, shapley_values(values)).items():
                if version != "strong":
                    yield ("Shapley", setting, version), bad, torch.zeros_like(pairs)[pairs]
            z = (c.sum(1, keepdim=True) + bias).requires_grad_(True)
            (factor,) = torch.autograd.grad(head(g(z)).sum(), z)
            zero = (factor == 0).expand(n, d)[:, :, None].expand(n, d, d)
            for version, (bad, pairs) in violations(c, factor * c).items():
                if version != "non-negative":
                    yield ("Gradient x Input", setting, version), bad, zero[pairs]
    for setting, relevance, allowed in _lrp_settings(c, generator):
        for version, (bad, pairs) in violations(c, relevance, allowed).items():
            if version in ("non-strict", "strong"):
                yield ("LRP-beta", setting, version), bad, torch.zeros_like(pairs)[pairs]


def _heads(n: int, generator: torch.Generator) -> dict[str, Function]:
    """Functions on top of the neuron, one random function a row."""
    shape = (n, 1, 16)
    slope, shift, scale = torch.randn(3, *shape, generator=generator, dtype=torch.float64)

    def sum_of_kinks(weights: torch.Tensor, slopes: torch.Tensor) -> Function:
        return lambda y: (weights * torch.relu(slopes * y[..., None] + shift)).sum(-1)

    return {
        "neuron itself": lambda y: y,
        "monotone function": sum_of_kinks(scale.abs(), slope.abs()),
        "any function": sum_of_kinks(scale, slope),
    }


def _lrp_settings(
    c: torch.Tensor, generator: torch.Generator
) -> Iterator[tuple[str, torch.Tensor, torch.Tensor | None]]:
    """LRP-beta relevances for R(z) = 1, and the pairs that count (None: all)."""
    yield "common neuron", lrp_beta(c, 1.0), None
    same_sign = c.sign()[:, :, None] == c.sign()[:, None, :]
    yield "common neuron, equal signs", lrp_beta(c, 1.0), same_sign
    yield "common neuron, no negatives", lrp_beta(c.abs(), 1.0) * c.sign(), same_sign
    # even inputs feed one neuron, odd ones another, each with a relevance of its own
    even = torch.arange(c.shape[1]) % 2 == 0
    own = torch.rand(len(c), 2, generator=generator, dtype=torch.float64)
    parts = [own[:, :1] * lrp_beta(c * even, 1.0), own[:, 1:] * lrp_beta(c * ~even, 1.0)]
    yield "different neurons", parts[0] + parts[1], even[:, None] != even[None, :]


def lrp_beta(c: torch.Tensor, beta: float | torch.Tensor) -> torch.Tensor:
    """Eq. (61) for contributions (neurons, inputs) and R(z) = 1, with 0 / 0 read as 0.

    beta is one number, or one a neuron of shape (neurons, 1).
    """
    parts = []
    for part in (c.clamp(min=0), c.clamp(max=0)):
        total = part.sum(1, keepdim=True)
        parts.append(part / torch.where(total == 0, torch.ones_like(total), total))
    return (1 + beta) * parts[0] - beta * parts[1]


def violations(
    c: torch.Tensor, relevance: torch.Tensor, allowed: torch.Tensor | None = None
) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """For each version: which pairs violate it, among the pairs (mask) that meet its premise.

    Args:
        c: contributions (neurons, inputs).
        relevance: explanations, same shape.
        allowed: mask (neurons, inputs, inputs) of ordered pairs (i, j); None: all.
    """
    ci, cj = c[:, :, None], c[:, None, :]
    ri, rj = relevance[:, :, None], relevance[:, None, :]
    everything = torch.ones(len(c), c.shape[1], c.shape[1], dtype=torch.bool)
    pairs = everything & ~torch.eye(c.shape[1], dtype=torch.bool)
    if allowed is not None:
        pairs = pairs & allowed
    smaller = ri.abs() < rj.abs() - TOLERANCE
    ordered = pairs & (ci >= cj) & (cj > 0)
    strictly = pairs & (ci > cj) & (cj > 0)
    by_size = pairs & (ci.abs() >= cj.abs())
    positive = pairs & (cj > 0) & (ci > 0)
    negative = (rj < -TOLERANCE).expand_as(pairs)
    return {
        "non-strict": (smaller[ordered], ordered),
        "strict": ((ri.abs() <= rj.abs())[strictly], strictly),
        "strong": (smaller[by_size], by_size),
        "non-negative": (negative[positive], positive),
    }
