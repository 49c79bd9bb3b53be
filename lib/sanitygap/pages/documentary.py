"""Pages about what texts say: the families of tests, and a summary sentence by sentence."""

import itertools

import pandas as pd
from pandas.io.formats.style import Styler

from sanitygap.claims import collect, find_claim, load_claims
from sanitygap.claims.documentary import SUMMARY, load_entries, substance
from sanitygap.claims.verdicts import VERDICTS
from sanitygap.criteria.documentary import STATISTICS, family_scores
from sanitygap.criteria.gap import CONTROLS
from sanitygap.figures.plate import Plate
from sanitygap.figures.rank_lines import rank_lines
from sanitygap.runs import Study
from sanitygap.scores import complete
from sanitygap.show import about, columns, display_table, shown_agreement, shows, text_table

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
    rows = pd.DataFrame(
        [(name, MEANINGS[name], *where) for name, where in STATISTICS.items()],
        columns=["family", "statistic (low is good)", "table", "column"],
    )
    return text_table(rows, "Five families of tests, one statistic each.")


def _scores(study: Study) -> dict[str, pd.DataFrame]:
    tables = {name: study.table(name) for name in (PROPERTIES, "occlusion", "randomization")}
    scores = family_scores(tables)
    shared = [
        method
        for method in scores["complexity"]
        if all(method in table for table in scores.values()) and method not in CONTROLS
    ]
    return {name: table[shared] for name, table in scores.items()}


@shows(PROPERTIES)
def family_ranks(study: Study) -> Plate:
    """The order of the methods by each family's statistic."""
    means = pd.DataFrame({name: table.mean() for name, table in _scores(study).items()})
    long = means.rename_axis("method").reset_index()
    long = long.melt("method", var_name="condition", value_name="score")
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
    rows = [
        {"first": first, "second": second}
        | columns(shown_agreement(*complete(scores[first], scores[second])), "Kendall's τ")
        for first, second in itertools.combinations(scores, 2)
    ]
    return display_table(
        rows,
        f"Agreement of the rankings of {next(iter(scores.values())).shape[1]} methods, 95 % "
        f"bootstrap intervals over the images that both tables hold. {about(study, PROPERTIES)}.",
    )


def summary_table(study: Study) -> Styler:
    """Every sentence of the summary: where the paper says it, its verdict, and its substance."""
    entries = {entry.id: entry for entry in load_entries()}
    claims = [claim.id for claim in load_claims() if claim.paper == SUMMARY]
    judged = {row["claim"]: row for row in study.judge(*claims).to_dict("records")}
    verdicts = {row["id"]: row["verdict"] for row in collect([study.folder]) if row["run"]}
    rows = []
    for name in claims:
        entry, row = entries[name], judged[name]
        basis = [
            f"{_link(one.claim)} {_sign(one.verdict)}" + (f" ({one.note})" if one.note else "")
            for one in substance(entry, verdicts)
        ]
        places = [f"{part.says}: {', '.join(part.stated_in)}" for part in entry.parts]
        rows.append(
            {
                "sentence": f"{_link(name)}: {find_claim(name).statement}",
                "in the paper": "; ".join(places),
                "verdict": _sign(row["verdict"]),
                "evidence": f"{row['evidence']} {row['reason']}".strip(),
                "substance in this run": "<br>".join(basis) or "–",
            }
        )
    return text_table(
        rows,
        f"{len(rows)} sentences of the summary, judged in the run {study.settings.run}. The "
        "verdict is about the text. The last column says how the claims that a sentence rests on "
        "fared, and has no part in the verdict.",
    )


def _link(claim: str) -> str:
    return f'<a href="../book/ledger.html#{claim}">{claim}</a>'


def _sign(verdict: str) -> str:
    return f"{VERDICTS[verdict].sign} {verdict}"
