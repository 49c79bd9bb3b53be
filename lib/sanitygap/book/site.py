"""Assemble the site from prose, executed notebooks and the facts about them; build and serve it.

Figures and tables get names that stay when another one is put before them.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from sanitygap.book.citation import WORKS, Citation, passport, read_works
from sanitygap.book.gatekeeper import STAMP, check_links, figure_mime, figure_options, gate
from sanitygap.book.project import Project
from sanitygap.book.results import results
from sanitygap.claims import VERDICTS
from sanitygap.errors import UsageError, unknown_name
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
    config = _config(project, address)
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
    left_out = [name for name in project.chapters if name not in notebooks]
    for name in left_out:
        _page_without_outputs(project.source(name), folder / "notebooks")
    empty = ("runs", "changes", "recorded_claims", "recorded_tables", "amendments")
    facts = {
        "run": None,
        "drift": {},
        **{name: [] for name in empty},
        **(results or {}),
        "claims": list(claims),
        "executions": executions,
        "left_out": left_out,
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


def _config(project: Project, address: str | None) -> str:
    """The site's configuration, with what depends on its chapters and on where it is published."""
    config = yaml.safe_load(project.config.read_text(encoding="utf-8"))
    sphinx = config["sphinx"]
    there = {*project.documents}
    sphinx["config"]["redirects"] = {
        old: new
        for old, new in sphinx["config"].get("redirects", {}).items()
        if (Path(old).parent / new).with_suffix("").as_posix() in there
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
    name: str, title: str, notebook: Any, citation: Citation, folder: Path, works: Sequence[str]
) -> None:
    """Write one executed notebook as a page.

    Figures get alternative text and a caption, figures and tables an id that stays (see
    :class:`~sanitygap.book.site.Names`), and the page a passport.
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


NOT_EXECUTED = """\
```{{admonition}} Not executed
:class: warning
This chapter was not executed for this run, so it has no figure, no table and no verdict:
`sanitygap execute {name} --run RUN` makes them.
```"""


def _page_without_outputs(source: Path, folder: Path) -> None:
    """Write a chapter that was not executed as prose: what other pages refer to is in it."""
    import jupytext
    import nbformat

    notebook = jupytext.read(source, fmt="md:myst")
    notebook.cells = [cell for cell in notebook.cells if cell.cell_type == "markdown"]
    note = nbformat.v4.new_markdown_cell(NOT_EXECUTED.format(name=source.stem), id="not-executed")
    notebook.cells.insert(1, note)  # behind the opening
    nbformat.write(notebook, folder / f"{source.stem}.ipynb")


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


BY_SECTION = ("verdicts", "definition_table")
"""Functions that are given a list of claims: what they show is called after its section."""

PLACES = {0: "first", -1: "last"}
"""What the ends of a list are called."""

_LABEL = re.compile(r"^\(([\w.-]+)\)=\s*$", re.MULTILINE)
_HEADING = re.compile(r"^(#+)\s+(.+?)\s*$", re.MULTILINE)


class Names:
    """Names for what the cells of one chapter show.

    A name is made from what the source says: the function that a cell calls and the constants it
    is given, or the label of its section. Nothing is counted but the outputs of one call. A name
    in the metadata of a cell (``mystnb: {figure: {name: …}}``) wins over this one.

    A name begins with the chapter's, or with that of the section around it which has sections of
    its own: such a section was a chapter once, or could be one.

    Args:
        notebook: the chapter, with its Markdown cells.
        chapter: its name.
    """

    def __init__(self, notebook: Any, chapter: str = "") -> None:
        self._of_cell: dict[int, list[str]] = {}
        self._given: dict[str, int] = {}
        section, part = "page", chapter
        divided = _divided(notebook)
        for number, cell in enumerate(notebook.cells):
            if cell.cell_type == "markdown":
                for depth, name in _sections(cell.source):
                    section = name
                    if depth <= 2:
                        part = name if name in divided else chapter
            elif cell.cell_type == "code":
                self._of_cell[number] = [
                    f"{part}-{name}" if part else name for name in shown_names(cell.source, section)
                ]

    def name(self, cell: int, output: int) -> str:
        """The name of one output.

        Args:
            cell: place of the cell in the notebook.
            output: how many figures or tables the cell showed before it.

        Raises:
            UsageError: another cell of the chapter shows something of the same name.
        """
        names = self._of_cell[cell]
        last = len(names) - 1
        name = names[min(output, last)]
        if output > last:
            name += f"-{output - last + 1}"
        if self._given.setdefault(name, cell) != cell:
            raise UsageError(
                f"two cells show {name!r}; give one of them a name of its own in its metadata "
                "(mystnb: {figure: {name: …}})"
            )
        return name


def shown_names(source: str, section: str) -> Iterator[str]:
    """Names of what the last line of a cell shows, such as ``gap-plate-references-last``.

    Args:
        source: Python code.
        section: name of the section that the cell stands in.
    """
    try:
        body = ast.parse(source).body
    except SyntaxError:  # a magic of IPython
        body = []
    last = body[-1] if body else None
    calls: list[ast.expr] = [last.value] if isinstance(last, ast.Expr) else []
    if calls and isinstance(calls[0], ast.Call) and _called(calls[0]) == "display":
        calls = calls[0].args
    for call in calls:
        words = _words(call) if isinstance(call, ast.Call) else []
        by_section = not words or words[0] in BY_SECTION
        name = "-".join([*words[:1], section] if by_section else words)
        yield slug(name)
    if not calls:
        yield slug(section)


def _words(node: ast.expr) -> list[str]:
    """The function that is called and what tells this call from others: constants and calls."""
    if isinstance(node, ast.Constant):
        return [str(node.value)]
    if isinstance(node, ast.Starred):
        return _words(node.value)
    if isinstance(node, ast.List | ast.Tuple):
        return [word for element in node.elts for word in _words(element)]
    if isinstance(node, ast.Subscript):
        place = ast.unparse(node.slice)
        number = int(place) if re.fullmatch(r"-?\d+", place) else None
        return [*_words(node.value), PLACES.get(number, place) if number is not None else place]
    if not isinstance(node, ast.Call):
        return []
    words = [_called(node)]
    for argument in node.args:
        words += _words(argument)
    for keyword in node.keywords:
        words += [keyword.arg or "", *_words(keyword.value)]
    return words


def _called(call: ast.Call) -> str:
    return ast.unparse(call.func).rpartition(".")[2]


def _sections(source: str) -> Iterator[tuple[int, str]]:
    """Depth of each section that a Markdown cell begins, and its label, or else its heading."""
    end = 0
    for heading in _HEADING.finditer(source):
        labels = _LABEL.findall(source, end, heading.start() + 1)
        own = [label for label in labels if label.startswith("sec-")]
        yield len(heading[1]), (own or labels or [heading[2]])[-1].removeprefix("sec-")
        end = heading.end()


def _divided(notebook: Any) -> set[str]:
    """Names of the sections of the second depth that have sections of their own."""
    divided, around = set(), None
    for cell in notebook.cells:
        for depth, name in _sections(cell.source) if cell.cell_type == "markdown" else ():
            if depth <= 2:
                around = name if depth == 2 else None
            elif around:
                divided.add(around)
    return divided


def slug(text: str) -> str:
    """A text as it stands in an address: small letters, digits and single hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


