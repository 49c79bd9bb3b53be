"""Criteria for Eq. (9), Appendix F and Eq. (11) of Binder et al. (2022): rules at one neuron."""

from __future__ import annotations

import pandas as pd

from sanitygap.claims import CriterionContext, Verdict, criterion
from sanitygap.criteria.theory.evidence import Tables, proved, refuted, unsettled

SHAPLEY = tuple(f"F.2, d = {d}" for d in (2, 3, 4))
ANY_FUNCTION = "F.2, any function on top of the neuron"
OTHER_NEURON = "F.3, different neurons above"
MONOTONE = ("neuron itself", "monotone function")


def _rows(table: pd.DataFrame, method: str, version: str) -> pd.DataFrame:
    return table[(table["method"] == method) & (table["version"] == version)]


def _count(rows: pd.DataFrame) -> tuple[int, int]:
    """Violations and pairs."""
    return int(rows["violations"].sum()), int(rows["draws"].sum())


def _monotone(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["setting"].str.endswith(MONOTONE)]


@criterion("binder-f1-gi", tables=("appendix-f-proofs", "appendix-f"))
def gradient_x_input(tables: Tables, context: CriterionContext) -> Verdict:
    proofs, table = tables["appendix-f-proofs"], tables["appendix-f"]
    if verdict := unsettled(proofs, "F.1", "F.1 strict, as printed"):
        return verdict
    bad, pairs = _count(_rows(table, "Gradient x Input", "non-strict"))
    strong, _ = _count(_rows(table, "Gradient x Input", "strong"))
    strict = _rows(table, "Gradient x Input", "strict")
    strict_bad, explained = int(strict["violations"].sum()), int(strict["explained"].sum())
    holds = proved(proofs, "F.1") and bad == strong == 0 and strict_bad == explained
    return Verdict(
        value="false"
        if not holds
        else "caveat"
        if refuted(proofs, "F.1 strict, as printed")
        else "holds",
        evidence=(
            f"{bad} violations of the non-strict version in {pairs} pairs and {strong} of the "
            f"stronger one; {strict_bad} of the strict version (55), {explained} of them where the "
            "derivative behind the neuron is zero."
        ),
        numbers={"violations": bad, "pairs": pairs, "strict_violations": strict_bad},
    )


@criterion("binder-f2-shapley", tables=("appendix-f-proofs", "appendix-f"))
def shapley(tables: Tables, context: CriterionContext) -> Verdict:
    proofs, table = tables["appendix-f-proofs"], tables["appendix-f"]
    if verdict := unsettled(proofs, *SHAPLEY, ANY_FUNCTION, "F.2 strict, d = 3"):
        return verdict
    bad, pairs = _count(_monotone(_rows(table, "Shapley", "non-strict")))
    negative, _ = _count(_monotone(_rows(table, "Shapley", "non-negative")))
    other = _rows(table, "Shapley", "non-strict")
    free_bad, free_pairs = _count(other[other["setting"].str.endswith("any function")])
    holds = proved(proofs, *SHAPLEY) and bad == negative == 0
    conditional = refuted(proofs, ANY_FUNCTION) or refuted(proofs, "F.2 strict, d = 3")
    return Verdict(
        value="false" if not holds else "caveat" if conditional else "holds",
        evidence=(
            f"z3 {'proves' if proved(proofs, *SHAPLEY) else 'does not prove'} the property for 2 "
            f"to 4 inputs; {bad} violations in {pairs} pairs for a monotone neuron or a monotone "
            f"function of it, {free_bad} in {free_pairs} with other functions on top; equality "
            f"occurs, so the strict version "
            f"{'fails' if refuted(proofs, 'F.2 strict, d = 3') else 'holds'}."
        ),
        numbers={"violations": bad, "pairs": pairs, "violations_any_function": free_bad},
    )


