"""Criterion for signed against absolute maps (Binder et al. 2022, §1.1 and §4.3)."""

from collections.abc import Mapping

import pandas as pd

from sanitygap.claims import CriterionContext, Verdict, combine, criterion, verdict_from_interval
from sanitygap.criteria.gap import RANGES, last_step, shown, summary
from sanitygap.inference import Interval, bootstrap_mean, paired_difference
from sanitygap.scores import need_methods, over_seeds, seeds_in_words

Tables = Mapping[str, pd.DataFrame]

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
    rows = table[
        (table["method"] == method) & (table["order"] == "top-down") & (table["step"] == step)
    ]
    means = rows.groupby(["image", "sign"])[value].mean().unstack("sign")
    return means[["signed", "absolute"]].dropna()


def excess(table: pd.DataFrame, method: str, step: int, value: str) -> Interval:
    """Similarity of absolute maps minus that of signed maps, over images."""
    pair = by_sign(table, method, step, value)
    return paired_difference(pair["absolute"], pair["signed"])


def later_steps(table: pd.DataFrame) -> list[int]:
    """The steps of the table in the last half of the top-down order."""
    rows = table[table["order"] == "top-down"]
    return sorted(rows.loc[rows["step"] > rows["steps"] / 2, "step"].unique())


def _higher(table: pd.DataFrame, value: str) -> Verdict:
    steps = later_steps(table)
    verdicts = []
    for step in steps:
        gap = excess(table, METHOD, step, value)
        verdicts.append(
            Verdict(
                value=verdict_from_interval(gap.low, gap.high, 0.0, "above"),
                evidence=f"step {step}: {shown(gap)}.",
            )
        )
    return summary(verdicts, f"{value}, absolute − signed, {len(steps)} steps")


@criterion("binder-signed-vs-abs", tables=("randomization", "randomization-seeds"))
def signed_against_absolute(tables: Tables, context: CriterionContext) -> Verdict:
    """Both similarities have to be higher for absolute maps; the range of SSIM must not decide."""
    need_methods(set(tables["randomization"]["method"]), METHOD)
    table, counts = over_seeds(tables["randomization"], tables["randomization-seeds"], [METHOD])
    rank = _higher(table, "spearman")
    structural = {name: _higher(table, name) for name in RANGES}
    last = last_step(table)
    end = bootstrap_mean(by_sign(table, METHOD, last, "spearman")["signed"])
    low = Verdict(
        value=verdict_from_interval(end.low, end.high, LOW, "below"),
        evidence=f"Signed rank correlation after the last step: {shown(end)}.",
        numbers={"signed spearman at the end": end.estimate},
    )
    numbers = low.numbers | {
        f"{value} absolute - signed, step {last}": excess(table, METHOD, last, value).estimate
        for value in ("spearman", *RANGES)
    }
    draws = f"Weights redrawn with {seeds_in_words(counts)}."
    evidence = f"{low.evidence} {rank.evidence} {structural['ssim'].evidence} {draws}"
    parts = [low, rank, structural["ssim"]]
    value = combine([part.model_copy(update={"numbers": {}}) for part in parts]).value
    ranges = {name: verdict.value for name, verdict in structural.items()}
    if len(set(ranges.values())) == 1 or "not-reproduced" in (low.value, rank.value):
        return Verdict(value=value, evidence=evidence, numbers=numbers)
    words = ", ".join(f"{name} {found}" for name, found in ranges.items())
    return Verdict(
        value="under-specified",
        evidence=evidence,
        reason=(
            "The paper does not state the data range L of SSIM, and whether absolute maps are the "
            f"more similar ones depends on it: {words}. By rank correlation alone the verdict "
            f"would be {combine([low, rank.model_copy(update={'numbers': {}})]).value!r}."
        ),
        numbers=numbers,
    )
