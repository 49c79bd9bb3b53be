"""Criteria for Eq. (17) and Theorem 3 of Binder et al. (2022): Spearman rewards unrelated ranks."""

import numpy as np
import pandas as pd

from sanitygap.claims import Verdict
from sanitygap.criteria.theory.evidence import formal_criterion, proved, refuted, witness
from sanitygap.judge import formal, graded


@formal_criterion("binder-eq17", "equation-17")
def equation_17(table: pd.DataFrame) -> Verdict:
    largest = float(table["max_difference"].max())
    return formal(
        largest <= 1e-12,
        f"Own and scipy's Spearman correlation differ by at most {largest:.1e} over "
        f"{int(table['pairs'].sum())} pairs of maps, with and without ties.",
        {"max_difference": largest},
    )


MAIN, TIED = "minimum at zero rank covariance", "expected Spearman, ranks with ties"


@formal_criterion("binder-thm3", "theorem-3-proofs", "theorem-3", settled=(MAIN, TIED))
def theorem_3(proofs: pd.DataFrame, sampled: pd.DataFrame) -> Verdict:
    means = sampled[sampled["functional"] == "E[Spearman]"]
    independent = means[means["process"] == "independent"]
    tolerance = 3 * independent["spread"] / np.sqrt(independent["draws"])
    beyond = int((independent["estimate"].abs() > tolerance).sum())
    ties = means[means["process"].str.startswith("ties")].sort_values("pixels").iloc[-1]
    conditional, main = refuted(proofs, TIED), proved(proofs, MAIN)
    return graded(
        main and beyond == 0,
        f"The ratio argument is {'proved' if main else 'refuted'} by z3; the "
        f"mean correlation of independent maps is away from 0 in {beyond} of "
        f"{len(independent)} sizes. "
        + (
            "For expectations the ranks must be free of ties: with ties z3 has a "
            "counterexample, and a process of zero expected rank covariance has mean "
            f"correlation {ties['estimate']:.2f}."
            if conditional
            else "Ties make no difference."
        ),
        {"sizes_beyond_tolerance": beyond, "mean_with_ties": float(ties["estimate"])},
        caveat=conditional,
    )


THREE, TWO = (f"rank covariance >= 0 iff covariance >= 0, {n} pixels" for n in (3, 2))


@formal_criterion(
    "binder-thm3-iff", "theorem-3-proofs", "theorem-3-equivalence", settled=(THREE, TWO)
)
def equivalence(proofs: pd.DataFrame, table: pd.DataFrame) -> Verdict:
    weak = table[table["dependence"] == table["dependence"].min()]
    rates = {row["noise"]: row["estimate"] for _, row in weak.iterrows()}
    listed = ", ".join(f"{rate:.1%} ({noise})" for noise, rate in rates.items())
    against = refuted(proofs, THREE)
    return formal(
        not (against or (table["estimate"] > 0).any()),
        f"The signs of covariance and rank covariance disagree for {listed} of weakly "
        f"dependent pairs of {int(weak['pixels'].iloc[0])} pixels"
        + (f"; z3's counterexample: {witness(proofs, THREE)}" if against else "")
        + (". For two pixels the equivalence is proved." if proved(proofs, TWO) else "."),
        {f"disagreement_{noise}": rate for noise, rate in rates.items()},
    )
