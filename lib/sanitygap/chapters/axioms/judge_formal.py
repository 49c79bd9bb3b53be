"""Criteria of Khakzar et al. (2022) that need no network: games, formulas, and their own tables."""

from collections.abc import Callable
from functools import wraps

import pandas as pd
from scipy.stats import spearmanr

from sanitygap.claims import Verdict, criterion, default_ledger
from sanitygap.inference import paired_difference
from sanitygap.judge import Context, Tables, formal, graded, no_data, rows_of

STATEMENTS = ("axioms-statements",)

#: rounding
EXACT = 1e-12


Values = dict[tuple[str, str], float]


def values_of(tables: Tables, claim: str) -> Values:
    """(case, quantity) -> value of one claim."""
    rows = rows_of(tables["axioms-statements"], claim=claim)
    return {
        (str(row.case), str(row.quantity)): float(row.value)  # type: ignore[arg-type]
        for row in rows.itertuples()
    }


def all_of(values: Values, quantity: str) -> list[float]:
    """A quantity in every case."""
    return [value for (_, name), value in values.items() if name == quantity]


Judge = Callable[[Values], Verdict]
Judgement = Callable[[Tables, Context], Verdict]


def statement(claim: str) -> Callable[[Judge], Judgement]:
    """Register the criterion of a claim, a function of its values alone."""

    def register(judge: Judge) -> Judgement:
        @wraps(judge)
        def judgement(tables: Tables, context: Context) -> Verdict:
            return judge(values_of(tables, claim))

        return criterion(claim, tables=STATEMENTS)(judgement)

    return register


@statement("khakzar-ambiguity")
def ambiguity(values: Values) -> Verdict:
    removal, shares = all_of(values, "removal"), all_of(values, "Shapley value")
    passed = removal == [0.0, 0.0] and all(abs(share - 0.5) < EXACT for share in shares)
    return formal(passed, f"OR of two features: removal {removal}, Shapley values {shares}.")


@criterion("khakzar-background", tables=("axioms-statements", "axioms-edges"))
def background(tables: Tables, context: Context) -> Verdict:
    values = values_of(tables, "khakzar-background")
    square = values.pop(("x1^2 x2", "IG - Shapley"))
    gap = max(abs(v) for v in values.values())
    edges = tables["axioms-edges"].pivot(index="image", columns="method", values="spearman")
    edges = edges.dropna()
    text = (
        f"Products of up to 5 factors: largest distance from 1/T {gap:.1e}. For x1² x2, IG and the "
        f"Shapley value differ by {square:.4f}."
    )
    absent = [name for name in ("gradient", "guided-backprop") if name not in edges]
    if absent:
        return Verdict(value="not-run", evidence=text, reason=f"the run lacks {', '.join(absent)}.")
    if len(edges) < 2:
        return no_data(f"{text} Edges: {len(edges)} images only.")
    more = paired_difference(edges["guided-backprop"], edges["gradient"])
    text += f" Correlation with edges, guided backpropagation − gradient: {more}."
    met = gap <= EXACT and more.high >= 0
    if met and more.low <= 0:
        return Verdict(value="undecided", evidence=text)
    condition = "Integrated gradients equal Shapley values for multilinear functions only."
    differ = abs(square) > EXACT
    return graded(met, text, caveat=differ, reason=condition if met and differ else "")


@statement("khakzar-null-def")
def null_definition(values: Values) -> Verdict:
    counts = all_of(values, "coalitions")
    proved, weaker = (
        all_of(values, name) for name in ("null proved 0", "proved without one coalition")
    )
    passed = counts == all_of(values, "2^(N-1)") and all(proved) and not any(weaker)
    return formal(
        passed,
        f"Counts equal for N up to {len(counts)}; z3 proves a Shapley value of 0 for a null player "
        f"in {int(sum(proved))} of {len(proved)} sizes, and in {int(sum(weaker))} if one coalition "
        "is left out.",
    )


