"""Criteria of Khakzar et al. (2022) about the features: do they do what they were made for?

Residuals are measured on fresh backgrounds and positions, averaged over them for each sample, for
accepted samples only: what was given up is counted, and never taken for a feature.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from sanitygap.claims import CriterionContext, Value, Verdict, criterion, verdict_from_interval
from sanitygap.inference import bootstrap_mean, paired_difference, proportion_interval

Tables = Mapping[str, pd.DataFrame]
SAMPLES, VARIANTS = ("axioms-samples",), ("axioms-variants",)

#: an interval over fewer samples says nothing
LEAST = 4

#: a softmax that counts as reached
REACHED = 0.94


def coalitions_of(table: pd.DataFrame, scenario: str, value: str) -> pd.DataFrame:
    """One output of the accepted samples: (sample, draw) x coalition."""
    rows = table[(table["scenario"] == scenario) & table["accepted"]]
    return rows.pivot(index=["sample", "draw"], columns="coalition", values=value)


def too_few(table: pd.DataFrame, scenario: str) -> Verdict | None:
    """``no-data`` if a scenario has too few accepted samples to say anything."""
    each = table[table["scenario"] == scenario].drop_duplicates("sample")
    accepted = int(each["accepted"].sum())
    if accepted >= LEAST:
        return None
    return Verdict(
        value="no-data",
        evidence=f"{accepted} of {len(each)} samples of the scenario {scenario!r} were accepted.",
        reason=f"At least {LEAST} accepted samples are needed; generate more, with more steps.",
    )


def residual_verdict(residuals: pd.Series, what: str) -> Verdict:
    """Median below 0.1, and below 0.2 in 95 % of the samples."""
    median = float(residuals.median())
    small = proportion_interval(int((residuals < 0.2).sum()), len(residuals))
    value: Value = "direction" if median < 0.1 and small.estimate >= 0.95 else "not-reproduced"
    return Verdict(
        value="reproduced" if value == "direction" else value,
        evidence=(
            f"{what}: median relative residual {median:.3f}; below 0.2 in {small.estimate:.0%} "
            f"[{small.low:.0%}, {small.high:.0%}] of {len(residuals)} accepted samples, on fresh "
            "backgrounds and positions."
        ),
        numbers={"median residual": median, "share below 0.2": small.estimate},
    )


@criterion("khakzar-eq3-4", tables=SAMPLES)
def null_feature(tables: Tables, context: CriterionContext) -> Verdict:
    table = tables["axioms-samples"]
    if (few := too_few(table, "null")) is not None:
        return few
    a = coalitions_of(table, "null", "logit_a")
    scale = (a["first"] - a["none"]).abs()
    beside = (a["both"] - a["first"]).abs() / scale
    alone = (a["second"] - a["none"]).abs() / scale
    worst = beside.where(beside > alone, alone).groupby(level="sample").mean()
    return residual_verdict(worst, "Larger of the two coalitions")


@criterion("khakzar-eq5", tables=SAMPLES)
def single_feature(tables: Tables, context: CriterionContext) -> Verdict:
    table = tables["axioms-samples"]
    if (few := too_few(table, "single")) is not None:
        return few
    a, b = (coalitions_of(table, "single", f"logit_{output}") for output in "ab")
    residual = (b["first"] - b["none"]).abs() / (a["first"] - a["none"]).abs()
    return residual_verdict(
        residual.groupby(level="sample").mean(), "Change of output b over that of output a"
    )


@criterion("khakzar-eq6-7", tables=SAMPLES)
def double_feature(tables: Tables, context: CriterionContext) -> Verdict:
    table = tables["axioms-samples"]
    if (few := too_few(table, "double")) is not None:
        return few
    a, b = (coalitions_of(table, "double", f"logit_{output}") for output in "ab")
    first = (b["both"] - b["second"]).abs() / (b["second"] - b["none"]).abs()
    second = (a["both"] - a["first"]).abs() / (a["first"] - a["none"]).abs()
    medians = [float(r.groupby(level="sample").mean().median()) for r in (first, second)]
    alone = float(((b["first"] - b["none"]).abs() / (b["second"] - b["none"]).abs()).median())
    return Verdict(
        value="reproduced" if max(medians) <= 0.1 else "not-reproduced",
        evidence=(
            f"Median change of the other output beside its own feature: {medians[0]:.3f} (f_a) and "
            f"{medians[1]:.3f} (f_b) of what that feature does; alone, which no term constrains, "
            f"f_a changes output b by {alone:.3f} of it."
        ),
        numbers={"f_a": medians[0], "f_b": medians[1], "f_a alone": alone},
    )


@criterion("khakzar-eq8-9", tables=SAMPLES)
def saturated_features(tables: Tables, context: CriterionContext) -> Verdict:
    table = tables["axioms-samples"]
    if (few := too_few(table, "saturation")) is not None:
        return few
    a = coalitions_of(table, "saturation", "logit_a")[["first", "second", "both"]]
    spread = (a.max(axis=1) - a.min(axis=1)) / a.mean(axis=1).abs()
    each = spread.groupby(level="sample").mean()
    interval = bootstrap_mean(each)
    return Verdict(
        value="reproduced"
        if interval.high < 0.1
        else "undecided"
        if interval.low < 0.1
        else "not-reproduced",
        evidence=f"Relative spread of the output over first, second and both: {interval} over "
        f"{len(each)} accepted samples.",
        numbers={"spread": interval.estimate},
    )


def variant(tables: Tables, name: str) -> pd.DataFrame:
    """Rows of one variant; empty if it was not run."""
    table = tables["axioms-variants"]
    return table[table["variant"] == name]


def successes(rows: pd.DataFrame) -> pd.Series:
    """Share of fresh draws in which the goal is reached and the constraint holds, by sample.

    The constraint is left out where the scenario has none. Samples that were given up count with
    what they reached.
    """
    first = rows[rows["coalition"] == "first"].set_index(["sample", "draw"])
    met = first["softmax_a"] > first["softmax_least"]
    if set(rows["scenario"]) == {"single"}:
        none = rows[rows["coalition"] == "none"].set_index(["sample", "draw"])["logit_b"]
        change = (first["logit_b"] - none).abs()
        smaller = first["logit_b"].abs().clip(upper=none.abs())
        met &= np.tanh(change / smaller.where(smaller > 0, np.inf)) < first["change_most"]
        met &= (smaller > 0) | (change == 0)
    return met.astype(float).groupby(level="sample").mean()


def not_run(name: str) -> Verdict:
    """The verdict where a variant was not generated."""
    return Verdict(
        value="not-run",
        reason=f"The variant {name!r} was not generated in this run; it is in the profile full: "
        "sanitygap execute features --profile full.",
    )


@criterion("khakzar-eq1", tables=VARIANTS)
def activation(tables: Tables, context: CriterionContext) -> Verdict:
    rows = variant(tables, "Eq. 1")
    if rows.empty:
        return not_run("Eq. 1")
    first = rows[rows["coalition"] == "first"].groupby("sample")["softmax_a"].mean()
    share = proportion_interval(int((first > REACHED).sum()), len(first))
    value = verdict_from_interval(share.low, share.high, 0.9, "above")
    return Verdict(
        value="no-data" if len(first) < LEAST else _claimed(value),
        evidence=f"Softmax above {REACHED} on fresh backgrounds for {share.estimate:.0%} "
        f"[{share.low:.0%}, {share.high:.0%}] of {len(first)} random targets, after at most "
        f"{int(rows['steps'].max())} steps.",
        numbers={"share": share.estimate},
    )


@criterion("khakzar-eq2", tables=VARIANTS)
def constant_value(tables: Tables, context: CriterionContext) -> Verdict:
    rows = variant(tables, "Eq. 2")
    if rows.empty:
        return not_run("Eq. 2")
    first = rows[rows["coalition"] == "first"].groupby("sample")["softmax_a"].mean()
    if len(first) < LEAST:
        return Verdict(value="no-data", evidence=f"{len(first)} targets only.")
    distance = bootstrap_mean((first - 0.95).abs())
    return Verdict(
        value=_claimed(verdict_from_interval(distance.low, distance.high, 0.05, "below")),
        evidence=f"Distance of the softmax from c = 0.95: {distance} over {len(first)} targets, "
        f"after at most {int(rows['steps'].max())} steps.",
        reason="The cross-entropy of a scalar is undefined; this is the code's squared distance.",
        numbers={"distance": distance.estimate},
    )


def _claimed(value: str) -> Value:
    return "reproduced" if value == "direction" else value  # type: ignore[return-value]


def compared(tables: Tables, first: str, second: str) -> tuple[pd.Series, pd.Series] | Verdict:
    """Successes of two variants on the same samples, or why there are none."""
    pair = [variant(tables, name) for name in (first, second)]
    for name, rows in zip((first, second), pair, strict=True):
        if rows.empty:
            return not_run(name)
    one, other = (successes(rows) for rows in pair)
    if len(one) < LEAST:
        return Verdict(value="no-data", evidence=f"{len(one)} samples only.")
    return one, other


@criterion("khakzar-focal", tables=VARIANTS)
def focal(tables: Tables, context: CriterionContext) -> Verdict:
    pair = compared(tables, "as used", "plain key")
    if isinstance(pair, Verdict):
        return pair
    more = paired_difference(*pair)
    value: Value = (
        "not-reproduced" if more.high < 0 else "undecided" if more.low < 0 else "reproduced"
    )
    return Verdict(
        value=value,
        evidence=f"Share of fresh draws with success, focal weights − plain key: {more}.",
        numbers={"difference": more.estimate},
    )


@criterion("khakzar-dip", tables=VARIANTS)
def deep_image_prior(tables: Tables, context: CriterionContext) -> Verdict:
    pair = compared(tables, "as used", "pixels")
    if isinstance(pair, Verdict):
        return pair
    more = paired_difference(*pair)
    rough = [
        variant(tables, name).groupby("sample")["variation"].first()
        for name in ("as used", "pixels")
    ]
    less = paired_difference(rough[0], rough[1])
    values = (
        verdict_from_interval(more.low, more.high, 0.0, "above"),
        verdict_from_interval(less.low, less.high, 0.0, "below"),
    )
    worst = "not-reproduced" if "not-reproduced" in values else "undecided"
    return Verdict(
        value="reproduced" if values == ("direction", "direction") else worst,  # type: ignore[arg-type]
        evidence=f"Deep image prior − pixels: success on fresh draws {more}, variation {less}.",
        numbers={"success": more.estimate, "variation": less.estimate},
    )


@criterion("khakzar-placement", tables=VARIANTS)
def random_placement(tables: Tables, context: CriterionContext) -> Verdict:
    names = ("as used", "fixed place")
    for name in names:
        if variant(tables, name).empty:
            return not_run(name)
    spread = []
    for name in names:
        rows = variant(tables, name)
        rows = rows[rows["coalition"] == "first"]
        spread.append(rows.groupby("sample")["logit_a"].var())
    if len(spread[0]) < LEAST:
        return Verdict(value="no-data", evidence=f"{len(spread[0])} samples only.")
    less = paired_difference(spread[0], spread[1])
    return Verdict(
        value=_claimed(verdict_from_interval(less.low, less.high, 0.0, "below")),
        evidence="Variance of the logit over fresh positions and backgrounds, moving − fixed place "
        f"in the optimisation: {less}.",
        numbers={"difference": less.estimate},
    )


@criterion("khakzar-anymodel", tables=VARIANTS)
def any_model(tables: Tables, context: CriterionContext) -> Verdict:
    goal = variant(tables, "Eq. 1, untrained")
    null = variant(tables, "Eq. 3-4, untrained")
    if goal.empty or null.empty:
        return not_run("Eq. 1, untrained")
    rates = []
    for rows in (goal, null):
        accepted = rows.groupby("sample")["accepted"].first()
        rates.append(proportion_interval(int(accepted.sum()), len(accepted)))
    worst = min(rates, key=lambda rate: rate.estimate)
    value = verdict_from_interval(worst.low, worst.high, 0.5, "above")
    return Verdict(
        value=_claimed(value),
        evidence=f"Untrained network: Eq. (1) reached for {rates[0]}, Eq. (3) and (4) for "
        f"{rates[1]} of {rates[0].n} samples, after at most {int(goal['steps'].max())} steps.",
        numbers={"Eq. 1": rates[0].estimate, "Eq. 3-4": rates[1].estimate},
    )
