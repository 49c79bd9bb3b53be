"""Documentary claims: is a sentence about a paper anchored in the paper's own words?

``data/documentary.yml`` says which terms show a sentence, piece by piece, and in which sections.
``data/concordance.csv`` says how often each term stands in each section of the paper and of its
summary: the texts themselves cannot be shipped, these counts can. Who has the texts, as Markdown,
can make it again::

    python -m sanitygap.claims.documentary binder-2022=PAPER.md binder-2022-summary=SUMMARY.md
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NamedTuple

import pandas as pd
from pydantic import Field

from sanitygap.claims import (
    Strict,
    Text,
    Value,
    Verdict,
    beside_ledger,
    find_claim,
    read_entries,
)
from sanitygap.errors import UsageError
from sanitygap.files import file_sha256, write_atomically

PAPER = "binder-2022"
SUMMARY = "binder-2022-summary"


class Part(Strict):
    """A piece of a sentence; the head of ``data/documentary.yml`` explains the fields."""

    says: Text
    terms: Annotated[tuple[Text, ...], Field(min_length=1)]
    stated_in: Annotated[tuple[Text, ...], Field(min_length=1)]
    mentioned_in: tuple[Text, ...] = ()
    omitted: bool = False


class Entry(Strict):
    """A documentary claim with its pieces and the claims that test its substance."""

    id: Text
    said: tuple[Text, ...]
    parts: Annotated[tuple[Part, ...], Field(min_length=1)]
    rests_on: tuple[Text, ...]

    def terms(self) -> Iterator[str]:
        """Every term that the concordance has to hold."""
        yield from self.said
        for part in self.parts:
            yield from part.terms


@dataclass(frozen=True)
class Concordance:
    """How often terms stand in the sections of documents.

    Attributes:
        table: columns ``document``, ``section``, ``term``, ``count``; the empty term counts all
            words of a section.
    """

    table: pd.DataFrame

    @classmethod
    def read(cls, path: Path | None = None) -> Concordance:
        """The concordance of the project, or of a file.

        Raises:
            UsageError: there is no such file.
        """
        path = path or beside_ledger("concordance.csv")
        if not path.is_file():
            raise UsageError(f"there is no {path.name}; make it with python -m {_MAKER}")
        return cls(pd.read_csv(path, comment="#", keep_default_na=False))

    def sections(self, document: str) -> list[str]:
        """The sections of a document that were read."""
        rows = self.table[(self.table["document"] == document) & (self.table["term"] == "")]
        return list(rows["section"])

    def stands(self, document: str, section: str, terms: tuple[str, ...]) -> bool:
        """Whether all terms stand in a section.

        Raises:
            UsageError: the section was not read.
        """
        if section not in self.sections(document):
            raise UsageError(
                f"the concordance knows no section {section!r} of {document}; make it again with "
                f"python -m {_MAKER}"
            )
        rows = self.table[(self.table["document"] == document) & (self.table["section"] == section)]
        return set(terms) <= set(rows["term"])

    def grade(self, part: Part) -> tuple[str, list[str]]:
        """How a piece of a sentence is anchored.

        Returns:
            ``stated``, ``mentioned`` or ``absent``, and the sections that it stands in.
        """
        stated = [name for name in part.stated_in if self.stands(PAPER, name, part.terms)]
        if part.omitted:
            said = [
                name
                for name in self.sections(SUMMARY)
                for term in part.terms
                if self.stands(SUMMARY, name, (term,))
            ]
            return ("absent", said) if said or not stated else ("stated", stated)
        if stated:
            return "stated", stated
        mentioned = [name for name in part.mentioned_in if self.stands(PAPER, name, part.terms)]
        return ("mentioned", mentioned) if mentioned else ("absent", [])


class Substance(NamedTuple):
    """What a run found about a claim that a sentence rests on.

    Attributes:
        claim: its id.
        verdict: of the run; ``not-run`` where the run says nothing about its own network.
        note: why it does not; empty otherwise.
    """

    claim: str
    verdict: str
    note: str


STANDS = ("holds", "slip", "reproduced", "direction")
"""Verdicts under which what a sentence reports stands."""


def substance(entry: Entry, verdicts: Mapping[str, str]) -> list[Substance]:
    """What a run found about the claims that a sentence rests on.

    It says whether the sentence is right about a network, not whether it reports the paper, and so
    has no part in the verdict on the sentence. A claim that is judged on networks trained for the
    purpose tells nothing about the network of the run.

    Args:
        entry: the sentence.
        verdicts: of the run, by claim.
    """
    networks = {name: find_claim(name).networks for name in entry.rests_on}
    return [
        Substance(name, "not-run", f"judged on {trained} only")
        if trained
        else Substance(name, verdicts.get(name, "not-run"), "")
        for name, trained in networks.items()
    ]


def standing(found: list[Substance]) -> str:
    """How many of these claims hold, in words."""
    holding = sum(one.verdict in STANDS for one in found)
    return f"{holding} of {len(found)} claims that it rests on hold in this run"


_MAKER = "sanitygap.claims.documentary"


def load_entries() -> list[Entry]:
    """The entries of ``data/documentary.yml``."""
    return read_entries(beside_ledger("documentary.yml"), Entry)


def find_entry(name: str) -> Entry:
    """The entry of a claim."""
    return next(entry for entry in load_entries() if entry.id == name)


COLUMNS = ("document", "section", "term", "count")

#: the section of what stands before the first numbered one
FRONT = "Abstract"

#: summary headings -> the places that the ledger calls them by
HEADINGS = {
    "what is the central research question": "Central research question",
    "what is the main contribution": "Main contribution",
    "what is the tl dr": "Summary in one sentence",
    "how does this paper compare": "Comparison with other research",
    "what future research directions": "Future research directions",
    "summarize the paper in one paragraph": "Summary in one paragraph",
    "summarize the paper in two paragraphs": "Summary in two paragraphs",
}


def plain(text: str) -> str:
    """Lower case words and numbers, single spaces between them."""
    return " ".join(re.findall(r"[^\W_]+", text.lower()))


def sections(markdown: str) -> dict[str, str]:
    """Name of a section -> its :func:`plain` text; parts of the same name are joined.

    Numbered headings are called ``§4.1`` or, in an appendix, ``A.1``; everything before them is
    the abstract; the headings of the summary get the ledger's names; others keep their own.
    """
    # a heading may be glued to the end of the line before it
    parts = re.split(r"(?:^|(?<=\S))#{1,6} +(?=\S)", markdown, flags=re.MULTILINE)
    found: dict[str, list[str]] = {}
    for number, part in enumerate(parts):
        # the first heading is the title, and may begin like an appendix: "A ..."
        name = _name(part.partition("\n")[0]) if number > 1 else FRONT
        if words := plain(part):
            found.setdefault(name, []).append(words)
    return {name: " ".join(texts) for name, texts in found.items()}


def _name(heading: str) -> str:
    if number := re.match(r"\d+(\.\d+)*(?=\s)", heading):
        return f"§{number.group()}"
    if letter := re.match(r"[A-Z](\.\d+)?(?=\s)", heading):
        return letter.group()
    title = plain(heading)
    for start, place in HEADINGS.items():
        if title.startswith(start):
            return place
    known = {"acknowledgements": "Acknowledgements", "references": "References"}
    return known.get(title, FRONT)


def occurrences(text: str, term: str) -> int:
    """How often a term begins at a word of a :func:`plain` text; endings do not matter."""
    return len(re.findall(rf"(?<!\S){re.escape(plain(term))}", text))


def counts(texts: Mapping[str, str], terms: Iterable[str]) -> Iterator[tuple[str, str, str, int]]:
    """Document, section, term and number of occurrences, where there are any.

    The empty term stands for all words, so that a section without a term can be told from one
    that was not read.

    Args:
        texts: document -> Markdown.
        terms: words or phrases.
    """
    wanted = sorted(set(terms))
    for document, markdown in texts.items():
        for section, text in sections(markdown).items():
            yield document, section, "", len(text.split())
            for term in wanted:
                if count := occurrences(text, term):
                    yield document, section, term, count


def terms_sha256(terms: Iterable[str]) -> str:
    """Tells whether a concordance was made for these terms: what it lacks may not be asked for."""
    return hashlib.sha256("\n".join(sorted(set(terms))).encode()).hexdigest()


def as_csv(rows: Iterable[tuple[str, str, str, int]], checksums: Mapping[str, str]) -> str:
    """The concordance as text, with the SHA-256 of what it was made from."""
    head = "".join(f"# {document} sha256 {digest}\n" for document, digest in checksums.items())
    table = pd.DataFrame(rows, columns=COLUMNS)
    return head + table.to_csv(index=False, lineterminator="\n")


def main(arguments: list[str]) -> None:
    """Write ``data/concordance.csv`` from ``DOCUMENT=FILE`` pairs.

    Raises:
        UsageError: something else, or a file that is not there.
    """
    paths = {name: Path(path) for name, _, path in (word.partition("=") for word in arguments)}
    if not paths or not all(path.is_file() for path in paths.values()):
        raise UsageError("write DOCUMENT=FILE for every document, with a Markdown file each")
    terms = {term for entry in load_entries() for term in entry.terms()}
    texts = {name: path.read_text(encoding="utf-8") for name, path in paths.items()}
    checksums = {name: file_sha256(path) for name, path in paths.items()}
    text = as_csv(counts(texts, terms), checksums | {"terms": terms_sha256(terms)})
    write_atomically(beside_ledger("concordance.csv"), text)


def anchored(entry: Entry, concordance: Concordance) -> Verdict:
    """Whether the pieces of a sentence stand where they should; numbers count them."""
    grades = [(part, *concordance.grade(part)) for part in entry.parts]
    stated = sum(grade == "stated" for _, grade, _ in grades)
    absent = sum(grade == "absent" for _, grade, _ in grades)
    value: Value = "holds" if stated == len(grades) else "caveat"
    missing = [
        f"“{part.says}” is only mentioned in {', '.join(where)}"
        if grade == "mentioned"
        else f"“{part.says}” is not in {', '.join(part.stated_in)}"
        for part, grade, where in grades
        if grade != "stated"
    ]
    places = dict.fromkeys(
        name for _, grade, where in grades for name in where if grade != "absent"
    )
    evidence = f"{stated} of {len(grades)} pieces of the statement stand where they should"
    evidence += f" (found in {', '.join(places)})." if places else "."
    return Verdict(
        value="false" if absent == len(grades) else value,
        evidence=evidence,
        reason="; ".join(missing) + ("." if missing else ""),
        numbers={"pieces": len(grades), "stated": stated, "absent": absent},
    )


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except UsageError as problem:
        sys.exit(f"sanitygap: {problem}")
