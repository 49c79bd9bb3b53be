"""Assemble the source tree of the site: prose, executed notebooks, and the facts about them."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from sanitygap.book.anchors import Names
from sanitygap.book.citable import WORKS, read_works
from sanitygap.book.citation import Citation
from sanitygap.book.gatekeeper import figure_mime, figure_options
from sanitygap.book.passport import passport
from sanitygap.book.project import Project
from sanitygap.book.stamp import STAMP
from sanitygap.book.verdicts import VERDICTS
from sanitygap.errors import unknown_name
from sanitygap.provenance import checked_out

FACTS = "site.json"
"""The file, beside the pages, that the Sphinx extension reads claims and executions from."""

TABLE = "sanitygap-table"
"""The class of the tables that pages show."""

NEED_ADDRESS = {"sphinxext.opengraph": "ogp_", "sphinx_sitemap": "sitemap_"}
"""Extensions that write absolute addresses -> how the names of their settings start."""


def stage(
    project: Project,
    notebooks: Mapping[str, Any],
    claims: Sequence[Mapping[str, Any]],
    address: str | None = None,
    results: Mapping[str, Any] | None = None,
) -> Path:
    """Write the source tree of the site.

    A chapter keeps the address ``notebooks/NAME.html`` whichever run it shows, so that a link to
    it stays valid: its executed copy takes the place of its Markdown source.

    Args:
        project: the checkout.
        notebooks: name -> executed notebook that passed the gate.
        claims: one mapping for each claim and run, as ``sanitygap.claims.collect`` returns them.
        address: where the site will be published, if known.
        results: what :func:`sanitygap.book.results.results` tells about the runs.

    Returns:
        The folder to build from, under ``_build``.

    Raises:
        UsageError: a verdict that the pages have no sign for.
    """
    if unknown := {row["verdict"] for row in claims} - set(VERDICTS):
        raise unknown_name("verdict", min(unknown), list(VERDICTS))
    folder = project.build_folder / "source"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(
        project.pages, folder / "book", ignore=shutil.ignore_patterns("_executed", ".*")
    )
    shutil.copy(project.toc, folder)
    config = _config(project, address, [f"notebooks/{name}" for name in notebooks])
    (folder / "_config.yml").write_text(config, encoding="utf-8")

    citation = Citation.read(project.root / "CITATION.cff", address, checked_out(project.root)[0])
    works = read_works((project.pages / "references.bib").read_text(encoding="utf-8"))
    (folder / "notebooks").mkdir()
    executions = []
    for name, notebook in notebooks.items():
        title = title_of(notebook)
        papers = {row["paper"] for row in claims if row["notebook"] == name}
        own = {key for paper in papers for key in WORKS[paper]}
        shown = [entry for key, entry in works.items() if key in own]
        _page(name, title, notebook, citation, folder / "notebooks", shown)
        executions.append({"name": name, "title": title, **notebook.metadata[STAMP]})
    facts = {
        "run": None,
        "runs": [],
        "changes": [],
        "recorded_claims": [],
        "recorded_tables": [],
        "amendments": [],
        "drift": {},
        **(results or {}),
        "claims": list(claims),
        "executions": executions,
        "parts": project.parts,
        "citation": {
            "of": asdict(citation),
            "sentence": citation.sentence(),
            "bibtex": citation.bibtex("sanitygap"),
            "works": works,
        },
    }
    (folder / FACTS).write_text(json.dumps(facts, default=str), encoding="utf-8")
    return folder


def _config(project: Project, address: str | None, chapters: Sequence[str]) -> str:
    """The site's configuration, with what depends on its chapters and on where it is published."""
    config = yaml.safe_load(project.config.read_text(encoding="utf-8"))
    sphinx = config["sphinx"]
    sphinx["config"]["redirects"] = {
        old: new
        for old, new in sphinx["config"].get("redirects", {}).items()
        if not old.startswith("notebooks/") or f"notebooks/{new.removesuffix('.html')}" in chapters
    }
    sphinx["config"]["sanitygap_facts"] = FACTS
    if address:
        address = f"{address.rstrip('/')}/"  # or the last folder would be taken for a file
        sphinx["config"] |= {"html_baseurl": address, "ogp_site_url": address}
    else:
        sphinx["extra_extensions"] = [
            name for name in sphinx["extra_extensions"] if name not in NEED_ADDRESS
        ]
        prefixes = tuple(NEED_ADDRESS.values())
        sphinx["config"] = {
            key: value for key, value in sphinx["config"].items() if not key.startswith(prefixes)
        }
    return yaml.safe_dump(config, sort_keys=False, allow_unicode=True)


