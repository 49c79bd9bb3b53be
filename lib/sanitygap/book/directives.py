"""Directives that show the facts assembled with the pages; none has a number of its own."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

from docutils import nodes  # type: ignore[import-untyped]
from sphinx import addnodes
from sphinx.util.docutils import SphinxDirective

from sanitygap.book.passport import duration, when
from sanitygap.claims.verdicts import VERDICTS

Cell = Any
"""Content of a cell of a table: a node, several nodes, or plain text."""

LEDGER = "book/ledger"
"""The page that holds the ledger."""


class claim_place(nodes.Inline, nodes.Element):  # noqa: N801 (docutils names nodes this way)
    """Where the book treats a claim; becomes a link when all labels are known."""


class FactsDirective(SphinxDirective):
    """A directive that shows some of the facts that were assembled with the pages."""

    @cached_property
    def facts(self) -> Mapping[str, Any]:
        """The assembled facts."""
        path = Path(self.env.srcdir) / str(self.config.sanitygap_facts or "")
        if not path.is_file():
            raise self.error("no facts to show: build the site with `sanitygap build`")
        self.env.note_dependency(str(path))
        return json.loads(path.read_text(encoding="utf-8"))

    @cached_property
    def claims(self) -> dict[str, list[Mapping[str, Any]]]:
        """Id of a claim -> its rows, one for each run; in the order of the ledger."""
        claims: dict[str, list[Mapping[str, Any]]] = {}
        for row in self.facts["claims"]:
            claims.setdefault(row["id"], []).append(row)
        return claims

    @cached_property
    def columns(self) -> dict[tuple[str, str], str]:
        """Run and model of every verdict -> how a reader tells it from the others."""
        rows = [row for group in self.claims.values() for row in group if of_a_run(row)]
        pairs = list(dict.fromkeys((row["run"], row["model"]) for row in rows))
        runs_of = Counter(model for _, model in pairs)
        return {
            (run, model): model if runs_of[model] == 1 else f"{model} ({run})"
            for run, model in pairs
        }

    def column_heads(self) -> list[list[nodes.Node]]:
        """A head for each column: the model, and below it whose run on how many images."""
        known = {one["name"]: one for one in self.facts["runs"]}
        return [
            [
                nodes.paragraph("", model, classes=["model"]),
                nodes.paragraph("", run_in_words(known.get(run), run), classes=["shown-on"]),
            ]
            for run, model in self.columns
        ]

    def ledger_link(self, text: str, anchor: str = "", **chosen: str) -> nodes.reference:
        """A link to the ledger: to a claim, or with filters chosen."""
        page = self.env.app.builder.get_relative_uri(self.env.docname, LEDGER)
        query = f"?{urlencode(chosen)}" if chosen else ""
        return nodes.reference(
            "", text, refuri=f"{page}{query}{f'#{anchor}' if anchor else ''}", internal=True
        )

    def markdown(self, text: str | None) -> list[nodes.Node]:
        """Nodes of a text in MyST Markdown."""
        return self.parse_text_to_nodes(text) if text else []

    def table(
        self, header: Sequence[Cell], rows: Iterable[nodes.row], classes: Sequence[str]
    ) -> nodes.Node:
        """A table with a head, inside a container that scrolls where the screen is narrow."""
        group = nodes.tgroup(cols=len(header))
        group += [nodes.colspec(colwidth=1) for _ in header]
        group += nodes.thead("", row(header))
        body = nodes.tbody()
        body += list(rows)
        group += body
        made = nodes.table("", group, classes=[*classes], ids=[f"table-{classes[0]}"])
        return nodes.container("", made, classes=["scrolls"])


class VerdictCounts(FactsDirective):
    """How many claims have which verdict, for each run and model; each number leads to them."""

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
            row(
                [
                    badge(verdict),
                    *(
                        self.count(counts[*pair, verdict], verdict, shown)
                        for pair, shown in columns.items()
                    ),
                ]
            )
            for verdict in VERDICTS
            if any(counts[*pair, verdict] for pair in columns)
        ]
        lines.append(row(["All claims", *(str(len(claims)) for _ in columns)]))
        return [self.table(["Verdict", *self.column_heads()], lines, ["verdict-counts", "citable"])]

    def count(self, number: int, verdict: str, shown: str) -> nodes.Node:
        """A number that leads to the claims it counts."""
        if not number:
            return nodes.paragraph("", "0")
        return nodes.paragraph("", "", self.ledger_link(str(number), verdict=verdict, model=shown))


class VerdictMeanings(FactsDirective):
    """What each verdict means."""

    def run(self) -> list[nodes.Node]:
        lines = [row([badge(verdict), shown.meaning]) for verdict, shown in VERDICTS.items()]
        return [self.table(["Verdict", "Meaning"], lines, ["verdict-meanings"])]


class Headline(NamedTuple):
    """A row of ``{verdicts}``: claims, the part of the one claim that it is about, and words."""

    claims: tuple[str, ...]
    part: str
    words: str

    @classmethod
    def of(cls, line: str) -> Headline:
        """A row from ``id: words``, ``id, id: words`` or ``id#part: words``."""
        names, _, words = line.partition(":")
        names, _, part = names.partition("#")
        return cls(tuple(name.strip() for name in names.split(",")), part.strip(), words.strip())