_JUPYTER_BOOK = "from jupyter_book.cli.main import main; main()"
_COLORS = re.compile(r"\x1b\[[0-9;]*m")


def build(
    project: Project,
    run: str,
    claims: Sequence[Mapping[str, Any]] | None = None,
    out: Path | None = None,
    address: str | None = None,
    executed: Path | None = None,
) -> Path:
    """Build the site that shows one run.

    The chapters pass the gate, Jupyter Book builds them with every warning an error, and every
    internal link and anchor of the result is checked. Only then does the new site take the place
    of the old one.

    Args:
        project: the checkout.
        run: the run that the chapters show.
        claims: the ledger, one mapping for each claim, run and model; default
            :func:`ledger_rows`.
        out: folder of the site, default ``_build/html``.
        address: where the site will be published. Only then does it get a sitemap and the tags
            that social media read, because both need absolute addresses; all else is relative.
        executed: where the executed notebooks lie, default ``book/_executed/<run>``.

    Returns:
        The ``index.html`` of the site.

    Raises:
        UsageError: a chapter is refused, Jupyter Book warns, or a link leads nowhere.
    """
    notebooks = gate(project, run, executed)
    rows = ledger_rows(project, run) if claims is None else claims
    source = stage(project, notebooks, rows, address, results(project, run))
    made = _jupyter_book(project, source)
    (made / ".nojekyll").touch()
    if broken := check_links(made):
        shown = "; ".join(broken[:5])
        more = f"; and {len(broken) - 5} more" if len(broken) > 5 else ""
        raise UsageError(f"the site has {len(broken)} bad links or ids: {shown}{more}")
    out = project.build_folder / "html" if out is None else out
    out.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(out, ignore_errors=True)
    shutil.move(made, out)
    return out / "index.html"


