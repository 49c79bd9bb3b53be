"""Criteria for Eq. (3)-(6) of Binder et al. (2022): what randomisation has to leave unchanged."""

from __future__ import annotations

import pandas as pd

from sanitygap.claims import CriterionContext, Verdict, criterion
from sanitygap.criteria.theory.evidence import Tables, proved, refuted, unsettled

INVARIANT = ("Gradient", "Gradient x Input", "Integrated Gradients", "Shapley")
EXACT = 1e-9


def _largest(table: pd.DataFrame, case: str, methods: tuple[str, ...] | None = None) -> float:
    rows = table[table["case"] == case]
    if methods is not None:
        rows = rows[rows["method"].isin(methods)]
    return float(rows["largest"].max())


@criterion("binder-eq3-eq4", tables=("equations-3-6-proofs", "equation-4"))
def irrelevance(tables: Tables, context: CriterionContext) -> Verdict:
    proofs, table = tables["equations-3-6-proofs"], tables["equation-4"]
    first = "unresponsive features stay unresponsive"
    if verdict := unsettled(proofs, first, "LRP-beta gives nothing to x_1"):
        return verdict
    zero = _largest(table, "zero weights")
    cancelled = _largest(table, "cancellation", INVARIANT)
    rest = table[(table["case"] == "cancellation") & ~table["method"].isin(INVARIANT)]
    others = rest.groupby("method")["share"].mean()
    dead = table[(table["case"] == "locally dead")].groupby("method")["share"].mean()
    violating = {name: share for name, share in others.items() if share > EXACT}
    violating_locally = {name: share for name, share in dead.items() if share > EXACT}
    holds = proved(proofs, first) and zero <= EXACT and cancelled <= EXACT
    listed = [f"{name} {share:.2f}" for name, share in violating.items()]
    local = [f"{name} {share:.2f}" for name, share in violating_locally.items()]
    return Verdict(
        value="false" if not holds else "caveat" if violating or violating_locally else "holds",
        evidence=(
            f"The first implication is proved; with zero weights every method gives the ignored "
            f"inputs at most {zero:.0e} of the attribution, with exact cancellation gradients, "
            f"Integrated Gradients and Shapley values at most {cancelled:.0e}. "
            if holds
            else f"Shares of the ignored inputs: {zero:.1e} (zero weights), {cancelled:.1e} "
            f"(cancellation, implementation-invariant methods). "
        )
        + (f"Mean shares under cancellation: {', '.join(listed)}. " if listed else "")
        + (f"Where phi is unresponsive only locally: {', '.join(local)}." if local else ""),
        numbers={"zero_weights": zero, "cancellation": cancelled}
        | {f"cancellation {name}": float(share) for name, share in others.items()}
        | {f"locally dead {name}": float(share) for name, share in dead.items()},
    )


def _surrogate(tables: Tables) -> Verdict:
    proofs, table = tables["equations-3-6-proofs"], tables["equation-5"]
    exact, inexact = (f"additive surrogate, {top}" for top in ("affine top", RELU))
    if verdict := unsettled(proofs, exact, inexact):
        return verdict
    affine, relu = (table[table["top"] == top] for top in ("affine", "ReLU, affine"))
    error = float(affine["largest"].max())
    holds = proved(proofs, exact) and error <= 1e-12
    fails = refuted(proofs, inexact) and bool((relu["low"] >= 0.2).any())
    return Verdict(
        value="false" if not holds else "caveat" if fails else "holds",
        evidence=(
            f"With an affine top the additive form is exact (largest error {error:.0e}); with a "
            f"ReLU after the addition the surrogate misses {relu['estimate'].min():.0%} to "
            f"{relu['estimate'].max():.0%} of the change under a new draw, while the logits before "
            f"and after still correlate at {relu['logit_correlation'].min():.2f} to "
            f"{relu['logit_correlation'].max():.2f}."
        ),
        numbers={
            "largest_error_affine": error,
            "smallest_relative_error_relu": float(relu["estimate"].min()),
            "largest_relative_error_relu": float(relu["estimate"].max()),
        },
    )


RELU = "ReLU after the addition"


@criterion("binder-eq5", tables=("equations-3-6-proofs", "equation-5"))
def equation_5(tables: Tables, context: CriterionContext) -> Verdict:
    return _surrogate(tables)


@criterion("binder-fig6", tables=("equations-3-6-proofs", "equation-5"))
def figure_6(tables: Tables, context: CriterionContext) -> Verdict:
    return _surrogate(tables)


@criterion("binder-eq6", tables=("equation-6",))
def equation_6(tables: Tables, context: CriterionContext) -> Verdict:
    table = tables["equation-6"]
    sums = table[table["combination"] == "A + B"].set_index("method")["largest"]
    linear = float(sums[list(INVARIANT)].max())
    others = ", ".join(
        f"{row['method']} {row['largest']:.1e} ({row['combination']})"
        for _, row in table[table["method"].isin(["LRP-beta", "Guided Backpropagation"])].iterrows()
    )
    return Verdict(
        value="holds" if linear <= 1e-10 else "false",
        evidence=(
            f"Gradient, Gradient x Input, Integrated Gradients and Shapley values of A + B differ "
            f"from the sum of the parts by at most {linear:.0e}; other methods: {others}."
        ),
        numbers={"largest_error_linear_methods": linear}
        | {f"largest_error {name}": float(sums[name]) for name in sums.index},
    )
