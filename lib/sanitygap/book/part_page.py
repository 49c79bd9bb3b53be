"""The introduction of a part: its pages, what each shows, and how its claims fared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from docutils import nodes  # type: ignore[import-untyped]
from sphinx import addnodes

from sanitygap.book.directives import Cell, FactsDirective, badge, of_a_run, row
from sanitygap.book.stage import slug
from sanitygap.claims.verdicts import VERDICTS

Part = Mapping[str, Any]
"""``caption`` and ``pages`` of a part of the table of contents."""


def part_classes(parts: Sequence[Part], notebook: str | None) -> list[str]:
    """The class by which ``ledger.js`` finds the claims of a part."""
    page = f"notebooks/{notebook}"
    return [f"part-{slug(part['caption'])}" for part in parts if page in part["pages"]]


class PartPages(FactsDirective):
    """One row for each page of the part that this page introduces.

    A line of the body is ``page: what it shows``. The other columns count the verdicts on the
    claims of the page, one column for each run and model.
    """

    has_content = True

    def run(self) -> list[nodes.Node]:
        part = next((p for p in self.facts["parts"] if self.env.docname in p["pages"]), None)
        lines = [line.partition(":")[::2] for line in self.content if line.strip()]
        words = {name.strip(): text.strip() for name, text in lines}
        expected = [page for page in part["pages"] if page != self.env.docname] if part else []
        if list(words) != expected:
            raise self.error(
                f"this part has the pages {', '.join(expected) or 'none'}, in this order; "
                f"described are {', '.join(words) or 'none'}"
            )
        assert part is not None
        on_page = {page: self.found(page) for page in words}
        columns = self.columns if any(on_page.values()) else {}
        rows = [
            row([self.about(page, text), *(self.counts(on_page[page], pair) for pair in columns)])
            for page, text in words.items()
        ]
        if columns:
            everything = [one for found in on_page.values() for one in found]
            last: list[Cell] = ["All claims of this part"]
            last += [
                self.counts(everything, pair, part=slug(part["caption"]), model=shown)
                for pair, shown in columns.items()
            ]
            rows.append(row(last))
        heads = self.column_heads() if columns else []
        return [self.table(["Page", *heads], rows, ["headlines", "part-pages", "citable"])]

    def about(self, page: str, text: str) -> list[nodes.Node]:
        """A link to a page, and what it shows."""
        link = addnodes.pending_xref(
            "",
            nodes.inline("", page),
            refdomain="std",
            reftype="doc",
            reftarget=f"/{page}",
            refdoc=self.env.docname,
            refexplicit=False,
            refwarn=True,
        )
        return [nodes.paragraph("", "", link), *self.markdown(text)]

    def found(self, page: str) -> list[list[Mapping[str, Any]]]:
        """The rows of each claim that a page treats."""
        return [rows for rows in self.claims.values() if f"notebooks/{rows[0]['notebook']}" == page]

    def counts(
        self, found: Sequence[Sequence[Mapping[str, Any]]], pair: tuple[str, str], **chosen: str
    ) -> list[nodes.Node]:
        """How many of these claims have which verdict in a run; a total leads to its claims."""
        verdicts = Counter(
            next(
                (one["verdict"] for one in rows if of_a_run(one) and _pair(one) == pair), "not-run"
            )
            for rows in found
        )
        lines = []
        for verdict in VERDICTS:
            if not verdicts[verdict]:
                continue
            number: nodes.Node = nodes.Text(str(verdicts[verdict]))
            if chosen:
                number = self.ledger_link(str(verdicts[verdict]), verdict=verdict, **chosen)
            shown = self.columns[pair]
            line = nodes.paragraph("", "", badge(verdict), nodes.Text(" "), number)
            line += nodes.inline("", f" {shown}", classes=["shown-on"])
            lines.append(line)
        return lines or [nodes.paragraph("", "–")]


def _pair(one: Mapping[str, Any]) -> tuple[str, str]:
    return one["run"], one["model"]
