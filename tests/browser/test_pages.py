"""Every page of the real site, as a reader's browser shows it."""

import re
from typing import Any

import pytest

from tests.browser.conftest import Site

HASHED = re.compile(r"[0-9a-f]{32,}")

WIDER_THAN_SCREEN = "document.documentElement.scrollWidth - document.documentElement.clientWidth"

CONTRASTS = """
selector => {
  // Relative luminance and contrast as in WCAG 2.
  const channels = text => text.match(/[\\d.]+/g).map(Number);
  const luminance = ([r, g, b]) => {
    const part = v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const background = element => {
    for (; element; element = element.parentElement) {
      const found = channels(getComputedStyle(element).backgroundColor);
      if (found.length === 3 || found[3] === 1) return found;
    }
    return [255, 255, 255];
  };
  return Array.from(document.querySelectorAll(selector)).map(element => {
    const pair = [channels(getComputedStyle(element).color), background(element)].map(luminance);
    return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
  });
}
"""


def show(page: Any, site: Site, path: str) -> None:
    """Open a page and wait until its formulas are set."""
    page.goto(site.address + path)
    page.evaluate("() => window.MathJax?.startup?.promise")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_load_without_errors_and_ask_no_other_host(
    watch: Any, site: Site, scheme: str
) -> None:
    watched = watch(color_scheme=scheme)
    assert len(site.pages) >= 7
    for path in ["search.html", "genindex.html", *site.pages]:
        show(watched.page, site, path)
        watched.page.wait_for_load_state("networkidle")
        assert watched.page.title()
        assert watched.problems == [], path


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable_in_both_schemes(watch: Any, site: Site, scheme: str) -> None:
    watched = watch(color_scheme=scheme)
    for path in site.pages:
        show(watched.page, site, path)
        assert watched.page.evaluate("document.documentElement.dataset.theme") == scheme
        contrasts = watched.page.evaluate(CONTRASTS, ".bd-article p, .bd-article summary, .verdict")
        assert contrasts, path
        assert min(contrasts) >= 4.5, path


def test_no_page_is_wider_than_a_narrow_screen(watch: Any, site: Site) -> None:
    watched = watch(width=400)
    for path in site.pages:
        show(watched.page, site, path)
        assert watched.page.evaluate(WIDER_THAN_SCREEN) <= 0, path


def test_every_image_says_what_it_shows(watch: Any, site: Site) -> None:
    watched = watch()
    images = 0
    for path in site.pages:
        show(watched.page, site, path)
        for image in watched.page.query_selector_all("img"):
            alt = (image.get_attribute("alt") or "").strip()
            assert alt, path
            assert not HASHED.search(alt), path
            loaded = image.evaluate("image => image.decode().then(() => image.naturalWidth)")
            assert loaded > 0, path
            images += 1
    assert images > 0


def test_formulas_are_set(watch: Any, site: Site) -> None:
    watched = watch()
    show(watched.page, site, "notebooks/theorem-1.html")
    assert watched.page.locator("mjx-container").count() > 0
    for path in site.pages:
        show(watched.page, site, path)
        assert watched.page.locator("mjx-merror, [data-mjx-error]").count() == 0, path
        assert watched.page.locator("span.math:not(:has(mjx-container))").count() == 0, path
        for table in watched.page.locator("table.sanitygap-table").all():
            assert not re.search(r"\$[^$]+\$", table.inner_text()), path


def test_search_finds_a_theorem(watch: Any, site: Site) -> None:
    watched = watch()
    show(watched.page, site, "book/index.html")
    watched.page.keyboard.press("Control+k")
    watched.page.keyboard.type("Theorem 1")
    watched.page.keyboard.press("Enter")
    results = watched.page.locator("ul.search li a")
    results.first.wait_for()
    watched.page.locator("p.search-summary", has_text="found").wait_for()
    links = [link.get_attribute("href") for link in results.all()]
    assert any("notebooks/theorem-1.html" in link for link in links)
    assert watched.problems == []


def test_first_address_leads_to_the_landing_page(watch: Any, site: Site) -> None:
    watched = watch()
    watched.page.goto(site.address)
    watched.page.wait_for_url(site.address + "book/index.html")
    watched.page.goto(site.address + "ledger.html#binder-thm1")
    watched.page.wait_for_url(site.address + "book/ledger.html#binder-thm1")


def test_passport_opens_by_keyboard(watch: Any, site: Site) -> None:
    watched = watch()
    show(watched.page, site, "notebooks/theorem-1.html")
    table = watched.page.locator("table.passport-table")
    assert not table.is_visible()
    watched.page.locator("details.passport summary, .passport summary").first.focus()
    watched.page.keyboard.press("Enter")
    table.wait_for(state="visible")
    assert "smoke" in table.inner_text()
