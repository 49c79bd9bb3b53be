"""Criterion for signed against absolute maps (Binder et al. 2022, §1.1 and §4.3)."""

import pandas as pd

from sanitygap import judge
from sanitygap.criteria.gap import last_step
from sanitygap.inference import Interval, bootstrap_mean
from sanitygap.judge import RANGES, Context, Tables, Verdict, criterion
from sanitygap.scores import need_methods, over_seeds, seeds_in_words

METHOD = "integrated-gradients"

#: the signed rank correlation has to be below this at the last stage
LOW = 0.1


def by_sign(table: pd.DataFrame, method: str, step: int, value: str) -> pd.DataFrame:
    """Similarity of signed and of absolute maps, one row an image, without missing values.

    Args:
        table: the table ``randomization``.
        method: an attribution method.
        step: a step of the top-down order.
        value: a column with a similarity.

    Returns:
        Columns ``signed`` and ``absolute``, averaged over seeds.
    """
    rows = judge.rows_of(table, method=method, order="top-down", step=step)
    return judge.scores_by(rows, value, "sign")[["signed", "absolute"]].dropna()


def excess(table: pd.DataFrame, method: str, step: int, value: str) -> Interval:
    """Similarity of absolute maps minus that of signed maps, over images."""
    return judge.paired(by_sign(table, method, step, value), "absolute", "signed")


def later_steps(table: pd.DataFrame) -> list[int]:
    """The steps of the table in the last half of the top-down order."""
    rows = table[table["order"] == "top-down"]
    return sorted(rows.loc[rows["step"] > rows["steps"] / 2, "step"].unique())


def _higher(table: pd.DataFrame, value: str) -> Verdict:
    steps = later_steps(table)
    verdicts = [
        judge.condition(excess(table, METHOD, step, value), 0, "above", f"step {step}")
        for step in steps
    ]
    return judge.summary(verdicts, f"{value}, absolute − signed, {len(steps)} steps")


@criterion("binder-signed-vs-abs", tables=("randomization", "randomization-seeds"))
def signed_against_absolute(tables: Tables, context: Context) -> Verdict:
    """Both similarities have to be higher for absolute maps; the range of SSIM must not decide."""
    need_methods(set(tables["randomization"]["method"]), METHOD)
    table, counts = over_seeds(tables["randomization"], tables["randomization-seeds"], [METHOD])
    rank = _higher(table, "spearman")
    structural = {name: _higher(table, name) for name in RANGES}
    last = last_step(table)
    end = bootstrap_mean(by_sign(table, METHOD, last, "spearman")["signed"])
    low = judge.condition(end, LOW, "below", "Signed rank correlation after the last step")
    numbers = {"signed spearman at the end": end.estimate} | {
        f"{value} absolute - signed, step {last}": excess(table, METHOD, last, value).estimate
        for value in ("spearman", *RANGES)
    }
    value, reason = judge.joint_value(low, rank, structural["ssim"]), ""
    ranges = {name: verdict.value for name, verdict in structural.items()}
    if len(set(ranges.values())) > 1 and "not-reproduced" not in (low.value, rank.value):
        value = "under-specified"
        words = ", ".join(f"{name} {outcome}" for name, outcome in ranges.items())
        reason = (
            "The paper does not state the data range L of SSIM, and whether absolute maps are the "
            f"more similar ones depends on it: {words}. By rank correlation alone the verdict "
            f"would be {judge.joint_value(low, rank)!r}."
        )
    evidence = judge.evidence_of([low, rank, structural["ssim"]])
    evidence += f" Weights redrawn with {seeds_in_words(counts)}."
    return Verdict(value=value, evidence=evidence, reason=reason, numbers=numbers)
