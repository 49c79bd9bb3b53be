"""Criteria about the set-up, signed maps, the task, and what controls score."""

from collections.abc import Hashable, Mapping
from functools import cache
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from sanitygap import judge
from sanitygap.claims import default_ledger
from sanitygap.errors import UsageError
from sanitygap.inference import Interval, bootstrap_mean, rank_agreement
from sanitygap.judge import Context, Tables, Value, Verdict, criterion
from sanitygap.scores import (
    complete,
    need_methods,
    over_seeds,
    randomization_scores,
    seeds_in_words,
)

#: what a record of the configuration has to say
FIELDS = (
    "weights_sha256", "images_sha256", "n_images", "distribution", "fan", "biases", "norm_affine",
    "norm_statistics",
)  # fmt: skip

#: Kendall's tau from which on the ordering of the methods counts as unchanged
UNCHANGED = 0.8


@criterion("binder-a1-counts", tables=("step-counts",))
def counts(tables: Tables, context: Context) -> Verdict:
    rows = judge.rows_of(tables["step-counts"], paper="binder-2022")
    if rows.empty:
        raise UsageError("the table 'step-counts' holds no row of binder-2022; compute it again")
    entries = rows.to_dict("records")
    agree = sum(row["stated"] == row["counted"] for row in entries)
    each = "; ".join(
        f"{row['network']}: {row['what']}, stated {row['stated']}, counted {row['counted']}"
        for row in entries
    )
    left = ", ".join(f"{row['left_trained']:.2%} ({row['network']})" for row in entries)
    return judge.formal(
        agree == len(entries),
        f"{agree} of {len(entries)} counts agree. {each}. Of the parameters, {left} lie "
        "below the last of these steps, in the stem at least, and stay trained.",
        {f"counted {row['network']}": row["counted"] for row in entries},
    )


@criterion("binder-a1-setup", tables=("configurations", "initializations"))
def setup(tables: Tables, context: Context) -> Verdict:
    filled = _filled(tables["configurations"])
    table = tables["initializations"]
    ways = list(table[["weights", "norms"]].drop_duplicates().itertuples(index=False, name=None))
    if len(ways) < 2:
        raise UsageError("the table 'initializations' holds one way to redraw; compute it again")
    scores = {
        (weights, norms): randomization_scores(judge.rows_of(table, weights=weights, norms=norms))
        for weights, norms in ways
    }
    others = [_unchanged(scores, ways[0], way) for way in ways[1:]]
    return judge.combine([filled, *others])


def _filled(table: pd.DataFrame) -> Verdict:
    empty = [
        name
        for name in FIELDS
        if name not in table or table[name].isna().any() or (table[name].astype(str) == "").any()
    ]
    filled = len(FIELDS) - len(empty)
    words = f"{filled} of {len(FIELDS)} fields of the configuration are filled"
    words += f"; not {', '.join(empty)}." if empty else "."
    return judge.measured(not empty, words, {"fields": filled}, value="reproduced")


