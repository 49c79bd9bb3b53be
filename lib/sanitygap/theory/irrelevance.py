"""Eq. (3)-(4): features to which the kept layers phi do not respond (Sec. 4.1).

Networks g(phi(x)) have a fixed phi that ignores two of its six inputs, in one of three ways, and
many g. What share of the attribution goes to the ignored inputs?
"""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import torch

from sanitygap.seeds import stable_seed
from sanitygap.theory import dense
from sanitygap.theory.dense import DenseNetworks

RELEVANT, IGNORED = slice(0, 4), slice(4, 6)
CASES = ("zero weights", "cancellation", "locally dead")

METHODS: dict[str, Callable[[DenseNetworks, torch.Tensor], torch.Tensor]] = {
    "Gradient": lambda net, x: dense.gradients(net, x)[0],
    "Gradient x Input": lambda net, x: dense.gradient_x_input(net, x)[0],
    "Integrated Gradients": lambda net, x: dense.integrated_gradients(net, x),
    "Shapley": dense.shapley,
    "LRP-0": lambda net, x: dense.lrp(net, x, "0")[0],
    "LRP-beta": lambda net, x: dense.lrp(net, x, "beta")[0],
    "z+": lambda net, x: dense.lrp(net, x, "z+")[0],
    "Guided Backpropagation": lambda net, x: dense.gradients(net, x, guided=True)[0],
}


def ignored_features(*, n: int, seed: int) -> pd.DataFrame:
    """Attribution to inputs that phi ignores, under a trained g and n random ones.

    Cases: `zero weights` no weight leads from the ignored inputs; `cancellation` they reach pairs
    of equal hidden units whose outgoing weights are opposite; `locally dead` they reach units that
    are off at the input but on nearer to the baseline.

    Args:
        n: number of random g, each with its own input; one more g has a fitted output layer.
        seed: seed of networks and inputs.

    Returns:
        One row a (case, method, head): mean and `largest` share of the absolute attribution that
        goes to the ignored inputs (NaN attributions where everything is zero do not count),
        `networks`, and the largest response of the output to a small change of the ignored inputs
        (`local_response`) and to setting them to zero (`global_response`).
    """
    rows = []
    for case in CASES:
        generator = torch.Generator().manual_seed(stable_seed(seed, "irrelevance", case))
        networks = _networks(case, n + 1, generator)
        x = 1 + torch.rand(n + 1, 6, generator=generator, dtype=torch.float64)
        nudged, removed = x.clone(), x.clone()
        nudged[:, IGNORED] += 1e-3
        removed[:, IGNORED] = 0
        logit = networks(x)
        local, far = ((networks(other) - logit).abs() for other in (nudged, removed))
        for method, explain in METHODS.items():
            size = explain(networks, x).abs()
            share = size[:, IGNORED].sum(1) / size.sum(1)
            for head, chosen in (("trained", slice(0, 1)), ("random", slice(1, None))):
                defined = share[chosen][~share[chosen].isnan()]
                rows.append(
                    {
                        "case": case,
                        "method": method,
                        "head": head,
                        "share": float(defined.mean()) if len(defined) else float("nan"),
                        "largest": float(defined.max()) if len(defined) else float("nan"),
                        "networks": len(defined),
                        "local_response": float(local[chosen].max()),
                        "global_response": float(far[chosen].max()),
                    }
                )
    return pd.DataFrame(rows)


def _networks(case: str, n: int, generator: torch.Generator) -> DenseNetworks:
    """n networks 6-16-12 (phi) and 12-24-1 (g) that share phi; the first g is fitted."""
    phi = dense.random_networks(1, (6, 16, 12), generator)
    g = dense.random_networks(n, (12, 24, 1), generator)
    first, second = phi.weights[0].clone(), phi.weights[1].clone()
    bias = phi.biases[0].clone()
    if case == "zero weights":
        first[:, :, IGNORED] = 0
    elif case == "cancellation":
        first[:, 4:, IGNORED] = 0  # only the pairs (0, 1) and (2, 3) see the ignored inputs
        first[:, 0:4:2] = first[:, 0:4:2].abs()  # and are active
        first[:, 1:4:2] = first[:, 0:4:2]
        second[:, :, 1:4:2] = -second[:, :, 0:4:2]
    else:
        first[:, :2, RELEVANT] = 0  # units 0 and 1: relu(1 - x_5), relu(1 - x_6), off for x > 1
        first[:, :2, IGNORED] = -torch.eye(2, dtype=torch.float64)
        first[:, 2:, IGNORED] = 0
        bias[:, :2] = 1
    weights = [first.expand(n, -1, -1), second.expand(n, -1, -1), *g.weights]
    biases = [bias.expand(n, -1), phi.biases[1].expand(n, -1), *g.biases]
    networks = DenseNetworks(weights, biases)
    _fit_output(networks, generator)
    return networks


def _fit_output(networks: DenseNetworks, generator: torch.Generator, samples: int = 200) -> None:
    """Least-squares fit of the first network's output layer to `target_function`, in place."""
    x = 2 * torch.rand(1, samples, 6, generator=generator, dtype=torch.float64)
    target = target_function(x[0])[:, None]
    one = networks[torch.tensor([0])]
    hidden = one.trace(x)[-2][0]
    design = torch.cat([hidden, torch.ones(samples, 1, dtype=torch.float64)], 1)
    solution = torch.linalg.lstsq(design, target, driver="gelsd").solution[:, 0]
    networks.weights[-1][0, 0] = solution[:-1]
    networks.biases[-1][0, 0] = solution[-1]


def target_function(x: torch.Tensor) -> torch.Tensor:
    """What the trained g is fitted to: x_1 x_2 + x_3 x_4, over the last axis."""
    return x[..., 0] * x[..., 1] + x[..., 2] * x[..., 3]
