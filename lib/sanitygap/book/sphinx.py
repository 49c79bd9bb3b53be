"""The Sphinx extension of the site: directives that show the facts assembled with the pages.

No directive has a number or a verdict of its own. What they show is written in ``data/site.html``;
here the facts are put into its order. The extension also makes theorems, equations and tables known
to other books, says on every page which model the site is about, adds the data that ``cite.js``
needs, gives every proof of sphinx-proof an id of its own, mends a role in lists of references, and
takes thebe's scripts, which this book does not use, out of the pages.
"""

from __future__ import annotations

import html
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple, cast
from urllib.parse import urlencode

from bs4 import BeautifulSoup
from docutils import nodes  # type: ignore[import-untyped]
from jinja2 import Environment, PackageLoader
from markupsafe import Markup
from sphinx.application import Sphinx
from sphinx.domains.std import StandardDomain
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_refnode

from sanitygap.book import citation
from sanitygap.book.site import slug
from sanitygap.claims import VERDICTS
from sanitygap.claims.documentary import Substance, standing
from sanitygap.words import listed, plural

LEDGER = "book/ledger"
"""The page that holds the ledger."""

PAPERS = {
    "binder-2022": "Binder et al. (2022)",
    "binder-2022-summary": "Summary of Binder et al.",
    "adebayo-2018": "Adebayo et al. (2018)",
    "sriram-conati-2022": "Sriram & Conati (2022)",
    "khakzar-2022": "Khakzar et al. (2022)",
    "cross": "Across the papers",
}

NO_HISTORY = "The history of the recorded results is not at hand here."

MARKDOWN, INLINE = "\0", "\1"
"""Marks around Markdown in rendered HTML; a piece that begins with the second is no paragraph."""

Row = Mapping[str, Any]
"""A claim with a verdict, as :func:`sanitygap.claims.collect` gives it."""


def markdown(text: str | None) -> Markup:
    """Markdown that stands in HTML as paragraphs."""
    return Markup(f"{MARKDOWN}{text}{MARKDOWN}") if text else Markup("")


def inline(text: str) -> Markup:
    """Markdown that stands in HTML inside of a paragraph."""
    return markdown(INLINE + text)


def query(**chosen: str) -> str:
    """The part of an address that chooses filters of the ledger."""
    return "?" + urlencode({key: value for key, value in chosen.items() if value})


def place(claim: Row) -> str:
    """A link to where the book treats a claim, in Markdown."""
    return f"{{claim-place}}`{claim['id']} {claim.get('notebook') or ''}`"


class FactsDirective(SphinxDirective):
    """A directive that shows some of the facts that were assembled with the pages.

    It is called as its class, in small letters with hyphens: ``{verdict-counts}``.
    """

    @cached_property
    def facts(self) -> Mapping[str, Any]:
        """The assembled facts."""
        path = Path(self.env.srcdir) / str(self.config.sanitygap_facts or "")
        if not path.is_file():
            raise self.error("no facts to show: build the site with `sanitygap build`")
        self.env.note_dependency(str(path))
        return json.loads(path.read_text(encoding="utf-8"))

    @cached_property
    def claims(self) -> dict[str, list[Row]]:
        """Id of a claim -> its rows, one for each run; in the order of the ledger."""
        claims: dict[str, list[Row]] = {}
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

    @cached_property
    def leading(self) -> dict[tuple[str, str], str]:
        """:attr:`columns` of recorded runs, and of models that have none."""
        recorded = {one["name"] for one in self.facts["runs"] if one["recorded"]}
        models = {model for run, model in self.columns if run in recorded}
        return {
            pair: shown
            for pair, shown in self.columns.items()
            if pair[0] in recorded or pair[1] not in models
        }

    def show(
        self, name: str, *values: Any, columns: Mapping[tuple[str, str], str] | None = None
    ) -> list[nodes.Node]:
        """Nodes of a macro of ``data/site.html``, which sees these values and what all share."""
        known = {one["name"]: one for one in self.facts["runs"]}
        heads = self.columns if columns is None else columns
        shared = {
            "claims": self.claims,
            # a head for each column: the model, and below it whose run on how many images
            "columns": [(m, run_in_words(known.get(run), run)) for run, m in heads],
            "names": self.columns,
            "ledger": self.env.app.builder.get_relative_uri(self.env.docname, LEDGER),
        }
        macro = getattr(TEMPLATES.get_template("site.html").make_module(shared), name)
        found: list[nodes.Node] = []
        for number, piece in enumerate(macro(*values).split(MARKDOWN)):
            if number % 2 == 0:
                found.append(nodes.raw("", piece, format="html"))
            elif piece.startswith(INLINE):
                [paragraph] = self.parse_text_to_nodes(piece.removeprefix(INLINE))
                found.append(nodes.inline("", "", *paragraph.children))
            else:
                found += self.parse_text_to_nodes(piece)
        return found

    def sentence(self, text: str) -> list[nodes.Node]:
        """A paragraph of plain text."""
        return [nodes.paragraph("", text)]


