"""Make executed notebooks fit to be published, and refuse those that must not be.

The stamp of a page holds checksums of all that it was made from.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from sanitygap.book.project import Project
from sanitygap.claims import read_verdicts
from sanitygap.errors import UsageError
from sanitygap.files import file_sha256
from sanitygap.fingerprint import of_library
from sanitygap.words import listed

KERNELSPEC = {"name": "python3", "display_name": "Python 3", "language": "python"}
"""What a published notebook says about the kernel that it needs."""

_PROGRESS_BAR = re.compile(r"\r[^\r\n]*?\[\d\d:\d\d[^\r\n\]]*\]|\r +(?=\r)")
"""One state of a tqdm progress bar: it starts with a carriage return and ends with its times."""


def publishable(notebook: Any, local: LocalPaths) -> None:
    """Take out of an executed notebook what concerns only the machine that executed it.

    Args:
        notebook: the executed copy, changed in place.
        local: the folders of this machine.
    """
    papermill = notebook.metadata.papermill
    for key in ("input_path", "output_path", "environment_variables"):
        papermill.pop(key, None)
    notebook.metadata.kernelspec = dict(KERNELSPEC)
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        if "injected-parameters" in tags:
            # Papermill does not hand the tags of the parameters cell on to the cell it injects.
            cell.metadata.tags = [*tags, "hide-input"]
            cell.source = local.hide(cell.source)
        elif "parameters" in tags:
            # Its values are defaults, which the injected cell below it replaces.
            cell.metadata.tags = [*tags, "remove-input"]
        if cell.cell_type != "code":
            continue
        for output in cell.outputs:
            if output.output_type == "stream" and output.name == "stderr":
                output.text = _PROGRESS_BAR.sub("", output.text).strip("\n")
        cell.outputs = [
            output
            for output in cell.outputs
            if output.output_type != "stream" or output.text.strip()  # bars leave blanks behind
        ]
        for output in cell.outputs:
            for key, value in output.items():
                if key == "data":
                    output.data = {
                        mime: content
                        if mime in ("image/png", "image/jpeg")
                        else (map_strings(content, local.hide))
                        for mime, content in value.items()
                    }
                elif key not in ("output_type", "execution_count"):
                    output[key] = map_strings(value, local.hide)
    notebook.metadata.papermill = map_strings(papermill, local.hide)


class LocalPaths:
    """The folders of this machine that no published notebook may name.

    Args:
        root: the checkout; a path inside it is shown relative to it.
    """

    def __init__(self, root: Path) -> None:
        folders = {
            str(root): ".",
            str(root.resolve()): ".",
            sys.prefix: "<environment>",
            sys.base_prefix: "<python>",
            tempfile.gettempdir(): "<temporary>",
            str(Path.home()): "~",
        }
        for system in ("/usr", "/usr/local"):  # where a system's own Python lies tells nothing
            folders.pop(system, None)
        # Longest first: an environment inside the home folder is named as the environment.
        self._folders = {
            folder: folders[folder]
            for folder in sorted(folders, key=len, reverse=True)
            if len(Path(folder).parts) > 1
        }
        names = "|".join(re.escape(folder) for folder in self._folders)
        self._pattern = re.compile(rf"(?<![\w.~-])(?:{names})(?![\w.-])")

    def hide(self, text: str) -> str:
        """The text with every local folder replaced by a neutral word."""
        return self._pattern.sub(lambda match: self._folders[match.group()], text)

    def find(self, text: str) -> str | None:
        """The first local folder that the text names, or None."""
        match = self._pattern.search(text)
        return match.group() if match else None


def map_strings(value: Any, change: Callable[[str], str]) -> Any:
    """The same nesting of lists and mappings, with ``change`` applied to every string in it."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {key: map_strings(item, change) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [map_strings(item, change) for item in value]
    return value


