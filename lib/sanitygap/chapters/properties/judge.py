"""Criteria for Eq. (9) and (11), Appendices F and G of Binder et al. (2022).

Rules at one neuron, and whether positive evidence dominates every layer.
"""

import pandas as pd

from sanitygap import judge
from sanitygap.claims import Verdict, combine, criterion
from sanitygap.formal import formal_criterion, proved, refuted
from sanitygap.inference import (
    proportion_interval,
)
from sanitygap.judge import Context, Tables, graded, rows_of

APPENDIX_F = ("appendix-f-proofs", "appendix-f")
GRADIENT, STRICT = "F.1", "F.1 strict, as printed"
SHAPLEY, STRICT_SHAPLEY = tuple(f"F.2, d = {d}" for d in (2, 3, 4)), "F.2 strict, d = 3"
ANY_FUNCTION = "F.2, any function on top of the neuron"
LRP_BETA = ("F.3", "F.3, both negative")
OTHER_NEURON = "F.3, different neurons above"
UNDEFINED = "LRP-beta conserves relevance without negative contributions"
MONOTONE = ("neuron itself", "monotone function")


def _count(rows: pd.DataFrame) -> tuple[int, int]:
    """Violations and pairs."""
    return int(rows["violations"].sum()), int(rows["draws"].sum())


def _of(table: pd.DataFrame, method: str, version: str) -> pd.DataFrame:
    return rows_of(table, method=method, version=version)


def _monotone(table: pd.DataFrame, version: str) -> tuple[int, int]:
    """Of Shapley values, for a monotone neuron or a monotone function of it."""
    rows = _of(table, "Shapley", version)
    return _count(rows[rows["setting"].str.endswith(MONOTONE)])


@formal_criterion("binder-f1-gi", *APPENDIX_F, settled=(GRADIENT, STRICT))
def gradient_x_input(proofs: pd.DataFrame, table: pd.DataFrame) -> Verdict:
    bad, pairs = _count(_of(table, "Gradient x Input", "non-strict"))
    strong, _ = _count(_of(table, "Gradient x Input", "strong"))
    strict = _of(table, "Gradient x Input", "strict")
    strict_bad, explained = int(strict["violations"].sum()), int(strict["explained"].sum())
    return graded(
        proved(proofs, GRADIENT) and bad == strong == 0 and strict_bad == explained,
        f"{bad} violations of the non-strict version in {pairs} pairs and {strong} of the "
        f"stronger one; {strict_bad} of the strict version (55), {explained} of them where the "
        "derivative behind the neuron is zero.",
        {"violations": bad, "pairs": pairs, "strict_violations": strict_bad},
        caveat=refuted(proofs, STRICT),
    )


@formal_criterion(
    "binder-f2-shapley", *APPENDIX_F, settled=(*SHAPLEY, ANY_FUNCTION, STRICT_SHAPLEY)
)
def shapley(proofs: pd.DataFrame, table: pd.DataFrame) -> Verdict:
    bad, pairs = _monotone(table, "non-strict")
    negative, _ = _monotone(table, "non-negative")
    other = _of(table, "Shapley", "non-strict")
    free_bad, free_pairs = _count(other[other["setting"].str.endswith("any function")])
    strict, main = refuted(proofs, STRICT_SHAPLEY), proved(proofs, *SHAPLEY)
    return graded(
        main and bad == negative == 0,
        f"z3 {'proves' if main else 'does not prove'} the property for 2 "
        f"to 4 inputs; {bad} violations in {pairs} pairs for a monotone neuron or a monotone "
        f"function of it, {free_bad} in {free_pairs} with other functions on top; equality "
        f"occurs, so the strict version {'fails' if strict else 'holds'}.",
        {"violations": bad, "pairs": pairs, "violations_any_function": free_bad},
        caveat=refuted(proofs, ANY_FUNCTION) or strict,
    )


