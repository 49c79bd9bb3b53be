"""Criteria for what needs no model: random gradients, edges, and calibration of the metrics."""

from collections.abc import Hashable, Mapping
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from sanitygap import judge
from sanitygap.claims.ledger import default_ledger
from sanitygap.inference import bootstrap_mean
from sanitygap.judge import Context, Tables, Value, Verdict, condition, criterion, rows_of
from sanitygap.scores import need_methods

LEAST_ABSOLUTE, LARGEST_SIGNED = 0.3, 0.02

#: pairs behind a printed mean
PAIRS = 50

#: reported quantity -> column of the table
QUANTITIES = {
    "Spearman, signed": "spearman",
    "Spearman, absolute": "spearman_absolute",
    "HOG": "hog_pearson",
    "SSIM": "ssim",
}

#: reported method, or pair of masks -> first and second in the table
SUBJECTS = {
    "Gradient": ("gradient", "Gaussian"),
    "Integrated Gradients": ("integrated-gradients", "Gaussian"),
    "Gradient x Input": ("gradient-x-input", "Gaussian"),
    "two uniform masks on [-1, 1]": ("uniform", "uniform"),
    "two Gaussian masks, normalised to [-1, 1]": ("Gaussian", "Gaussian"),
}

#: the two printed values of the Gaussian pair have no names; their places in the tuple do
PLACES = {"entry 1 of the tuple": "spearman", "entry 2 of the tuple": "spearman_absolute"}


@criterion("adebayo-fig10", tables=("random-gradient",))
def figure_10(tables: Tables, context: Context) -> Verdict:
    table = tables["random-gradient"]
    judge.need_images(table)
    rows = rows_of(table, second="another random gradient")
    absolute, signed = (
        bootstrap_mean(rows_of(rows, maps=maps).groupby("image")["spearman"].mean().dropna())
        for maps in ("absolute", "diverging")
    )
    verdicts = [
        condition(absolute, LEAST_ABSOLUTE, "above", "Spearman of absolute maps"),
        condition(signed, LARGEST_SIGNED, "below", "Spearman of signed maps"),
        condition(signed, -LARGEST_SIGNED, "above", "Spearman of signed maps, from below"),
    ]
    verdict = judge.all_met(verdicts)
    others = ", ".join(
        f"{name} {rows_of(table, second=name, maps='absolute')['spearman'].mean():.2f}"
        for name in ("input", "gradient-x-input")
    )
    evidence = f"{verdict.evidence} Absolute maps beside others: {others}. Overlap with edges "
    evidence += f"{table['overlap'].mean():.2f}, by chance {table['edges'].mean():.2f}."
    hog = rows_of(rows, maps="absolute")["hog_pearson"].mean()
    if np.isfinite(hog):
        evidence += f" HOG correlation of two such maps {hog:.2f}."
    return judge.reworded(verdict, evidence)


@criterion("adebayo-fig27", tables=("edge-input",))
def figure_27(tables: Tables, context: Context) -> Verdict:
    judge.need_images(tables["edge-input"])
    rows = rows_of(tables["edge-input"], second="map of the edges", maps="absolute")
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
            verdicts.append(condition(gap, 0, "above", words))
        readings[name] = judge.all_met(verdicts)
    return judge.one_verdict(readings, "how maps are compared")


@cache
def printed() -> pd.DataFrame:
    """The numbers of the appendix: ``subject``, ``first``, ``second``, ``column``, ``value``."""
    rows = pd.read_csv(default_ledger().with_name("reported.csv"), keep_default_na=False)
    numbers = []
    for row in rows_of(rows, id="adebayo-calibration").to_dict("records"):
        subject = row["condition"] if row["condition"] in SUBJECTS else row["method"]
        column = QUANTITIES.get(row["quantity"]) or PLACES.get(row["quantity"])
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
        values = rows_of(table, first=row["first"], second=row["second"])[row["column"]].dropna()
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
    rows = rows_of(table, source="simulated")
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
    exact = abs(rows_of(rows, smoothing=0.0)["wider"].iloc[0] - 1) <= 3 * error
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
