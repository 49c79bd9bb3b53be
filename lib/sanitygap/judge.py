"""What criteria are written in: conditions, how they join to a verdict, and rows of tables.

A *condition* is a verdict on one part of a claim: an interval against a bound, a paired difference,
something that is met or not. Joining several (:func:`all_met`, :func:`summary`, :func:`some_of`,
:func:`one_verdict`) keeps the outcome of :func:`sanitygap.claims.combine` and says it in few words.
What cannot be judged on a table is raised as :class:`~sanitygap.claims.Unjudged`, which
carries the verdict to be given instead.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Hashable, Iterable, Mapping, Sequence
from typing import Any, Literal, NoReturn

import pandas as pd
from scipy.stats import kendalltau

from sanitygap.claims import (
    CriterionContext,
    Unjudged,
    Value,
    Verdict,
    combine,
    verdict_from_interval,
)
from sanitygap.claims import criterion as criterion
from sanitygap.inference import Interval, holm, paired_difference
from sanitygap.scores import complete, need_methods, randomization_scores

Tables = Mapping[str, pd.DataFrame]
Context = CriterionContext
Direction = Literal["above", "below"]
Numbers = Mapping[str, float]

GUIDED = "guided-backprop"
#: the variant that stands for LRP where it is no choice of its own
LRP = "lrp-epsilon-plus"
GRADIENTS = ("gradient", "gradient-x-input", "integrated-gradients")
FIGURE_METHODS = (*GRADIENTS, GUIDED, LRP, "lrp-alpha2-beta1", "lrp-gamma-box")
CONTROLS = ("noise", "edges", "noise-fixed", "noise-x-input")

#: column with the SSIM -> the data range L under which it was taken
RANGES = {"ssim": "joint", "ssim_robust": "robust", "ssim_L1": "1", "ssim_L2": "2"}

#: redraws of the weights that the ledger asks for where it names no other number
REDRAWS = 5

#: conditions whose numbers stand in a verdict's evidence
SHOWN = 3

#: values of conditions that neither speak for a claim nor against it
OPEN = ("undecided", "no-data", "not-run")


# one condition


def shown(interval: Interval) -> str:
    """An interval as text."""
    return f"{interval.estimate:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]"


def side(interval: Interval, bound: float, direction: Direction) -> Value:
    """``direction`` if the interval lies on that side of a bound, ``undecided`` if on both."""
    return verdict_from_interval(interval.low, interval.high, bound, direction)


def at_least(interval: Interval, bound: float, met: Value = "reproduced") -> Value:
    """``met`` if the interval begins at a bound or above it; one that touches it is open."""
    if interval.low >= bound:
        return met
    return "not-reproduced" if interval.high < bound else "undecided"


def condition(
    interval: Interval, bound: float, direction: Direction, what: str, evidence: str = ""
) -> Verdict:
    """A quantity lies above or below a bound; ``what`` names its number, and it in the evidence."""
    return Verdict(
        value=side(interval, bound, direction),
        evidence=evidence or f"{what}: {shown(interval)}.",
        numbers={what: interval.estimate},
    )


def reproduced(
    interval: Interval, bound: float, direction: Direction, evidence: str, name: str
) -> Verdict:
    """A quantity of that name lies above or below a bound, as the paper says it does."""
    value = side(interval, bound, direction)
    return Verdict(
        value="reproduced" if value == "direction" else value,
        evidence=evidence,
        numbers={name: interval.estimate},
    )


def difference(
    scores: pd.DataFrame, first: str, second: str, direction: Direction, what: str
) -> Verdict:
    """The first of two methods scores above (below) the second, paired over images."""
    need_methods(scores, first, second)
    interval = paired(scores, first, second)
    words = f"{what}: {first} − {second} = {shown(interval)}."
    return condition(interval, 0, direction, f"{what}, {first} - {second}", words)


def paired(scores: pd.DataFrame, first: Hashable, second: Hashable) -> Interval:
    """Mean of one column minus another, over the images that have both."""
    both = scores[[first, second]].dropna()
    return paired_difference(both[first], both[second])


def paired_condition(
    scores: pd.DataFrame,
    first: Hashable,
    second: Hashable,
    what: str,
    direction: Direction = "above",
    lacking: str = "images with both maps",
) -> Verdict:
    """One column above (below) another over the images that have both; fewer than two are open."""
    both = scores[[first, second]].dropna()
    if len(both) < 2:
        return no_data(f"{what}: {len(both)} {lacking}.")
    return condition(paired(both, first, second), 0, direction, what)


def measured(
    met: bool, evidence: str, numbers: Numbers | None = None, value: Value = "direction"
) -> Verdict:
    """Something that is met (``value``) or not, without an interval."""
    return Verdict(
        value=value if met else "not-reproduced", evidence=evidence, numbers=dict(numbers or {})
    )


def formal(met: bool, evidence: str, numbers: Numbers | None = None, reason: str = "") -> Verdict:
    """A formal statement: ``holds`` or ``false``."""
    return Verdict(
        value="holds" if met else "false",
        evidence=evidence,
        reason=reason,
        numbers=dict(numbers or {}),
    )


# what cannot be judged


def not_run(reason: str) -> Verdict:
    """``not-run``: the tables do not hold what the claim is about."""
    return Verdict(value="not-run", reason=reason)


def no_data(evidence: str, reason: str = "") -> Verdict:
    """``no-data``: there is too little to judge by."""
    return Verdict(value="no-data", evidence=evidence, reason=reason)


def stop(verdict: Verdict) -> NoReturn:
    """End the judgement with a verdict.

    Raises:
        Unjudged: always.
    """
    raise Unjudged(verdict)


def need_all(held: Container[Any], names: Iterable[str], words: str) -> None:
    """Let pass what holds all of these names.

    Args:
        held: what there is.
        names: what the criterion is about.
        words: the reason why it is not run, with ``{}`` in place of what is lacking.

    Raises:
        Unjudged: something is lacking.
    """
    if absent := [name for name in names if name not in held]:
        stop(not_run(words.format(", ".join(absent))))


def need_images(
    table: pd.DataFrame,
    reason: str = "an interval needs at least two images; give the run more of them",
) -> None:
    """Let pass a table with two images or more.

    Raises:
        Unjudged: there is no interval, nor a pair of maps of different images.
    """
    if table["image"].nunique() < 2:
        stop(not_run(reason))


def enough(verdict: Verdict, count: int, wanted: int, what: str) -> Verdict:
    """The verdict, open if the run holds fewer draws than the ledger's check asks for."""
    if count >= wanted or verdict.value in ("not-run", "no-data", "under-specified"):
        return verdict
    reason = f"The check asks for at least {wanted} {what}, and this run has {count}."
    reason = f"{verdict.reason} {reason}".strip()
    return verdict.model_copy(update={"value": "undecided", "reason": reason})


