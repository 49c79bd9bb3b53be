"""The page about a published summary, sentence by sentence."""

from pandas.io.formats.style import Styler

from sanitygap import show
from sanitygap.claims import VERDICTS, collect, find_claim, load_claims
from sanitygap.claims.documentary import SUMMARY, load_entries, substance
from sanitygap.runs import Study


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
    return show.text_table(
        rows,
        f"{len(rows)} sentences of the summary, judged in the run {study.settings.run}. The "
        "verdict is about the text. The last column says how the claims that a sentence rests on "
        "fared, and has no part in the verdict.",
    )


def _link(claim: str) -> str:
    return f'<a href="../book/ledger.html#{claim}">{claim}</a>'


def _sign(verdict: str) -> str:
    return f"{VERDICTS[verdict].sign} {verdict}"
