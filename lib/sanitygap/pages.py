"""What every page uses: captions, tables, verdicts, and the recorded runs beside a run."""

import re
from html import escape

import pandas as pd
from IPython.display import Markdown, display
from pandas.io.formats.style import Styler

from sanitygap import show
from sanitygap.claims import VERDICTS, find_claim
from sanitygap.comparison import compare_runs, recorded_runs
from sanitygap.figures.methods import label
from sanitygap.judge import orderings
from sanitygap.runs import Study
from sanitygap.scores import randomization_scores
from sanitygap.show import display_table, text_table


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


def side_by_side(rows: pd.DataFrame, by: str, across: str, value: str) -> pd.DataFrame:
    """A row for each entry of one column, a column for each of another; in their orders."""
    wide = rows.pivot(index=by, columns=across, values=value)
    wide = wide.loc[rows[by].unique(), rows[across].unique()]
    return wide.reset_index().rename_axis(columns=None)


@show.shows("randomization")
def range_sensitivity(study: Study) -> Styler:
    """Mean SSIM of each method for every choice of the range L."""
    table = study.table("randomization")
    names = {
        "ssim": "joint range",
        "ssim_robust": "99.9 % range",
        "ssim_L1": "L = 1",
        "ssim_L2": "L = 2",
    }
    means = pd.DataFrame(
        {shown: randomization_scores(table, name).mean() for name, shown in names.items()}
    )
    taus = orderings(table)
    means.loc["Kendall's τ with the joint range's order"] = [
        1.0,
        *(taus[name] for name in names if name != "ssim"),
    ]
    return show.display_table(
        means.rename_axis("method").reset_index(),
        f"Mean SSIM over the steps, for four ranges L. {show.about(study, 'randomization')}.",
    )