class VerdictCounts(FactsDirective):
    """How many claims have which verdict, for each run and model; each number leads to them."""

    def run(self) -> list[nodes.Node]:
        counts = {pair: count_verdicts(self.claims.values(), pair) for pair in self.columns}
        lines = {
            verdict: {shown: counts[pair][verdict] for pair, shown in self.columns.items()}
            for verdict in VERDICTS
            if any(count[verdict] for count in counts.values())
        }
        return self.show("verdict_counts", lines)


class VerdictMeanings(FactsDirective):
    """What each verdict means."""

    def run(self) -> list[nodes.Node]:
        return self.show("verdict_meanings")


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
    """One row for each line of the body, with one verdict for each recorded run.

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
        rows = [one for name in names for one in claims[name]]
        waiting = {one["model"] for one in rows if one["model"] and not of_a_run(one)}
        rows = [self.headline(line) for line in lines]
        return self.show("verdicts", rows, len(waiting), columns=self.leading)

    def headline(self, line: Headline) -> dict[str, Any]:
        """A row: what is claimed, and a cell for each run, or one for all."""
        rows = [one for name in line.claims for one in self.claims[name]]
        on_runs = {
            shown: {one["id"]: one for one in rows if (one["run"], one["model"]) == pair}
            for pair, shown in self.leading.items()
        }
        judged = [found for found in on_runs.values() if found]
        networks = rows[0].get("networks") if len(line.claims) == 1 else None
        if networks and len({found[rows[0]["id"]]["verdict"] for found in judged}) == 1:
            cells = [{**self.cell(line, judged[0], networks), "span": len(on_runs)}]
        else:
            cells = [self.cell(line, found, shown) for shown, found in on_runs.items()]
        first = self.claims[line.claims[0]][0]
        return {"words": line.words, "names": line.claims, "first": first, "cells": cells}

    def cell(self, line: Headline, rows: Mapping[str, Row], shown: str) -> dict[str, Any]:
        """What one run says of the claims of a row; ``shown`` is what it is about."""
        numbers = rows.get(line.claims[0], {}).get("numbers", {})
        images = span({n for one in rows.values() for n in one.get("n", ())})
        cell = {"shown": shown, "span": 1, "share": None, "words": "", "n": images}
        if line.part:
            share = numbers.get(f"share: {line.part}")
            return {**cell, "share": share, "verdicts": [("not-run", "")] if share is None else []}
        names: dict[str, list[str]] = {}
        for name in line.claims:
            names.setdefault(rows[name]["verdict"] if name in rows else "not-run", []).append(name)
        verdicts = [
            (verdict, ", ".join(names[verdict]) if len(names) > 1 else "")
            for verdict in VERDICTS
            if verdict in names
        ]
        words = conditions(numbers) if len(line.claims) == 1 else ""
        return {**cell, "verdicts": verdicts, "words": words}


class Findings(FactsDirective):
    """What was found, a card for each line of the body: ``id | number | heading | words``.

    The card shows that number of the claim's verdict for each recorded run, with the verdict. A
    number of which the verdict says the share of something is shown in percent, with a bar.
    """

    has_content = True

    def run(self) -> list[nodes.Node]:
        cards = []
        for line in filter(str.strip, self.content):
            claim, number, heading, words = (text.strip() for text in line.split("|"))
            if claim not in self.claims:
                raise self.error(f"no claim {claim} in the ledger")
            values = [
                (self.leading[pair], row["verdict"], float(row["numbers"][number]),
                 span(set(row.get("n") or ())))
                for row in self.claims[claim]
                if number in (row.get("numbers") or {})
                and (pair := (row["run"], row["model"])) in self.leading
            ]  # fmt: skip
            if self.claims[claim][0].get("networks"):  # trained for the purpose: one for all runs
                values = [("", *values[0][1:])] if values else []
            shares = number.startswith("share")
            verdicts = {verdict for _, verdict, *_ in values} or {"not-run"}
            cards.append({"claim": claim, "heading": heading, "words": words, "values": values,
                          "shares": shares, "verdicts": verdicts})  # fmt: skip
        return self.show("findings", cards)


class Argument(FactsDirective):
    """An argument as a map: a tree of ``words | id, id`` whose premises stand below, indented.

    Beside each claim stand the verdicts that it got in recorded runs, each with its networks where
    they differ.
    """

    has_content = True

    def run(self) -> list[nodes.Node]:
        root: list[dict[str, Any]] = []
        open_: list[tuple[int, list[dict[str, Any]]]] = [(-1, root)]
        for line in filter(str.strip, self.content):
            depth = len(line) - len(line.lstrip())
            words, _, names = line.partition("|")
            claims = [name.strip() for name in names.split(",") if name.strip()]
            if unknown := [name for name in claims if name not in self.claims]:
                raise self.error(f"no claim {', '.join(unknown)} in the ledger")
            step = {"words": words.strip(), "below": []}
            step["claims"] = {name: self.verdicts(name) for name in claims}
            while open_[-1][0] >= depth:
                open_.pop()
            open_[-1][1].append(step)
            open_.append((depth, step["below"]))
        return self.show("argument", root)

    def verdicts(self, claim: str) -> list[tuple[str, str]]:
        """The verdicts on a claim, each with the networks that it is about; no names if one."""
        judged: dict[str, list[str]] = {}
        for row in self.claims[claim]:
            if (pair := (row["run"], row["model"])) in self.leading:
                judged.setdefault(row["verdict"], []).append(self.leading[pair])
        if len(judged) < 2:
            return [(verdict, "") for verdict in judged or ["not-run"]]
        return [(verdict, listed(names)) for verdict, names in judged.items()]


class ReRun(FactsDirective):
    """Which papers are run again, and on which networks."""

    def run(self) -> list[nodes.Node]:
        papers = {rows[0]["paper"] for rows in self.claims.values()}
        names = [name for paper, name in PAPERS.items() if paper in papers and "(20" in name]
        models = list(dict.fromkeys(model for _, model in self.leading))
        words = f"Re-run here: {listed(names)}"
        return self.sentence(f"{words}; on {listed(models)}." if models else f"{words}.")


class FirstScreen(FactsDirective):
    """The view on the first page, which readers step through; nothing without a recorded run."""

    def run(self) -> list[nodes.Node]:
        view = self.facts.get("first_screen")
        return self.show("first_screen", view) if view else []


class Ledger(FactsDirective):
    """Every claim with its criterion, verdicts and evidence."""

    def run(self) -> list[nodes.Node]:
        targets = cast(StandardDomain, self.env.get_domain("std"))
        for name in self.claims:
            # As a label it can be referred to from every page, and from other books.
            label = f"claim-{name}".lower()
            targets.note_hyperlink_target(label, self.env.docname, name, name)
        return self.show("ledger_of", {name: self.line(rows) for name, rows in self.claims.items()})

    def line(self, rows: Sequence[Row]) -> dict[str, Any]:
        """One claim of the ledger: its classes, and its rows that were judged or wait."""
        first = rows[0]
        page = f"notebooks/{first.get('notebook')}"
        classes = [f"paper-{first['paper']}"]
        classes += [f"kind-{first['kind']}"] if first.get("kind") else []
        # by these ledger.js finds the claims of a part, and those with a verdict
        classes += [f"part-{slug(p['caption'])}" for p in self.facts["parts"] if page in p["pages"]]
        classes += [f"is-{one['verdict']}" for one in rows]
        waiting = [one for one in rows if one["model"] and not of_a_run(one)]
        judged = [one for one in rows if one not in waiting]
        return {"first": first, "classes": classes, "judged": judged, "waiting": waiting}


class Part(FactsDirective):
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
        if part is None or list(words) != expected:
            raise self.error(
                f"this part has the pages {', '.join(expected) or 'none'}, in this order; "
                f"described are {', '.join(words) or 'none'}"
            )
        found: dict[str, list[list[Row]]] = {page: [] for page in words}
        for rows in self.claims.values():
            found.get(f"notebooks/{rows[0]['notebook']}", []).append(rows)
        everything = [rows for claims in found.values() for rows in claims]
        columns = self.columns if everything else {}

        def counts(claims: Sequence[Sequence[Row]]) -> dict[str, Counter[str]]:
            return {shown: count_verdicts(claims, pair) for pair, shown in columns.items()}

        pages = [(page, text, counts(found[page])) for page, text in words.items()]
        return self.show("part_pages", pages, counts(everything), slug(part["caption"]))


class Executions(FactsDirective):
    """When, how long and from what each chapter was executed."""

    def run(self) -> list[nodes.Node]:
        return self.show("executions", self.facts["executions"])


class DataDictionary(FactsDirective):
    """Every table of a run, and what its columns mean."""

    def run(self) -> list[nodes.Node]:
        from sanitygap.tables import TABLES

        return self.show("data_dictionary", sorted(TABLES.items()))


class Citation(FactsDirective):
    """How to cite the companion: a sentence and a BibTeX entry."""

    def run(self) -> list[nodes.Node]:
        how = self.facts["citation"]
        return self.parse_text_to_nodes(f"{how['sentence']}\n\n```bibtex\n{how['bibtex']}\n```")


class Runs(FactsDirective):
    """The runs whose verdicts the site shows: about what, when and from which commit."""

    def run(self) -> list[nodes.Node]:
        rows = self.facts["runs"]
        return self.show("runs", rows) if rows else self.sentence("No run is recorded here.")


class Amendments(FactsDirective):
    """Every change of a criterion, newest first: what, why, and the verdicts before and after."""

    def run(self) -> list[nodes.Node]:
        entries = [
            self.entry(number, one) for number, one in enumerate(self.facts["amendments"], 1)
        ]
        if not entries:
            return self.sentence("No criterion was changed.")
        return self.show("amendments", entries[::-1])

    def entry(self, number: int, one: Mapping[str, Any]) -> dict[str, Any]:
        """One change, with its verdicts in recorded runs: claim -> run -> before and after."""
        pairs = {
            claim: {
                run: (told["before"].get(run), after)
                for run, after in self.after(claim, told).items()
            }
            for claim, told in one["verdicts"].items()
        }
        steps = [pair for of_claim in pairs.values() for pair in of_claim.values()]
        return {
            **one,
            "number": number,
            "pairs": pairs,
            "runs": sorted({run for of_claim in pairs.values() for run in of_claim}),
            "steps": plural(len(steps), "verdict"),
            "moved": sum(before != after for before, after in steps),
        }

    def after(self, claim: str, told: Mapping[str, Any]) -> dict[str, str | None]:
        """Recorded run -> its verdict after the change, in the order of the runs' names."""
        after = told["after"]
        if after is None:  # no later change: the present verdict is the outcome
            recorded = {one["name"] for one in self.facts["runs"] if one["recorded"]}
            recorded |= set(told["before"])
            rows = self.claims.get(claim, [])
            after = {one["run"]: one["verdict"] for one in rows if one["run"] in recorded}
        return {run: after.get(run) for run in sorted({*told["before"], *after})}


