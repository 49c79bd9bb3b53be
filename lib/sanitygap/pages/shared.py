"""What every page uses: captions, tables, verdicts, and the recorded runs beside a run."""

import functools
import math
import re
from collections.abc import Callable, Sequence
from html import escape
from typing import Any, ParamSpec, TypeVar

import pandas as pd
from IPython.display import Markdown, display
from pandas.io.formats.style import Styler

from sanitygap.claims import find_claim
from sanitygap.claims.verdicts import VERDICTS
from sanitygap.comparison import compare_runs, recorded_runs
from sanitygap.figures.tests_of_maps import label
from sanitygap.inference import (
    Interval,
    UndefinedStatisticError,
    bootstrap_mean,
    rank_agreement,
)
from sanitygap.runs import Study
from sanitygap.words import plural

Parameters = ParamSpec("Parameters")
Shown = TypeVar("Shown")


def about(study: Study, table: str) -> str:
    """Model, images, n and seed of a table, for captions."""
    settings, made = study.settings.public(), study.made(table)
    words = f"{settings['model']}, "
    if made["images"]:  # some tables look at no photograph of the run
        words += f"{settings['images']}, n = {plural(made['images'], 'image')}, "
    words += f"seed {settings['seed']}, profile {settings['profile']}"
    if study.recorded and not study.is_current(table):
        words += "; computed by an earlier version of the code"
    return words


def panel(study: Study, table: str) -> str:
    """A panel's title: model and number of images."""
    return f"{study.settings.public()['model']}, n = {study.made(table)['images']}"


def shown_mean(values: pd.Series) -> Interval:
    """:func:`~sanitygap.inference.bootstrap_mean` without NaN; NaN where fewer than two remain."""
    return or_nan(bootstrap_mean, values.dropna())


def with_intervals(table: pd.DataFrame, by: Sequence[str], value: str) -> pd.DataFrame:
    """Means over images with 95 % bootstrap intervals: ``mean``, ``low``, ``high``, ``n``."""
    rows = []
    for group, part in table.groupby(list(by), sort=False):
        interval = shown_mean(part.groupby("image")[value].mean())
        rows.append(
            dict(zip(by, group, strict=True))
            | {
                "mean": interval.estimate,
                "low": interval.low,
                "high": interval.high,
                "n": interval.n,
            }
        )
    return pd.DataFrame(rows)


