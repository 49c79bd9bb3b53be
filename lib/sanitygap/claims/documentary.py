"""Documentary claims: is a sentence about a paper anchored in the paper's own words?

``data/documentary.yml`` says which terms show a sentence, piece by piece, and in which sections;
``data/concordance.csv`` says how often they stand there (:mod:`sanitygap.claims.concordance`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NamedTuple

import pandas as pd
import yaml
from pydantic import Field

from sanitygap.claims.ledger import (
    Strict,
    Text,
    default_ledger,
    find_claim,
    one_line,
    validated,
)
from sanitygap.errors import UsageError

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
        path = path or default_ledger().with_name("concordance.csv")
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
    found = []
    for name in entry.rests_on:
        networks = find_claim(name).networks
        found.append(
            Substance(name, "not-run", f"judged on {networks} only")
            if networks
            else Substance(name, verdicts.get(name, "not-run"), "")
        )
    return found


def standing(found: list[Substance]) -> str:
    """How many of these claims hold, in words."""
    holding = sum(one.verdict in STANDS for one in found)
    return f"{holding} of {len(found)} claims that it rests on hold in this run"


_MAKER = "sanitygap.claims.concordance"


def load_entries(path: Path | None = None) -> list[Entry]:
    """The entries of ``data/documentary.yml``, or of another file like it.

    Raises:
        UsageError: no such file, not YAML, or an entry that does not fit.
    """
    path = path or default_ledger().with_name("documentary.yml")
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"there is no {path.name} beside the ledger") from None
    except yaml.YAMLError as error:
        raise UsageError(f"{path.name} is not valid YAML: {one_line(error)}") from None
    return list(validated(tuple[Entry, ...], entries, path.name))
