"""The built site as one PDF, printed by Chromium: ``python -m sanitygap.book.pdf``."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from posixpath import normpath
from typing import Any
from urllib.parse import unquote, urlsplit

from sanitygap.book.project import Project
from sanitygap.errors import UsageError

STYLE = """
body { display: block; font-size: 10pt; }
article { break-before: page; max-width: none; }
article:first-of-type { break-before: auto; }
pre, figure, table.dataframe tr { break-inside: avoid; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; }
img { max-width: 100%; }
details > summary { list-style: none; }
"""
"""What a printed page needs besides the styles of the site."""

FOOTER = (
    '<div style="font-size: 8px; width: 100%; text-align: center">'
    '<span class="pageNumber"></span> / <span class="totalPages"></span></div>'
)


def one_page(site: Path, pages: Sequence[str]) -> str:
    """All pages as one, with links between them that lead to places in it.

    Args:
        site: folder of the built HTML.
        pages: names of documents, such as ``notebooks/gap``, in reading order.

    Returns:
        An HTML page that stands at the top of the site.

    Raises:
        UsageError: a page is not part of the site.
    """
    from bs4 import BeautifulSoup

    first = BeautifulSoup(_html(site, pages[0]), "html.parser")
    base = PurePosixPath(pages[0]).parent
    for element in first.head.find_all(["link", "script"]):  # type: ignore[union-attr]
        _move(element, base)
    head = "".join(
        str(element)
        for element in first.head.find_all(["link", "script"])  # type: ignore[union-attr]
        if element.get("rel") == ["stylesheet"] or "mathjax" in str(element).lower()
    )
    articles = [_article(_html(site, page), page, set(pages)) for page in pages]
    title = first.title.get_text() if first.title else ""
    return (
        '<!doctype html><html lang="en" data-theme="light" data-mode="light"><head>'
        f'<meta charset="utf-8"><title>{title}</title>{head}<style>{STYLE}</style></head>'
        f"<body>{''.join(articles)}</body></html>"
    )


def _html(site: Path, page: str) -> str:
    path = site / f"{page}.html"
    if not path.is_file():
        raise UsageError(f"the site has no page {page!r}; build it with `sanitygap build`")
    return path.read_text(encoding="utf-8")


def _article(html: str, page: str, pages: set[str]) -> str:
    """One page's article, its ids made unique and its addresses relative to the top."""
    from bs4 import BeautifulSoup

    article: Any = BeautifulSoup(html, "html.parser").find("article")
    for element in article.find_all(["script", "style"]):
        if element.name == "script":
            element.decompose()
        else:  # of a table that pandas wrote: its rules name ids
            element.string = re.sub(r"#(?=T_)", f"#{_name(page)}--", element.get_text())
    for details in article.find_all("details"):  # paper does not unfold
        details["open"] = ""
    for element in article.find_all(id=True):
        element["id"] = f"{_name(page)}--{element['id']}"
    for element in article.find_all(["a", "img", "source"]):
        _move(element, PurePosixPath(page).parent, page, pages)
    return f'<article class="bd-article" id="{_name(page)}">{article.decode_contents()}</article>'


def _name(page: str) -> str:
    return page.replace("/", "-")


def _move(
    element: Any,
    base: PurePosixPath,
    page: str = "",
    pages: frozenset[str] | set[str] = frozenset(),
) -> None:
    """Make the address of an element relative to the top of the site, or a place in the page."""
    for key in ("href", "src"):
        address = element.get(key)
        if address is None or urlsplit(address).scheme or address.startswith("//"):
            continue
        parts = urlsplit(address)
        path = _below(base / unquote(parts.path)) if parts.path else f"{page}.html"
        target = path.removesuffix(".html")
        if target in pages:
            anchor = f"--{parts.fragment}" if parts.fragment else ""
            element[key] = f"#{_name(target)}{anchor}"
        else:
            element[key] = path + (f"?{parts.query}" if parts.query else "")


def _below(path: PurePosixPath) -> str:
    """A path without ``..``, and never above the site."""
    return normpath(f"/{path}").lstrip("/")


def print_pdf(site: Path, pages: Sequence[str], out: Path) -> Path:
    """Print pages of a built site to one PDF with an outline and page numbers.

    Args:
        site: folder of the built HTML; it is not changed.
        pages: names of documents in reading order.
        out: the PDF, replaced as a whole.

    Raises:
        UsageError: there is no Chromium, or a page is missing.
    """
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        raise UsageError("there is no Chromium to print with; install the package chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise UsageError("printing needs the package playwright: pip install playwright") from None

    text = one_page(site, pages)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "site"
        folder.mkdir()
        for path in site.iterdir():
            (folder / path.name).symlink_to(path.resolve())
        (folder / "all-pages.html").write_text(text, encoding="utf-8")
        with sync_playwright() as playwright:
            flags = ["--headless", "--no-sandbox", "--disable-gpu"]
            browser = playwright.chromium.launch(executable_path=chromium, args=flags)
            page = browser.new_page(color_scheme="light")
            page.goto((folder / "all-pages.html").as_uri(), timeout=120_000)
            page.evaluate("() => window.MathJax?.startup?.promise")
            written = Path(temporary) / "book.pdf"
            page.pdf(
                path=str(written),
                format="A4",
                margin={"top": "18mm", "bottom": "18mm", "left": "16mm", "right": "16mm"},
                display_header_footer=True,
                header_template="<span></span>",
                footer_template=FOOTER,
                outline=True,
                tagged=True,
            )
            browser.close()
        out.parent.mkdir(parents=True, exist_ok=True)
        partial = out.with_suffix(".part")
        shutil.copyfile(written, partial)
        partial.replace(out)
    return out


def main() -> None:
    """Print the site of this checkout to ``_build/book.pdf``, and say where it is."""
    try:
        project = Project.find()
        out = project.build_folder / "book.pdf"
        print(print_pdf(project.build_folder / "html", project.documents, out))
    except UsageError as error:
        print(f"sanitygap: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