def where_defined(
    page: Callable[Parameters, Shown],
) -> Callable[Parameters, Shown | Markdown]:
    """A page function that says so where the run leaves its statistic without a value."""

    @functools.wraps(page)
    def guarded(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Shown | Markdown:
        try:
            return page(*args, **kwargs)
        except UndefinedStatisticError as error:
            return Markdown(f"> This cannot be shown for this run: {error}.")

    return guarded


def or_nan(measure: Callable[..., Interval], *values: Any) -> Interval:
    """What a measure finds; NaN with n = 0 where it has no value on these data."""
    try:
        return measure(*values)
    except UndefinedStatisticError:
        return Interval(math.nan, math.nan, math.nan, 0)


def shown_agreement(one: pd.DataFrame, other: pd.DataFrame) -> Interval:
    """:func:`~sanitygap.inference.rank_agreement`, or NaN where a ranking ties throughout."""
    try:
        return rank_agreement(one, other)
    except UndefinedStatisticError:
        return Interval(math.nan, math.nan, math.nan, len(one))


def verdicts(study: Study, *claims: str) -> Styler:
    """Judge claims on this run's tables, keep the verdicts, and show them with their evidence."""
    judged = study.judge(*claims)
    rows = [
        {
            "claim and verdict": f'<a href="../book/ledger.html#{row["claim"]}">{row["claim"]}</a>'
            f"<br>{VERDICTS[row['verdict']].sign} <b>{row['verdict']}</b>",
            "statement": marked(find_claim(row["claim"]).statement),
            "evidence": marked(f"{row['evidence']} {row['reason']}".strip()),
        }
        for row in judged.to_dict("records")
    ]
    return text_table(pd.DataFrame(rows), f"Verdicts of the run {study.settings.run}.")


MARKS = {
    r"`([^`]+)`": r"<code>\1</code>",
    r"\b([A-Za-z])\^([A-Za-z0-9])\b": r"\1<sup>\2</sup>",
    r"(?<![\d.])0(\.0+)?e\+00\b": "0",
}


def marked(text: str) -> str:
    """Words of the ledger as HTML: code, raised letters and zeros outside of formulas."""
    parts = re.split(r"(\$[^$]*\$)", escape(text, quote=False))
    for place in range(0, len(parts), 2):
        for written, shown in MARKS.items():
            parts[place] = re.sub(written, shown, parts[place])
    return "".join(parts)


def references(study: Study) -> list[Study]:
    """The other recorded runs that hold all tables this run was asked for; itself if none does."""
    others = recorded_runs(study.folder.parents[2])
    complete = [
        other
        for other in others
        if other.settings.run != study.settings.run and all(map(other.made, study.asked))
    ]
    return complete or [study]


def with_samples(study: Study, *tables: str, scenario: str | None = None) -> Study:
    """The run, or a recorded one in its place if no feature could be generated for its network.

    Which one it is, is said on the page.

    Args:
        study: the run, which has the tables.
        tables: of generated features; the first one has no row of the scenario if there is none.
        scenario: that the next figures are about; any of them by default.
    """

    def has_samples(one: Study) -> bool:
        table = one.table(tables[0])
        return bool(len(table) if scenario is None else (table["scenario"] == scenario).any())

    if has_samples(study):
        return study
    for other in references(study):
        if other is not study and all(map(other.made, tables)) and has_samples(other):
            own, name = study.settings.public()["model"], other.settings.public()["model"]
            kind = f" of the scenario {scenario!r}" if scenario else ""
            words = (
                f"> No generated feature{kind} was accepted for {own}, so the next figures and "
                f"tables show the recorded run `{other.settings.run}`, about {name}. The verdicts "
                f"are those of {own}."
            )
            display(Markdown(words))
            return other
    return study


def beside_reference(study: Study) -> Styler | Markdown:
    """This run against the recorded reference of the same model, and where they differ."""
    others = recorded_runs(study.folder.parents[2], study.settings.public()["model"])
    others = [other for other in others if other.settings.run != study.settings.run]
    if study.recorded:
        return Markdown("> This page shows the recorded reference run itself.")
    if not others:
        return Markdown(
            f"> No reference run of {study.settings.public()['model']} is recorded, so there is "
            "nothing to compare this run with."
        )
    rows = compare_runs(study, others[0])
    rows["method"] = [label(method) for method in rows["method"]]
    differing = int((rows["verdict"] != "agrees").sum())
    return display_table(
        rows[["score", "method", "live", "recorded", "p_holm", "verdict"]],
        f"Run {study.settings.run} beside {others[0].settings.run}, means over different images; "
        f"{differing} of {len(rows)} differ beyond chance (two-sample permutation test, Holm, 5 %)."
        " Different photographs, and fewer points in sampling methods, are part of a difference.",
    )


def display_table(table: pd.DataFrame, caption: str) -> Styler:
    """A table for a page: caption on top, no index, three decimals."""
    numbers = dict.fromkeys(table.select_dtypes("float"), "{:z.3f}")  # z: no minus before 0.000
    return (
        table.style.format({str(column): shown for column, shown in numbers.items()}, na_rep="–")
        .hide(axis="index")
        .set_caption(caption)
        .set_table_attributes('class="dataframe sanitygap-table"')
    )


def text_table(table: pd.DataFrame, caption: str) -> Styler:
    """A table of sentences for a page; on a narrow screen its rows are cards with labels."""
    labelled = table.copy()
    for name in table.columns[1:]:
        words = table[name].astype(str)
        labelled[name] = f'<span class="narrow-label">{name}: </span>' + words
    attributes = 'class="dataframe sanitygap-table text-cards"'
    return display_table(labelled, caption).set_table_attributes(attributes)
