"""Criterion for maps that stay where the kept features are active (Binder et al. 2022, §4.3)."""

import pandas as pd

from sanitygap import judge
from sanitygap.inference import Interval, bootstrap_mean
from sanitygap.judge import GUIDED, LRP, REDRAWS, Context, Tables, Verdict, criterion


def at(table: pd.DataFrame, method: str, step: int) -> pd.DataFrame:
    """One row an image of one method at one step, averaged over seeds."""
    rows = judge.rows_of(table, method=method, step=step)
    values = ["mass_ratio", "spearman", "spearman_others"]
    return rows.groupby("image", sort=False)[values].mean().dropna()


def concentration(table: pd.DataFrame, method: str, step: int) -> Interval:
    """Mass share over area share of the most active regions: 1 means indifferent."""
    return bootstrap_mean(at(table, method, step)["mass_ratio"])


def own_activity(table: pd.DataFrame, method: str, step: int) -> Interval:
    """Rank correlation with the activity of the own image minus that of other images."""
    return judge.paired(at(table, method, step), "spearman", "spearman_others")


@criterion("binder-preservation", tables=("activated-regions",))
def preservation(tables: Tables, context: Context) -> Verdict:
    """For both methods and at every step: mass ratio above 1, correlation above the null.

    Only where the kept features are not negative, which Theorem 2 assumes.
    """
    table = judge.rows_of(tables["activated-regions"], non_negative=True)
    if table.empty:
        return judge.not_run(
            f"Every kept feature map of {context.model} has negative values, and Theorem 2, "
            "from which the paper concludes, is about activations that are not negative; run the "
            "page with a ReLU network."
        )
    steps = sorted(table["step"].unique())
    verdicts, numbers = [], {}
    for step in steps:
        stage = judge.rows_of(table, step=step)["stage"].iloc[0]
        for method in (GUIDED, LRP):
            ratio, beyond = concentration(table, method, step), own_activity(table, method, step)
            numbers[f"mass ratio {method}, step {step}"] = ratio.estimate
            for what, interval, bound in (
                ("mass ratio", ratio, 1), ("correlation beyond other images", beyond, 0),
            ):  # fmt: skip
                name = f"{method} below {stage}, {what}"
                words = f"{name} {judge.shown(interval)}."
                verdicts.append(judge.condition(interval, bound, "above", name, words))
    joined = judge.summary(
        verdicts,
        f"{GUIDED} and {LRP} at {len(steps)} depths with features >= 0: mass ratio from 1, "
        "correlation with the own image's activity from that with other images'",
    )
    verdict = judge.reworded(joined, numbers=numbers)
    return judge.enough(verdict, table["seed"].nunique(), REDRAWS, "redraws")