def _unchanged(
    scores: Mapping[tuple[str, str], pd.DataFrame], first: tuple[str, str], other: tuple[str, str]
) -> Verdict:
    """Whether the ordering of the methods is the same under two ways to redraw."""
    before, after = complete(scores[first], scores[other])
    what = f"{' and '.join(other)} beside {' and '.join(first)}"
    if len(before) < 2:
        return judge.no_data(f"{what}: {len(before)} images with all maps, 2 needed.")
    tau = rank_agreement(before, after)
    return Verdict(
        value=judge.at_least(tau, UNCHANGED),
        evidence=f"{what}: Kendall's tau of the orderings of {before.shape[1]} methods is "
        f"{tau.estimate:+.2f} [{tau.low:+.2f}, {tau.high:+.2f}] (n = {tau.n} images).",
        numbers={f"tau {' '.join(other)}": tau.estimate},
    )


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
    structural = {name: _higher(table, name) for name in judge.RANGES}
    last = judge.last_step(table)
    end = bootstrap_mean(by_sign(table, METHOD, last, "spearman")["signed"])
    low = judge.condition(end, LOW, "below", "Signed rank correlation after the last step")
    numbers = {"signed spearman at the end": end.estimate} | {
        f"{value} absolute - signed, step {last}": excess(table, METHOD, last, value).estimate
        for value in ("spearman", *judge.RANGES)
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


PLACES = 2
FEWEST_TASKS = 3
RESAMPLES = 10_000


def scores_by_task(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Mean SSIM of signed maps by each method for each task: images x methods, over networks.

    Args:
        table: the table ``task-dependence``.
    """
    scores = {}
    for task, part in judge.rows_of(table, sign="signed").groupby("task", sort=False):
        wide = judge.scores_by(part, "ssim", mean=judge.strict_mean, sort=False)
        scores[str(task)] = wide.dropna()[list(dict.fromkeys(part["method"]))]
    return scores


def rank_changes(scores: Mapping[str, pd.DataFrame], resamples: int = RESAMPLES) -> pd.DataFrame:
    """By how many places each method moves between each two tasks, with intervals.

    Images are resampled within tasks. The intervals hold together for all methods and pairs of
    tasks (Bonferroni over 95 %).

    Args:
        scores: task -> images x methods, the same methods in any order.
        resamples: bootstrap samples.

    Returns:
        One row a method and pair of tasks: ``method``, ``one``, ``other``, ``rank_one``,
        ``rank_other`` and ``change`` (an :class:`Interval` of other minus one).
    """
    rng = np.random.default_rng(0)
    observed: dict[str, NDArray[np.float64]] = {}
    drawn: dict[str, NDArray[np.float64]] = {}
    methods = list(next(iter(scores.values())))
    for task, table in scores.items():
        values = table[methods].to_numpy(dtype=np.float64)
        weights = rng.multinomial(len(values), np.full(len(values), 1 / len(values)), resamples)
        observed[task] = rankdata(values.mean(axis=0))
        drawn[task] = rankdata(weights @ values / len(values), axis=1)
    pairs = list(combinations(scores, 2))
    level = 1 - 0.05 / (len(pairs) * len(methods))
    rows = []
    for one, other in pairs:
        moves = drawn[other] - drawn[one]
        low, high = np.quantile(moves, [(1 - level) / 2, (1 + level) / 2], axis=0)
        images = min(len(scores[one]), len(scores[other]))
        for number, method in enumerate(methods):
            before, after = float(observed[one][number]), float(observed[other][number])
            bounds = float(low[number]), float(high[number])
            rows.append(
                {"method": str(method), "one": one, "other": other, "rank_one": before,
                 "rank_other": after, "change": Interval(after - before, *bounds, images, level)}
            )  # fmt: skip
    return pd.DataFrame(rows)


def moved(change: Interval) -> bool:
    """Whether a whole interval lies at two places or more, in one direction."""
    return change.low >= PLACES or change.high <= -PLACES


@criterion("binder-task-dependence", tables=("task-dependence",))
def task_dependence(tables: Tables, context: Context) -> Verdict:
    """The rank of at least one method changes by two places or more."""
    table = tables["task-dependence"]
    scores = scores_by_task(table)
    if len(scores) < FEWEST_TASKS:
        reason = f"The table holds {len(scores)} tasks; the claim needs {FEWEST_TASKS}."
        return judge.not_run(reason)
    changes = rank_changes(scores)
    far = changes[[moved(change) for change in changes["change"]]]
    sizes = changes["change"].map(lambda change: abs(change.estimate))
    candidates = far if len(far) else changes
    best = candidates.iloc[int(sizes[candidates.index].to_numpy().argmax())]
    value: Value = "undecided" if (sizes >= PLACES).any() else "not-reproduced"
    accuracy = table.groupby("task", sort=False)["accuracy"].mean()
    listed = ", ".join(f"{task} {share:.0%}" for task, share in accuracy.items())
    change = best["change"]
    return Verdict(
        value="direction" if len(far) else value,
        evidence=f"{len(far)} of {len(changes)} changes of rank between {len(scores)} tasks are "
        f"{PLACES} places or more beyond chance; the largest: {best['method']} from "
        f"{best['rank_one']:.0f} ({best['one']}) to {best['rank_other']:.0f} "
        f"({best['other']}), change {change.estimate:+.0f} "
        f"[{change.low:+.0f}, {change.high:+.0f}]. "
        f"{table['network'].nunique()} networks a task; test accuracy {listed}.",
        numbers={"changes beyond chance": len(far), "largest change": change.estimate},
    )


LEAST_ABSOLUTE, LARGEST_SIGNED = 0.3, 0.02

#: pairs behind a printed mean
PAIRS = 50

#: reported quantity -> column of the table
QUANTITIES = {
    "Spearman, signed": "spearman",
    "Spearman, absolute": "spearman_absolute",
    "HOG": "hog_pearson",
    "SSIM": "ssim",
    # the two printed values of the Gaussian pair have no names; their places in the tuple do
    "entry 1 of the tuple": "spearman",
    "entry 2 of the tuple": "spearman_absolute",
}

#: reported method, or pair of masks -> first and second in the table
SUBJECTS = {
    "Gradient": ("gradient", "Gaussian"),
    "Integrated Gradients": ("integrated-gradients", "Gaussian"),
    "Gradient x Input": ("gradient-x-input", "Gaussian"),
    "two uniform masks on [-1, 1]": ("uniform", "uniform"),
    "two Gaussian masks, normalised to [-1, 1]": ("Gaussian", "Gaussian"),
}


@criterion("adebayo-fig10", tables=("random-gradient",))
def figure_10(tables: Tables, context: Context) -> Verdict:
    table = tables["random-gradient"]
    judge.need_images(table)
    rows = judge.rows_of(table, second="another random gradient")
    absolute, signed = (
        bootstrap_mean(judge.rows_of(rows, maps=maps).groupby("image")["spearman"].mean().dropna())
        for maps in ("absolute", "diverging")
    )
    verdicts = [
        judge.condition(absolute, LEAST_ABSOLUTE, "above", "Spearman of absolute maps"),
        judge.condition(signed, LARGEST_SIGNED, "below", "Spearman of signed maps"),
        judge.condition(signed, -LARGEST_SIGNED, "above", "Spearman of signed maps, from below"),
    ]
    verdict = judge.all_met(verdicts)
    others = ", ".join(
        f"{name} {judge.rows_of(table, second=name, maps='absolute')['spearman'].mean():.2f}"
        for name in ("input", "gradient-x-input")
    )
    evidence = f"{verdict.evidence} Absolute maps beside others: {others}. Overlap with edges "
    evidence += f"{table['overlap'].mean():.2f}, by chance {table['edges'].mean():.2f}."
    hog = judge.rows_of(rows, maps="absolute")["hog_pearson"].mean()
    if np.isfinite(hog):
        evidence += f" HOG correlation of two such maps {hog:.2f}."
    return judge.reworded(verdict, evidence)


@criterion("adebayo-fig27", tables=("edge-input",))
def figure_27(tables: Tables, context: Context) -> Verdict:
    judge.need_images(tables["edge-input"])
    rows = judge.rows_of(tables["edge-input"], second="map of the edges", maps="absolute")
    readings = {}
    for name, column in (("Spearman", "spearman"), ("SSIM", "ssim")):
        scores = judge.scores_by(rows, column)
        verdicts = []
        for method in ("guided-backprop", "guided-grad-cam"):
            need_methods(scores, method, "gradient")
            words = f"{method} − gradient"
            images = len(scores[[method, "gradient"]].dropna())
            if images < 2:
                return judge.not_run(f"{words}: only {images} images have both")
            gap = judge.paired(scores, method, "gradient")
            verdicts.append(judge.condition(gap, 0, "above", words))
        readings[name] = judge.all_met(verdicts)
    return judge.one_verdict(readings, "how maps are compared")


@cache
def printed() -> pd.DataFrame:
    """The numbers of the appendix: ``subject``, ``first``, ``second``, ``column``, ``value``."""
    rows = pd.read_csv(default_ledger().with_name("reported.csv"), keep_default_na=False)
    numbers = []
    for row in judge.rows_of(rows, id="adebayo-calibration").to_dict("records"):
        subject = row["condition"] if row["condition"] in SUBJECTS else row["method"]
        column = QUANTITIES.get(row["quantity"])
        if subject in SUBJECTS and column:
            first, second = SUBJECTS[subject]
            numbers.append(
                {"subject": subject, "first": first, "second": second, "column": column,
                 "quantity": row["quantity"], "value": float(row["value"])}
            )  # fmt: skip
    return pd.DataFrame(numbers)


def calibrated(table: pd.DataFrame) -> pd.DataFrame:
    """Each printed number beside the simulated distribution.

    Returns:
        The rows of :func:`printed` with ``mean`` and ``deviation`` of one pair, ``error`` (the
        standard error of the mean of 50), ``errors`` and ``deviations`` (the distance in these
        units) and ``pairs``; numbers that the table has nothing for are left out.
    """
    rows = []
    for row in printed().to_dict("records"):
        values = judge.rows_of(table, first=row["first"], second=row["second"])[
            row["column"]
        ].dropna()
        if len(values) < 2:
            continue
        mean, deviation = float(values.mean()), float(values.std(ddof=1))
        error = deviation / PAIRS**0.5
        gap = abs(row["value"] - mean)
        rows.append(
            row
            | {"mean": mean, "deviation": deviation, "error": error, "pairs": len(values)}
            | {"errors": gap / error, "deviations": gap / deviation}
        )
    return pd.DataFrame(rows)


@criterion("adebayo-calibration", tables=("metric-calibration",))
def calibration(tables: Tables, context: Context) -> Verdict:
    table = tables["metric-calibration"]
    verdicts = [_printed_number(row) for row in calibrated(table).to_dict("records")]
    if not verdicts:
        return judge.not_run("the run holds none of the printed comparisons")
    unmet = [verdict for verdict in verdicts if verdict.value != "direction"]
    evidence = f"{len(verdicts) - len(unmet)} of {len(verdicts)} printed numbers lie within three "
    evidence += "standard errors of the simulated mean."
    if unmet:
        evidence += f" Not: {judge.evidence_of(unmet)}"
    sides = sorted(set(table["side"]))
    reason = "Random masks as in the paper; maps are those of the run's model"
    reason += f", {sides[0]} pixels a side." if len(sides) > 1 else "."
    return judge.reworded(judge.combine(verdicts), evidence, reason=reason)


def _printed_number(row: Mapping[Hashable, Any]) -> Verdict:
    """Whether a printed number lies within three standard errors of 50 pairs."""
    name = f"{row['subject']}, {row['quantity']}"
    words = f"{name}: printed {row['value']:+.5f}, simulated {row['mean']:+.5f} ± "
    words += f"{row['error']:.5f}"
    value: Value = "direction"
    if row["pairs"] < PAIRS:
        value = "undecided"
        words += f", from {row['pairs']} pairs only"
    elif row["errors"] > 3:
        value = "not-reproduced"
        words += f" ({row['errors']:.1f} standard errors of {PAIRS} pairs)."
        if row["deviations"] <= 3:
            words += " It is consistent only with fewer than 50 pairs."
    return Verdict(value=value, evidence=words, numbers={name: row["errors"]})


@criterion("adebayo-calibration-meaning", tables=("smooth-nulls",))
def meaning(tables: Tables, context: Context) -> Verdict:
    """Met if the null of smooth maps is wider in proportion to their correlation length."""
    table = tables["smooth-nulls"]
    table = table.assign(wider=table["deviation"] / table["independent"])
    rows = judge.rows_of(table, source="simulated")
    bounds = rows["deviation"] / (rows["length"] / rows["pixels"] ** 0.5)
    names = [f"filter of {pixels:g} pixels" for pixels in rows["smoothing"]]
    listed = ", ".join(
        f"{name} {ratio:.2f} l/√n, {wider:.1f} times independent"
        for name, ratio, wider in zip(names, bounds, rows["wider"], strict=True)
    )
    evidence = f"Standard deviation of Spearman's correlation under the null: {listed}."
    means = table[table["source"] != "simulated"].groupby("source", sort=False)["wider"].mean()
    if len(means):
        maps = ", ".join(f"{method} {wider:.1f}" for method, wider in means.items())
        evidence += f" Maps against themselves in shuffled blocks, times independent: {maps}."
    error = 1 / np.sqrt(2 * (rows["pairs"].min() - 1))
    exact = abs(judge.rows_of(rows, smoothing=0.0)["wider"].iloc[0] - 1) <= 3 * error
    # "at least l / sqrt(n) times a factor in [0.5, 2]": the smallest such factor is the bound
    met = exact and bool((bounds >= 0.5).all())
    return Verdict(
        value="caveat" if met else "false",
        evidence=evidence,
        reason="Random masks of independent pixels calibrate a metric for such maps only; for "
        "smooth maps values are larger by chance."
        if met
        else "",
        numbers={f"ratio, {name}": ratio for name, ratio in zip(names, bounds, strict=True)},
    )
