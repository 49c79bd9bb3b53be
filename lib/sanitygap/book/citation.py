"""How to cite the companion and its pages, from ``CITATION.cff``."""

from __future__ import annotations

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
    """

    authors: tuple[str, ...]
    title: str
    version: str
    year: int
    address: str | None = None

    @classmethod
    def read(cls, path: Path, address: str | None = None) -> Citation:
        """Read a ``CITATION.cff``; ``address`` is where the site is published, if known."""
        entry = yaml.safe_load(path.read_text(encoding="utf-8"))
        return cls(
            authors=tuple(_name(author) for author in entry["authors"]),
            title=entry["title"],
            version=str(entry["version"]),
            year=int(str(entry["date-released"])[:4]),
            address=address,
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
        """A BibTeX entry for the companion, or for one page of a run.

        Args:
            key: the citation key.
            page: title of the page, None for the companion as a whole.
            path: address of the page below that of the site.
            stamp: what ``execute`` wrote into the metadata of the page's notebook.
        """
        note = [f"Version {self.version}"]
        if stamp:
            commit = f", commit {stamp['commit'][:12]}" if stamp.get("commit") else ""
            note.append(f"run {stamp['run']}{commit}")
        fields = {
            "author": " and ".join(f"{{{author}}}" for author in self.authors),
            "title": f"{{{page}}}. In: {self.title}" if page else self.title,
            "year": str(self.year),
            "note": ", ".join(note),
        }
        if self.address:
            fields["url"] = self.address.rstrip("/") + f"/{path}"
        body = "\n".join(f"  {name} = {{{value}}}," for name, value in fields.items())
        return f"@misc{{{key},\n{body}\n}}"


def _name(author: Mapping[str, str]) -> str:
    if "name" in author:
        return author["name"]
    return f"{author['given-names']} {author['family-names']}"
