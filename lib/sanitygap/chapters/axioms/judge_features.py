"""Criteria of Khakzar et al. (2022) about the features: do they do what they were made for?

Residuals are measured on fresh backgrounds and positions, averaged over them for each sample, for
accepted samples only: what was given up is counted, and never taken for a feature.
"""

import numpy as np
import pandas as pd

from sanitygap.claims import Verdict, combine, criterion
from sanitygap.inference import Interval, bootstrap_mean, paired_difference, proportion_interval
from sanitygap.judge import (
    Context,
    Tables,
    at_least,
    measured,
    no_data,
    not_run,
    reproduced,
    reworded,
    stop,
)

SAMPLES, VARIANTS = ("axioms-samples",), ("axioms-variants",)

#: an interval over fewer samples says nothing
LEAST = 4

#: a softmax that counts as reached
REACHED = 0.94


def coalitions_of(table: pd.DataFrame, scenario: str, value: str) -> pd.DataFrame:
    """One output of the accepted samples: (sample, draw) x coalition.

    Raises:
        Unjudged: the scenario has too few accepted samples to say anything.
    """
    rows = table[table["scenario"] == scenario]
    each = rows.drop_duplicates("sample")["accepted"]
    if each.sum() < LEAST:
        stop(
            no_data(
                f"{each.sum()} of {len(each)} samples of the scenario {scenario!r} were accepted.",
                f"At least {LEAST} accepted samples are needed; generate more, with more steps.",
            )
        )
    return rows[rows["accepted"]].pivot(index=["sample", "draw"], columns="coalition", values=value)


def outputs_of(tables: Tables, scenario: str) -> list[pd.DataFrame]:
    """Both outputs of the accepted samples: (sample, draw) x coalition."""
    table = tables["axioms-samples"]
    return [coalitions_of(table, scenario, f"logit_{output}") for output in "ab"]


def by_sample(values: pd.Series) -> pd.Series:
    """Mean over the draws of each sample."""
    return values.groupby(level="sample").mean()


def residual_verdict(residuals: pd.Series, what: str) -> Verdict:
    """Median below 0.1, and below 0.2 in 95 % of the samples."""
    median = float(residuals.median())
    small = proportion_interval(int((residuals < 0.2).sum()), len(residuals))
    return measured(
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
    return measured(
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
    return reproduced(
        spread, 0.1, "below", f"{text}: {spread} over {len(each)} accepted samples.", "spread"
    )


def variant(tables: Tables, name: str) -> pd.DataFrame:
    """Rows of one variant.

    Raises:
        Unjudged: it was not generated.
    """
    table = tables["axioms-variants"]
    rows = table[table["variant"] == name]
    if rows.empty:
        stop(
            not_run(
                f"The variant {name!r} was not generated in this run; it is in the profile full: "
                "sanitygap execute features --profile full."
            )
        )
    return rows


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
    return by_sample(met.astype(float))


def softmaxes(rows: pd.DataFrame) -> tuple[pd.Series, str]:
    """Mean softmax of each target alone on fresh backgrounds, and how long it was optimised."""
    first = rows[rows["coalition"] == "first"].groupby("sample")["softmax_a"].mean()
    return first, f"after at most {int(rows['steps'].max())} steps."


@criterion("khakzar-eq1", tables=VARIANTS)
def activation(tables: Tables, context: Context) -> Verdict:
    first, steps = softmaxes(variant(tables, "Eq. 1"))
    share = proportion_interval(int((first > REACHED).sum()), len(first))
    text = (
        f"Softmax above {REACHED} on fresh backgrounds for {share.estimate:.0%} "
        f"[{share.low:.0%}, {share.high:.0%}] of {len(first)} random targets, {steps}"
    )
    verdict = reproduced(share, 0.9, "above", text, "share")
    if len(first) < LEAST:
        return verdict.model_copy(update={"value": "no-data"})
    return verdict


@criterion("khakzar-eq2", tables=VARIANTS)
def constant_value(tables: Tables, context: Context) -> Verdict:
    first, steps = softmaxes(variant(tables, "Eq. 2"))
    if len(first) < LEAST:
        return no_data(f"{len(first)} targets only.")
    distance = bootstrap_mean((first - 0.95).abs())
    text = f"Distance of the softmax from c = 0.95: {distance} over {len(first)} targets, {steps}"
    reason = "The cross-entropy of a scalar is undefined; this is the code's squared distance."
    return reworded(reproduced(distance, 0.05, "below", text, "distance"), reason=reason)


def compared(tables: Tables, first: str, second: str) -> Interval:
    """Successes of one variant minus those of another, on the same samples.

    Raises:
        Unjudged: one was not generated, or there are too few samples.
    """
    pair = [variant(tables, name) for name in (first, second)]
    one, other = (successes(rows) for rows in pair)
    need_samples(len(one))
    return paired_difference(one, other)


def need_samples(count: int) -> None:
    """Let pass what has enough samples for an interval."""
    if count < LEAST:
        stop(no_data(f"{count} samples only."))


@criterion("khakzar-focal", tables=VARIANTS)
def focal(tables: Tables, context: Context) -> Verdict:
    more = compared(tables, "as used", "plain key")
    return Verdict(
        value=at_least(more, 0),
        evidence=f"Share of fresh draws with success, focal weights − plain key: {more}.",
        numbers={"difference": more.estimate},
    )


@criterion("khakzar-dip", tables=VARIANTS)
def deep_image_prior(tables: Tables, context: Context) -> Verdict:
    more = compared(tables, "as used", "pixels")
    rough = [
        variant(tables, name).groupby("sample")["variation"].first()
        for name in ("as used", "pixels")
    ]
    less = paired_difference(rough[0], rough[1])
    text = f"Deep image prior − pixels: success on fresh draws {more}, variation {less}."
    return combine(
        [
            reproduced(more, 0.0, "above", text, "success"),
            reproduced(less, 0.0, "below", text, "variation"),
        ]
    )


@criterion("khakzar-placement", tables=VARIANTS)
def random_placement(tables: Tables, context: Context) -> Verdict:
    spread = []
    for rows in [variant(tables, name) for name in ("as used", "fixed place")]:
        alone = rows[rows["coalition"] == "first"]
        spread.append(alone.groupby("sample")["logit_a"].var())
    need_samples(len(spread[0]))
    less = paired_difference(spread[0], spread[1])
    text = "Variance of the logit over fresh positions and backgrounds, moving − fixed place in the"
    return reproduced(less, 0.0, "below", f"{text} optimisation: {less}.", "difference")


@criterion("khakzar-anymodel", tables=VARIANTS)
def any_model(tables: Tables, context: Context) -> Verdict:
    goal, null = (variant(tables, f"Eq. {name}, untrained") for name in ("1", "3-4"))
    rates = []
    for rows in (goal, null):
        accepted = rows.groupby("sample")["accepted"].first()
        rates.append(proportion_interval(int(accepted.sum()), len(accepted)))
    worst = min(rates, key=lambda rate: rate.estimate)
    text = (
        f"Untrained network: Eq. (1) reached for {rates[0]}, Eq. (3) and (4) for "
        f"{rates[1]} of {rates[0].n} samples, after at most {int(goal['steps'].max())} steps."
    )
    numbers = {"Eq. 1": rates[0].estimate, "Eq. 3-4": rates[1].estimate}
    return reworded(reproduced(worst, 0.5, "above", text, "Eq. 1"), numbers=numbers)