def ledger_rows(project: Project, run: str) -> list[dict[str, Any]]:
    """Every claim with the verdicts of the recorded runs and of this run.

    Returns:
        The rows of ``sanitygap.claims.collect``, each with the place, check, caveat, kind and
        networks of its claim as well. A verdict of a run on a sentence has ``substance``, too: the
        claims that it rests on as :class:`~sanitygap.claims.documentary.Substance`.
    """
    from sanitygap.claims import collect, load_claims
    from sanitygap.claims.documentary import load_entries, substance

    about = {
        claim.id: claim.model_dump(include={"place", "check", "caveat", "kind", "networks"})
        for claim in load_claims()
    }
    entries = {entry.id: entry for entry in load_entries()}
    rows = [about[row["id"]] | row for row in collect(project.shown_runs(run))]
    verdicts: dict[str, dict[str, str]] = {}
    for row in rows:
        verdicts.setdefault(row["run"], {})[row["id"]] = row["verdict"]
    for row in rows:
        if row["run"] and row["id"] in entries:
            row["substance"] = substance(entries[row["id"]], verdicts[row["run"]])
    return rows


def _jupyter_book(project: Project, source: Path) -> Path:
    """Run Jupyter Book on a source tree, every warning an error; returns the built HTML.

    Raises:
        UsageError: names the first warnings and the file that holds them all.
    """
    work = project.build_folder / "work"
    shutil.rmtree(work, ignore_errors=True)
    log = project.build_folder / "build.log"
    flags = ["-n", "-W", "--keep-going", "--all", "--path-output", str(work)]
    done = subprocess.run(
        [sys.executable, "-c", _JUPYTER_BOOK, "build", str(source), *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "ignore", "NO_COLOR": "1"},
    )
    text = _COLORS.sub("", done.stdout)
    log.write_text(text, encoding="utf-8")
    if done.returncode:
        said = [
            line.replace(str(source) + os.sep, "")
            for line in text.splitlines()
            if any(word in line for word in ("WARNING", "ERROR", "exception:"))
        ]
        reason = "; ".join(said[:3]) or text.strip().splitlines()[-1]
        shown = log.relative_to(project.root)
        raise UsageError(f"Jupyter Book refused the pages: {reason} (all of it: {shown})")
    return work / "_build" / "html"


HOST = "127.0.0.1"


class _Quiet(SimpleHTTPRequestHandler):
    """A file server that does not report every request."""

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def end_headers(self) -> None:
        """Ask browsers to look again: the site may have been built anew."""
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report everything but a connection that the browser closed."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def make_server(site: Path, port: int = 0) -> ThreadingHTTPServer:
    """A server of a built site on this machine's own address; it is not started yet.

    Args:
        site: folder of the site.
        port: 0 for any free one.

    Raises:
        UsageError: there is no site, or the port is taken.
    """
    if not (site / "index.html").is_file():
        raise UsageError(f"there is no site in {site}; build it with `sanitygap build`")
    try:
        return _Server((HOST, port), partial(_Quiet, directory=str(site)))
    except OSError:
        raise UsageError(f"port {port} is taken; choose another one with --port") from None


def serve(site: Path, port: int = 0) -> None:
    """Print the address of a built site and serve it until interrupted.

    Raises:
        UsageError: as :func:`make_server`.
    """
    with make_server(site, port) as server:
        print(f"http://{HOST}:{server.server_port}/", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print("stopped", file=sys.stderr)
