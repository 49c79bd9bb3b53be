"""The checkout that a book is made from: where its notebooks, pages, runs and outputs lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sanitygap.archive import run_folder, run_record, run_records
from sanitygap.errors import unknown_name
from sanitygap.files import find_root
from sanitygap.settings import Settings


@dataclass(frozen=True)
class Project:
    """A checkout, known by its root folder; every path below it is named here and only here.

    Args:
        root: the folder that holds ``_toc.yml``, ``notebooks/`` and ``book/``.
    """

    root: Path

    @classmethod
    def find(cls, start: Path | None = None) -> Project:
        """The project that ``start`` (default: the working directory) lies in.

        Raises:
            UsageError: neither ``start`` nor a folder above it is a checkout of the book.
        """
        return cls(find_root(start))

    @property
    def toc(self) -> Path:
        """The table of contents."""
        return self.root / "_toc.yml"

    @property
    def config(self) -> Path:
        """The configuration of the site."""
        return self.root / "_config.yml"

    @property
    def pages(self) -> Path:
        """The folder of the prose pages."""
        return self.root / "book"

    @property
    def build_folder(self) -> Path:
        """The folder of everything that ``build`` writes."""
        return self.root / "_build"

    @property
    def notebooks(self) -> list[str]:
        """Names of all notebooks, sorted: the files ``notebooks/NAME.md``."""
        return sorted(path.stem for path in (self.root / "notebooks").glob("*.md"))

    @property
    def chapters(self) -> list[str]:
        """Names of the notebooks that the table of contents lists, in its order."""
        return [
            name.removeprefix("notebooks/")
            for name in self.documents
            if name.startswith("notebooks/")
        ]

    @property
    def documents(self) -> list[str]:
        """All pages that the table of contents lists, in its order, such as ``book/index``."""
        return _documents(yaml.safe_load(self.toc.read_text(encoding="utf-8")))

    @property
    def parts(self) -> list[dict[str, Any]]:
        """``caption`` and ``pages`` of every part of the table of contents.

        Chapters without a caption belong to the part before them.
        """
        found: list[dict[str, Any]] = []
        for part in yaml.safe_load(self.toc.read_text(encoding="utf-8")).get("parts", []):
            if "caption" in part or not found:
                found.append({"caption": str(part.get("caption", "")), "pages": []})
            found[-1]["pages"] += _documents(part)
        return found

    def source(self, notebook: str) -> Path:
        """The Markdown source of a notebook.

        Raises:
            UsageError: there is no such notebook; the nearest names are in the message.
        """
        if notebook not in self.notebooks:
            raise unknown_name("notebook", notebook, self.notebooks)
        return self.root / "notebooks" / f"{notebook}.md"

    def executed(self, run: str, notebook: str) -> Path:
        """The executed copy of a notebook, whether or not it exists."""
        return self.executed_folder(run) / f"{notebook}.ipynb"

    def executed_folder(self, run: str) -> Path:
        """The folder of the notebooks executed for a run.

        Raises:
            UsageError: the name of the run cannot be the name of a folder.
        """
        return self.pages / "_executed" / Settings.checked(run=run).run

    @property
    def data(self) -> Path:
        """The folder of runs, claims and everything else that pages read."""
        return self.root / "data"

    def run_folder(self, run: str) -> Path:
        """The folder of a run, whether or not it exists.

        Raises:
            UsageError: the name cannot be the name of a folder.
        """
        return run_folder(run, self.root)

    def run_record(self, run: str) -> dict[str, Any]:
        """The settings and provenance of a run, as its study wrote them; empty before it did.

        Raises:
            UsageError: the name cannot be the name of a folder, or the file is damaged.
        """
        return run_record(self.run_folder(run))

    def shown_runs(self, run: str) -> list[Path]:
        """The folders of the runs whose verdicts a site about ``run`` shows.

        These are the recorded runs, sorted by name, and the run itself where it is not recorded.
        A damaged one is left out.
        """
        records, _ = run_records(self.root)
        return [
            folder for folder, record in records.items() if folder.name == run or record["recorded"]
        ]


def _documents(toc: object) -> list[str]:
    """Every document that a parsed ``_toc.yml`` names, in reading order, without suffix."""
    if isinstance(toc, list):
        return [name for item in toc for name in _documents(item)]
    if not isinstance(toc, dict):
        return []
    own = [str(toc[key]) for key in ("root", "file") if key in toc]
    nested = [
        name for value in toc.values() if isinstance(value, list) for name in _documents(value)
    ]
    return [name.removesuffix(".md") for name in own] + nested