class Verdicts(FactsDirective):
    """One row for each line of the body, with one verdict for each run.

    A line is the id of a claim, ``id: words`` to call it by fewer words than the ledger's, or
    ``id, id: words`` for claims that share a row. ``id#part: words`` shows no verdict but the share
    of specifications in which a part of the claim holds: the number ``share: part`` of the verdict.
    Claims about networks that were trained for the purpose have one verdict for all runs that
    agree on it. The papers' own models that no run is about are only counted.
    """

    has_content = True

    def run(self) -> list[nodes.Node]:
        claims = self.claims
        lines = [Headline.of(line) for line in self.content if line.strip()]
        names = [name for line in lines for name in line.claims]
        if unknown := [name for name in names if name not in claims]:
            raise self.error(f"no claim {', '.join(unknown)} in the ledger")
        if split := [line for line in lines if line.part and len(line.claims) > 1]:
            raise self.error(f"a part is of one claim, not of {', '.join(split[0].claims)}")
        waiting = [name for name in names if any(not of_a_run(one) for one in claims[name])]
        return [
            self.table(
                ["Claim", *self.column_heads()],
                [self.headline(line) for line in lines],
                ["headlines", "citable"],
            ),
            *self.waiting(claims, list(dict.fromkeys(waiting))),
        ]

    def headline(self, line: Headline) -> nodes.row:
        """A row: what is claimed, and a cell for each run, or one for all."""
        rows = [one for name in line.claims for one in self.claims[name]]
        on_runs = {
            shown: {one["id"]: one for one in rows if (one["run"], one["model"]) == pair}
            for pair, shown in self.columns.items()
        }
        judged = [found for found in on_runs.values() if found]
        networks = rows[0].get("networks") if len(line.claims) == 1 else None
        if networks and len({found[rows[0]["id"]]["verdict"] for found in judged}) == 1:
            made = row([[*self.about(line)], self.cell(line, judged[0], networks)])
            made[-1]["morecols"] = len(on_runs) - 1
            return made
        cells = [self.cell(line, found, shown) for shown, found in on_runs.items()]
        return row([[*self.about(line)], *cells])

    def cell(
        self, line: Headline, rows: Mapping[str, Mapping[str, Any]], shown: str
    ) -> list[nodes.Node]:
        """What one run says of the claims of a row; ``shown`` is what it is about."""
        if line.part:
            share = rows.get(line.claims[0], {}).get("numbers", {}).get(f"share: {line.part}")
            if share is None:
                return [verdict_line("not-run", shown)]
            strong, words = nodes.strong("", percentage(share)), nodes.Text(" of specifications")
            return [nodes.paragraph("", "", strong, words, _shown_on(shown), classes=["share"])]
        verdicts = dict.fromkeys(line.claims, "not-run")
        verdicts |= {name: one["verdict"] for name, one in rows.items()}
        cell: list[nodes.Node] = []
        for verdict in VERDICTS:
            names = [name for name in line.claims if verdicts[name] == verdict]
            if not names:
                continue
            cell.append(verdict_line(verdict, shown))
            if len(names) < len(line.claims):
                cell.append(nodes.paragraph("", ", ".join(names), classes=["share"]))
        if len(line.claims) == 1 and rows:
            words = conditions(rows[line.claims[0]].get("numbers", {}))
            cell += [nodes.paragraph("", words, classes=["share"])] if words else []
        return cell

    def about(self, line: Headline) -> list[nodes.Node]:
        """What is claimed, its places in the ledger and in the book."""
        links = [
            nodes.paragraph(
                "",
                "",
                self.ledger_link(name, name),
                nodes.Text(" · "),
                claim_place(claim=name, notebook=self.claims[name][0].get("notebook") or ""),
                classes=["links"],
            )
            for name in line.claims
        ]
        first = self.claims[line.claims[0]][0]
        about = [networks_line(first)] if first.get("networks") else []
        return [*self.markdown(line.words or first["statement"]), *about, *links]

    def waiting(
        self, claims: Mapping[str, Sequence[Mapping[str, Any]]], names: Sequence[str]
    ) -> list[nodes.Node]:
        """How many models of the papers these claims still wait for."""
        models = {
            one["model"]
            for name in names
            for one in claims[name]
            if one["model"] and not of_a_run(one)
        }
        if not models:
            return []
        text = nodes.Text(
            f"{len(models)} models that the papers used for these claims have no run here. "
        )
        link = self.ledger_link("The ledger lists them, each with its command", verdict="not-run")
        return [nodes.paragraph("", "", text, link, nodes.Text("."), classes=["waiting"])]


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


