"""The page that checks methods and similarities against the definitions of the appendix."""

from pandas.io.formats.style import Styler

from sanitygap.judge import rows_of
from sanitygap.runs import Study
from sanitygap.show import about, display_table, shows


@shows("method-definitions")
def definition_table(study: Study, *claims: str) -> Styler:
    """The measured quantities behind some definitions.

    Args:
        study: the run.
        claims: ids in the ledger.
    """
    table = study.table("method-definitions")
    rows = table[table["claim"].isin(claims)]
    if claims == ("adebayo-metrics",):
        rows = rows.groupby(["quantity", "subject"], sort=False)["value"].mean().reset_index()
    if claims == ("adebayo-def",):
        rows = rows_of(rows, quantity="channels")
    rows = rows.assign(value=rows["value"].map("{:.4g}".format))
    rows = rows.drop(columns="claim", errors="ignore")
    return display_table(rows, f"Measured; {about(study, 'method-definitions')}.")
