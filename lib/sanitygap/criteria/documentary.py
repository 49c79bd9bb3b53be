"""Criteria for documentary claims: what a text says, and what becomes of it here.

One rule turns an entry of ``data/documentary.yml`` into a verdict. The text comes first: if no
piece of the sentence stands in the paper the verdict is ``false``, if only some do, or only in
passing, it is ``caveat``. Then the substance: a sentence that reports the paper faithfully gets
``holds`` only where the claims that it rests on hold in the same run; where one of them does not
hold as it stands the verdict is ``caveat``, and where one is open it is ``undecided``.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from sanitygap.claims import (
    CriterionContext,
    Value,
    Verdict,
    commands_for,
    criterion,
    find_claim,
)
from sanitygap.claims.documentary import SUMMARY, Concordance, Entry, load_entries
from sanitygap.criteria.gap import methods_of
from sanitygap.inference import kendall_tau, paired_difference
from sanitygap.scores import complete, occlusion_scores, randomization_scores

Tables = Mapping[str, pd.DataFrame]

#: verdicts under which what a sentence reports stands, and those under which it does not as it is
STANDS = ("holds", "slip", "reproduced", "direction")
DOES_NOT = ("caveat", "false", "not-reproduced")

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
    if absent == len(grades):
        value = "false"
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
    return Verdict(
        value=value,
        evidence=(
            f"{stated} of {len(grades)} pieces of the statement stand where they should"
            + (f" (found in {', '.join(places)})." if places else ".")
        ),
        reason="; ".join(missing) + ("." if missing else ""),
        numbers={"pieces": len(grades), "stated": stated, "absent": absent},
    )


def with_substance(
    text: Verdict, verdicts: Mapping[str, Verdict], rests_on: tuple[str, ...]
) -> Verdict:
    """The verdict on a text that stands in the paper, given those on the claims it rests on.

    Args:
        text: of :func:`anchored`.
        verdicts: of the run, by claim.
        rests_on: ids of the claims.
    """
    if not rests_on:
        return text
    found = {name: verdicts[name].value for name in rests_on if name in verdicts}
    holding = sum(value in STANDS for value in found.values())
    value, reason = text.value, text.reason
    if value == "holds" and any(one in DOES_NOT for one in found.values()):
        value = "caveat"
        reason = "The sentence reports the paper, whose claim does not hold here as it stands."
    elif value == "holds" and not found:
        value = "not-run"
        reason = (
            "The sentence stands in the paper; its substance is not judged in this run. "
            f"{_how_to_judge(rests_on)}"
        )
    elif value == "holds" and holding < len(rests_on):
        value = "undecided"
        reason = "The sentence stands in the paper; its substance is open in this run."
    listed = ", ".join(f"{name} {found.get(name, 'not judged in this run')}" for name in rests_on)
    return Verdict(
        value=value,
        evidence=(
            f"{text.evidence} {holding} of {len(rests_on)} claims that it rests on hold: {listed}."
        ),
        reason=reason,
        numbers=text.numbers | {"rests on": len(rests_on), "holding": holding},
    )


def _how_to_judge(claims: tuple[str, ...]) -> str:
    commands = [line for name in claims for line in commands_for(find_claim(name))[:1]]
    if not commands:
        return "No page computes it yet."
    return f"Run `{' && '.join(dict.fromkeys(commands))}` first."


def judge_sentence(entry: Entry, context: CriterionContext) -> Verdict:
    """The rule of this module, for one entry."""
    text = anchored(entry, Concordance.read())
    return with_substance(text, context.verdicts, entry.rests_on)


def mse_is_minimized(tables: Tables, context: CriterionContext) -> Verdict:
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
    text = judge_sentence(_entry("qa-mse-min"), context)
    value: Value = "undecided"
    if larger:
        value = "false"
    elif smaller == total:
        value = text.value
    return Verdict(
        value=value,
        evidence=(
            f"The normalised MSE is larger at zero than at positive covariance in {larger} of "
            f"{total} comparisons and smaller in {smaller}, beyond their intervals. "
            f"{text.evidence}"
        ),
        reason=text.reason,
        numbers={"larger": larger, "smaller": smaller, "comparisons": total},
    )


@criterion("binder-related", tables=("map-properties", "occlusion", "randomization"))
def related(tables: Tables, context: CriterionContext) -> Verdict:
    """Every family has a statistic that tells at least one method from random noise."""
    entry = _entry("binder-related")
    text = anchored(entry, Concordance.read())
    scores = family_scores(tables)
    telling = {}
    for part in entry.parts:
        table = scores.get(part.says)
        if table is None or "noise" not in table or len(table) < 2:
            telling[part.says] = 0
            continue
        gaps = [paired_difference(table[name], table["noise"]) for name in methods_of(table)]
        telling[part.says] = sum(gap.excludes(0) for gap in gaps)
    useful = [name for name, count in telling.items() if count]
    faithful, random = complete(scores["faithfulness"], scores["randomisation"])
    methods = methods_of(faithful)
    tau = float(kendall_tau(faithful[methods].mean(), random[methods].mean()))
    value = text.value if len(useful) == len(telling) else "caveat"
    return Verdict(
        value=value,
        evidence=(
            f"The paper names {len(telling)} families; {len(useful)} have a statistic here that "
            f"tells methods from noise (methods told apart: "
            + ", ".join(f"{name} {count}" for name, count in telling.items())
            + f"). Kendall's tau between randomisation and faithfulness is {tau:+.2f}."
        ),
        reason=" ".join(
            (
                text.reason,
                "That the two tests should agree is an argument of the paper, not a result.",
            )
        ).strip(),
        numbers={"families": len(telling), "with statistic": len(useful)}
        | ({"tau": tau} if np.isfinite(tau) else {}),
    )


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
            criterion(entry.id, tables=("theorem-4",), rests_on=entry.rests_on)(mse_is_minimized)
            continue

        def sentence(tables: Tables, context: CriterionContext, entry: Entry = entry) -> Verdict:
            return judge_sentence(entry, context)

        criterion(entry.id, rests_on=entry.rests_on)(sentence)


_register()
