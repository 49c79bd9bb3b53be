"""Criterion for Sec. 3 of Binder et al. (2022): change and noise cannot be separated."""

from __future__ import annotations

import numpy as np
import pandas as pd

from sanitygap.claims import CriterionContext, Value, Verdict, criterion
from sanitygap.criteria.theory.evidence import Tables
from sanitygap.theory.montecarlo import NORMAL_95


@criterion("binder-thm1-entangle", tables=("noise-entanglement",))
def entanglement(tables: Tables, context: CriterionContext) -> Verdict:
    table = tables["noise-entanglement"]
    # equality is a Monte Carlo statement: three standard errors
    scores = {name: _difference(table, "randomised", name, 3.0) for name in ("SSIM", "MSE")}
    control = _difference(table, "retest", "SSIM", NORMAL_95)
    noiseless = _difference(table, "noiseless part", "Pearson", NORMAL_95)
    equal = all(low <= 0 <= high for _, low, high in scores.values())
    separated = not control[1] <= 0 <= control[2]
    differ = not noiseless[1] <= 0 <= noiseless[2]
    value: Value = "direction" if equal and separated and differ else "not-reproduced"
    ssim, mse = scores["SSIM"], scores["MSE"]
    return Verdict(
        value=value,
        evidence=(
            f"Change without noise minus noise without change: SSIM {_shown(ssim)}, MSE "
            f"{_shown(mse)}, although the noiseless parts differ in correlation by "
            f"{_shown(noiseless)}; the test-retest SSIM differs by {_shown(control)}."
        ),
        numbers={
            "ssim_difference": ssim[0],
            "mse_difference": mse[0],
            "retest_difference": control[0],
        },
    )


def _difference(
    table: pd.DataFrame, comparison: str, similarity: str, width: float
) -> tuple[float, float, float]:
    """Difference of the two explainers (independent maps), plus or minus `width` errors."""
    rows = table[(table["comparison"] == comparison) & (table["similarity"] == similarity)]
    first, second = (
        rows[rows["explainer"] == explainer].iloc[0]
        for explainer in ("change, no noise", "noise, no change")
    )
    estimate = float(first["estimate"] - second["estimate"])
    error = width * float(np.hypot(first["standard_error"], second["standard_error"]))
    return estimate, estimate - error, estimate + error


def _shown(interval: tuple[float, float, float]) -> str:
    return f"{interval[0]:.4f} [{interval[1]:.4f}, {interval[2]:.4f}]"
