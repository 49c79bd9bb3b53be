"""For everyone: what axe-core finds, ids, headings, focus that can be seen, narrow screens."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import Site
from tests.browser.test_pages import WIDER_THAN_SCREEN, show

AXE = Path(__file__).parent / "vendor" / "axe.min.js"
AXE_SHA256 = "880970c081707360e64f34cea25ff91892f5bc95675b0776925b9709dd8a68bb"

RUN_AXE = """
async () => (await axe.run(document, {resultTypes: ["violations"]})).violations
  .filter(found => ["serious", "critical"].includes(found.impact))
  .map(found => `${found.id}: ${found.nodes[0].html.slice(0, 200)}`)
"""

HEADINGS = """
() => Array.from(document.querySelectorAll("article :is(h1, h2, h3, h4, h5, h6)"))
  .filter(heading => heading.offsetParent)
  .map(heading => Number(heading.tagName[1]))
"""

FOCUS = """
() => {
  const element = document.activeElement, style = getComputedStyle(element);
  const outline = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
  return element === document.body || outline || style.boxShadow !== "none"
    ? null : element.outerHTML.slice(0, 200);
}
"""


def every_page(site: Site) -> list[str]:
    """Every page, and the search."""
    pages = list(site.pages)
    # rows that are filtered out are not looked at: all 189 would take minutes
    pages[pages.index("book/ledger.html")] = "book/ledger.html?words=thm1"
    return [*pages, "search.html"]


def test_axe_is_the_file_it_claims_to_be() -> None:
    assert hashlib.sha256(AXE.read_bytes()).hexdigest() == AXE_SHA256
    assert b"axe v4.10.3" in AXE.read_bytes()[:200]


def some_pages(site: Site) -> list[str]:
    """Every prose page, and chapters of each sort."""
    chapters = {f"notebooks/{name}.html" for name in ("theorem-1", "theorem-4", "gap", "gallery")}
    return [page for page in every_page(site) if page.startswith("book/") or page in chapters]


# looking at a page takes a second; what the dark changes are colours, which the pages share
@pytest.mark.parametrize(("scheme", "pages"), [("light", every_page), ("dark", some_pages)])
def test_axe_finds_nothing_serious(watch: Any, site: Site, scheme: str, pages: Any) -> None:
    watched = watch(color_scheme=scheme)
    for path in pages(site):
        show(watched.page, site, path)
        watched.page.add_script_tag(path=str(AXE))
        assert watched.page.evaluate(RUN_AXE) == [], path


def test_axe_would_find_something(watch: Any, site: Site) -> None:
    watched = watch()
    show(watched.page, site, "book/cite.html")
    watched.page.evaluate(
        "() => document.querySelector('article').insertAdjacentHTML('beforeend',"
        ' \'<img src="data:,"><p style="color: #ddd; background: #fff">pale</p>\')'
    )
    watched.page.add_script_tag(path=str(AXE))
    found = watched.page.evaluate(RUN_AXE)
    assert {line.partition(":")[0] for line in found} == {"image-alt", "color-contrast"}


def test_headings_are_in_order_and_ids_are_used_once(watch: Any, site: Site) -> None:
    watched = watch()
    for path in site.pages:
        show(watched.page, site, path)
        levels = watched.page.evaluate(HEADINGS)
        assert levels[0] == 1, path
        assert levels.count(1) == 1, path
        assert all(b <= a + 1 for a, b in zip(levels, levels[1:], strict=False)), path
        twice = watched.page.evaluate(
            "() => { const ids = Array.from(document.querySelectorAll('[id]'), e => e.id);"
            " return ids.filter((id, at) => ids.indexOf(id) !== at); }"
        )
        # formulas repeat the ids of glyphs, which nothing links to
        assert [name for name in twice if not name.startswith("MJX-")] == [], path


def test_focus_can_be_seen(watch: Any, site: Site) -> None:
    watched = watch()
    for path in ("book/index.html", "book/ledger.html", "notebooks/theorem-1.html"):
        show(watched.page, site, path)
        watched.page.locator("article h1").click()
        for _ in range(25):
            watched.page.keyboard.press("Tab")
            assert watched.page.evaluate(FOCUS) is None, path


def test_no_page_scrolls_sideways_on_the_narrowest_screen(watch: Any, site: Site) -> None:
    watched = watch(width=320)
    for path in site.pages:
        show(watched.page, site, path)
        assert watched.page.evaluate(WIDER_THAN_SCREEN) <= 0, path
