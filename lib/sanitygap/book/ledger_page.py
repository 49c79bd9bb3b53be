"""The page of the ledger: every claim with its criterion, verdicts and evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from docutils import nodes  # type: ignore[import-untyped]
from sphinx.application import Sphinx
from sphinx.domains.std import StandardDomain
from sphinx.util.nodes import make_refnode

from sanitygap.book.directives import (
    FactsDirective,
    badge,
    claim_place,
    details,
    networks_line,
    of_a_run,
    row,
    verdict_line,
)
from sanitygap.book.part_page import part_classes
from sanitygap.claims.documentary import Substance, standing

PAPERS = {
    "binder-2022": "Binder et al. (2022)",
    "binder-2022-summary": "Summary of Binder et al.",
    "adebayo-2018": "Adebayo et al. (2018)",
    "sriram-conati-2022": "Sriram & Conati (2022)",
    "khakzar-2022": "Khakzar et al. (2022)",
    "cross": "Across the papers",
}


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
        kind = first.get("kind")
        about = [
            nodes.paragraph("", "", title),
            nodes.paragraph("", PAPERS[first["paper"]], classes=["paper"]),
            *([nodes.paragraph("", first["place"])] if first.get("place") else []),
            *([nodes.paragraph("", kind, classes=["kind"])] if kind else []),
            place(first),
        ]
        statement = [
            *self.markdown(first["statement"]),
            details("Criterion", self.markdown(first["criterion"])),
            details("Check", self.markdown(first.get("check"))),
            details("Caveat", self.markdown(first.get("caveat"))),
        ]
        found = [self.finding(one, columns) for one in rows if of_a_run(one) or not one["model"]]
        waiting = [self.finding(one, columns) for one in rows if one["model"] and not of_a_run(one)]
        if waiting:
            models = "model" if len(waiting) == 1 else "models"
            found.append(details(f"{len(waiting)} {models} of the paper: not-run", waiting))
        entry = row(
            [about, statement, found],
            [
                f"paper-{first['paper']}",
                *([f"kind-{kind}"] if kind else []),
                *part_classes(self.facts["parts"], first.get("notebook")),
                *(f"is-{one['verdict']}" for one in rows),
            ],
        )
        entry["ids"].append(name)
        return entry

    def finding(
        self, one: Mapping[str, Any], columns: Mapping[tuple[str, str], str]
    ) -> nodes.container:
        """One verdict on a claim, the model it was reached on, and what it rests on."""
        shown = columns.get((one["run"], one["model"]), one["model"])
        line = verdict_line(one["verdict"], shown)
        about = [networks_line(one)] if of_a_run(one) and one.get("networks") else []
        body = [*self.markdown(one["evidence"]), *self.markdown(one["reason"])]
        classes = ["finding", f"found-{one['verdict']}", *(["of-run"] if of_a_run(one) else [])]
        parts = [line, *about, details("Evidence", body), self.substance(one)]
        return nodes.container("", *parts, classes=classes)

    def substance(self, one: Mapping[str, Any]) -> nodes.Node:
        """How the claims that a sentence rests on fared in a run: no part of the verdict on it."""
        found = [Substance(*values) for values in one.get("substance", [])]
        lines = []
        for rests_on in found:
            line = nodes.paragraph("", "", self.ledger_link(rests_on.claim, rests_on.claim))
            line += [nodes.Text(" "), badge(rests_on.verdict), nodes.Text(f" {rests_on.note}")]
            lines.append(line)
        return details(f"Substance: {standing(found)}", lines)


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
            node.replace_self(nodes.inline("", "no chapter yet", classes=["no-chapter"]))
            continue
        text = nodes.inline("", f"see {app.env.titles[target[0]].astext()}")
        node.replace_self(make_refnode(app.builder, docname, target[0], target[1], text))
