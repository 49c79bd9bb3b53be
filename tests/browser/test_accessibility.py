"""For everyone: what axe-core finds, ids, headings, focus that can be seen, narrow screens."""

import hashlib
from typing import Any

import pytest

from tests.browser.conftest import Site, Tour
from tests.browser.tour import AXE, RUN_AXE, show

AXE_SHA256 = "880970c081707360e64f34cea25ff91892f5bc95675b0776925b9709dd8a68bb"

FOCUS = """
() => {
  const element = document.activeElement, style = getComputedStyle(element);
  const outline = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
  return element === document.body || outline || style.boxShadow !== "none"
    ? null : element.outerHTML.slice(0, 200);
}
"""


def test_axe_is_the_file_it_claims_to_be() -> None:
    assert hashlib.sha256(AXE.read_bytes()).hexdigest() == AXE_SHA256
    assert b"axe v4.10.3" in AXE.read_bytes()[:200]


@pytest.mark.parametrize("view", ["light", "dark"])
def test_axe_finds_nothing_serious(tour: Tour, view: str) -> None:
    found = {path: seen.axe for path, seen in tour(view).items() if seen.axe is not None}
    assert len(found) > 10
    assert {path: lines for path, lines in found.items() if lines} == {}


def test_axe_looks_at_every_page(tour: Tour, site: Site) -> None:
    looked = {
        path.partition("?")[0] for path, seen in tour("light").items() if seen.axe is not None
    }
    assert looked == {"search.html", *site.pages}


def test_axe_would_find_something(watch: Any, site: Site) -> None:
    watched = watch()
    show(watched.page, site.address + "book/cite.html")
    watched.page.evaluate(
        "() => document.querySelector('article').insertAdjacentHTML('beforeend',"
        ' \'<img src="data:,"><p style="color: #ddd; background: #fff">pale</p>\')'
    )
    watched.page.add_script_tag(path=str(AXE))
    found = watched.page.evaluate(RUN_AXE)
    assert {line.partition(":")[0] for line in found} == {"image-alt", "color-contrast"}


def test_headings_are_in_order_and_ids_are_used_once(tour: Tour, site: Site) -> None:
    for path in site.pages:
        seen = tour("light")[path]
        assert seen.headings[0] == 1, path
        assert seen.headings.count(1) == 1, path
        steps = zip(seen.headings, seen.headings[1:], strict=False)
        assert all(b <= a + 1 for a, b in steps), path
        # formulas repeat the ids of glyphs, which nothing links to
        assert [name for name in seen.twice if not name.startswith("MJX-")] == [], path


def test_focus_can_be_seen(watch: Any, site: Site) -> None:
    watched = watch()
    for path in ("book/index.html", "book/ledger.html", "notebooks/theorem-1.html"):
        show(watched.page, site.address + path)
        watched.page.locator("article h1").click()
        for _ in range(25):
            watched.page.keyboard.press("Tab")
            assert watched.page.evaluate(FOCUS) is None, path


def test_no_page_is_wider_than_a_narrow_screen(tour: Tour, site: Site) -> None:
    for path in site.pages:
        overflow = tour("narrow")[path].overflow
        assert set(overflow) == {400, 320}
        assert max(overflow.values()) <= 0, path
