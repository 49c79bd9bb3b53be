"""Criteria for Eq. (17) and Theorem 3 of Binder et al. (2022): Spearman rewards unrelated ranks."""

from __future__ import annotations

import numpy as np

from sanitygap.claims import CriterionContext, Verdict, criterion
from sanitygap.criteria.theory.evidence import Tables, proved, refuted, unsettled, witness


@criterion("binder-eq17", tables=("equation-17",))
def equation_17(tables: Tables, context: CriterionContext) -> Verdict:
    table = tables["equation-17"]
    largest = float(table["max_difference"].max())
    return Verdict(
        value="holds" if largest <= 1e-12 else "false",
        evidence=(
            f"Own and scipy's Spearman correlation differ by at most {largest:.1e} over "
            f"{int(table['pairs'].sum())} pairs of maps, with and without ties."
        ),
        numbers={"max_difference": largest},
    )


@criterion("binder-thm3", tables=("theorem-3-proofs", "theorem-3"))
def theorem_3(tables: Tables, context: CriterionContext) -> Verdict:
    proofs, sampled = tables["theorem-3-proofs"], tables["theorem-3"]
    main, tied = "minimum at zero rank covariance", "expected Spearman, ranks with ties"
    if verdict := unsettled(proofs, main, tied):
        return verdict
    means = sampled[sampled["functional"] == "E[Spearman]"]
    independent = means[means["process"] == "independent"]
    tolerance = 3 * independent["spread"] / np.sqrt(independent["draws"])
    beyond = int((independent["estimate"].abs() > tolerance).sum())
    ties = means[means["process"].str.startswith("ties")].sort_values("pixels").iloc[-1]
    conditional = refuted(proofs, tied)
    holds = proved(proofs, main) and beyond == 0
    return Verdict(
        value="false" if not holds else "caveat" if conditional else "holds",
        evidence=(
            f"The ratio argument is {'proved' if proved(proofs, main) else 'refuted'} by z3; the "
            f"mean correlation of independent maps is away from 0 in {beyond} of "
            f"{len(independent)} sizes. "
            + (
                "For expectations the ranks must be free of ties: with ties z3 has a "
                "counterexample, and a process of zero expected rank covariance has mean "
                f"correlation {ties['estimate']:.2f}."
                if conditional
                else "Ties make no difference."
            )
        ),
        numbers={"sizes_beyond_tolerance": beyond, "mean_with_ties": float(ties["estimate"])},
    )


@criterion("binder-thm3-iff", tables=("theorem-3-proofs", "theorem-3-equivalence"))
def equivalence(tables: Tables, context: CriterionContext) -> Verdict:
    proofs, table = tables["theorem-3-proofs"], tables["theorem-3-equivalence"]
    claim = "rank covariance >= 0 iff covariance >= 0, 3 pixels"
    pairs = "rank covariance >= 0 iff covariance >= 0, 2 pixels"
    if verdict := unsettled(proofs, claim, pairs):
        return verdict
    weak = table[table["dependence"] == table["dependence"].min()]
    rates = {row["noise"]: row["estimate"] for _, row in weak.iterrows()}
    found = refuted(proofs, claim) or bool((table["estimate"] > 0).any())
    listed = ", ".join(f"{rate:.1%} ({noise})" for noise, rate in rates.items())
    return Verdict(
        value="false" if found else "holds",
        evidence=(
            f"The signs of covariance and rank covariance disagree for {listed} of weakly "
            f"dependent pairs of {int(weak['pixels'].iloc[0])} pixels"
            + (f"; z3's counterexample: {witness(proofs, claim)}" if refuted(proofs, claim) else "")
            + (". For two pixels the equivalence is proved." if proved(proofs, pairs) else ".")
        ),
        numbers={f"disagreement_{noise}": rate for noise, rate in rates.items()},
    )