@criterion("binder-f3-lrpb", tables=("appendix-f-proofs", "appendix-f"))
def lrp_beta(tables: Tables, context: CriterionContext) -> Verdict:
    proofs, table = tables["appendix-f-proofs"], tables["appendix-f"]
    needed = ("F.3", "F.3, both negative")
    undefined = "LRP-beta conserves relevance without negative contributions"
    if verdict := unsettled(proofs, *needed, OTHER_NEURON, undefined):
        return verdict
    common, pairs = _common(table)
    other = _rows(table, "LRP-beta", "non-strict")
    apart, _ = _count(other[other["setting"] == "different neurons"])
    holds = proved(proofs, *needed) and common == 0
    conditional = refuted(proofs, OTHER_NEURON) or refuted(proofs, undefined)
    return Verdict(
        value="false" if not holds else "caveat" if conditional else "holds",
        evidence=(
            f"{common} violations in {pairs} pairs with a common neuron, {apart} when the inputs "
            f"feed different neurons; without negative contributions Eq. (61) is 0/0 and the "
            f"relevances {'do not sum' if refuted(proofs, undefined) else 'sum'} to R."
        ),
        numbers={"violations": common, "pairs": pairs, "violations_different_neurons": apart},
    )


def _common(table: pd.DataFrame) -> tuple[int, int]:
    """LRP-beta with one common neuron: non-strict for all pairs, strong for equal signs."""
    weak = _rows(table, "LRP-beta", "non-strict")
    strong = _rows(table, "LRP-beta", "strong")
    chosen = pd.concat(
        [
            weak[weak["setting"].str.startswith("common neuron")],
            strong[strong["setting"] == "common neuron, equal signs"],
        ]
    )
    return _count(chosen)


@criterion("binder-eq9", tables=("appendix-f-proofs", "appendix-f"))
def equation_9(tables: Tables, context: CriterionContext) -> Verdict:
    proofs, table = tables["appendix-f-proofs"], tables["appendix-f"]
    needed = ("F.1", *SHAPLEY, "F.3")
    if verdict := unsettled(proofs, *needed, ANY_FUNCTION, OTHER_NEURON):
        return verdict
    counts = {
        "Gradient x Input": _count(_rows(table, "Gradient x Input", "non-strict")),
        "Shapley values": _count(_monotone(_rows(table, "Shapley", "non-strict"))),
        "LRP-beta": _common(table),
    }
    holds = proved(proofs, *needed) and all(bad == 0 for bad, _ in counts.values())
    conditional = [name for name in (ANY_FUNCTION, OTHER_NEURON) if refuted(proofs, name)]
    listed = ", ".join(f"{name} {bad} of {pairs}" for name, (bad, pairs) in counts.items())
    return Verdict(
        value="false" if not holds else "caveat" if conditional else "holds",
        evidence=(
            f"Violations: {listed} pairs."
            + (
                " z3 has counterexamples for Shapley values under a function that is not monotone, "
                "and for LRP-beta if the inputs feed different neurons."
                if len(conditional) == 2
                else ""
            )
        ),
        numbers={f"violations {name}": bad for name, (bad, _) in counts.items()},
    )


@criterion("binder-a2-beta", tables=("appendix-a2-proofs", "adaptive-beta"))
def adaptive_beta(tables: Tables, context: CriterionContext) -> Verdict:
    proofs, table = tables["appendix-a2-proofs"], tables["adaptive-beta"]
    if verdict := unsettled(proofs, "printed beta", "solved beta", "solved rule is LRP-0"):
        return verdict
    rows = {row["formula"]: row for _, row in table.iterrows()}
    printed, solved = rows["printed"], rows["solved"]
    holds = proved(proofs, "printed beta") and printed["max_residual"] <= 1e-9
    # Eq. (10) defines beta; a wrong solution of it in print leaves the rule as it is meant
    meant = proved(proofs, "solved beta") and solved["max_residual"] <= 1e-9
    return Verdict(
        value="holds" if holds else "slip" if meant else "false",
        evidence=(
            f"Eq. (11) as printed misses Eq. (10) by up to {printed['max_residual']:.2f}, the "
            f"solution -N / (P + N) by {solved['max_residual']:.0e}. The printed beta stays below "
            f"{printed['max_beta']:.4f} and the cap acts on {printed['capped']:.1%} of the "
            f"neurons, with the solution on {solved['capped']:.1%}; the solved rule differs from "
            f"LRP-0 by {solved['max_difference_to_lrp_0']:.0e}."
        ),
        reason=""
        if holds or not meant
        else "Eq. (10) stands and has one solution; Eq. (11) solves it with a wrong sign.",
        numbers={
            "residual_printed": printed["max_residual"],
            "residual_solved": solved["max_residual"],
            "capped_solved": solved["capped"],
        },
    )