class Changes(FactsDirective):
    """What changed in the recorded results, from the history of their files."""

    def run(self) -> list[nodes.Node]:
        entries = self.facts["changes"]
        return self.show("changes", entries) if entries else self.sentence(NO_HISTORY)


class Drift(FactsDirective):
    """Where the shown run and the recorded one of its model differ beyond chance."""

    def run(self) -> list[nodes.Node]:
        parts = {"notes": [], "old": {}, "rows": [], **self.facts["drift"]}
        if not any(parts.values()):
            return self.sentence("There is nothing to compare this run with.")
        return self.show("drift", parts["notes"], parts["old"], parts["rows"])


class RecordedClaims(FactsDirective):
    """What the earlier recording of each claim said, beside the present one."""

    def run(self) -> list[nodes.Node]:
        groups = {}
        for run, claims in by_run(self.facts["recorded_claims"]):
            moved = [one for one in claims if one["before"]]
            moved.sort(key=lambda one: one["before"]["verdict"] == one["now"]["verdict"])
            verdicts = sum(one["before"]["verdict"] != one["now"]["verdict"] for one in moved)
            groups[run] = {"total": len(claims), "moved": moved, "verdicts": verdicts}
        return self.show("recorded_claims", groups) if groups else self.sentence(NO_HISTORY)


