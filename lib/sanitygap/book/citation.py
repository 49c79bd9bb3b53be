"""How to cite the companion and its pages, from ``CITATION.cff``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True)
class Citation:
    """What a citation of the companion says; the source is ``CITATION.cff``.

    Args:
        authors: full names or names of groups.
        title: title of the companion.
        version: version of the companion.
        year: year of its release.
        address: address of the published site, or None.
        commit: commit that the site was built from, or None.
    """

    authors: tuple[str, ...]
    title: str
    version: str
    year: int
    address: str | None = None
    commit: str | None = None

    @classmethod
    def read(cls, path: Path, address: str | None = None, commit: str | None = None) -> Citation:
        """Read a ``CITATION.cff``; ``address`` is where the site is published, if known."""
        entry = yaml.safe_load(path.read_text(encoding="utf-8"))
        return cls(
            authors=tuple(_name(author) for author in entry["authors"]),
            title=entry["title"],
            version=str(entry["version"]),
            year=int(str(entry["date-released"])[:4]),
            address=address,
            commit=commit,
        )

    def sentence(self, page: str | None = None) -> str:
        """One sentence for a list of references; with the title of a page, about that page."""
        start = f"{', '.join(self.authors)} ({self.year})."
        part = f" {page}. In:" if page else ""
        return f"{start}{part} *{self.title}*, version {self.version}."

    def bibtex(
        self,
        key: str,
        page: str | None = None,
        path: str = "",
        stamp: Mapping[str, Any] | None = None,
    ) -> str:
        """A BibTeX entry for the companion, or for a page of a run or a part of one.

        Args:
            key: the citation key.
            page: title of the page or part, None for the companion as a whole.
            path: address of the page or part below that of the site.
            stamp: what ``execute`` wrote into the metadata of the page's notebook.
        """
        note = [f"Version {self.version}"]
        commit = self.commit
        if stamp:
            note += [f"run {stamp['run']}", f"model {_model(stamp)}"]
            commit = stamp.get("commit")
        if commit:
            note.append(f"commit {commit[:12]}")
        title = latex(self.title)
        fields = {
            "author": " and ".join(f"{{{latex(author)}}}" for author in self.authors),
            "title": f"{{{latex(page)}}}. In: {title}" if page else title,
            "year": str(self.year),
            "note": latex(", ".join(note)),
        }
        if self.address:
            fields["url"] = self.address.rstrip("/") + f"/{path}"
        body = "\n".join(f"  {name} = {{{value}}}," for name, value in fields.items())
        return f"@misc{{{key},\n{body}\n}}"


def latex(text: str) -> str:
    """Plain text as LaTeX reads it; formulas between ``\\(`` and ``\\)`` are kept as formulas."""
    pieces = re.split(r"\\\((.*?)\\\)", text)
    return "".join(
        f"${piece}$" if number % 2 else _SPECIAL.sub(lambda m: _ESCAPED[m.group()], piece)
        for number, piece in enumerate(pieces)
    )


_ESCAPED = {
    **{character: f"\\{character}" for character in "&%$#_"},
    "\\": r"\textbackslash ",
    "{": r"\textbraceleft ",
    "}": r"\textbraceright ",
    "~": r"\textasciitilde ",
    "^": r"\textasciicircum ",
}
_SPECIAL = re.compile("[" + re.escape("".join(_ESCAPED)) + "]")


def _model(stamp: Mapping[str, Any]) -> str:
    """The model that a page is about: a recorded run knows its own."""
    record = stamp.get("run_record") or {}
    settings = record.get("settings") if record.get("recorded") else None
    return str((settings or stamp["parameters"]).get("model"))


def _name(author: Mapping[str, str]) -> str:
    if "name" in author:
        return author["name"]
    return f"{author['given-names']} {author['family-names']}"
