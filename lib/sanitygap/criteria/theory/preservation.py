"""Criteria for Eq. (3)-(6) of Binder et al. (2022): what randomisation has to leave unchanged."""

import pandas as pd

from sanitygap.claims import Verdict, criterion
from sanitygap.criteria.theory.evidence import formal_criterion, proved, refuted
from sanitygap.judge import formal, graded, rows_of

PROOFS = "equations-3-6-proofs"
INVARIANT = ("Gradient", "Gradient x Input", "Integrated Gradients", "Shapley")
EXACT = 1e-9
FIRST = "unresponsive features stay unresponsive"


@formal_criterion(
    "binder-eq3-eq4", PROOFS, "equation-4", settled=(FIRST, "LRP-beta gives nothing to x_1")
)
def irrelevance(proofs: pd.DataFrame, table: pd.DataFrame) -> Verdict:
    zero = float(rows_of(table, case="zero weights")["largest"].max())
    cancellation = rows_of(table, case="cancellation")
    invariant = cancellation["method"].isin(INVARIANT)
    cancelled = float(cancellation.loc[invariant, "largest"].max())
    others = cancellation[~invariant].groupby("method")["share"].mean()
    dead = rows_of(table, case="locally dead").groupby("method")["share"].mean()
    listed, local = (
        [f"{name} {share:.2f}" for name, share in shares.items() if share > EXACT]
        for shares in (others, dead)
    )
    holds = proved(proofs, FIRST) and zero <= EXACT and cancelled <= EXACT
    return graded(
        holds,
        (
            f"The first implication is proved; with zero weights every method gives the ignored "
            f"inputs at most {zero:.0e} of the attribution, with exact cancellation gradients, "
            f"Integrated Gradients and Shapley values at most {cancelled:.0e}. "
            if holds
            else f"Shares of the ignored inputs: {zero:.1e} (zero weights), {cancelled:.1e} "
            f"(cancellation, implementation-invariant methods). "
        )
        + (f"Mean shares under cancellation: {', '.join(listed)}. " if listed else "")
        + (f"Where phi is unresponsive only locally: {', '.join(local)}." if local else ""),
        {"zero_weights": zero, "cancellation": cancelled}
        | {f"cancellation {name}": float(share) for name, share in others.items()}
        | {f"locally dead {name}": float(share) for name, share in dead.items()},
        caveat=bool(listed or local),
    )


RELU = "ReLU after the addition"
EXACT_SURROGATE, INEXACT = (f"additive surrogate, {top}" for top in ("affine top", RELU))


@criterion("binder-fig6", tables=(PROOFS, "equation-5"))
@formal_criterion("binder-eq5", PROOFS, "equation-5", settled=(EXACT_SURROGATE, INEXACT))
def surrogate(proofs: pd.DataFrame, table: pd.DataFrame) -> Verdict:
    affine, relu = (rows_of(table, top=top) for top in ("affine", "ReLU, affine"))
    error = float(affine["largest"].max())
    errors, correlations = relu["estimate"], relu["logit_correlation"]
    return graded(
        proved(proofs, EXACT_SURROGATE) and error <= 1e-12,
        f"With an affine top the additive form is exact (largest error {error:.0e}); with a "
        f"ReLU after the addition the surrogate misses {errors.min():.0%} to "
        f"{errors.max():.0%} of the change under a new draw, while the logits before "
        f"and after still correlate at {correlations.min():.2f} to {correlations.max():.2f}.",
        {
            "largest_error_affine": error,
            "smallest_relative_error_relu": float(errors.min()),
            "largest_relative_error_relu": float(errors.max()),
        },
        caveat=refuted(proofs, INEXACT) and bool((relu["low"] >= 0.2).any()),
    )


@formal_criterion("binder-eq6", "equation-6")
def equation_6(table: pd.DataFrame) -> Verdict:
    sums = rows_of(table, combination="A + B").set_index("method")["largest"]
    linear = float(sums[list(INVARIANT)].max())
    others = ", ".join(
        f"{row['method']} {row['largest']:.1e} ({row['combination']})"
        for _, row in table[table["method"].isin(["LRP-beta", "Guided Backpropagation"])].iterrows()
    )
    return formal(
        linear <= 1e-10,
        f"Gradient, Gradient x Input, Integrated Gradients and Shapley values of A + B differ "
        f"from the sum of the parts by at most {linear:.0e}; other methods: {others}.",
        {"largest_error_linear_methods": linear}
        | {f"largest_error {name}": float(sums[name]) for name in sums.index},
    )