class RecordedTables(FactsDirective):
    """How the values of each recorded table differ from those of the recording before."""

    def run(self) -> list[nodes.Node]:
        groups = {}
        for run, tables in by_run(self.facts["recorded_tables"]):
            again = [one for one in tables if one["before"]]
            again.sort(key=lambda one: not one["changed"])
            changed = sum(bool(one["changed"]) for one in again)
            groups[run] = {"total": len(tables), "again": again, "changed": changed}
        return self.show("recorded_tables", groups) if groups else self.sentence(NO_HISTORY)


def count_verdicts(claims: Iterable[Sequence[Row]], pair: tuple[str, str]) -> Counter[str]:
    """How many claims have which verdict in a run; those without one are ``not-run``."""
    found = [
        [one["verdict"] for one in rows if of_a_run(one) and (one["run"], one["model"]) == pair]
        for rows in claims
    ]
    return Counter((verdicts or ["not-run"])[0] for verdicts in found)


def by_run(recorded: Sequence[dict[str, Any]]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Every run with its entries."""
    for run in dict.fromkeys(one["run"] for one in recorded):
        yield run, [one for one in recorded if one["run"] == run]


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


def of_a_run(one: Mapping[str, Any]) -> bool:
    """Whether a row of the ledger comes from a run; a model of the paper may wait for one."""
    return bool(one["run"] and one["model"])


def run_in_words(run: Mapping[str, Any] | None, name: str) -> str:
    """Whose run it is; on how many images each verdict rests is said beside it."""
    return "recorded" if run and run["recorded"] else f"run {name}"


def span(counts: Set[int]) -> str:
    """Numbers of images in a few words."""
    if not counts:
        return ""
    least, most = min(counts), max(counts)
    return f"n = {least}" if least == most else f"n = {least} to {most}"


def short_commit(commit: str) -> str:
    """A commit as people read it: twelve characters, and whether files differed from it."""
    head, _, changes = commit.partition("+")
    return (head[:12] or "none") + (" +changes" if changes else "")


def substance_in_words(found: Sequence[Sequence[str]]) -> str:
    """How many of the claims that a sentence rests on hold."""
    return standing([Substance(*values) for values in found])


TEMPLATES = Environment(
    loader=PackageLoader("sanitygap", "data"), autoescape=True, trim_blocks=True, lstrip_blocks=True
)
TEMPLATES.filters |= {"md": markdown, "inline": inline, "commit": short_commit}
TEMPLATES.globals |= {
    "PAPERS": PAPERS,
    "VERDICTS": VERDICTS,
    "duration": citation.duration,
    "percentage": percentage,
    "place": place,
    "plural": plural,
    "query": query,
    "standing": substance_in_words,
    "when": citation.when,
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
    data = citation.entries(
        body,
        pagename,
        app.env.titles[pagename].astext(),
        citation.Citation(**fields),
        facts["citation"]["works"],
        {row["id"].lower(): row for row in facts["claims"]},
        stamps.get(pagename),
    )
    context["body"] = shown_run(facts) + body + citation.as_script(data)


def shown_run(facts: Mapping[str, Any]) -> str:
    """One line of HTML: which model and images the chapters are about, how many have outputs."""
    sentences = []
    run = next((one for one in facts["runs"] if one["name"] == facts["run"]), None)
    warning = ""
    if run is not None:
        words = f"{run['n_images']} images ({run['images']}), profile {run['profile']}; "
        words += run_in_words(run, run["name"])
        model = html.escape(run["model"])
        sentences.append(f"This book is about <b>{model}</b> on {html.escape(words)}.")
        if not run.get("trained", True):
            said = "This network has random weights: what is said of it is about no trained one."
            warning = f'<p class="shown-run untrained" role="note"><b>{said}</b></p>'
    if left_out := len(facts.get("left_out", ())):
        sentences.append(
            f"{len(facts['executions'])} of {len(facts['executions']) + left_out} chapters were "
            "executed for it; the others have prose only."
        )
    line = f'<p class="shown-run">{" ".join(sentences)}</p>' if sentences else ""
    return warning + line


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
    labels = {name: tuple(found) for name, found in standard.data["anonlabels"].items()}
    for name, found in getattr(app.env, "proof_list", {}).items():
        labels[name.lower()] = found["docname"], found["ids"][0]
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
    for directive in FactsDirective.__subclasses__():
        app.add_directive(re.sub(r"\B(?=[A-Z])", "-", directive.__name__).lower(), directive)
    app.connect("doctree-read", number_proofs)
    app.connect("doctree-read", note_labels)
    app.connect("doctree-resolved", link_places)
    app.connect("html-page-context", complete_page)
    app.connect("html-page-context", leave_out_thebe, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
