"""The audit: every formal statement with its verdict."""

from pandas.io.formats.style import Styler

from sanitygap import show
from sanitygap.claims import VERDICTS, load_claims, registry
from sanitygap.pages import marked
from sanitygap.runs import Study


def audit(study: Study) -> Styler:
    """Every formal statement that has a criterion: its verdict, and the corrected statement."""
    claims = [
        claim
        for claim in load_claims()
        if claim.paper == "binder-2022" and claim.kind == "formal" and claim.id in registry()
    ]
    judged = {row["claim"]: row for row in study.judge(*[c.id for c in claims]).to_dict("records")}
    rows = []
    for claim in claims:
        verdict = judged[claim.id]["verdict"]
        place, corrected = claim.place, claim.audit.corrected if claim.audit else ""
        link = f'<a href="{claim.notebook}.html">{place}</a>' if claim.notebook else place
        rows.append(
            {
                "statement": f'<a href="../book/ledger.html#{claim.id}">{claim.id}</a>',
                "where": link,
                "verdict": f"{VERDICTS[verdict].sign} {verdict}",
                "evidence": marked(judged[claim.id]["evidence"]),
                "corrected statement": marked(corrected or "–"),
            }
        )
    return show.text_table(
        rows,
        f"{len(rows)} formal statements, judged on the tables of the run {study.settings.run}.",
    )
