"""Criteria of Khakzar et al. (2022) about the features, about formulas, and their own tables.

Residuals of features are measured on fresh backgrounds and positions, averaged over them for each
sample, for accepted samples only: what was given up is counted, and never taken for a feature.
"""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from sanitygap import judge
from sanitygap.claims import default_ledger
from sanitygap.formal import formal_criterion
from sanitygap.inference import Interval, bootstrap_mean, paired_difference, proportion_interval
from sanitygap.judge import Context, Tables, Verdict, criterion, formal, graded, rows_of

SAMPLES, VARIANTS = ("axioms-samples",), ("axioms-variants",)

#: an interval over fewer samples says nothing
LEAST = 4

#: a softmax that counts as reached
REACHED = 0.94


def need_samples(count: int, words: str = "", reason: str = "") -> None:
    """Let pass what has enough samples for an interval.

    Raises:
        Unjudged: it has not.
    """
    if count < LEAST:
        judge.stop(judge.no_data(words or f"{count} samples only.", reason))


def outputs_of(tables: Tables, scenario: str) -> list[pd.DataFrame]:
    """Both outputs of the accepted samples: (sample, draw) x coalition.

    Raises:
        Unjudged: the scenario has too few accepted samples to say anything.
    """
    rows = rows_of(tables["axioms-samples"], scenario=scenario)
    each, kept = rows.drop_duplicates("sample")["accepted"], rows[rows["accepted"]]
    need_samples(
        int(each.sum()),
        f"{each.sum()} of {len(each)} samples of the scenario {scenario!r} were accepted.",
        f"At least {LEAST} accepted samples are needed; generate more, with more steps.",
    )
    index = ["sample", "draw"]
    return [kept.pivot(index=index, columns="coalition", values=f"logit_{o}") for o in "ab"]


def by_sample(values: pd.Series) -> pd.Series:
    """Mean over the draws of each sample."""
    return values.groupby(level="sample").mean()


def residual_verdict(residuals: pd.Series, what: str) -> Verdict:
    """Median below 0.1, and below 0.2 in 95 % of the samples."""
    median = float(residuals.median())
    small = proportion_interval(int((residuals < 0.2).sum()), len(residuals))
    return judge.measured(
        median < 0.1 and small.estimate >= 0.95,
        f"{what}: median relative residual {median:.3f}; below 0.2 in {small.estimate:.0%} "
        f"[{small.low:.0%}, {small.high:.0%}] of {len(residuals)} accepted samples, on fresh "
        "backgrounds and positions.",
        {"median residual": median, "share below 0.2": small.estimate},
        value="reproduced",
    )


@criterion("khakzar-eq3-4", tables=SAMPLES)
def null_feature(tables: Tables, context: Context) -> Verdict:
    a, _ = outputs_of(tables, "null")
    scale = (a["first"] - a["none"]).abs()
    beside = (a["both"] - a["first"]).abs() / scale
    alone = (a["second"] - a["none"]).abs() / scale
    worst = beside.where(beside > alone, alone)
    return residual_verdict(by_sample(worst), "Larger of the two coalitions")


@criterion("khakzar-eq5", tables=SAMPLES)
def single_feature(tables: Tables, context: Context) -> Verdict:
    a, b = outputs_of(tables, "single")
    residual = (b["first"] - b["none"]).abs() / (a["first"] - a["none"]).abs()
    return residual_verdict(by_sample(residual), "Change of output b over that of output a")


@criterion("khakzar-eq6-7", tables=SAMPLES)
def double_feature(tables: Tables, context: Context) -> Verdict:
    a, b = outputs_of(tables, "double")
    own = (b["second"] - b["none"]).abs()
    first = (b["both"] - b["second"]).abs() / own
    second = (a["both"] - a["first"]).abs() / (a["first"] - a["none"]).abs()
    medians = [float(by_sample(residual).median()) for residual in (first, second)]
    alone = float(((b["first"] - b["none"]).abs() / own).median())
    return judge.measured(
        max(medians) <= 0.1,
        f"Median change of the other output beside its own feature: {medians[0]:.3f} (f_a) and "
        f"{medians[1]:.3f} (f_b) of what that feature does; alone, which no term constrains, "
        f"f_a changes output b by {alone:.3f} of it.",
        {"f_a": medians[0], "f_b": medians[1], "f_a alone": alone},
        value="reproduced",
    )


