"""Criterion for maps that stay where the kept features are active (Binder et al. 2022, §4.3)."""

from collections.abc import Mapping

import pandas as pd

from sanitygap.claims import CriterionContext, Verdict, criterion, verdict_from_interval
from sanitygap.criteria.gap import GUIDED, LRP, shown, summary
from sanitygap.criteria.irrelevance import REDRAWS, enough
from sanitygap.inference import Interval, bootstrap_mean, paired_difference

Tables = Mapping[str, pd.DataFrame]


def at(table: pd.DataFrame, method: str, step: int) -> pd.DataFrame:
    """One row an image of one method at one step, averaged over seeds."""
    rows = table[(table["method"] == method) & (table["step"] == step)]
    values = ["mass_ratio", "spearman", "spearman_others"]
    return rows.groupby("image", sort=False)[values].mean().dropna()


def concentration(table: pd.DataFrame, method: str, step: int) -> Interval:
    """Mass share over area share of the most active regions: 1 means indifferent."""
    return bootstrap_mean(at(table, method, step)["mass_ratio"])


def own_activity(table: pd.DataFrame, method: str, step: int) -> Interval:
    """Rank correlation with the activity of the own image minus that of other images."""
    rows = at(table, method, step)
    return paired_difference(rows["spearman"], rows["spearman_others"])


@criterion("binder-preservation", tables=("activated-regions",))
def preservation(tables: Tables, context: CriterionContext) -> Verdict:
    """For both methods and at every step: mass ratio above 1, correlation above the null.

    Only where the kept features are not negative, which Theorem 2 assumes.
    """
    every = tables["activated-regions"]
    table = every[every["non_negative"]]
    if table.empty:
        return Verdict(
            value="not-run",
            reason=f"Every kept feature map of {context.model} has negative values, and Theorem 2, "
            "from which the paper concludes, is about activations that are not negative; run the "
            "page with a ReLU network.",
        )
    steps = sorted(table["step"].unique())
    verdicts = []
    for step in steps:
        stage = table.loc[table["step"] == step, "stage"].iloc[0]
        for method in (GUIDED, LRP):
            for what, interval, threshold in (
                ("mass ratio", concentration(table, method, step), 1.0),
                ("correlation beyond other images", own_activity(table, method, step), 0.0),
            ):
                verdicts.append(
                    Verdict(
                        value=verdict_from_interval(
                            interval.low, interval.high, threshold, "above"
                        ),
                        evidence=f"{method} below {stage}, {what} {shown(interval)}.",
                    )
                )
    joined = summary(
        verdicts,
        f"{GUIDED} and {LRP} at {len(steps)} depths with features >= 0: mass ratio from 1, "
        "correlation with the own image's activity from that with other images'",
    )
    numbers = {
        f"mass ratio {method}, step {step}": concentration(table, method, step).estimate
        for step in steps
        for method in (GUIDED, LRP)
    }
    verdict = joined.model_copy(update={"numbers": joined.numbers | numbers})
    return enough(verdict, table["seed"].nunique(), REDRAWS, "redraws")
