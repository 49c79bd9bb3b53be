"""The forward-adaptive beta of Eq. (10)-(11) (App. A.2) on random neurons."""

from __future__ import annotations

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
    generator = torch.Generator().manual_seed(stable_seed(seed, "adaptive-beta"))
    c = torch.randn(n, inputs, generator=generator, dtype=torch.float64)
    c = c[c.sum(1) > 0]
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
