"""Refuse executed notebooks that must not be published.

The stamp of a page holds checksums of all that it was made from.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sanitygap.book.project import Project
from sanitygap.book.publishable import LocalPaths, map_strings, published_parts, strings
from sanitygap.claims import read_verdicts
from sanitygap.errors import UsageError
from sanitygap.files import file_sha256
from sanitygap.fingerprint import of_library
from sanitygap.words import listed

ONE_RUN = ("profile", "model", "images", "seed")
"""Parameters that all pages of a run have in common."""

IMAGES = ("image/png", "image/svg+xml", "image/jpeg", "image/gif")


def gate(project: Project, run: str, folder: Path | None = None) -> dict[str, Any]:
    """Let through the executed notebooks of a run, if every chapter of the book is sound.

    A chapter is refused where it was not executed to its end, failed, is older than its source,
    the library, or the tables and verdicts that it shows, was edited afterwards, ran its cells out
    of order, belongs to another run or other parameters than the rest, names a folder of the
    machine that executed it, or shows a figure without alternative text.

    Args:
        project: the checkout.
        run: name of the run that the site shows.
        folder: where the executed copies lie, default ``book/_executed/<run>``.

    Returns:
        Name of the chapter -> its executed notebook, in the order of the table of contents.

    Raises:
        UsageError: names every refused page with its reasons.
    """
    import nbformat

    folder = project.executed_folder(run) if folder is None else folder
    local = LocalPaths(project.root)
    expected = _settings(project, run, local)
    notebooks, refused = {}, []
    for name in project.chapters:
        executed = folder / f"{name}.ipynb"
        source = project.source(name)
        if (folder / f"{name}.failed.ipynb").exists():
            refused.append(f"{name}: its last execution failed")
            continue
        if not executed.exists():
            stopped = (folder / f".{name}.partial.ipynb").exists()
            what = "its last execution did not end" if stopped else f"not executed for run {run!r}"
            refused.append(f"{name}: {what}")
            continue
        notebook = nbformat.read(executed, as_version=4)
        reasons = list(problems(notebook, source, run, local))
        stamp = notebook.metadata.get(STAMP, {})
        if stamp.get("run") == run:
            reasons += changes_since(project, notebook, stamp, run)
        parameters = stamp.get("parameters", {})
        settings = _public({key: parameters.get(key) for key in ONE_RUN})
        expected = expected or settings
        reasons += [
            f"executed with {key} {settings[key]!r}, but the run has {expected[key]!r}"
            for key in ONE_RUN
            if settings[key] != expected[key]
        ]
        refused += [f"{name}: {reason}" for reason in reasons]
        notebooks[name] = notebook
    if refused:
        raise UsageError(
            f"the site cannot be built: {'; '.join(refused)} "
            f"(execute again with: sanitygap execute --run {run})"
        )
    if moved := list(moved_verdicts(project, run)):
        raise UsageError(f"the site cannot be built: {'; '.join(moved)}")
    return notebooks


def moved_verdicts(project: Project, run: str) -> Iterator[str]:
    """Recorded runs of a site about ``run`` whose verdicts today's criteria do not reach.

    A run is judged anew where a seal of its verdicts is missing or broken. Then they are sealed, so
    that it is not judged at every build.
    """
    from sanitygap.claims import read_verdicts, registry, seal
    from sanitygap.runs import open_run

    for folder in project.shown_runs(run):
        kept = read_verdicts(folder / "verdicts.json")
        if not project.run_record(folder.name)["recorded"] or all(
            record.is_sealed(folder) for record in kept
        ):
            continue
        claims = [record.claim for record in kept if record.claim in registry()]
        judged = open_run(folder.name, project.root).judge(*claims)
        today = dict(zip(judged["claim"], judged["verdict"], strict=True))
        moved = [record.claim for record in kept if today.get(record.claim) != record.value]
        if moved:
            yield (
                f"the recorded run {folder.name} holds other verdicts than today's criteria reach, "
                f"on {listed(moved)}; judge it again with: sanitygap judge {folder.name}"
            )
        else:
            seal(folder, kept)


def problems(notebook: Any, source: Path, run: str, local: LocalPaths) -> Iterator[str]:
    """Why an executed notebook must not be published; nothing where it is sound.

    Args:
        notebook: the executed copy, read with nbformat.
        source: its Markdown source as it is now.
        run: the run it should belong to.
        local: the folders of this machine.
    """
    stamp = notebook.metadata.get(STAMP, {})
    if not stamp:
        yield "not executed by sanitygap"
        return
    if notebook.metadata.get("papermill", {}).get("exception"):
        yield "its execution ended with an exception"
    if stamp.get("source_sha256") != file_sha256(source):
        yield "its source has changed since it was executed"
    if stamp.get("run") != run:
        yield f"executed for run {stamp.get('run')!r}, not {run!r}"

    code = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    counts = [cell.execution_count for cell in code]
    if None in counts:
        yield "a code cell was not executed"
    elif counts != list(range(1, len(counts) + 1)):
        yield "its cells were not executed once each, from top to bottom"
    for cell in code:
        yield from _cell_problems(cell)

    for text in strings(published_parts(notebook)):
        if (leak := local.find(text)) is not None:
            yield f"it names the local folder {leak}"
            break


def _cell_problems(cell: Any) -> Iterator[str]:
    """Errors shown by one code cell, and figures that it shows without alternative text."""
    for output in cell.outputs:
        if output.output_type == "error":
            yield f"cell {cell.execution_count} shows an error: {output.ename}"
    figures = [output for output in cell.outputs if figure_mime(output)]
    if len(figures) > 1:
        yield f"cell {cell.execution_count} shows {len(figures)} figures; show one in a cell"
    for output in figures:
        if not str(figure_options(cell, output).get("alt") or "").strip():
            yield f"the figure of cell {cell.execution_count} has no alternative text"


def figure_mime(output: Any) -> str | None:
    """The image type that an output of a cell shows, or None where it shows no image."""
    return next((mime for mime in IMAGES if mime in output.get("data", {})), None)


def figure_options(cell: Any, output: Any) -> dict[str, Any]:
    """Alternative text, caption and label of a figure.

    What the code attached to the output (``display(figure, metadata={"sanitygap": {...}})``)
    wins over what the source of the notebook says in the metadata of the cell, because only the
    code knows the model, images and numbers of this run.

    Returns:
        A mapping with any of the keys ``alt``, ``caption``, ``name``, ``csv``.
    """
    static: Mapping[str, Any] = cell.metadata.get("mystnb", {})
    return {
        **static.get("image", {}),
        **static.get("figure", {}),
        **output.get("metadata", {}).get(STAMP, {}),
    }


def _public(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as a run stores them: without the paths of a person's weights and images."""
    from sanitygap.settings import Settings

    if None in settings.values():
        return dict(settings)
    stored = Settings.checked(**settings).public()
    return {key: stored[key] for key in settings}


def _settings(project: Project, run: str, local: LocalPaths) -> dict[str, Any]:
    """What a run's own record says about the settings that its pages share; empty without one."""
    record = project.run_record(run)
    if not record or record["recorded"]:
        return {}
    return {key: map_strings(record["settings"][key], local.hide) for key in ONE_RUN}


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
