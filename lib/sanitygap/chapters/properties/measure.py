"""Eq. (9)-(11), Appendices A.2, F and G: rules at one neuron, and in a whole network.

Do larger contributions to a neuron get larger explanations (F)? Inputs i = 1..d reach the output
only through one neuron y = g(sum_i c_i + b), with contributions c_i = w_i x_i; a head h turns y
into the output. Does positive evidence dominate in every layer of a network with a positive logit
(G)? Relevance is summed over each layer of small ReLU networks with non-positive biases. Everything
is float64 and batched.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import product

import numpy as np
import pandas as pd
import torch

from sanitygap.seeds import stable_seed
from sanitygap.table import table
from sanitygap.theory import dense
from sanitygap.theory.dense import DenseNetworks
from sanitygap.theory.montecarlo import Row, proportion
from sanitygap.theory.shapley import coalitions, shapley_values

TOLERANCE = 1e-10
Function = Callable[[torch.Tensor], torch.Tensor]

ACTIVATIONS: dict[str, Function] = {
    "ReLU": torch.relu,
    "tanh": torch.tanh,
    "step": lambda z: (z > 0.3).to(z) + 0 * z,  # with a derivative, which is zero
}


@table("appendix-f", smoke={"n": 200}, quick={"n": 5_000}, full={"n": 20_000})
def monotonicity(*, n: int, seed: int, inputs: tuple[int, ...] = (2, 4, 6)) -> Iterator[Row]:
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
    counts: dict[tuple[str, str, str], np.ndarray] = {}
    for d in inputs:
        generator = torch.Generator().manual_seed(stable_seed(seed, "appendix-f", d))
        for key, violated, zero in _cases(n, d, generator):
            found = violated.numel(), int(violated.sum()), int((violated & zero).sum())
            counts[key] = counts.get(key, 0) + np.array(found)
    for (method, setting, version), count in counts.items():
        pairs, violations, explained = count.tolist()
        named: Row = {"method": method, "setting": setting, "version": version}
        named |= {**proportion(violations, pairs), "violations": violations}
        yield named | {"explained": explained if method == "Gradient x Input" else float("nan")}


#: contributions of the neuron of `example_neuron`
EXAMPLE = (-0.6, -0.2, 0.3, 0.6, 1.0, 1.4)


@table("appendix-f-neuron", smoke={"n": 1}, quick={"n": 1}, full={"n": 1})
def example_neuron(*, n: int, seed: int) -> Iterator[Row]:
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
    for (method, setting), relevance in explained.items():
        named: Row = {"method": method, "setting": setting}
        for contribution, value in zip(EXAMPLE, relevance[0].tolist(), strict=True):
            yield {**named, "contribution": contribution, "relevance": value}


Case = tuple[tuple[str, str, str], torch.Tensor, torch.Tensor]


def _cases(n: int, d: int, generator: torch.Generator) -> Iterator[Case]:
    """Key, violation and zero derivative of every pair that meets the premise."""
    c = torch.randn(n, d, generator=generator, dtype=torch.float64)
    bias = 0.5 * torch.randn(n, 1, generator=generator, dtype=torch.float64)
    for name, g in ACTIVATIONS.items():
        for kind, head in _heads(n, generator).items():
            setting = f"{name}, {kind}"
            values = head(g(c @ coalitions(d).to(c).T + bias))
            for version, (bad, _) in violations(c, shapley_values(values)).items():
                if version != "strong":
                    yield ("Shapley", setting, version), bad, torch.zeros_like(bad)
            z = (c.sum(1, keepdim=True) + bias).requires_grad_(True)
            (factor,) = torch.autograd.grad(head(g(z)).sum(), z)
            zero = (factor == 0).expand(n, d)[:, :, None].expand(n, d, d)
            for version, (bad, pairs) in violations(c, factor * c).items():
                if version != "non-negative":
                    yield ("Gradient x Input", setting, version), bad, zero[pairs]
    for setting, relevance, allowed in _lrp_settings(c, generator):
        for version, (bad, _) in violations(c, relevance, allowed).items():
            if version in ("non-strict", "strong"):
                yield ("LRP-beta", setting, version), bad, torch.zeros_like(bad)


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
    positive, negative = (dense.normalised(part) for part in (c.clamp(min=0), c.clamp(max=0)))
    return (1 + beta) * positive - beta * negative


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
    pairs = ~torch.eye(c.shape[1], dtype=torch.bool).expand(len(c), -1, -1)
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


# --- the forward-adaptive beta of Eq. (10)-(11) (App. A.2) --------------------------------------

CAP = 3.0


@table("adaptive-beta", smoke={"n": 200}, quick={"n": 5_000}, full={"n": 20_000})
def adaptive_beta(*, n: int, seed: int, inputs: int = 20) -> Iterator[Row]:
    """beta as solved from Eq. (10) and as printed in Eq. (11), and what LRP-beta makes of it.

    Args:
        n: number of random neurons with standard normal contributions; active ones count.
        seed: seed of the contributions.
        inputs: contributions of each neuron.

    Returns:
        One row a formula (`solved`, `printed`): neurons, the largest residual of Eq. (10), the
        largest beta, the share of neurons on which the cap of 3 acts, and the largest difference
        to LRP-0 of the uncapped rule, relative to the largest relevance of the neuron.
    """
    c = _active_neurons(n, inputs, seed)
    positive, negative = c.clamp(min=0).sum(1), c.clamp(max=0).sum(1)
    lrp_0 = c / c.sum(1, keepdim=True)
    for formula, beta in {
        "solved": -negative / (positive + negative),
        "printed": -negative / (positive - negative),
    }.items():
        residual = beta / (1 + beta) + negative / positive
        rule = lrp_beta(c, beta[:, None])
        difference = (rule - lrp_0).abs().amax(1) / lrp_0.abs().amax(1)
        yield {
            "formula": formula,
            "neurons": len(c),
            "max_residual": float(residual.abs().max()),
            "max_beta": float(beta.max()),
            "capped": float((beta > CAP).double().mean()),
            "max_difference_to_lrp_0": float(difference.max()),
        }


@table("adaptive-beta-curve", smoke={"n": 40}, quick={"n": 200}, full={"n": 200})
def beta_curve(
    *, n: int, seed: int, neurons: int = 5_000, inputs: int = 20
) -> Iterator[pd.DataFrame]:
    """beta by both formulas, and as used with the cap, against |N| / P.

    Args:
        n: number of values of |N| / P, evenly spread from 0 to below 1.
        seed: seed of the random neurons.
        neurons: random neurons, of which the active ones say how common a value is.
        inputs: contributions of each neuron.

    Returns:
        One row a (formula, balance), formula `solved`, `solved, capped` or `printed`: balance
        |N| / P, beta, residual (left side of Eq. (10) minus its right side), and share, the
        fraction of active random neurons of at most that balance.
    """
    c = _active_neurons(neurons, inputs, seed)
    found = np.sort((-c.clamp(max=0).sum(1) / c.clamp(min=0).sum(1)).numpy())
    balance = np.linspace(0, 1, n, endpoint=False)
    solved, printed = balance / (1 - balance), balance / (1 + balance)
    share = np.searchsorted(found, balance, side="right") / len(found)
    for formula, beta in {
        "solved": solved,
        "solved, capped": np.minimum(solved, CAP),
        "printed": printed,
    }.items():
        residual = beta / (1 + beta) - balance
        columns = {"balance": balance, "beta": beta, "residual": residual, "share": share}
        yield pd.DataFrame({"formula": formula, **columns})


def _active_neurons(n: int, inputs: int, seed: int) -> torch.Tensor:
    """Standard normal contributions of the neurons that are active, float64 (neurons, inputs)."""
    generator = torch.Generator().manual_seed(stable_seed(seed, "adaptive-beta"))
    c = torch.randn(n, inputs, generator=generator, dtype=torch.float64)
    return c[c.sum(1) > 0]


# --- positive evidence in every layer (App. G) --------------------------------------------------

WIDTHS = (8, 16, 16, 1)
BIAS_SCALES = (0.0, -0.3, -1.0, -2.0)

#: relevance a layer; Integrated Gradients and Shapley values exist at the input only
METHODS: dict[str, Callable[[DenseNetworks, torch.Tensor], list[torch.Tensor]]] = {
    "Gradient x Input": dense.gradient_x_input,
    "Integrated Gradients": lambda net, x: [dense.integrated_gradients(net, x)],
    "Shapley": lambda net, x: [dense.shapley(net, x)],
    "LRP-0": partial(dense.lrp, rule="0"),
    "LRP-0, bias absorbed": partial(dense.lrp, rule="0", bias_absorbed=True),
    "LRP-epsilon": partial(dense.lrp, rule="epsilon"),
    "LRP-epsilon, bias absorbed": partial(dense.lrp, rule="epsilon", bias_absorbed=True),
    "LRP-gamma": partial(dense.lrp, rule="gamma"),
    "LRP-gamma, bias absorbed": partial(dense.lrp, rule="gamma", bias_absorbed=True),
    "LRP-beta": partial(dense.lrp, rule="beta"),
}


@table(
    "appendix-g",
    smoke={"n": 100, "training_steps": 5},
    quick={"n": 1_000},
    full={"n": 3_000},
)
def layer_sums(*, n: int, seed: int, training_steps: int = 100) -> Iterator[Row]:
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
    for training, scale in product(("random", "trained"), BIAS_SCALES):
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
            yield {
                "training": training,
                "bias_scale": scale,
                "method": method,
                **proportion(int((sums <= 0).any(0).sum()), len(logit)),
                "smallest": float((sums / logit).min()),
                "conservation_error": float((sums / logit - 1).abs().max()),
            }


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
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            for bias in biases:
                bias.clamp_(max=0)
    return DenseNetworks([w.detach() for w in weights], [b.detach() for b in biases])