class DataDictionary(FactsDirective):
    """Every table of a run, and what its columns mean."""

    def run(self) -> list[nodes.Node]:
        from sanitygap.experiments import TABLES

        return [
            details(
                f"<code>{escape(name)}</code> {escape(entry.summary.replace('`', ''))}",
                [
                    self.table(
                        ["Column", "Meaning"],
                        [
                            row([nodes.literal("", column), meaning])
                            for column, meaning in entry.columns.items()
                        ],
                        [f"columns-{name}", "columns"],
                    )
                ],
            )
            for name, entry in sorted(TABLES.items())
        ]


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


def verdict_line(verdict: str, model: str | None) -> nodes.paragraph:
    """A verdict, with the model it was reached on."""
    line = nodes.paragraph("", "", badge(verdict))
    if model:
        line += _shown_on(model)
    return line


def _shown_on(model: str) -> nodes.inline:
    """What a cell is about; on a wide screen the head of the column says it."""
    return nodes.inline("", f" {model}", classes=["shown-on"])


def percentage(share: float) -> str:
    """A share as percent; never a plain 0 or 100 where it is neither."""
    percent = f"{100 * share:.0f}\N{NO-BREAK SPACE}%"
    if 0 < share < 1 and round(100 * share) in (0, 100):
        return "< 1\N{NO-BREAK SPACE}%" if share < 0.5 else "> 99\N{NO-BREAK SPACE}%"
    return percent


def conditions(numbers: Mapping[str, float]) -> str:
    """What the numbers of a verdict say for readers; empty if nothing."""
    if (share := numbers.get("share: all")) is not None:
        return f"holds in {percentage(share)} of specifications"
    if not {"held", "against", "open"} <= set(numbers):
        return ""
    held, against, open_ = (int(numbers[key]) for key in ("held", "against", "open"))
    words = [f"{held} of {held + against + open_} conditions hold"]
    words += [f"{against} refuted"] if against else []
    words += [f"{open_} open"] if open_ else []
    return ", ".join(words)


def networks_line(one: Mapping[str, Any]) -> nodes.paragraph:
    """Which networks a verdict is about that is not about the network of a run."""
    return nodes.paragraph("", f"about {one['networks']}", classes=["networks"])


def of_a_run(one: Mapping[str, Any]) -> bool:
    """Whether a row of the ledger comes from a run; a model of the paper may wait for one."""
    return bool(one["run"] and one["model"])


def run_in_words(run: Mapping[str, Any] | None, name: str) -> str:
    """Whose run it is, and on how many images."""
    if run is None:
        return f"run {name}"
    kind = "recorded" if run["recorded"] else f"run {name}"
    return f"{kind}, {run['n_images']} images"


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
