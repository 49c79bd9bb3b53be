"""The forward-adaptive beta of Eq. (10)-(11) (App. A.2) on random neurons."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from sanitygap.seeds import stable_seed
from sanitygap.theory.monotonicity import lrp_beta

CAP = 3.0


def adaptive_beta(*, n: int, seed: int, inputs: int = 20) -> pd.DataFrame:
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
    rows = []
    for formula, beta in {
        "solved": -negative / (positive + negative),
        "printed": -negative / (positive - negative),
    }.items():
        residual = beta / (1 + beta) + negative / positive
        rule = lrp_beta(c, beta[:, None])
        difference = (rule - lrp_0).abs().amax(1) / lrp_0.abs().amax(1)
        rows.append(
            {
                "formula": formula,
                "neurons": len(c),
                "max_residual": float(residual.abs().max()),
                "max_beta": float(beta.max()),
                "capped": float((beta > CAP).double().mean()),
                "max_difference_to_lrp_0": float(difference.max()),
            }
        )
    return pd.DataFrame(rows)


def beta_curve(*, n: int, seed: int, neurons: int = 5_000, inputs: int = 20) -> pd.DataFrame:
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
    parts = [
        pd.DataFrame(
            {
                "formula": formula,
                "balance": balance,
                "beta": beta,
                "residual": beta / (1 + beta) - balance,
                "share": np.searchsorted(found, balance, side="right") / len(found),
            }
        )
        for formula, beta in {
            "solved": solved,
            "solved, capped": np.minimum(solved, CAP),
            "printed": printed,
        }.items()
    ]
    return pd.concat(parts, ignore_index=True)


def _active_neurons(n: int, inputs: int, seed: int) -> torch.Tensor:
    """Standard normal contributions of the neurons that are active, float64 (neurons, inputs)."""
    generator = torch.Generator().manual_seed(stable_seed(seed, "adaptive-beta"))
    c = torch.randn(n, inputs, generator=generator, dtype=torch.float64)
    return c[c.sum(1) > 0]