@criterion("khakzar-eq8-9", tables=SAMPLES)
def saturated_features(tables: Tables, context: Context) -> Verdict:
    a = outputs_of(tables, "saturation")[0][["first", "second", "both"]]
    each = by_sample((a.max(axis=1) - a.min(axis=1)) / a.mean(axis=1).abs())
    spread = bootstrap_mean(each)
    text = "Relative spread of the output over first, second and both"
    return judge.reproduced(
        spread, 0.1, "below", f"{text}: {spread} over {len(each)} accepted samples.", "spread"
    )


def variant(tables: Tables, name: str) -> pd.DataFrame:
    """Rows of one variant.

    Raises:
        Unjudged: it was not generated.
    """
    rows = rows_of(tables["axioms-variants"], variant=name)
    if rows.empty:
        reason = f"The variant {name!r} was not generated in this run; it is in the profile full: "
        reason += "sanitygap execute features --profile full."
        judge.stop(judge.not_run(reason))
    return rows


def successes(rows: pd.DataFrame) -> pd.Series:
    """Share of fresh draws in which the goal is reached and the constraint holds, by sample.

    The constraint is left out where the scenario has none. Samples that were given up count with
    what they reached.
    """
    first, none = (
        rows_of(rows, coalition=name).set_index(["sample", "draw"]) for name in ("first", "none")
    )
    met = first["softmax_a"] > first["softmax_least"]
    if set(rows["scenario"]) == {"single"}:
        b, without = first["logit_b"], none["logit_b"]
        change, smaller = (b - without).abs(), b.abs().clip(upper=without.abs())
        met &= np.tanh(change / smaller.where(smaller > 0, np.inf)) < first["change_most"]
        met &= (smaller > 0) | (change == 0)
    return by_sample(met.astype(float))


def softmaxes(rows: pd.DataFrame) -> tuple[pd.Series, str]:
    """Mean softmax of each target alone on fresh backgrounds, and how long it was optimised."""
    first = rows_of(rows, coalition="first").groupby("sample")["softmax_a"].mean()
    return first, f"after at most {int(rows['steps'].max())} steps."


@criterion("khakzar-eq1", tables=VARIANTS)
def activation(tables: Tables, context: Context) -> Verdict:
    first, steps = softmaxes(variant(tables, "Eq. 1"))
    share = proportion_interval(int((first > REACHED).sum()), len(first))
    text = (
        f"Softmax above {REACHED} on fresh backgrounds for {share.estimate:.0%} "
        f"[{share.low:.0%}, {share.high:.0%}] of {len(first)} random targets, {steps}"
    )
    verdict = judge.reproduced(share, 0.9, "above", text, "share")
    if len(first) < LEAST:
        return verdict.model_copy(update={"value": "no-data"})
    return verdict


@criterion("khakzar-eq2", tables=VARIANTS)
def constant_value(tables: Tables, context: Context) -> Verdict:
    first, steps = softmaxes(variant(tables, "Eq. 2"))
    if len(first) < LEAST:
        return judge.no_data(f"{len(first)} targets only.")
    distance = bootstrap_mean((first - 0.95).abs())
    text = f"Distance of the softmax from c = 0.95: {distance} over {len(first)} targets, {steps}"
    reason = "The cross-entropy of a scalar is undefined; this is the code's squared distance."
    return judge.reworded(
        judge.reproduced(distance, 0.05, "below", text, "distance"), reason=reason
    )


def compared(tables: Tables, first: str, second: str) -> Interval:
    """Successes of one variant minus those of another, on the same samples.

    Raises:
        Unjudged: one was not generated, or there are too few samples.
    """
    one, other = (successes(variant(tables, name)) for name in (first, second))
    need_samples(len(one))
    return paired_difference(one, other)


