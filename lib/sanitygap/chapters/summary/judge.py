"""Criteria for documentary claims: does a text say what a sentence reports of it?

One rule turns an entry of ``data/documentary.yml`` into a verdict: if no piece of the sentence
stands in the paper the verdict is ``false``, if only some do, or only in passing, it is ``caveat``.
Whether what the sentence reports holds on a network is another question, with another answer:
:func:`sanitygap.claims.documentary.substance`.
"""

from sanitygap.claims import find_claim
from sanitygap.claims.documentary import (
    SUMMARY,
    Concordance,
    Entry,
    anchored,
    find_entry,
    load_entries,
)
from sanitygap.judge import Context, Tables, Value, Verdict, criterion


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
    text = anchored(find_entry("qa-mse-min"), Concordance.read())
    value: Value = text.value if smaller == total else "undecided"
    return Verdict(
        value="false" if larger else value,
        evidence="The normalised MSE is larger at zero than at positive covariance in "
        f"{larger} of {total} comparisons and smaller in {smaller}, beyond their intervals. "
        f"{text.evidence}",
        reason=text.reason,
        numbers={"larger": larger, "smaller": smaller, "comparisons": total},
    )


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
