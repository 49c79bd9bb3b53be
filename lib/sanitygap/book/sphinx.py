"""The Sphinx extension of the site: tables made from the ledger and from the executions.

Directives, all without a number or a verdict of their own:

``{verdict-counts}``
    How many claims have which verdict, for each run and model.
``{verdict-meanings}``
    What each verdict means.
``{verdicts}``
    The claims whose ids are listed in its body, one a line, with their verdicts.
``{ledger}``
    Every claim, with its criterion, verdicts and evidence; filtered with ``ledger.js``.
``{executions}``
    When, how long and from what each chapter was executed.
``{citation}``
    How to cite the companion.

It also gives every proof of sphinx-proof an id of its own, and takes thebe's scripts, which this
book does not use, out of the pages.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from docutils import nodes  # type: ignore[import-untyped]
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.domains.std import StandardDomain
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_refnode

from sanitygap.book.passport import duration, when
from sanitygap.book.verdicts import VERDICTS

PAPERS = {
    "binder-2022": "Binder et al. (2022)",
    "binder-2022-summary": "Summary of Binder et al.",
    "adebayo-2018": "Adebayo et al. (2018)",
    "sriram-conati-2022": "Sriram & Conati (2022)",
    "khakzar-2022": "Khakzar et al. (2022)",
    "cross": "Across the papers",
}

Cell = Any
"""Content of a cell of a table: a node, several nodes, or plain text."""


class claim_place(nodes.Inline, nodes.Element):  # noqa: N801 (docutils names nodes this way)
    """Where the book treats a claim; becomes a link when all labels are known."""


class FactsDirective(SphinxDirective):
    """A directive that shows some of the facts that were assembled with the pages."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """The assembled facts; empty lists where the pages are built by hand."""
        path = Path(self.env.srcdir) / str(self.config.sanitygap_facts or "")
        if not path.is_file():
            raise self.error("no facts to show: build the site with `sanitygap build`")
        self.env.note_dependency(str(path))
        return json.loads(path.read_text(encoding="utf-8"))

    @property
    def claims(self) -> dict[str, list[Mapping[str, Any]]]:
        """Id of a claim -> its rows, one for each run; in the order of the ledger."""
        claims: dict[str, list[Mapping[str, Any]]] = {}
        for row in self.facts["claims"]:
            claims.setdefault(row["id"], []).append(row)
        return claims

    @property
    def columns(self) -> dict[tuple[str, str], str]:
        """Run and model of every verdict -> how a reader tells it from the others."""
        rows = [row for group in self.claims.values() for row in group if of_a_run(row)]
        pairs = list(dict.fromkeys((row["run"], row["model"]) for row in rows))
        runs_of = Counter(model for _, model in pairs)
        return {
            (run, model): model if runs_of[model] == 1 else f"{model} ({run})"
            for run, model in pairs
        }

    def markdown(self, text: str | None) -> list[nodes.Node]:
        """Nodes of a text in MyST Markdown."""
        return self.parse_text_to_nodes(text) if text else []

    def table(
        self, header: Sequence[str], rows: Iterable[nodes.row], classes: Sequence[str]
    ) -> nodes.Node:
        """A table with a head, inside a container that scrolls where the screen is narrow."""
        group = nodes.tgroup(cols=len(header))
        group += [nodes.colspec(colwidth=1) for _ in header]
        group += nodes.thead("", row(header))
        body = nodes.tbody()
        body += list(rows)
        group += body
        return nodes.container("", nodes.table("", group, classes=[*classes]), classes=["scrolls"])


class VerdictCounts(FactsDirective):
    """How many claims have which verdict, for each run and model."""

    def run(self) -> list[nodes.Node]:
        claims, columns = self.claims, self.columns
        counts = Counter(
            (row["run"], row["model"], row["verdict"])
            for rows in claims.values()
            for row in rows
            if of_a_run(row)
        )
        judged = Counter(
            (row["run"], row["model"]) for rows in claims.values() for row in rows if of_a_run(row)
        )
        for pair in columns:
            counts[*pair, "not-run"] += len(claims) - judged[pair]
        lines = [
            row([badge(verdict), *(str(counts[*pair, verdict]) for pair in columns)])
            for verdict in VERDICTS
            if any(counts[*pair, verdict] for pair in columns)
        ]
        lines.append(row(["All claims", *(str(len(claims)) for _ in columns)]))
        return [self.table(["Verdict", *columns.values()], lines, ["verdict-counts"])]


class VerdictMeanings(FactsDirective):
    """What each verdict means."""

    def run(self) -> list[nodes.Node]:
        lines = [row([badge(verdict), shown.meaning]) for verdict, shown in VERDICTS.items()]
        return [self.table(["Verdict", "Meaning"], lines, ["verdict-meanings"])]


class Verdicts(FactsDirective):
    """The claims whose ids are listed in the body, with their verdicts on every model."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        claims, columns = self.claims, self.columns
        ids = [line.strip() for line in self.content if line.strip()]
        if unknown := [name for name in ids if name not in claims]:
            raise self.error(f"no claim {', '.join(unknown)} in the ledger")
        rows = [
            row(
                [
                    [
                        *self.markdown(claims[name][0]["statement"]),
                        nodes.paragraph("", "", self.entry(name)),
                        place(claims[name][0]),
                    ],
                    [verdict_line(one, columns) for one in claims[name]],
                ]
            )
            for name in ids
        ]
        return [self.table(["Claim", "Verdict"], rows, ["headlines"])]

    def entry(self, name: str) -> nodes.Node:
        """A link to a claim's row in the ledger."""
        return addnodes.pending_xref(
            "",
            nodes.literal("", name),
            refdomain="std",
            reftype="ref",
            reftarget=f"claim-{name}".lower(),
            refdoc=self.env.docname,
            refexplicit=True,
        )


