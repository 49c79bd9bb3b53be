"""The stamp of a page: checksums of all that it was made from, and what has changed since."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sanitygap.book.project import Project
from sanitygap.claims import read_verdicts
from sanitygap.files import file_sha256
from sanitygap.fingerprint import of_library
from sanitygap.words import listed

STAMP = "sanitygap"
"""The key of the notebook metadata that holds the stamp of an execution."""

OF_RUN = ("run.json", "verdicts.json")
"""Files of a run that its later chapters extend; pages are compared with a part of each."""

_VERDICT = re.compile(r"ledger\.html#([\w-]+)")
"""How a verdict on a page names its claim: by a link to the ledger."""


def read_by_page(project: Project, opened: Iterable[Path]) -> list[Path]:
    """The files of the project that a page rests on, among those that its kernel opened.

    What pages read of photographs is in their outputs, and what they read of the parts of a table
    is in the table. A page uses a table if it opens its passport: pandas opens the table itself
    where Python cannot see it, and whoever asks for verdicts opens all tables for their checksums.

    Args:
        project: the checkout.
        opened: files below :attr:`~sanitygap.book.project.Project.data`.
    """
    data = project.data.resolve()
    found = set()
    for path in opened:
        first, *rest = path.relative_to(data).parts
        if first == "cache" or path.name.startswith(".") or path.name in OF_RUN:
            continue
        if first == "runs":
            if len(rest) != 2 or path.suffix != ".json":
                continue
            found.add(path.with_suffix(".parquet"))
        found.add(path)
    return sorted(found)


def checksums(
    project: Project, notebook: Any, run: str, opened: Iterable[Path] = ()
) -> dict[str, Any]:
    """The part of a stamp that is known after an execution.

    Args:
        project: the checkout.
        notebook: the executed copy, as it will be published.
        run: the run that it shows.
        opened: files below the project's data that its kernel opened.

    Returns:
        ``files`` and ``verdicts``, name -> SHA-256, and ``cells_sha256``.
    """
    root = project.root.resolve()
    shown = set(_VERDICT.findall(json.dumps([cell.get("outputs") for cell in notebook.cells])))
    verdicts = _verdicts(project, run)
    return {
        "files": {
            path.relative_to(root).as_posix(): _sha256(path)
            for path in read_by_page(project, opened)
        },
        "verdicts": {claim: verdicts[claim] for claim in sorted(shown & set(verdicts))},
        "cells_sha256": _cells_sha256(notebook),
    }


def changes_since(
    project: Project, notebook: Any, stamp: Mapping[str, Any], run: str
) -> Iterator[str]:
    """What is no longer as it was when a page was executed; nothing where all is.

    Args:
        project: the checkout.
        notebook: the executed copy, read with nbformat.
        stamp: its stamp.
        run: the run that it shows.
    """
    if stamp.get("library_sha256") != of_library():
        yield "the library has changed since it was executed"
    if stamp.get("cells_sha256") != _cells_sha256(notebook):
        yield "its cells or outputs were edited after it was executed"
    if then := stamp.get("run_record"):
        now = project.run_record(run)
        if not now:
            yield "the folder of its run is gone"
            return
        if _weights(then) != _weights(now):
            yield "its run is about other weights now"
    files = stamp.get("files", {})
    if other := [name for name, then in files.items() if _sha256(project.root / name) != then]:
        yield f"{listed(other)} changed since it was executed"
    verdicts = _verdicts(project, run)
    shown = stamp.get("verdicts", {})
    if moved := [claim for claim, then in shown.items() if verdicts.get(claim) != then]:
        yield f"the run has other verdicts now on {listed(moved)}"


def _weights(record: Mapping[str, Any]) -> str | None:
    return record.get("model", {}).get("weights_sha256")


def _sha256(path: Path) -> str:
    """The checksum of a file; empty where there is none."""
    return file_sha256(path) if path.is_file() else ""


def _cells_sha256(notebook: Any) -> str:
    """A checksum of all that a notebook shows."""
    return hashlib.sha256(json.dumps(notebook.cells, sort_keys=True).encode()).hexdigest()


def _verdicts(project: Project, run: str) -> dict[str, str]:
    """Claim -> checksum of the verdict that a run holds."""
    return {
        record.claim: hashlib.sha256(record.model_dump_json().encode()).hexdigest()
        for record in read_verdicts(project.run_folder(run) / "verdicts.json")
    }