@statement("khakzar-sensitivity-axiom")
def sensitivity(values: Values) -> Verdict:
    patch = values["one changed patch", "least contribution"]
    both = values["two changed pixels", "change by both"]
    alone = values["two changed pixels", "largest change by one"]
    needs_more = both > 0 and alone == 0
    return graded(
        patch > 0,
        f"One patch that changes the output by 1 contributes {patch:g}. Two pixels that change "
        f"it by {both:g} together change it by {alone:g} alone.",
        caveat=needs_more,
        reason="The axiom speaks of one changed feature: it covers patches, not their pixels."
        if needs_more
        else "",
    )


@statement("khakzar-null-granularity")
def granularity(values: Values) -> Verdict:
    null = max(all_of(values, "change by the patch"))
    sums = {k: v for k, v in values.items() if k[1].endswith("sum over the patch")}
    worst = max(sums, key=lambda key: abs(sums[key]))
    mass = values["linear", "Shapley, share of absolute mass"]
    return formal(
        null == 0 and abs(sums[worst]) < EXACT,
        f"Patches that change no output (largest change {null:g}): pixel sum {sums[worst]:.4f} "
        f"({worst[0]} game, {worst[1].partition(',')[0]}); absolute mass up to {mass:.2f}.",
    )


@statement("khakzar-eq10")
def null_metric(values: Values) -> Verdict:
    printed = values["perfect", "printed"]
    others = ", ".join(
        f"{name} {values['perfect', name]:g}" for name in ("corrected", "patches", "coded")
    )
    return formal(
        printed == 0,
        f"Perfect explainer: {printed:g} by the printed formula ({others}); reversed explainer: "
        f"{values['reversed', 'printed']:g}. Under the code's quotient an indifferent explainer "
        f"has {values['indifferent, lognormal', 'coded']:.2f}.",
    )


@statement("khakzar-eq11")
def double_metric(values: Values) -> Verdict:
    metric = {case: v for (case, quantity), v in values.items() if quantity == "metric"}
    bounds = values["at least 0", "proved"] and values["at most 1", "proved"]
    return formal(
        bool(bounds) and metric["indifferent"] == 1 and metric["switching"] == 0,
        f"Bounds 0 and 1 proved by z3; indifferent {metric['indifferent']:g}, switching "
        f"{metric['switching']:g}. It is also {metric['both at the first patch']:g} where both "
        "maps lie on the first patch, "
        f"{metric['indifferent, b a hundredth']:.3f} for an indifferent map at a hundredth of the "
        f"scale, and {metric['noise, exponential']:.3f} to "
        f"{metric['noise, half-normal']:.3f} for independent noise.",
    )


@statement("khakzar-eq12")
def single_metric(values: Values) -> Verdict:
    printed = {case: v for (case, variant), v in values.items() if variant == "printed"}
    sensitive = max(v for case, v in printed.items() if case.startswith("sensitive"))
    insensitive = min(v for case, v in printed.items() if case.startswith("insensitive"))
    listed = "; ".join(f"{case} {v:.3f}" for case, v in printed.items())
    return formal(sensitive < 0.5 < insensitive, f"Eq. (12): {listed}.")


@statement("khakzar-eq13")
def saturation_metric(values: Values) -> Verdict:
    printed = {case: v for (case, variant), v in values.items() if variant == "printed"}
    listed = "; ".join(f"{case} {v:.3f}" for case, v in printed.items())
    return formal(printed["random single winner"] < printed["equal split"], f"Eq. (13): {listed}.")


@statement("khakzar-eq14")
def keys(values: Values) -> Verdict:
    low, high = (values["logits other than 0", f"{end} key"] for end in ("least", "largest"))
    undefined = [case for (case, q), v in values.items() if q == "quotient undefined" and v]
    return graded(
        low >= 0 and high <= 1,
        f"Keys lie in [{low:g}, {high:g}]; the quotient is undefined for: "
        f"{', '.join(undefined) or 'no output'}.",
        caveat=bool(undefined),
        reason="No logit may be 0." if undefined else "",
    )


