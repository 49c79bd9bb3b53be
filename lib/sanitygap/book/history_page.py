"""Directives about recorded runs: what they are, how their results changed, how far others lie."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from docutils import nodes  # type: ignore[import-untyped]

from sanitygap.book.directives import Cell, FactsDirective, badge, details, row
from sanitygap.book.passport import when
from sanitygap.claims.verdicts import VERDICTS
from sanitygap.words import plural


class RecordedRuns(FactsDirective):
    """The runs whose verdicts the site shows: about what, when and from which commit."""

    def run(self) -> list[nodes.Node]:
        header = ["Run", "Model", "Images", "Begun", "Computed on", "Made at commit"]
        rows = [
            row(
                [
                    # on a narrow screen a row is a card, and each line says what it is
                    nodes.paragraph(
                        "", "", nodes.inline("", f"{head}: ", classes=["narrow-label"]), cell
                    )
                    for head, cell in zip(header, self.cells(one), strict=True)
                ]
            )
            for one in self.facts["runs"]
        ]
        if not rows:
            return [nodes.paragraph("", "No run is recorded here.")]
        return [self.table(header, rows, ["runs"])]

    def cells(self, one: Mapping[str, Any]) -> list[nodes.Node]:
        """What the columns say about one run; plainly so where it has no commit."""
        commits = ", ".join(map(shown_commit, one["commits"]))
        return [
            nodes.literal("", one["name"]),
            nodes.Text(one["model"]),
            nodes.Text(f"{one['n_images']} ({one['images']})"),
            nodes.Text(when(one["started"]) if one["started"] else "unknown"),
            nodes.Text(one["device"]),
            nodes.literal("", commits) if commits else nodes.Text("not known"),
        ]


class Amendments(FactsDirective):
    """Every change of a criterion, newest first: what, why, and the verdicts before and after."""

    def run(self) -> list[nodes.Node]:
        found = list(enumerate(self.facts["amendments"], 1))[::-1]
        shown = [part for number, one in found for part in self.amendment(number, one)]
        return shown or [nodes.paragraph("", "No criterion was changed.")]

    def amendment(self, number: int, one: Mapping[str, Any]) -> list[nodes.Node]:
        """One change: its texts, and a table of claims and recorded runs."""
        head = nodes.paragraph("", "", nodes.strong("", one["date"]), nodes.Text(": "))
        for place, claim in enumerate(one["claims"]):
            head += [nodes.Text(", " if place else ""), self.ledger_link(claim, claim)]
        texts = nodes.definition_list(classes=["amendment"])
        for term, key in AMENDED.items():
            body = nodes.definition("", *self.markdown(one[key]))
            texts += nodes.definition_list_item("", nodes.term("", term), body)
        verdicts = {
            claim: {
                run: (told["before"].get(run), after)
                for run, after in self.after(claim, told).items()
            }
            for claim, told in one["verdicts"].items()
        }
        runs = sorted({run for pairs in verdicts.values() for run in pairs})
        rows = [
            row([self.link(claim), *(self.step(*pairs.get(run, (None, None))) for run in runs)])
            for claim, pairs in verdicts.items()
        ]
        steps = [pair for pairs in verdicts.values() for pair in pairs.values()]
        moved = sum(before != after for before, after in steps)
        summary = f"{moved} of {plural(len(steps), 'verdict')} changed"
        table = self.table(["Claim", *runs], rows, [f"amendment-{number}"])
        table[0]["classes"].append("recordings")
        return [head, texts, details(summary, [table])]

    def after(self, claim: str, told: Mapping[str, Any]) -> dict[str, str | None]:
        """Recorded run -> its verdict after the change, in the order of the runs' names."""
        after = told["after"]
        if after is None:  # no later change: the present verdict is the outcome
            recorded = {one["name"] for one in self.facts["runs"] if one["recorded"]}
            recorded |= set(told["before"])
            rows = self.claims.get(claim, [])
            after = {one["run"]: one["verdict"] for one in rows if one["run"] in recorded}
        return {run: after.get(run) for run in sorted({*told["before"], *after})}

    def link(self, claim: str) -> nodes.Node:
        """The id of a claim, as a link to the ledger."""
        return nodes.paragraph("", "", self.ledger_link(claim, claim))

    def step(self, before: str | None, after: str | None) -> nodes.Node:
        """Two verdicts, one after the other."""
        arrow = nodes.Text(" → ")
        return nodes.paragraph("", "", verdict_or_none(before), arrow, verdict_or_none(after))


class Changes(FactsDirective):
    """What changed in the recorded results, from the history of their files."""

    def run(self) -> list[nodes.Node]:
        shown: list[nodes.Node] = []
        for one in self.facts["changes"]:
            head = nodes.paragraph("", "", nodes.strong("", one["date"][:10]), nodes.Text(", "))
            head += nodes.Text(f"{one['run']} at commit ")
            head += nodes.literal("", one["commit"][:12])
            shown.append(head)
            line = nodes.paragraph()
            for verdict in VERDICTS:
                if count := one["counts"].get(verdict):
                    line += [badge(verdict), nodes.Text(f" {count}  ")]
            shown.append(line)
            moved = [self.change(claim, old, new) for claim, old, new in one["moved"]]
            if moved:
                summary = f"{plural(len(moved), 'verdict')} changed"
                shown.append(details(summary, [nodes.bullet_list("", *moved)]))
        return shown or [nodes.paragraph("", NO_HISTORY)]

    def change(self, claim: str, old: str | None, new: str | None) -> nodes.list_item:
        """One claim whose verdict is another than before."""
        text = f": {old or 'no verdict'} → {new or 'no verdict'}"
        link = self.ledger_link(claim, claim) if claim in self.claims else nodes.literal("", claim)
        return nodes.list_item("", nodes.paragraph("", "", link, nodes.Text(text)))


