"""The Sphinx extension of the site: tables made from the ledger and from the executions.

Directives, all without a number or a verdict of their own:

``{verdict-counts}``
    How many claims have which verdict, for each run and model.
``{verdict-meanings}``
    What each verdict means.
``{verdicts}``
    The claims whose ids are listed in its body, one a row, with a verdict for each run.
``{ledger}``
    Every claim, with its criterion, verdicts and evidence; filtered with ``ledger.js``.
``{part}``
    The pages of the part that a page introduces, and the verdicts on their claims.
``{executions}``, ``{runs}``
    When, how long and from what each chapter was executed, and each run computed.
``{data-dictionary}``
    Every table of a run, and what its columns mean.
``{amendments}``
    The changes of criteria, with their reasons and the verdicts before and after.
``{changes}``
    How the recorded verdicts changed, from the history of their files.
``{recorded-claims}``, ``{recorded-tables}``
    What the earlier recording of each claim and table said, beside the present one.
``{drift}``
    Where the shown run and the recorded one of its model differ beyond chance.
``{citation}``
    How to cite the companion.

It also makes theorems, equations and tables known to other books, says on every page which model
the site is about, adds the data that ``cite.js`` needs, gives every proof of sphinx-proof an id of
its own, mends a role in lists of references, and takes thebe's scripts, which this book does not
use, out of the pages.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, cast

from bs4 import BeautifulSoup
from docutils import nodes  # type: ignore[import-untyped]
from sphinx.application import Sphinx
from sphinx.domains.std import StandardDomain
from sphinx.util.nodes import make_refnode

from sanitygap.book import directives
from sanitygap.book.citation import Citation, as_script, entries
from sanitygap.book.directives import run_in_words

DIRECTIVES = {
    "verdict-counts": directives.VerdictCounts,
    "verdict-meanings": directives.VerdictMeanings,
    "verdicts": directives.Verdicts,
    "ledger": directives.Ledger,
    "part": directives.PartPages,
    "data-dictionary": directives.DataDictionary,
    "executions": directives.Executions,
    "runs": directives.RecordedRuns,
    "amendments": directives.Amendments,
    "changes": directives.Changes,
    "recorded-claims": directives.RecordedClaims,
    "recorded-tables": directives.RecordedTables,
    "drift": directives.Drift,
    "citation": directives.CitationDirective,
}


class claim_place(nodes.Inline, nodes.Element):  # noqa: N801 (docutils names nodes this way)
    """Where the book treats a claim; becomes a link when all labels are known."""


def claim_place_role(
    _name: str, _rawtext: str, text: str, *_rest: Any
) -> tuple[list[nodes.Node], list[nodes.system_message]]:
    """The role ``{claim-place}``: a claim and its notebook."""
    claim, _, notebook = text.partition(" ")
    return [claim_place(claim=claim, notebook=notebook)], []


@cache
def _facts(path: Path, _changed: int) -> Mapping[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def complete_page(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Add the line about the shown run and the entries for ``cite.js``; mend references."""
    path = Path(app.srcdir) / str(app.config.sanitygap_facts or "")
    if not context.get("body") or doctree is None or not path.is_file():
        return
    facts = _facts(path, path.stat().st_mtime_ns)
    # The theme of sphinxcontrib-bibtex puts entries that may not stand in a list into one.
    body = context["body"].replace('role="doc-biblioentry"', 'role="listitem"')
    fields = {**facts["citation"]["of"], "authors": tuple(facts["citation"]["of"]["authors"])}
    stamps = {f"notebooks/{one['name']}": one for one in facts["executions"]}
    data = entries(
        body,
        pagename,
        app.env.titles[pagename].astext(),
        Citation(**fields),
        facts["citation"]["works"],
        {row["id"].lower(): row for row in facts["claims"]},
        stamps.get(pagename),
    )
    context["body"] = shown_run(facts) + body + as_script(data)