class Ledger(FactsDirective):
    """Every claim with its criterion, verdicts and evidence."""

    def run(self) -> list[nodes.Node]:
        columns = self.columns
        targets = cast(StandardDomain, self.env.get_domain("std"))
        for name in self.claims:
            # As a label it can be referred to from every page, and from other books.
            label = f"claim-{name}".lower()
            targets.note_hyperlink_target(label, self.env.docname, name, name)
        rows = [self.claim_row(name, rows, columns) for name, rows in self.claims.items()]
        return [self.table(["Claim", "Statement and criterion", "Verdict"], rows, ["ledger"])]

    def claim_row(
        self,
        name: str,
        rows: Sequence[Mapping[str, Any]],
        columns: Mapping[tuple[str, str], str],
    ) -> nodes.row:
        """One claim of the ledger: where it stands, what it says, what was found."""
        first = rows[0]
        title = nodes.reference(
            "", "", nodes.literal("", name), refuri=f"#{name}", classes=["claim-id"]
        )
        about = [
            nodes.paragraph("", "", title),
            nodes.paragraph("", PAPERS[first["paper"]], classes=["paper"]),
            *([nodes.paragraph("", first["place"])] if first.get("place") else []),
            place(first),
        ]
        statement = [
            *self.markdown(first["statement"]),
            details("Criterion", self.markdown(first["criterion"])),
            details("Check", self.markdown(first.get("check"))),
            details("Caveat", self.markdown(first.get("caveat"))),
        ]
        found: list[nodes.Node] = []
        for one in rows:
            body = [*self.markdown(one["evidence"]), *self.markdown(one["reason"])]
            found += [verdict_line(one, columns), details("Evidence", body)]
        entry = row(
            [about, statement, found],
            [f"paper-{first['paper']}", *(f"is-{one['verdict']}" for one in rows)],
        )
        entry["ids"].append(name)
        return entry


class Executions(FactsDirective):
    """When, how long and from what each chapter was executed."""

    def run(self) -> list[nodes.Node]:
        rows = []
        for one in self.facts["executions"]:
            link = addnodes.pending_xref(
                "",
                nodes.inline("", one["title"]),
                refdomain="std",
                reftype="doc",
                reftarget=f"/notebooks/{one['name']}",
                refdoc=self.env.docname,
                refexplicit=True,
            )
            commit = (one["commit"] or "none")[:12] + (" +changes" if one["dirty"] else "")
            rows.append(
                row(
                    [
                        nodes.paragraph("", "", link),
                        one["run"],
                        str(one["parameters"].get("model")),
                        when(one["started"]),
                        duration(one["duration_s"]),
                        nodes.literal("", commit),
                    ]
                )
            )
        header = ["Page", "Run", "Model", "Executed", "Took", "Commit"]
        return [self.table(header, rows, ["executions"])]


