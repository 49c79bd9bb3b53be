"""The page that checks methods and similarities against the definitions of the appendix."""

from IPython.display import Markdown
from pandas.io.formats.style import Styler

from sanitygap.criteria.irrelevance import rows_of
from sanitygap.pages.noise import holding, nothing_recorded
from sanitygap.pages.shared import about, display_table
from sanitygap.runs import Study


def definition_table(study: Study, *claims: str) -> Styler | Markdown:
    """The measured quantities behind some definitions.

    Args:
        study: the run.
        claims: ids in the ledger.
    """
    name = "method-definitions"
    if not holding(study, name):
        return nothing_recorded(name)
    table = study.table(name)
    rows = table[table["claim"].isin(claims)]
    if claims == ("adebayo-metrics",):
        grouped = rows.groupby(["claim", "quantity", "subject"], sort=False)["value"]
        rows = grouped.mean().reset_index()
    if claims == ("adebayo-def",):
        rows = rows_of(rows, quantity="channels")
    shown = rows.drop(columns="claim").assign(value=[f"{value:.4g}" for value in rows["value"]])
    return display_table(shown, f"Measured; {about(study, name)}.")
