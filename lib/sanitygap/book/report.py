"""One page about one run of a person's own methods, and a folder to take to a paper.

The folder holds ``report.html`` and, where Chromium is installed, ``report.pdf``; each figure as
SVG and PDF, each table as CSV and LaTeX, a paragraph on methods, and its references.
"""

from __future__ import annotations

import base64
import io
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from IPython.display import Markdown
from markdown_it import MarkdownIt
from pandas.io.formats.style import Styler

from sanitygap.figures.plate import Plate
from sanitygap.files import replacing, write_atomically
from sanitygap.runs import Study

Part = tuple[str, str, Any]
"""Name of a file, a heading, and what stands below it: a plate, a table, or Markdown."""


def write_report(
    study: Study, parts: Sequence[Part], methods: str, references: str, folder: Path
) -> list[Path]:
    """Write a report.

    Args:
        study: the run.
        parts: of the report, in their order.
        methods: a paragraph for a paper, with citation keys as ``[@key]``.
        references: BibTeX entries for these keys.
        folder: made if it is not there; files of an older report are replaced.

    Returns:
        What a person opens: the page and, if it could be printed, the PDF.
    """
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / "report.html"
    sections = [
        {"title": title, "html": _section(name, shown, folder)} for name, title, shown in parts
    ]
    write_atomically(folder / "methods.md", methods + "\n")
    latex = re.sub(r"\[@([^\]]+)\]", lambda m: f"\\citep{{{m[1].replace('; @', ',')}}}", methods)
    write_atomically(folder / "methods.tex", latex.replace("%", r"\%").replace("_", r"\_") + "\n")
    write_atomically(folder / "references.bib", references)
    template = jinja2.Environment(autoescape=True).from_string(
        resources.files("sanitygap").joinpath("data/report.html").read_text(encoding="utf-8")
    )
    settings = study.settings.public()
    write_atomically(
        page,
        template.render(
            settings=settings,
            trained=study.model.pretrained,
            images=len(study.images),
            precomputed=[name.partition(":")[2] for name in study.context.precomputed],
            weights=study.model.weights_sha256[:12],
            sections=sections,
            methods=_html(methods),
        ),
    )
    printed = _print(page, folder / "report.pdf")
    return [page, printed] if printed else [page]


def _section(name: str, shown: Any, folder: Path) -> str:
    """A part as HTML; its files are written on the way."""
    if isinstance(shown, Plate):
        return _figure(name, shown, folder)
    if isinstance(shown, Styler):
        return _table(name, shown, folder)
    if isinstance(shown, Markdown):
        return _html(str(shown.data))
    raise TypeError(f"{name}: a report shows plates, tables and Markdown")


def _figure(name: str, plate: Plate, folder: Path) -> str:
    with replacing(folder / "figures" / f"{name}.pdf") as pdf:
        plate.figure.savefig(
            pdf, format="pdf", bbox_inches="tight", metadata={"CreationDate": None}
        )
    buffer = io.BytesIO()
    plate.figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
    svg = buffer.getvalue()
    write_atomically(folder / "figures" / f"{name}.svg", svg.decode())
    write_atomically(folder / "figures" / f"{name}.csv", plate.numbers.to_csv(index=False))
    source = f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"
    return str(
        jinja2.Environment(autoescape=True)
        .from_string('<figure><img src="{{ s }}" alt="{{ a }}"><figcaption>{{ c }}</figcaption>'
                     "</figure>")
        .render(s=source, a=plate.alt, c=plate.caption)
    )  # fmt: skip


def _table(name: str, table: Styler, folder: Path) -> str:
    frame = table.data  # type: ignore[attr-defined]
    write_atomically(folder / "tables" / f"{name}.csv", frame.to_csv(index=False))
    plain = frame.style.format(escape="latex", precision=3, na_rep="--").hide(axis="index")
    write_atomically(folder / "tables" / f"{name}.tex", plain.to_latex(hrules=True))
    shown = frame.style.format(escape="html", precision=3, na_rep="–").hide(axis="index")
    shown.set_caption(jinja2.filters.escape(str(vars(table)["caption"])))
    return shown.to_html()


def _html(markdown: str) -> str:
    """Markdown as HTML; what looks like HTML in it is text."""
    return str(MarkdownIt("commonmark", {"html": False}).render(markdown))


def _print(page: Path, target: Path) -> Path | None:
    """The page as PDF; None where there is no Chromium, or one that cannot print."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        return None
    try:
        with tempfile.TemporaryDirectory() as temporary, replacing(target) as written:
            subprocess.run(
                [
                    browser, "--headless", "--no-sandbox", "--disable-gpu",
                    "--no-pdf-header-footer", f"--user-data-dir={temporary}",
                    f"--print-to-pdf={written.resolve()}",
                    page.resolve().as_uri(),
                ],
                check=True, capture_output=True, timeout=120,
            )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        print(f"sanitygap: Chromium could not print {page.name}, which stays", file=sys.stderr)
        return None
    return target
