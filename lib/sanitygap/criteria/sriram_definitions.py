"""Criteria for the definitions of Sriram and Conati (2022, Sect. 3 and 4; Eq. 1-7, Table 1)."""

import numpy as np
import pandas as pd

from sanitygap import judge
from sanitygap.criteria.theory.evidence import (
    encoding_is_sound,
    proved,
    refuted,
    unsettled,
    witness,
)
from sanitygap.judge import Context, Tables, Value, Verdict, criterion
from sanitygap.sensitivity.proofs import LAYERS
from sanitygap.sensitivity.scores import (
    BANDS,
    SIMILAR,
    layer_sensitivity,
    perceived,
    sensitive_for_image,
    sensitive_to_layer,
)

PROOFS = "sensitivity-proofs"


@criterion("sriram-ipr", tables=("ipr-models", "similarity-words"))
def independent_randomisation(tables: Tables, context: Context) -> Verdict:
    rows = tables["ipr-models"]
    exact = bool(((rows["changed"] == 1) & rows["itself"] & (rows["outside"] == 0)).all())
    changed = int((rows["changed"] == 1).sum())
    words = tables["similarity-words"]
    right = all(
        np.isclose(row[row["described"]], 1)
        and not np.isclose(row["monotone"] if row["described"] == "linear" else 0, 1)
        for row in words.to_dict("records")
    )
    value: Value = "false" if not exact else "holds" if right else "slip"
    values = "; ".join(
        f"{row.statistic} of x and exp(x) is {row.monotone:.2f}" for row in words.itertuples()
    )
    return Verdict(
        value=value,
        evidence=f"{len(rows)} layers make {len(rows)} networks; in {changed} of them exactly one "
        f"layer differs from the trained network. {values[0].upper()}{values[1:]}.",
        reason=""
        if right
        else "The paper's descriptions of the two correlations are "
        "exchanged: Spearman's sees monotonic relations, Pearson's linear ones.",
        numbers={"networks": len(rows), "exact": changed},
    )


@criterion("sriram-table1")
def bands(tables: Tables, context: Context) -> Verdict:
    lows = list(BANDS.values())
    edges = [low for low in lows if np.isfinite(low)]
    points = np.unique([*np.linspace(-1, 1, 4001), *edges, *(np.nextafter(e, -1) for e in edges)])
    uppers = [np.inf, *lows[:-1]]
    within = [(points >= low) & (points < up) for low, up in zip(lows, uppers, strict=True)]
    classes = np.array(within).sum(0)
    named = all(
        within[list(BANDS).index(perceived(float(point)))][place]
        for place, point in enumerate(points)
        if perceived(float(point)) in BANDS
    )
    once = int((classes == 1).sum())
    return judge.formal(
        once == len(points) and named,
        f"{len(BANDS)} classes; {once} of {len(points)} values of the SSIM from -1 to 1, "
        "the edges among them, belong to exactly one.",
        {"classes": len(BANDS), "values": len(points), "in one class": once},
        "That the mapping is by Wang et al. (2004) could not be confirmed from the documents, and "
        "it was made for photographs: for attribution maps its words are an assumption.",
    )


def _settled(proofs: pd.DataFrame, *names: str) -> None:
    """Let pass what was proved or refuted."""
    if verdict := unsettled(proofs, *names):
        judge.stop(verdict)


def _definitions(tables: Tables, statement: str) -> Verdict:
    """Definition 1, Definition 2 and Eq. (1) differ only where an SSIM equals 0.99."""
    proofs = tables[PROOFS]
    names = (
        "definition 1 and equation 1 agree off 0.99",
        "definition 1 and equation 1 agree",
        "definition 1 implies equation 1",
    )
    _settled(proofs, *names)
    rng = np.random.default_rng(0)
    values = np.round(rng.uniform(0.97, 1, size=(2000, 3)), 2)  # 0.99 occurs often
    strict, loose = sensitive_to_layer(values).all(1), sensitive_for_image(values)
    apart = strict != loose
    only_there = bool((values[apart] == SIMILAR).any(1).all())
    same_off = proved(proofs, names[0], names[2]) and only_there and encoding_is_sound(proofs)
    differ = refuted(proofs, names[1])
    value: Value = "false" if not same_off else "slip" if differ else "holds"
    return Verdict(
        value=value,
        evidence=f"z3 proves that {statement} agree wherever no SSIM equals 0.99, and finds the "
        f"exception {witness(proofs, names[1])}; of 2000 triples of SSIM with two decimals the "
        f"two readings differ in {int(apart.sum())}, all with a 0.99 in them.",
        reason="Definition 1 says “<”, Eq. (1) says “≤”." if differ else "",
        numbers={"differ": int(apart.sum()), "triples": 2000},
    )


@criterion("sriram-def1", tables=(PROOFS,))
def definition_1(tables: Tables, context: Context) -> Verdict:
    return _definitions(tables, "Definition 1 for every layer and Eq. (1)")


@criterion("sriram-def2", tables=(PROOFS,))
def definition_2(tables: Tables, context: Context) -> Verdict:
    return _definitions(tables, "Definition 2 and Eq. (1)")


@criterion("sriram-eq1", tables=(PROOFS,))
def equation_1(tables: Tables, context: Context) -> Verdict:
    return _definitions(tables, "Eq. (1) and Definition 1 for every layer")