@formal_criterion("binder-f3-lrpb", *APPENDIX_F, settled=(*LRP_BETA, OTHER_NEURON, UNDEFINED))
def lrp_beta(proofs: pd.DataFrame, table: pd.DataFrame) -> Verdict:
    common, pairs = _common(table)
    other = _of(table, "LRP-beta", "non-strict")
    apart, _ = _count(rows_of(other, setting="different neurons"))
    undefined = refuted(proofs, UNDEFINED)
    return graded(
        proved(proofs, *LRP_BETA) and common == 0,
        f"{common} violations in {pairs} pairs with a common neuron, {apart} when the inputs "
        f"feed different neurons; without negative contributions Eq. (61) is 0/0 and the "
        f"relevances {'do not sum' if undefined else 'sum'} to R.",
        {"violations": common, "pairs": pairs, "violations_different_neurons": apart},
        caveat=refuted(proofs, OTHER_NEURON) or undefined,
    )


def _common(table: pd.DataFrame) -> tuple[int, int]:
    """LRP-beta with one common neuron: non-strict for all pairs, strong for equal signs."""
    weak, strong = (_of(table, "LRP-beta", version) for version in ("non-strict", "strong"))
    weak = weak[weak["setting"].str.startswith("common neuron")]
    return _count(pd.concat([weak, rows_of(strong, setting="common neuron, equal signs")]))


EQUATION_9 = (GRADIENT, *SHAPLEY, "F.3")


@formal_criterion("binder-eq9", *APPENDIX_F, settled=(*EQUATION_9, ANY_FUNCTION, OTHER_NEURON))
def equation_9(proofs: pd.DataFrame, table: pd.DataFrame) -> Verdict:
    counts = {
        "Gradient x Input": _count(_of(table, "Gradient x Input", "non-strict")),
        "Shapley values": _monotone(table, "non-strict"),
        "LRP-beta": _common(table),
    }
    conditional = [name for name in (ANY_FUNCTION, OTHER_NEURON) if refuted(proofs, name)]
    listed = ", ".join(f"{name} {bad} of {pairs}" for name, (bad, pairs) in counts.items())
    text = (
        " z3 has counterexamples for Shapley values under a function that is not monotone, "
        "and for LRP-beta if the inputs feed different neurons."
    )
    return graded(
        proved(proofs, *EQUATION_9) and all(bad == 0 for bad, _ in counts.values()),
        f"Violations: {listed} pairs." + (text if len(conditional) == 2 else ""),
        {f"violations {name}": bad for name, (bad, _) in counts.items()},
        caveat=bool(conditional),
    )


@formal_criterion(
    "binder-a2-beta",
    "appendix-a2-proofs",
    "adaptive-beta",
    settled=("printed beta", "solved beta", "solved rule is LRP-0"),
)
def adaptive_beta(proofs: pd.DataFrame, table: pd.DataFrame) -> Verdict:
    rows = {row["formula"]: row for _, row in table.iterrows()}
    printed, solved = rows["printed"], rows["solved"]
    holds = proved(proofs, "printed beta") and printed["max_residual"] <= 1e-9
    # Eq. (10) defines beta; a wrong solution of it in print leaves the rule as it is meant
    meant = proved(proofs, "solved beta") and solved["max_residual"] <= 1e-9
    slip = meant and not holds
    return graded(
        holds or meant,
        f"Eq. (11) as printed misses Eq. (10) by up to {printed['max_residual']:.2f}, the "
        f"solution -N / (P + N) by {solved['max_residual']:.0e}. The printed beta stays below "
        f"{printed['max_beta']:.4f} and the cap acts on {printed['capped']:.1%} of the "
        f"neurons, with the solution on {solved['capped']:.1%}; the solved rule differs from "
        f"LRP-0 by {solved['max_difference_to_lrp_0']:.0e}.",
        {
            "residual_printed": printed["max_residual"],
            "residual_solved": solved["max_residual"],
            "capped_solved": solved["capped"],
        },
        slip=slip,
        reason="Eq. (10) stands and has one solution; Eq. (11) solves it with a wrong sign."
        if slip
        else "",
    )


# --- App. G -------------------------------------------------------------------------------------

PREMISES = (
    "Gradient x Input sums to something positive",
    "LRP-0 with the bias in the denominator",
)
CONSERVATIVE = "conservative rules keep the sum"

