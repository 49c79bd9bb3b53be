"""Criteria for documentary claims: does a text say what a sentence reports of it?

One rule turns an entry of ``data/documentary.yml`` into a verdict: if no piece of the sentence
stands in the paper the verdict is ``false``, if only some do, or only in passing, it is ``caveat``.
Whether what the sentence reports holds on a network is another question, with another answer:
:func:`sanitygap.claims.documentary.substance`.
"""

import numpy as np
import pandas as pd

from sanitygap import judge
from sanitygap.claims import find_claim
from sanitygap.claims.documentary import SUMMARY, Concordance, Entry, load_entries
from sanitygap.inference import kendall_tau, paired_difference
from sanitygap.judge import Context, Tables, Value, Verdict, criterion
from sanitygap.scores import complete, occlusion_scores, randomization_scores

#: family of tests, as the paper names it -> table and column with its statistic; low is good
STATISTICS = {
    "complexity": ("map-properties", "complexity"),
    "robustness": ("map-properties", "robustness"),
    "localisation": ("map-properties", "localization"),
    "faithfulness": ("occlusion", "softmax"),
    "randomisation": ("randomization", "ssim"),
}


def anchored(entry: Entry, concordance: Concordance) -> Verdict:
    """Whether the pieces of a sentence stand where they should; numbers count them."""
    grades = [(part, *concordance.grade(part)) for part in entry.parts]
    stated = sum(grade == "stated" for _, grade, _ in grades)
    absent = sum(grade == "absent" for _, grade, _ in grades)
    value: Value = "holds" if stated == len(grades) else "caveat"
    missing = [
        f"“{part.says}” is only mentioned in {', '.join(where)}"
        if grade == "mentioned"
        else f"“{part.says}” is not in {', '.join(part.stated_in)}"
        for part, grade, where in grades
        if grade != "stated"
    ]
    places = dict.fromkeys(
        name for _, grade, where in grades for name in where if grade != "absent"
    )
    evidence = f"{stated} of {len(grades)} pieces of the statement stand where they should"
    evidence += f" (found in {', '.join(places)})." if places else "."
    return Verdict(
        value="false" if absent == len(grades) else value,
        evidence=evidence,
        reason="; ".join(missing) + ("." if missing else ""),
        numbers={"pieces": len(grades), "stated": stated, "absent": absent},
    )


def mse_is_minimized(tables: Tables, context: Context) -> Verdict:
    """Contradicted if zero covariance makes the normalised MSE larger than positive covariance."""
    table = tables["theorem-4"]
    families = [part for _, part in table.groupby("process") if part["correlation"].nunique() > 1]
    larger, smaller = 0, 0
    for part in families:
        zero = part[part["correlation"] == 0].iloc[0]
        positive = part[part["correlation"] > 0]
        larger += int((zero["low"] > positive["high"]).sum())
        smaller += int((zero["high"] < positive["low"]).sum())
    total = sum(int((part["correlation"] > 0).sum()) for part in families)
    text = anchored(_entry("qa-mse-min"), Concordance.read())
    value: Value = text.value if smaller == total else "undecided"
    return Verdict(
        value="false" if larger else value,
        evidence="The normalised MSE is larger at zero than at positive covariance in "
        f"{larger} of {total} comparisons and smaller in {smaller}, beyond their intervals. "
        f"{text.evidence}",
        reason=text.reason,
        numbers={"larger": larger, "smaller": smaller, "comparisons": total},
    )


@criterion("binder-related", tables=("map-properties", "occlusion", "randomization"))
def related(tables: Tables, context: Context) -> Verdict:
    """Every family has a statistic that tells at least one method from random noise."""
    entry = _entry("binder-related")
    text = anchored(entry, Concordance.read())
    scores = family_scores(tables)
    telling = {part.says: _telling(scores.get(part.says)) for part in entry.parts}
    useful = sum(count > 0 for count in telling.values())
    faithful, random = complete(scores["faithfulness"], scores["randomisation"])
    methods = judge.methods_of(faithful)
    tau = float(kendall_tau(faithful[methods].mean(), random[methods].mean()))
    listed = ", ".join(f"{name} {count}" for name, count in telling.items())
    argument = "That the two tests should agree is an argument of the paper, not a result."
    return Verdict(
        value=text.value if useful == len(telling) else "caveat",
        evidence=f"The paper names {len(telling)} families; {useful} have a statistic here that "
        f"tells methods from noise (methods told apart: {listed}). Kendall's tau between "
        f"randomisation and faithfulness is {tau:+.2f}.",
        reason=f"{text.reason} {argument}".strip(),
        numbers={"families": len(telling), "with statistic": useful}
        | ({"tau": tau} if np.isfinite(tau) else {}),
    )


def _telling(table: pd.DataFrame | None) -> int:
    """How many methods a statistic tells from random noise."""
    if table is None or "noise" not in table or len(table) < 2:
        return 0
    gaps = [paired_difference(table[name], table["noise"]) for name in judge.methods_of(table)]
    return sum(gap.excludes(0) for gap in gaps)


def family_scores(tables: Tables) -> dict[str, pd.DataFrame]:
    """Family of tests -> its statistic, images x methods, low is good; complete images only."""
    scores = {
        "faithfulness": occlusion_scores(tables["occlusion"]).dropna(),
        "randomisation": randomization_scores(tables["randomization"]).dropna(),
    }
    for name, (table, column) in STATISTICS.items():
        if table == "map-properties":
            rows = tables[table]
            wide = rows.pivot(index="image", columns="method", values=column).dropna()
            scores[name] = wide[list(dict.fromkeys(rows["method"]))]
    return {name: scores[name] for name in STATISTICS}


def _entry(name: str) -> Entry:
    return next(entry for entry in load_entries() if entry.id == name)


def _register() -> None:
    """One criterion for each sentence of the summary."""
    for entry in load_entries():
        if find_claim(entry.id).paper != SUMMARY:
            continue
        if entry.id == "qa-mse-min":
            criterion(entry.id, tables=("theorem-4",))(mse_is_minimized)
            continue

        def sentence(tables: Tables, context: Context, entry: Entry = entry) -> Verdict:
            return anchored(entry, Concordance.read())

        criterion(entry.id)(sentence)


_register()