@criterion("khakzar-focal", tables=VARIANTS)
def focal(tables: Tables, context: Context) -> Verdict:
    more = compared(tables, "as used", "plain key")
    return Verdict(
        value=judge.at_least(more, 0),
        evidence=f"Share of fresh draws with success, focal weights − plain key: {more}.",
        numbers={"difference": more.estimate},
    )


@criterion("khakzar-dip", tables=VARIANTS)
def deep_image_prior(tables: Tables, context: Context) -> Verdict:
    more = compared(tables, "as used", "pixels")
    rough, smooth = (
        variant(tables, name).groupby("sample")["variation"].first()
        for name in ("as used", "pixels")
    )
    less = paired_difference(rough, smooth)
    text = f"Deep image prior − pixels: success on fresh draws {more}, variation {less}."
    return judge.combine(
        [
            judge.reproduced(more, 0.0, "above", text, "success"),
            judge.reproduced(less, 0.0, "below", text, "variation"),
        ]
    )


@criterion("khakzar-placement", tables=VARIANTS)
def random_placement(tables: Tables, context: Context) -> Verdict:
    moving, fixed = (
        rows_of(variant(tables, name), coalition="first").groupby("sample")["logit_a"].var()
        for name in ("as used", "fixed place")
    )
    need_samples(len(moving))
    less = paired_difference(moving, fixed)
    text = "Variance of the logit over fresh positions and backgrounds, moving − fixed place in the"
    return judge.reproduced(less, 0.0, "below", f"{text} optimisation: {less}.", "difference")


@criterion("khakzar-anymodel", tables=VARIANTS)
def any_model(tables: Tables, context: Context) -> Verdict:
    goal, null = (variant(tables, f"Eq. {name}, untrained") for name in ("1", "3-4"))
    each = (rows.groupby("sample")["accepted"].first() for rows in (goal, null))
    rates = [proportion_interval(int(accepted.sum()), len(accepted)) for accepted in each]
    worst = min(rates, key=lambda rate: rate.estimate)
    text = (
        f"Untrained network: Eq. (1) reached for {rates[0]}, Eq. (3) and (4) for "
        f"{rates[1]} of {rates[0].n} samples, after at most {int(goal['steps'].max())} steps."
    )
    numbers = {"Eq. 1": rates[0].estimate, "Eq. 3-4": rates[1].estimate}
    return judge.reworded(judge.reproduced(worst, 0.5, "above", text, "Eq. 1"), numbers=numbers)


# games and formulas

#: rounding
EXACT = 1e-12


Values = dict[tuple[str, str], float]


def values_of(statements: pd.DataFrame, claim: str) -> Values:
    """(case, quantity) -> value of one claim."""
    rows = rows_of(statements, claim=claim)
    columns = (rows[name] for name in ("case", "quantity", "value"))
    return {(str(case), str(name)): float(v) for case, name, v in zip(*columns, strict=True)}


def all_of(values: Values, quantity: str) -> list[float]:
    """A quantity in every case."""
    return [value for (_, name), value in values.items() if name == quantity]


def statement(claim: str) -> Callable[[Callable[[Values], Verdict]], object]:
    """Register the criterion of a claim, a function of its values alone."""

    def register(judgement: Callable[[Values], Verdict]) -> object:
        register_formal = formal_criterion(claim, "axioms-statements")
        return register_formal(lambda statements: judgement(values_of(statements, claim)))

    return register


@statement("khakzar-ambiguity")
def ambiguity(values: Values) -> Verdict:
    removal, shares = all_of(values, "removal"), all_of(values, "Shapley value")
    passed = removal == [0.0, 0.0] and all(abs(share - 0.5) < EXACT for share in shares)
    return formal(passed, f"OR of two features: removal {removal}, Shapley values {shares}.")


