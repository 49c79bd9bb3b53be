"""Pages about what texts say: the families of tests, and a summary sentence by sentence."""

import pandas as pd
from IPython.display import Markdown
from pandas.io.formats.style import Styler

from sanitygap.claims import collect, find_claim, load_claims
from sanitygap.claims.documentary import SUMMARY, Entry, Substance, load_entries, substance
from sanitygap.claims.verdicts import VERDICTS
from sanitygap.criteria.documentary import STATISTICS, family_scores
from sanitygap.criteria.gap import CONTROLS
from sanitygap.figures import Plate, theme
from sanitygap.figures.rank_lines import rank_lines
from sanitygap.pages.noise import nothing_recorded
from sanitygap.pages.shared import about, display_table, shown_agreement, text_table
from sanitygap.runs import Study
from sanitygap.scores import complete

PROPERTIES = "map-properties"

MEANINGS = {
    "complexity": "1 − Gini index of the absolute map: how many pixels share the attribution",
    "robustness": "relative change of the map when weak noise is added to the image",
    "localisation": "share of positive attribution outside the explained image of a mosaic of four",
    "faithfulness": "mean softmax as the regions ranked highest are blurred",
    "randomisation": "mean SSIM over the steps of top-down randomisation",
}


def family_table() -> Styler:
    """The glossary: each family of tests with the statistic that stands for it here."""
    rows = [
        {
            "family": name,
            "statistic (low is good)": MEANINGS[name],
            "table": table,
            "column": column,
        }
        for name, (table, column) in STATISTICS.items()
    ]
    return text_table(pd.DataFrame(rows), "Five families of tests, one statistic each.")


def _scores(study: Study) -> dict[str, pd.DataFrame]:
    tables = {name: study.table(name) for name in (PROPERTIES, "occlusion", "randomization")}
    scores = family_scores(tables)
    shared = [
        method
        for method in scores["complexity"]
        if all(method in table for table in scores.values()) and method not in CONTROLS
    ]
    return {name: table[shared] for name, table in scores.items()}


def family_ranks(study: Study) -> Plate | Markdown:
    """The order of the methods by each family's statistic."""
    theme()
    if study.recorded and not study.made(PROPERTIES):
        return nothing_recorded(PROPERTIES)
    means = pd.DataFrame({name: table.mean() for name, table in _scores(study).items()})
    long = means.rename_axis("method").reset_index().melt("method", var_name="condition")
    long = long.rename(columns={"value": "score"})
    return rank_lines(
        long.assign(rank=long.groupby("condition", sort=False)["score"].rank()),
        ylabel="rank (1 = best in that test)",
        caption="Rank of each method by the statistic of each family of tests, low values first. "
        f"{about(study, PROPERTIES)}; faithfulness and randomisation: "
        f"n = {study.made('occlusion')['images']} and {study.made('randomization')['images']}.",
    )


def family_agreement(study: Study) -> Styler:
    """Kendall's tau between the rankings of every two families, with its interval."""
    scores = _scores(study)
    names = list(scores)
    rows = []
    for number, one in enumerate(names):
        for other in names[number + 1 :]:
            first, second = complete(scores[one], scores[other])
            tau = shown_agreement(first, second)
            rows.append(
                {"first": one, "second": other, "Kendall's τ": tau.estimate,
                 "low": tau.low, "high": tau.high, "n": tau.n}
            )  # fmt: skip
    return display_table(
        pd.DataFrame(rows),
        f"Agreement of the rankings of {next(iter(scores.values())).shape[1]} methods, 95 % "
        f"bootstrap intervals over the images that both tables hold. {about(study, PROPERTIES)}.",
    )


def summary_table(study: Study) -> Styler:
    """Every sentence of the summary: where the paper says it, its verdict, and its substance."""
    entries = {entry.id: entry for entry in load_entries()}
    claims = [claim.id for claim in load_claims() if claim.paper == SUMMARY]
    judged = {row["claim"]: row for row in study.judge(*claims).to_dict("records")}
    verdicts = {row["id"]: row["verdict"] for row in collect([study.folder]) if row["run"]}
    rows = [
        {
            "sentence": f'<a href="../book/ledger.html#{name}">{name}</a>: '
            f"{find_claim(name).statement}",
            "in the paper": _places(entries[name]),
            "verdict": f"{VERDICTS[judged[name]['verdict']].sign} {judged[name]['verdict']}",
            "evidence": f"{judged[name]['evidence']} {judged[name]['reason']}".strip(),
            "substance in this run": _substance(substance(entries[name], verdicts)),
        }
        for name in claims
    ]
    return text_table(
        pd.DataFrame(rows),
        f"{len(rows)} sentences of the summary, judged in the run {study.settings.run}. The "
        "verdict is about the text. The last column says how the claims that a sentence rests on "
        "fared, and has no part in the verdict.",
    )


def _places(entry: Entry) -> str:
    return "; ".join(f"{part.says}: {', '.join(part.stated_in)}" for part in entry.parts)


def _substance(found: list[Substance]) -> str:
    """The claims that a sentence rests on, each with its verdict in the run."""
    lines = [
        f'<a href="../book/ledger.html#{one.claim}">{one.claim}</a> '
        f"{VERDICTS[one.verdict].sign} {one.verdict}" + (f" ({one.note})" if one.note else "")
        for one in found
    ]
    return "<br>".join(lines) or "–"