@statement("khakzar-eq15")
def average(values: Values) -> Verdict:
    gap = values["constant key", "distance from the closed form"]
    low, high = (values["constant key", f"{end} average"] for end in ("least", "largest"))
    return formal(
        gap <= EXACT and low >= 0 and high <= 1,
        f"Largest distance from κ + (κ₀ − κ) 0.9^T over 200 steps: {gap:.1e}; the average stays in "
        f"[{low:.1e}, {high:.3f}].",
    )


@criterion("khakzar-limits", tables=("axioms-statements", "axioms-samples"))
def limits(tables: Tables, context: Context) -> Verdict:
    values = values_of(tables, "khakzar-limits")
    exact = all_of(values, "terms counted") == all_of(values, "2^(n-1)")
    each = tables["axioms-samples"].drop_duplicates(["scenario", "sample"])
    return formal(
        exact,
        f"2^(n-1) terms for a null feature among n, counted for n up to {1 + len(values) // 2}. "
        f"Here {int(each['accepted'].sum())} of {len(each)} samples were accepted, after "
        f"{each['steps'].median():.0f} steps and {each['seconds'].mean():.1f} processor seconds a "
        "sample.",
    )


def printed_tables() -> pd.DataFrame:
    """The numbers of Tables 1 and 2 as ``data/reported.csv`` has them."""
    rows = pd.read_csv(default_ledger().with_name("reported.csv"), keep_default_na=False)
    rows = rows[rows["place"].isin(("Table 1", "Table 2")) & (rows["paper"] == "khakzar-2022")]
    return rows.assign(value=rows["value"].astype(float))


def published(place: str, quantity: str) -> pd.Series:
    """Method (Table 1) or method and layer (Table 2) -> printed value of a metric."""
    rows = printed_tables()
    rows = rows[(rows["place"] == place) & rows["quantity"].str.contains(quantity)]
    index = rows["method"] if place == "Table 1" else [rows["method"], rows["condition"]]
    return pd.Series(rows["value"].to_numpy(), index=index)


QUANTITIES = {
    "null": "null-feature",
    "double": "double-feature",
    "single": "single-feature",
    "saturation": "saturation",
}

BEST = ("GradCAM", "IBA", "ExtremalPerturbation")


@criterion("khakzar-conclusion")
def conclusion(tables: Tables, context: Context) -> Verdict:
    """ "Only these comply" means: each of the three is better than every other method."""
    parts = {}
    for name in ("null", "double", "single"):
        values = published("Table 1", QUANTITIES[name])
        rest = values.drop(list(BEST)).min()
        failing = [f"{m} {values[m]:.3f}" for m in BEST if values[m] >= rest]
        text = f"{name}: {', '.join(failing) or 'none'} of the three at or above {rest:.3f}"
        parts[text] = not failing
    rising = [f"{m}, {q}" for (m, q), (rho, _) in table2_trends().items() if rho >= 0]
    parts[
        f"rows of Table 2 that do not fall with depth: {'; '.join(rising) or 'none'}"
    ] = not rising
    met = sum(parts.values())
    partly = met < len(parts)
    return graded(
        met > 0,
        f"{met} of {len(parts)} parts agree with the printed tables. {'. '.join(parts)}.",
        caveat=partly,
        reason="The tables contradict a part of the conclusion." if partly else "",
    )


def table2_trends() -> dict[tuple[str, str], tuple[float, bool]]:
    """(method, metric) -> Spearman correlation of layer and printed value; is layer 4 lowest?"""
    trends = {}
    for name in ("null", "double", "single"):
        values = published("Table 2", QUANTITIES[name])
        for method in ("IBA", "GradCAM++"):
            row = values[method].sort_index()
            rho = float(spearmanr(range(len(row)), row.to_numpy()).statistic)
            trends[method, name] = rho, bool(row.iloc[-1] == row.min())
    return trends