#: methods that are what the statement assumes, by their definition: every active ReLU hands on
#: exactly what it received, and nothing of it goes to a bias
ADDITIVE = ("LRP-0", "LRP-gamma")
EXACT = 1e-6


@formal_criterion(
    "binder-g-dominance", "appendix-g-proofs", "appendix-g", settled=(*PREMISES, CONSERVATIVE)
)
def dominance(proofs: pd.DataFrame, table: pd.DataFrame) -> Verdict:
    by_method = table.groupby("method", sort=False)
    worst, conserving = by_method["estimate"].max(), by_method["conservation_error"].max()
    assumed = worst.index.isin(ADDITIVE)
    error = float(conserving[assumed].max())
    broken, others = worst[assumed & (worst > 0)], worst[~assumed & (worst > 0)]
    main, against = proved(proofs, CONSERVATIVE), [refuted(proofs, name) for name in PREMISES]
    return graded(
        main and broken.empty and error <= EXACT,
        f"Rules that hand on exactly what they receive, none of it to a bias "
        f"({', '.join(ADDITIVE)}): a sum <= 0 in some layer in {_shares(broken)} of "
        f"{int(table['draws'].sum() / len(worst))} networks, and a layer's sum differs from "
        f"the logit by at most {error:.0e} of it; z3 {'proves' if main else 'refutes'} that such "
        "rules keep the sum, whatever the biases. "
        + (
            "Methods that lack one of the two properties can have a sum <= 0 (largest share "
            f"of networks: {_shares(others)})"
            if len(others)
            else "No other method has a sum <= 0"
        )
        + (
            "; z3 has counterexamples for Gradient x Input and for LRP-0 with the bias in its "
            "denominator."
            if all(against)
            else "."
        ),
        {"failing_methods": len(broken) + len(others), "methods": len(worst)}
        | {"conservation_error": error}
        | {f"share {name}": float(share) for name, share in worst.items()},
        caveat=len(others) > 0 or any(against),
    )


def _shares(worst: pd.Series) -> str:
    """Methods with their share of networks, or 0."""
    return ", ".join(f"{share:.1%} ({name})" for name, share in worst.items()) or "0"


#: how far from 1, in the median over images, the sum of a map may be for LRP to be conservative:
#: it starts with 1
CONSERVED = 0.01


def handed_on(rows: pd.DataFrame) -> float:
    """Median over images of what LRP hands on to the pixels of the 1 that it starts with."""
    return float(rows["relevance"].median())


@criterion("binder-g-practice", tables=("positive-evidence",))
def positive_evidence(tables: Tables, context: Context) -> Verdict:
    """Of conservative LRP on positive logits, before and after randomisation.

    Reads one row an image, method and state: score of the target and sum of its map. The claim is
    about methods that are additive; which rules are so depends on the network, and is measured.
    """
    table = tables["positive-evidence"]
    lrp = table[table["method"].str.startswith("lrp")]
    parts, left_out = [], []
    for (method, state), rows in lrp.groupby(["method", "state"], sort=False):
        share = handed_on(rows)
        positive = rows.loc[rows["logit"] > 0, "relevance"]
        if abs(share - 1) > CONSERVED:
            left_out.append(f"{method}, {state} ({share:.2g})")
        elif len(positive):
            fraction = proportion_interval(int((positive > 0).sum()), len(positive))
            text = (
                f"{method}, {state}: {fraction.estimate:.0%} of {len(positive)} maps of "
                f"positive logits have a positive sum [{fraction.low:.0%}, {fraction.high:.0%}]."
            )
            parts.append(judge.reproduced(fraction, 0.95, "above", text, f"{method} {state}"))
    others = (
        f"Not conservative here, by the share of the relevance that reaches the pixels: "
        f"{'; '.join(left_out)}."
        if left_out
        else ""
    )
    if not parts:
        return judge.not_run(
            f"No rule of LRP hands on what it receives on {context.model}, so no method has "
            f"the additivity that the claim is about. {others}"
        )
    joined = combine(parts)
    return judge.reworded(joined, f"{joined.evidence} {others}".strip())