def title_of(notebook: Any) -> str:
    """The first heading of a notebook, as plain text."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and (
            match := re.search(r"^#\s+(.+?)\s*$", cell.source, re.MULTILINE)
        ):
            return re.sub(r"[`*$]|\{\w+\}", "", match.group(1))
    return "Untitled"


def _page(
    name: str,
    title: str,
    notebook: Any,
    citation: Citation,
    folder: Path,
    works: Sequence[str],
) -> None:
    """Write one executed notebook as a page.

    Figures get alternative text and a caption, figures and tables an id that stays (see
    :class:`~sanitygap.book.anchors.Names`), and the page a passport.
    """
    import nbformat

    _leave_out_repeats(notebook)
    names = Names(notebook, name)
    for place, cell in enumerate(notebook.cells):
        shown = 0
        for output in cell.get("outputs", []):
            if mime := figure_mime(output):
                options = figure_options(cell, output)
                label = options.get("name") or f"fig-{names.name(place, shown)}"
                shown += 1
                caption = options.get("caption")
                if caption and "csv" in options:
                    table = folder / "data" / f"{label}.csv"
                    table.parent.mkdir(exist_ok=True)
                    table.write_text(options["csv"], encoding="utf-8")
                    caption += f" {{download}}`Numbers (CSV) <data/{table.name}>`"
                _set_figure(cell, options["alt"], caption, label)
                # A view that readers step through is HTML with a picture for other formats. Text
                # would be shown beside a picture.
                kinds = [kind for kind in ("text/html", mime) if kind in output.data]
                output.data = {kind: output.data[kind] for kind in kinds}
            elif TABLE in (html := output.get("data", {}).get("text/html", "")):
                # pandas gives a table another id in every execution
                label = f"table-{names.name(place, shown)}"
                output.data["text/html"] = f'<div class="citable-table" id="{label}">{html}</div>'
                shown += 1
    page = passport(name, title, notebook.metadata[STAMP], citation, works)
    notebook.cells.append(nbformat.v4.new_markdown_cell(page, id="passport"))
    nbformat.write(notebook, folder / f"{name}.ipynb")


def _leave_out_repeats(notebook: Any) -> None:
    """Take out cells that show a figure which the page shows already.

    Chapters set two recorded runs beside the run that they are about. Where that is one of the
    two, only one other is left, and would be shown twice.
    """
    seen: list[Any] = []
    kept = []
    for cell in notebook.cells:
        figures = [output.data for output in cell.get("outputs", []) if figure_mime(output)]
        if figures and all(figure in seen for figure in figures):
            continue
        seen += figures
        kept.append(cell)
    notebook.cells = kept


def _set_figure(cell: Any, alt: str, caption: str | None, label: str) -> None:
    """Put alt text, caption and label where myst-nb reads them: in the metadata of the cell."""
    options = {
        key: dict(value) if isinstance(value, Mapping) else value
        for key, value in cell.metadata.get("mystnb", {}).items()
    }
    options["image"] = {**options.get("image", {}), "alt": " ".join(alt.split())}
    if caption:
        options["figure"] = {**options.get("figure", {}), "caption": caption, "name": label}
    cell.metadata["mystnb"] = options
