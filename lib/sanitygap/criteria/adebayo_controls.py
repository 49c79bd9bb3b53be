"""Criteria for what needs no model: random gradients, edges, and calibration of the metrics."""

from collections.abc import Mapping
from functools import cache

import numpy as np
import pandas as pd

from sanitygap.claims import CriterionContext, Verdict, combine, criterion
from sanitygap.claims.ledger import default_ledger
from sanitygap.claims.verdicts import Value
from sanitygap.criteria.irrelevance import (
    all_met,
    condition,
    one_verdict,
    rows_of,
    too_few_images,
)
from sanitygap.inference import bootstrap_mean, paired_difference
from sanitygap.scores import need_methods

Tables = Mapping[str, pd.DataFrame]

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
def figure_10(tables: Tables, context: CriterionContext) -> Verdict:
    table = tables["random-gradient"]
    if verdict := too_few_images(table):
        return verdict
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
    others = [
        f"{name} {rows_of(table, second=name, maps='absolute')['spearman'].mean():.2f}"
        for name in ("input", "gradient-x-input")
    ]
    overlap, chance = table["overlap"].mean(), table["edges"].mean()
    hog = rows_of(rows, maps="absolute")["hog_pearson"].mean()
    verdict = all_met(verdicts)
    evidence = f"{verdict.evidence} Absolute maps beside others: {', '.join(others)}. Overlap with "
    evidence += f"edges {overlap:.2f}, by chance {chance:.2f}."
    if np.isfinite(hog):
        evidence += f" HOG correlation of two such maps {hog:.2f}."
    return verdict.model_copy(update={"evidence": evidence})


@criterion("adebayo-fig27", tables=("edge-input",))
def figure_27(tables: Tables, context: CriterionContext) -> Verdict:
    table = tables["edge-input"]
    if verdict := too_few_images(table):
        return verdict
    rows = rows_of(table, second="map of the edges", maps="absolute")
    readings = {}
    for name, column in (("Spearman", "spearman"), ("SSIM", "ssim")):
        wide = rows.groupby(["image", "method"])[column].mean().unstack("method")
        verdicts = []
        for method in ("guided-backprop", "guided-grad-cam"):
            need_methods(wide, method, "gradient")
            both = wide[[method, "gradient"]].dropna()
            words = f"{method} − gradient"
            if len(both) < 2:
                return Verdict(
                    value="not-run", reason=f"{words}: only {len(both)} images have both"
                )
            gap = paired_difference(both[method], both["gradient"])
            verdicts.append(condition(gap, 0, "above", words))
        readings[name] = all_met(verdicts)
    return one_verdict(readings, "how maps are compared")


@cache
def printed() -> pd.DataFrame:
    """The numbers of the appendix: ``subject``, ``first``, ``second``, ``column``, ``value``."""
    rows = pd.read_csv(default_ledger().with_name("reported.csv"), keep_default_na=False)
    rows = rows[rows["id"] == "adebayo-calibration"]
    found = []
    for row in rows.to_dict("records"):
        subject = row["condition"] if row["condition"] in SUBJECTS else row["method"]
        column = QUANTITIES.get(row["quantity"]) or PLACES.get(row["quantity"])
        if subject in SUBJECTS and column:
            first, second = SUBJECTS[subject]
            found.append(
                {"subject": subject, "first": first, "second": second, "column": column,
                 "quantity": row["quantity"], "value": float(row["value"])}
            )  # fmt: skip
    return pd.DataFrame(found)


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
def calibration(tables: Tables, context: CriterionContext) -> Verdict:
    found = calibrated(tables["metric-calibration"])
    if found.empty:
        return Verdict(value="not-run", reason="the run holds none of the printed comparisons")
    verdicts = []
    for row in found.to_dict("records"):
        name = f"{row['subject']}, {row['quantity']}"
        words = f"{name}: printed {row['value']:+.5f}, simulated {row['mean']:+.5f} ± "
        words += f"{row['error']:.5f}"
        value: Value = "direction"
        if row["pairs"] < PAIRS:
            value = "undecided"
            words += f", from {row['pairs']} pairs only"
        elif row["errors"] > 3:
            value = "not-reproduced"
            few = (
                " It is consistent only with fewer than 50 pairs." if row["deviations"] <= 3 else ""
            )
            words += f" ({row['errors']:.1f} standard errors of {PAIRS} pairs).{few}"
        verdicts.append(Verdict(value=value, evidence=words, numbers={name: row["errors"]}))
    joined = combine(verdicts)
    unmet = [v.evidence for v in verdicts if v.value != "direction"]
    met = len(verdicts) - len(unmet)
    evidence = f"{met} of {len(verdicts)} printed numbers lie within three standard errors of the "
    evidence += "simulated mean." + (f" Not: {' '.join(unmet)}" if unmet else "")
    sides = sorted(set(tables["metric-calibration"]["side"]))
    reason = "Random masks as in the paper; maps are those of the run's model" + (
        f", {sides[0]} pixels a side." if len(sides) > 1 else "."
    )
    return joined.model_copy(update={"evidence": evidence, "reason": reason})


@criterion("adebayo-calibration-meaning", tables=("smooth-nulls",))
def meaning(tables: Tables, context: CriterionContext) -> Verdict:
    """Met if the null of smooth maps is wider in proportion to their correlation length."""
    rows = rows_of(tables["smooth-nulls"], source="simulated")
    ratios, wider = {}, {}
    for row in rows.to_dict("records"):
        name = f"filter of {row['smoothing']:g} pixels"
        ratios[name] = row["deviation"] / (row["length"] / row["pixels"] ** 0.5)
        wider[name] = row["deviation"] / row["independent"]
    error = 1 / np.sqrt(2 * (rows["pairs"].min() - 1))
    plain = rows_of(rows, smoothing=0.0).iloc[0]
    exact = abs(plain["deviation"] / plain["independent"] - 1) <= 3 * error
    # "at least l / sqrt(n) times a factor in [0.5, 2]": the smallest such factor is the bound
    met = exact and all(ratio >= 0.5 for ratio in ratios.values())
    listed = ", ".join(
        f"{name} {ratios[name]:.2f} l/√n, {wider[name]:.1f} times independent" for name in ratios
    )
    real = tables["smooth-nulls"]
    real = real[real["source"] != "simulated"]
    maps = ", ".join(
        f"{method} {(part['deviation'] / part['independent']).mean():.1f}"
        for method, part in real.groupby("source", sort=False)
    )
    evidence = f"Standard deviation of Spearman's correlation under the null: {listed}."
    if maps:
        evidence += f" Maps against themselves in shuffled blocks, times independent: {maps}."
    return Verdict(
        value="caveat" if met else "false",
        evidence=evidence,
        reason="Random masks of independent pixels calibrate a metric for such maps only; for "
        "smooth maps values are larger by chance."
        if met
        else "",
        numbers={f"ratio, {name}": value for name, value in ratios.items()},
    )