# several conditions


def reworded(
    verdict: Verdict,
    evidence: str | None = None,
    numbers: Numbers | None = None,
    reason: str | None = None,
) -> Verdict:
    """A verdict in other words, with more numbers; what is not given stays."""
    return verdict.model_copy(
        update={
            "evidence": verdict.evidence if evidence is None else evidence,
            "reason": verdict.reason if reason is None else reason,
            "numbers": verdict.numbers | dict(numbers or {}),
        }
    )


def joint_value(*verdicts: Verdict) -> Value:
    """The outcome of :func:`combine`, also where numbers share a name."""
    return combine([verdict.model_copy(update={"numbers": {}}) for verdict in verdicts]).value


def evidence_of(verdicts: Iterable[Verdict]) -> str:
    """The evidence of several conditions in a row."""
    return " ".join(verdict.evidence for verdict in verdicts)


def summary(verdicts: Sequence[Verdict], what: str) -> Verdict:
    """Many conditions as one verdict: how many hold, and the ones that do not."""
    failed = [v for v in verdicts if v.value == "not-reproduced"]
    undecided = [v for v in verdicts if v.value in OPEN]
    held = len(verdicts) - len(failed) - len(undecided)
    evidence = f"{held} of {len(verdicts)} differences ({what}) have the claimed sign beyond "
    evidence += "chance."
    for words, group in (("Against the claim", failed), ("Not settled", undecided)):
        if group:
            evidence += f" {words} ({len(group)}): {_first(group)}"
    numbers: dict[str, float] = {"held": held, "against": len(failed), "open": len(undecided)}
    return Verdict(value=combine(verdicts).value, evidence=evidence, numbers=numbers)


def all_met(conditions: Iterable[Verdict]) -> Verdict:
    """All conditions as one verdict; its evidence lists those that are not met, else the first."""
    verdicts = list(conditions)
    unmet = [verdict for verdict in verdicts if verdict.value != "direction"]
    words = f"Not met: {evidence_of(unmet)}" if unmet else _first(verdicts)
    count = f"{len(verdicts) - len(unmet)} of {len(verdicts)} conditions are met."
    return reworded(combine(verdicts), f"{count} {words}")


def some_of(verdicts: Sequence[Verdict], what: str) -> Verdict:
    """All conditions as one verdict, with how many are met and the first that are not."""
    unmet = [v for v in verdicts if v.value != "direction"]
    met, refuted = len(verdicts) - len(unmet), sum(v.value == "not-reproduced" for v in unmet)
    evidence = f"{met} of {len(verdicts)} conditions ({what}) are met, {refuted} refuted."
    if unmet:
        ordered = sorted(unmet, key=lambda v: v.value != "not-reproduced")
        evidence += f" {_first(ordered)}"
    numbers: dict[str, float] = {"met": met, "refuted": refuted, "conditions": len(verdicts)}
    joined = combine(verdicts)
    return Verdict(value=joined.value, evidence=evidence, reason=joined.reason, numbers=numbers)


