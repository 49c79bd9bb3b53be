"""Pages about formal statements and the activations they are applied to."""

from collections.abc import Callable

import pandas as pd
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler

from sanitygap.book.verdicts import VERDICTS
from sanitygap.claims import load_claims, registry
from sanitygap.figures import Plate, theme
from sanitygap.figures.tests_of_maps import label
from sanitygap.inference import proportion_interval
from sanitygap.pages.shared import about, display_table
from sanitygap.runs import Study


def statement_plate(study: Study, table: str, draw: Callable[[pd.DataFrame], Figure]) -> Plate:
    """A figure about a formal statement, with the numbers and settings behind it.

    Args:
        study: the run.
        table: the table it is drawn from.
        draw: from :mod:`sanitygap.figures.theory`; its description becomes the caption.
    """
    theme()
    numbers = study.table(table)
    about_it = " ".join((draw.__doc__ or "").split())
    made = study.made(table)
    knobs = ", ".join(f"{name} = {value}" for name, value in made["knobs"].items())
    caption = f"{about_it} Simulated: {knobs}, seed {study.settings.seed}."
    return Plate(draw(numbers), about_it, caption, numbers)


def proof_table(study: Study, table: str) -> Styler:
    """What a machine proved, and which false variants it refused."""
    rows = study.table(table)
    shown = rows[["statement", "kind", "method", "expected", "outcome", "witness"]]
    return display_table(
        shown,
        "What the solver was asked, what was expected, and what it answered. A mutant is a false "
        "variant: a sound check has to find its counterexample, which is shown as the witness.",
    )


def activation_plate(study: Study, table: str, draw: Callable[[pd.DataFrame], Figure]) -> Plate:
    """A figure about activations: the numbers behind it are means over images.

    Args:
        study: the run.
        table: the table it is drawn from.
        draw: from :mod:`sanitygap.figures.theory_networks`; its description becomes the caption.
    """
    theme()
    rows = study.table(table)
    words = " ".join((draw.__doc__ or "").split())
    keys = [name for name in ("layer_index", "layer", "q_high", "q_low") if name in rows]
    numbers = rows.groupby(keys, as_index=False).mean(numeric_only=True)
    return Plate(draw(rows), words, f"{words} {about(study, table)}.", numbers)


def measured_overtaking(study: Study) -> Styler:
    """The bound on overtaking beside its frequency under weights that were really drawn."""
    rows = study.table("activation-overtaking")
    rows = rows[rows["bound"].notna() & (rows["positive"] > 0)]
    table = []
    for (high, low), part in rows.groupby(["q_high", "q_low"]):
        drawn, overtaken = int(part["positive"].sum()), int(part["overtaken"].sum())
        share = proportion_interval(overtaken, drawn)
        table.append(
            {
                "large: above quantile": high,
                "small: below quantile": low,
                "mean bound": (part["bound"] * part["positive"]).sum() / drawn,
                "measured": share.estimate,
                "low": share.low,
                "high": share.high,
                "neurons": drawn,
            }
        )
    return display_table(
        pd.DataFrame(table),
        f"Mean bound of Theorem 2 and measured frequency over layers and images, 95 % Wilson "
        f"intervals. {about(study, 'activation-overtaking')}.",
    )


def positive_share(study: Study) -> Styler:
    """How often the map of a positive logit sums to something positive."""
    rows = study.table("positive-evidence")
    rows = rows[rows["logit"] > 0]
    table = []
    for (method, state), part in rows.groupby(["method", "state"], sort=False):
        share = proportion_interval(int((part["relevance"] > 0).sum()), len(part))
        table.append(
            {
                "method": label(str(method)),
                "network": state,
                "share with positive sum": share.estimate,
                "low": share.low,
                "high": share.high,
                "n": len(part),
            }
        )
    return display_table(
        pd.DataFrame(table),
        "Share of maps of positive logits whose values sum to something positive, 95 % Wilson "
        f"intervals. {about(study, 'positive-evidence')}.",
    )


def audit(study: Study) -> Styler:
    """Every formal statement that has a criterion: its verdict, and the corrected statement."""
    claims = [
        claim
        for claim in load_claims()
        if claim.paper == "binder-2022" and claim.kind == "formal" and claim.id in registry()
    ]
    found = {row["claim"]: row for row in study.judge(*[c.id for c in claims]).to_dict("records")}
    rows = []
    for claim in claims:
        verdict = found[claim.id]
        corrected = claim.audit.corrected if claim.audit and claim.audit.corrected else "–"
        place = (
            f'<a href="{claim.notebook}.html">{claim.place}</a>' if claim.notebook else claim.place
        )
        rows.append(
            {
                "statement": f'<a href="../book/ledger.html#{claim.id}">{claim.id}</a>',
                "where": place,
                "verdict": f"{VERDICTS[verdict['verdict']].sign} {verdict['verdict']}",
                "evidence": verdict["evidence"],
                "corrected statement": corrected,
            }
        )
    return display_table(
        pd.DataFrame(rows),
        f"{len(rows)} formal statements, judged on the tables of the run {study.settings.run}.",
    )