class CitationDirective(FactsDirective):
    """How to cite the companion: a sentence and a BibTeX entry."""

    def run(self) -> list[nodes.Node]:
        citation = self.facts["citation"]
        entry = nodes.literal_block(citation["bibtex"], citation["bibtex"], language="bibtex")
        return [*self.markdown(citation["sentence"]), entry]


def row(cells: Sequence[Cell], classes: Sequence[str] = ()) -> nodes.row:
    """A row of a table from nodes or plain text."""
    made = nodes.row(classes=list(classes))
    for cell in cells:
        if isinstance(cell, str):
            cell = nodes.paragraph("", cell)
        content = [cell] if isinstance(cell, nodes.Node) else list(cell)
        if content and isinstance(content[0], nodes.literal | nodes.inline):
            content = [nodes.paragraph("", "", *content)]
        made += nodes.entry("", *content)
    return made


def badge(verdict: str) -> nodes.inline:
    """A verdict as sign and word; the colour only repeats what the word says."""
    shown = VERDICTS[verdict]
    return nodes.inline(
        "",
        "",
        nodes.raw("", f'<span aria-hidden="true">{shown.sign}</span>', format="html"),
        nodes.Text(f" {verdict}"),
        classes=["verdict", f"verdict-{shown.tone}"],
    )


def verdict_line(one: Mapping[str, Any], columns: Mapping[tuple[str, str], str]) -> nodes.paragraph:
    """The verdict of one row of the ledger, with the model it was reached on."""
    line = nodes.paragraph("", "", badge(one["verdict"]))
    if one["model"]:
        shown = columns.get((one["run"], one["model"]), one["model"])
        line += nodes.inline("", f" {shown}", classes=["shown-on"])
    return line


def of_a_run(one: Mapping[str, Any]) -> bool:
    """Whether a row of the ledger comes from a run; a model of the paper may wait for one."""
    return bool(one["run"] and one["model"])


def details(summary: str, body: Sequence[nodes.Node]) -> nodes.Node:
    """A part that unfolds on demand, in plain HTML, so that it works without scripts."""
    if not body:
        return nodes.inline()
    return nodes.container(
        "",
        nodes.raw("", f"<details><summary>{summary}</summary>", format="html"),
        *body,
        nodes.raw("", "</details>", format="html"),
    )


def place(one: Mapping[str, Any]) -> nodes.Node:
    """A link to where the book treats a claim, made once all labels are known."""
    return nodes.paragraph("", "", claim_place(claim=one["id"], notebook=one.get("notebook") or ""))


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
            node.parent.remove(node)
            continue
        text = nodes.inline("", f"see {app.env.titles[target[0]].astext()}")
        node.replace_self(make_refnode(app.builder, docname, target[0], target[1], text))


def number_proofs(app: Sphinx, doctree: nodes.document) -> None:
    """Give each proof an id of its own: sphinx-proof calls every one ``proof``."""
    for kind, prefix in (("proof", "proof"), ("proof-content", "statement")):
        for number, node in enumerate(doctree.findall(lambda n, kind=kind: _has_id(n, kind)), 1):
            node["ids"] = [f"{prefix}-{number}"]


def _has_id(node: nodes.Node, name: str) -> bool:
    return isinstance(node, nodes.Element) and node["ids"] == [name]


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
    app.add_directive("verdict-counts", VerdictCounts)
    app.add_directive("verdict-meanings", VerdictMeanings)
    app.add_directive("verdicts", Verdicts)
    app.add_directive("ledger", Ledger)
    app.add_directive("executions", Executions)
    app.add_directive("citation", CitationDirective)
    app.connect("doctree-read", number_proofs)
    app.connect("doctree-resolved", link_places)
    app.connect("html-page-context", leave_out_thebe, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