def _first(verdicts: Sequence[Verdict]) -> str:
    more = len(verdicts) - SHOWN
    return evidence_of(verdicts[:SHOWN]) + (f" … and {more} more." if more > 0 else "")


def one_verdict(readings: Mapping[str, Verdict], what: str) -> Verdict:
    """The verdict on a claim that can be read in several ways.

    Args:
        readings: the reading in words -> its verdict.
        what: what the paper leaves open.
    """
    values = {name: verdict.value for name, verdict in readings.items()}
    listed = ", ".join(f"{name} {value!r}" for name, value in values.items())
    if len(set(values.values())) == 1:
        value = next(iter(values.values()))
        reason = " ".join(dict.fromkeys(verdict.reason for verdict in readings.values())).strip()
    elif set(OPEN) & set(values.values()):
        value = "undecided"
        reason = f"The paper does not say {what}, and not every reading is settled: {listed}."
    else:
        value = "under-specified"
        reason = f"The paper does not say {what}, and the verdict depends on it: {listed}."
    return Verdict(
        value=value,
        evidence=" ".join(f"{name}: {verdict.evidence}" for name, verdict in readings.items()),
        reason=reason,
        numbers={
            f"{name}, {key}": number
            for name, verdict in readings.items()
            for key, number in verdict.numbers.items()
        },
    )


# rows of tables


def rows_of(table: pd.DataFrame, **values: object) -> pd.DataFrame:
    """The rows in which columns have these values."""
    for column, value in values.items():
        table = table[table[column] == value]
    return table


def strict_mean(values: pd.Series) -> float:
    """The mean, NaN if any value is NaN: a map that is zero everywhere must not be skipped."""
    return float(values.mean(skipna=False))


def by_image(rows: pd.DataFrame, value: str) -> pd.Series:
    """Mean over draws and partners for each image; NaN if any value is."""
    return rows.groupby("image", sort=False)[value].agg(strict_mean)


def scores_by(
    rows: pd.DataFrame,
    value: str,
    by: str = "method",
    mean: str | Callable[[pd.Series], float] = "mean",
    sort: bool = True,
) -> pd.DataFrame:
    """One score, images x levels of a column; draws are averaged.

    Args:
        rows: of a table, with ``image``, ``value`` and ``by``.
        value: column with the score.
        by: column whose levels are compared.
        mean: over the draws: what pandas calls so, or :func:`strict_mean`.
        sort: images by name; otherwise in the order of first appearance.
    """
    return rows.groupby(["image", by], sort=sort)[value].agg(mean).unstack(by)


def methods_of(scores: pd.DataFrame) -> list[str]:
    """The columns that are attribution methods, not controls."""
    return [str(name) for name in scores if name not in CONTROLS]


# formal statements


def graded(
    met: bool,
    evidence: str,
    numbers: Numbers | None = None,
    *,
    caveat: bool = False,
    slip: bool = False,
    reason: str = "",
) -> Verdict:
    """A formal statement: ``false``, or true under a condition, but for a slip, or as it stands."""
    value: Value = "caveat" if caveat else "slip" if slip else "holds"
    return formal(met, evidence, numbers, reason).model_copy(
        update={"value": value if met else "false"}
    )


def at_step(table: pd.DataFrame, step: int, value: str) -> pd.DataFrame:
    """Scores of one step of the top-down order, signed maps: images x methods."""
    return scores_by(rows_of(table, step=step, sign="signed", order="top-down"), value)


def last_step(table: pd.DataFrame) -> int:
    """The deepest step of the top-down order."""
    return int(table.loc[table["order"] == "top-down", "step"].max())


def orderings(table: pd.DataFrame) -> dict[str, float]:
    """Kendall's tau between the orderings of the methods by SSIM, for each choice of L."""
    means = {
        name: randomization_scores(table, name).drop(columns=list(CONTROLS), errors="ignore").mean()
        for name in RANGES
    }
    base = means["ssim"]
    return {
        name: float(kendalltau(base, values[base.index]).statistic)
        for name, values in means.items()
        if name != "ssim"
    }


def nearest(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of ``randomization-specifications`` as the paper describes its maps.

    Signed maps, relevance that starts with 1, biases in no denominator, normalisation layers reset
    with the others; all seeds.
    """
    return rows_of(table, start="one", reduction="signed", norms="reset")


def at_stage(table: pd.DataFrame, step: int, value: str) -> pd.DataFrame:
    """Scores of one step, images x methods, averaged over seeds."""
    return scores_by(rows_of(table, step=step), value)


def adjusted(pvalues: Iterable[float]) -> list[float]:
    """P-values of a family of comparisons, in their order, corrected with Holm's method."""
    return list(holm({str(place): p for place, p in enumerate(pvalues)}).values())


def figure_methods(*scores: pd.DataFrame) -> tuple[pd.DataFrame, ...]:
    """Score tables cut to the methods of the paper's figures and the images that all have."""
    return complete(
        *(table[[name for name in FIGURE_METHODS if name in table]] for table in scores)
    )