def shown_run(facts: Mapping[str, Any]) -> str:
    """One line of HTML that says which model and images the chapters are about."""
    run = next((one for one in facts["runs"] if one["name"] == facts["run"]), None)
    if run is None:
        return ""
    words = f"{run['n_images']} images ({run['images']}), profile {run['profile']}; "
    words += run_in_words(run, run["name"])
    model = html.escape(run["model"])
    return f'<p class="shown-run">This book is about <b>{model}</b> on {html.escape(words)}.</p>'


def number_proofs(app: Sphinx, doctree: nodes.document) -> None:
    """Give each proof an id of its own: sphinx-proof calls every one ``proof``."""
    for kind, prefix in (("proof", "proof"), ("proof-content", "statement")):
        for number, node in enumerate(doctree.findall(lambda n, kind=kind: _has_id(n, kind)), 1):
            node["ids"] = [f"{prefix}-{number}"]


def note_labels(app: Sphinx, doctree: nodes.document) -> None:
    """Put theorems, equations and tables into ``objects.inv``, where other books look for labels.

    Sphinx puts only sections and figures there.
    """
    standard = cast(StandardDomain, app.env.get_domain("std"))
    page = app.env.docname
    for name, found in getattr(app.env, "proof_list", {}).items():
        if found["docname"] == page and found["ids"]:
            standard.note_hyperlink_target(name, page, found["ids"][0], found["realtype"].title())
    for equation in doctree.findall(nodes.math_block):
        if equation.get("label") and equation["number"]:
            label = str(equation["label"])
            title = f"Equation {label.removeprefix('eq-')}"
            standard.note_hyperlink_target(label, page, f"equation-{label}", title)
    for raw in doctree.findall(nodes.raw):
        for label, rest in _TABLE.findall(raw.astext()):
            caption = BeautifulSoup(rest, "html.parser").get_text().strip()
            standard.note_hyperlink_target(label, page, label, caption or "Table")


_TABLE = re.compile(
    r'<div class="citable-table" id="([\w-]+)">(?:(?!<tbody).)*?<caption[^>]*>(.*?)</caption>',
    re.DOTALL,
)
"""The id and the caption of a table that a chapter shows."""


def _has_id(node: nodes.Node, name: str) -> bool:
    return isinstance(node, nodes.Element) and node["ids"] == [name]


def link_places(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Turn every place of a claim into a link: to the label with the claim's id, else to the page.

    A claim whose notebook is not part of this book gets no link.
    """
    standard = app.env.get_domain("std")
    labels = {
        **{name: tuple(found) for name, found in standard.data["anonlabels"].items()},
        **{
            name.lower(): (found["docname"], found["ids"][0])
            for name, found in getattr(app.env, "proof_list", {}).items()
        },
    }
    for node in list(doctree.findall(claim_place)):
        page = f"notebooks/{node['notebook']}"
        target = labels.get(node["claim"].lower(), (page, ""))
        if target[0] not in app.env.found_docs:
            node.replace_self(nodes.inline("", "no chapter yet", classes=["no-chapter"]))
            continue
        text = nodes.inline("", f"see {app.env.titles[target[0]].astext()}")
        node.replace_self(make_refnode(app.builder, docname, target[0], target[1], text))


def leave_out_thebe(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Take thebe's scripts out of a page: Jupyter Book adds them twice, which is an error."""
    context["script_files"] = [
        script
        for script in context.get("script_files", [])
        if "thebe" not in f"{script} {getattr(script, 'attributes', '')}".lower()
    ]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives; called by Sphinx."""
    app.add_config_value("sanitygap_facts", None, "env")
    # Formulas may stand in a table that a notebook made, which Sphinx cannot know.
    app.set_html_assets_policy("always")
    app.add_node(claim_place)
    app.add_role("claim-place", claim_place_role)
    for name, directive in DIRECTIVES.items():
        app.add_directive(name, directive)
    app.connect("doctree-read", number_proofs)
    app.connect("doctree-read", note_labels)
    app.connect("doctree-resolved", link_places)
    app.connect("html-page-context", complete_page)
    app.connect("html-page-context", leave_out_thebe, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