@formal_criterion("khakzar-background", "axioms-statements", "axioms-edges")
def background(statements: pd.DataFrame, edges: pd.DataFrame) -> Verdict:
    values = values_of(statements, "khakzar-background")
    square = values.pop(("x1^2 x2", "IG - Shapley"))
    gap = max(abs(v) for v in values.values())
    edges = edges.pivot(index="image", columns="method", values="spearman").dropna()
    text = (
        f"Products of up to 5 factors: largest distance from 1/T {gap:.1e}. For x1² x2, IG and the "
        f"Shapley value differ by {square:.4f}."
    )
    absent = [name for name in ("gradient", "guided-backprop") if name not in edges]
    if absent:
        return Verdict(value="not-run", evidence=text, reason=f"the run lacks {', '.join(absent)}.")
    if len(edges) < 2:
        return judge.no_data(f"{text} Edges: {len(edges)} images only.")
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
    words = "The axiom speaks of one changed feature: it covers patches, not their pixels."
    return graded(
        patch > 0,
        f"One patch that changes the output by 1 contributes {patch:g}. Two pixels that change "
        f"it by {both:g} together change it by {alone:g} alone.",
        caveat=needs_more,
        reason=words if needs_more else "",
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
    names = ("corrected", "patches", "coded")
    others = ", ".join(f"{name} {values['perfect', name]:g}" for name in names)
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


def listed(values: Mapping[str, float]) -> str:
    """Cases and their values."""
    return "; ".join(f"{case} {value:.3f}" for case, value in values.items())


@statement("khakzar-eq12")
def single_metric(values: Values) -> Verdict:
    printed = {case: v for (case, variant), v in values.items() if variant == "printed"}
    sensitive = max(v for case, v in printed.items() if case.startswith("sensitive"))
    insensitive = min(v for case, v in printed.items() if case.startswith("insensitive"))
    return formal(sensitive < 0.5 < insensitive, f"Eq. (12): {listed(printed)}.")


@statement("khakzar-eq13")
def saturation_metric(values: Values) -> Verdict:
    printed = {case: v for (case, variant), v in values.items() if variant == "printed"}
    met = printed["random single winner"] < printed["equal split"]
    return formal(met, f"Eq. (13): {listed(printed)}.")


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


@formal_criterion("khakzar-limits", "axioms-statements", "axioms-samples")
def limits(statements: pd.DataFrame, samples: pd.DataFrame) -> Verdict:
    values = values_of(statements, "khakzar-limits")
    exact = all_of(values, "terms counted") == all_of(values, "2^(n-1)")
    each = samples.drop_duplicates(["scenario", "sample"])
    return formal(
        exact,
        f"2^(n-1) terms for a null feature among n, counted for n up to {1 + len(values) // 2}. "
        f"Here {int(each['accepted'].sum())} of {len(each)} samples were accepted, after "
        f"{each['steps'].median():.0f} steps and {each['seconds'].mean():.1f} processor seconds a "
        "sample.",
    )


def published(place: str, quantity: str) -> pd.Series:
    """Method (Table 1) or method and layer (Table 2) -> printed value of a metric."""
    rows = pd.read_csv(default_ledger().with_name("reported.csv"), keep_default_na=False)
    rows = rows_of(rows, place=place, paper="khakzar-2022")
    rows = rows[rows["quantity"].str.contains(quantity)]
    index = rows["method"] if place == "Table 1" else [rows["method"], rows["condition"]]
    return pd.Series(rows["value"].astype(float).to_numpy(), index=index)


#: scenario -> what its metric is called where the paper's numbers are kept
QUANTITIES = {
    "null": "null-feature", "double": "double-feature", "single": "single-feature",
    "saturation": "saturation",
}  # fmt: skip

COMPLYING = ("GradCAM", "IBA", "ExtremalPerturbation")


@criterion("khakzar-conclusion")
def conclusion(tables: Tables, context: Context) -> Verdict:
    """ "Only these comply" means: each of the three is better than every other method."""
    parts = {}
    for name in ("null", "double", "single"):
        values = published("Table 1", QUANTITIES[name])
        rest = values.drop(list(COMPLYING)).min()
        failing = [f"{m} {values[m]:.3f}" for m in COMPLYING if values[m] >= rest]
        text = f"{name}: {', '.join(failing) or 'none'} of the three at or above {rest:.3f}"
        parts[text] = not failing
    rising = [f"{m}, {q}" for (m, q), (rho, _) in table2_trends().items() if rho >= 0]
    text = f"rows of Table 2 that do not fall with depth: {'; '.join(rising) or 'none'}"
    parts[text] = not rising
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