def strings(value: Any) -> Iterator[str]:
    """Every string in a nesting of lists and mappings."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from strings(item)


def published_parts(notebook: Any) -> dict[str, Any]:
    """What a reader of a notebook can see and a path may hide in: sources, outputs, metadata.

    Images are left out: they are base64 text, where a match would be chance.
    """
    cells = [
        {
            "source": cell.source,
            "outputs": [
                {
                    **{key: item for key, item in output.items() if key != "data"},
                    "data": {
                        mime: item
                        for mime, item in output.get("data", {}).items()
                        if not mime.startswith("image/") or mime == "image/svg+xml"
                    },
                }
                for output in cell.get("outputs", [])
            ],
        }
        for cell in notebook.cells
    ]
    return {"cells": cells, "metadata": notebook.metadata}


LOADED = {"img": "src", "script": "src", "link": "href", "source": "src", "iframe": "src"}
"""Elements that a browser fetches when it shows a page, and the attribute that says what."""

NOT_FETCHED = {"canonical", "next", "prev", "search", "index", "author", "alternate"}
"""Kinds of ``<link>`` that point somewhere without fetching it."""


def check_links(site: Path) -> list[str]:
    """Everything wrong with the links and ids of a site, one line each; empty if all is well.

    Every relative link must lead to a file of the site, and its fragment to an id in that file.
    No link may start with a slash, because the site may lie in any folder of a server. Nothing a
    page loads may come from another host. No page may use an id twice. Every image needs
    alternative text.

    Args:
        site: the folder of the built HTML.
    """
    from bs4 import BeautifulSoup

    site = site.resolve()
    pages = {
        path: BeautifulSoup(path.read_bytes(), "html.parser")
        for path in sorted(site.rglob("*.html"))
        if "_static" not in path.parts
    }
    anchors = {path: _ids(soup) for path, soup in pages.items()}
    found = []
    for path, soup in pages.items():
        page = path.relative_to(site).as_posix()
        found += [
            f"{page}: id {name!r} is used {count} times"
            for name, count in anchors[path].items()
            if count > 1
        ]
        for image in soup.find_all("img"):
            if not str(image.get("alt") or "").strip():
                found.append(f"{page}: image {image.get('src')!r} has no alternative text")
        for element in soup.find_all(["a", *LOADED]):
            address = element.get(LOADED.get(element.name, "href"))
            if address is None:
                continue
            loaded = element.name in LOADED and not NOT_FETCHED & set(element.get("rel") or ())
            if problem := _problem(path, str(address), loaded, site, anchors):
                found.append(f"{page}: {problem}")
        for refresh in soup.find_all("meta", attrs={"http-equiv": re.compile("^refresh$", re.I)}):
            target = str(refresh.get("content")).partition("url=")[2]
            if problem := _problem(path, target, False, site, anchors):
                found.append(f"{page}: {problem}")
    return found


def _ids(soup: object) -> Counter[str]:
    """How often each id is used in a page."""
    return Counter(element["id"] for element in soup.find_all(id=True))  # type: ignore[attr-defined]


def _problem(
    page: Path, address: str, loaded: bool, site: Path, anchors: dict[Path, Counter[str]]
) -> str | None:
    """What is wrong with one link of a page, or None."""
    parts = urlsplit(address)
    if parts.scheme or parts.netloc:
        outside = parts.scheme in ("http", "https", "") and loaded
        return f"loads {address!r} from another host" if outside else None
    if parts.path.startswith("/"):
        return f"link {address!r} works only at the top of a server"
    target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if target.is_dir():
        target /= "index.html"
    if not target.is_relative_to(site) or not target.exists():
        return f"link {address!r} leads to no file"
    fragment = unquote(parts.fragment)
    # An empty fragment, and "top", are the top of the page by definition.
    if fragment in ("", "top") or target not in anchors or fragment in anchors[target]:
        return None
    return f"link {address!r} leads to no id in {target.relative_to(site).as_posix()}"


ONE_RUN = ("profile", "model", "images", "seed")
"""Parameters that all pages of a run have in common."""

IMAGES = ("image/png", "image/svg+xml", "image/jpeg", "image/gif")


def gate(project: Project, run: str, folder: Path | None = None) -> dict[str, Any]:
    """Let through the executed notebooks of a run, if all of them are sound.

    Chapters that nobody executed for the run are left out; their pages say so. A chapter is refused
    where it was not executed to its end, failed, is older than its source,
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
        UsageError: no chapter was executed; or names every refused page with its reasons.
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
            if (folder / f".{name}.partial.ipynb").exists():
                refused.append(f"{name}: its last execution did not end")
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
        more = f"; and {len(refused) - 4} more reasons" if len(refused) > 4 else ""
        raise UsageError(
            f"the site cannot be built: {'; '.join(refused[:4])}{more} "
            f"(execute again with: sanitygap execute --run {run})"
        )
    if not notebooks:
        raise UsageError(
            f"no chapter is executed for the run {run!r}; execute some with: sanitygap execute "
            f"CHAPTER --run {run}"
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