@criterion("sriram-eq2", tables=("ipr-test", "sensitivity-extremes"))
def equation_2(tables: Tables, context: Context) -> Verdict:
    extremes = tables["sensitivity-extremes"]
    ssim = pd.concat([tables["ipr-test"]["ssim"], extremes["ssim"]]).dropna().astype(float)
    computed = layer_sensitivity(ssim)
    exact = (computed == 1 - ssim).all() and (extremes["sensitivity"] == 1 - extremes["ssim"]).all()
    low, high, above = float(computed.min()), float(computed.max()), int((computed > 1).sum())
    return judge.formal(
        bool(exact),
        f"Met by all {len(computed)} values; S lies between {low:.3f} and {high:.3f}, above 1 for "
        f"{above} of them.",
        {"lowest": low, "highest": high, "above 1": above},
        "The SSIM lies in (-1, 1], so S lies in [0, 2), not in [0, 1]." if above else "",
    )


@criterion("sriram-eq3", tables=(PROOFS,))
def equation_3(tables: Tables, context: Context) -> Verdict:
    proofs = tables[PROOFS]
    _settled(proofs, "threshold of S", "threshold of S, 0.02")
    good = proved(proofs, "threshold of S") and refuted(proofs, "threshold of S, 0.02")
    same = "that SSIM ≤ 0.99 and S ≥ 0.01 are the same condition"
    refutes = f"z3 proves {same}, and refutes the variant with 0.02."
    return judge.formal(good, refutes if good else f"z3 does not prove {same}.")


def _layers(tables: Tables, about: str) -> Verdict:
    """Definition 2 implies the threshold of S^i for every number of layers, not conversely."""
    proofs = tables[PROOFS]
    forward = [f"definition 2 implies S^i, {count} layers" for count in LAYERS]
    back = [f"S^i implies definition 2, {count} layers" for count in LAYERS]
    alone = [f"one layer suffices, {count} layers" for count in LAYERS]
    _settled(proofs, *forward, *back, *alone)
    evidence = (
        f"Definition 2 implies S^i ≥ 0.01 for {sum(proved(proofs, n) for n in forward)} "
        f"of {len(LAYERS)} numbers of layers; the converse is refuted for "
        f"{sum(refuted(proofs, n) for n in back)}."
    )
    if proved(proofs, *alone):
        shares = ", ".join(f"{count / 100:.2f} of {count}" for count in LAYERS)
        evidence += f" One layer alone suffices, with S = {shares} layers."
    good = proved(proofs, *forward) and refuted(proofs, *back) and encoding_is_sound(proofs)
    return judge.formal(good, evidence, {"numbers of layers": len(LAYERS)}, about)


@criterion("sriram-eq4", tables=(PROOFS,))
def equation_4(tables: Tables, context: Context) -> Verdict:
    return _layers(tables, "The text says that Eq. (1) is used for Eq. (4), which does not use it.")


@criterion("sriram-eq5", tables=(PROOFS,))
def equation_5(tables: Tables, context: Context) -> Verdict:
    return _layers(tables, "The threshold is far weaker than Definition 2, from which it is made.")


@criterion("sriram-eq6", tables=(PROOFS,))
def equation_6(tables: Tables, context: Context) -> Verdict:
    return _implication(tables[PROOFS], "every S^i implies S^I", "S^I implies every S^i")


@criterion("sriram-eq7", tables=(PROOFS,))
def equation_7(tables: Tables, context: Context) -> Verdict:
    every = "definition 2 for every image"
    return _implication(tables[PROOFS], f"{every} implies S^I", f"S^I implies {every}")


def _implication(proofs: pd.DataFrame, forward: str, back: str) -> Verdict:
    alone = "one image suffices"
    _settled(proofs, forward, back, alone)
    implied, distinct = proved(proofs, forward), refuted(proofs, back)
    evidence = f"z3: {forward}: {'proved' if implied else 'not proved'}; "
    evidence += f"{back}: {'refuted' if distinct else 'not refuted'}."
    if proved(proofs, alone):
        evidence += " To reach 0.01, one image in 100 with S^i = 1 and all others at 0 suffice."
    reason = "As a criterion S^I ≥ 0.01 is far weaker than Definition 2 for every image."
    good = implied and distinct and encoding_is_sound(proofs)
    return judge.formal(good, evidence, reason=reason if distinct else "")


@criterion("sriram-def3", tables=(PROOFS, "sensitivity-extremes", "ipr-test"))
def definition_3(tables: Tables, context: Context) -> Verdict:
    proofs, pairs = tables[PROOFS], tables["sensitivity-extremes"]
    _settled(proofs, "S in [0, 1]", "S in [0, 2]")
    measured = layer_sensitivity(tables["ipr-test"]["ssim"].dropna())
    above = int((measured > 1).sum())
    largest = pairs.sort_values("sensitivity").iloc[-1]
    within = bool(pairs["sensitivity"].between(0, 1).all() and measured.between(0, 1).all())
    independent = pairs.loc[pairs["pair"] == "two maps of uniform noise", "sensitivity"].iloc[0]
    return judge.formal(
        within and proved(proofs, "S in [0, 1]"),
        f"{largest['pair'][0].upper()}{largest['pair'][1:]} have S = "
        f"{largest['sensitivity']:.3f}; of {len(measured)} measured values {above} lie above 1. "
        f"Two unrelated maps have S = {independent:.3f}: "
        "the 1 that the paper calls maximal sensitivity is what noise gets.",
        {
            "largest": float(largest["sensitivity"]),
            "measured above 1": above,
            "unrelated": float(independent),
        },
        "" if within else "The SSIM lies in (-1, 1], so S lies in [0, 2).",
    )