class Drift(FactsDirective):
    """Where the shown run and the recorded one of its model differ beyond chance."""

    def run(self) -> list[nodes.Node]:
        drift = self.facts["drift"]
        shown: list[nodes.Node] = [nodes.paragraph("", line) for line in drift.get("notes", [])]
        for run, tables in drift.get("old", {}).items():
            shown.append(details(f"The others in {run}", [nodes.paragraph("", ", ".join(tables))]))
        rows = [
            row(
                [
                    one["score"],
                    one["method"],
                    f"{one['live']:.3f}",
                    f"{one['recorded']:.3f}",
                    f"{one['p_holm']:.3f}",
                    one["verdict"],
                ]
            )
            for one in drift.get("rows", [])
        ]
        if rows:
            header = ["Score", "Method", "This run", "Recorded", "p (Holm)", "Outcome"]
            shown.append(self.table(header, rows, ["drift"]))
        return shown or [nodes.paragraph("", "There is nothing to compare this run with.")]


class RecordedClaims(FactsDirective):
    """What the earlier recording of each claim said, beside the present one."""

    def run(self) -> list[nodes.Node]:
        shown: list[nodes.Node] = []
        for run, claims in by_run(self.facts["recorded_claims"]).items():
            moved = [one for one in claims if one["before"]]
            moved.sort(key=lambda one: one["before"]["verdict"] == one["now"]["verdict"])
            verdicts = sum(one["before"]["verdict"] != one["now"]["verdict"] for one in moved)
            text = (
                f": {len(claims)} claims are recorded. {len(moved)} say something else than in "
                f"the recording before, {verdicts} of them with another verdict."
            )
            shown.append(nodes.paragraph("", "", nodes.literal("", run), nodes.Text(text)))
            rows = [
                row([self.link(one["claim"]), self.said(one["before"]), self.said(one["now"])])
                for one in moved
            ]
            if rows:
                table = self.table(["Claim", "Earlier", "Now"], rows, [f"claims-of-{run}"])
                table[0]["classes"].append("recordings")
                shown.append(details(f"The {len(rows)} claims", [table]))
        return shown or [nodes.paragraph("", NO_HISTORY)]

    def link(self, claim: str) -> nodes.Node:
        """The id of a claim, as a link where the ledger has it."""
        known = claim in self.claims
        return nodes.paragraph(
            "", "", self.ledger_link(claim, claim) if known else nodes.literal("", claim)
        )

    def said(self, state: Mapping[str, Any]) -> list[nodes.Node]:
        """Verdict, date, number of images and evidence of one recording."""
        about = f" {state['date'][:10]}"
        if state.get("n_images"):
            about += f", {state['n_images']} images"
        verdict = verdict_or_none(state["verdict"])
        return [
            nodes.paragraph("", "", verdict, nodes.Text(about)),
            *self.markdown(state.get("evidence")),
        ]


class RecordedTables(FactsDirective):
    """How the values of each recorded table differ from those of the recording before."""

    def run(self) -> list[nodes.Node]:
        shown: list[nodes.Node] = []
        for run, tables in by_run(self.facts["recorded_tables"]).items():
            again = [one for one in tables if one["before"]]
            moved = [one for one in again if one["changed"]]
            text = (
                f": {len(tables)} tables, {len(again)} of them recorded more than once. In "
                f"{len(moved)} of these a row that both recordings hold has another value."
            )
            shown.append(nodes.paragraph("", "", nodes.literal("", run), nodes.Text(text)))
            again.sort(key=lambda one: not one["changed"])
            rows = [row(self.cells(one)) for one in again]
            if rows:
                header = ["Table", "Earlier", "Now", "Rows in both", "Largest shift of a mean"]
                table = self.table(header, rows, [f"tables-of-{run}"])
                table[0]["classes"].append("recordings")
                shown.append(details(f"The {len(rows)} tables", [table]))
        return shown or [nodes.paragraph("", NO_HISTORY)]

    def cells(self, one: Mapping[str, Any]) -> list[Cell]:
        """One row: both recordings of a table, and what differs."""
        both, shift = "cannot be paired", "–"
        if one["paired"] is not None:
            both = f"{one['paired']}, {one['changed'] or 'none'} with another value"
        if one["column"]:
            shift = f"{one['column']}: {one['mean_before']:.4g} → {one['mean_now']:.4g}"
        states = [self.size(one[key]) for key in ("before", "now")]
        return [nodes.literal("", one["table"]), *states, both, shift]

    def size(self, state: Mapping[str, Any]) -> str:
        """Date, rows and images of one recording."""
        images = f", {state['images']} images" if state["images"] else ""
        return f"{state['date'][:10]}: {state['rows']} rows{images}"


AMENDED = {
    "Was": "was",
    "Is now": "now",
    "Reason": "reason",
    "Seen before the change": "seen",
    "Confirmed": "confirmed",
}
"""Heads of an amendment's texts -> their fields."""


def verdict_or_none(verdict: str | None) -> nodes.Node:
    """The badge of a verdict; words where there is none, or one that is not used any more."""
    return badge(verdict) if verdict in VERDICTS else nodes.Text(verdict or "no verdict")


NO_HISTORY = "The history of the recorded results is not at hand here."


def by_run(recorded: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Run -> its entries."""
    found: dict[str, list[dict[str, Any]]] = {}
    for one in recorded:
        found.setdefault(one["run"], []).append(one)
    return found


def shown_commit(commit: str) -> str:
    """A commit as people read it: twelve characters, and whether files differed from it."""
    head, _, changes = commit.partition("+")
    return (head[:12] or "none") + (" +changes" if changes else "")
