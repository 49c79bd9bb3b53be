"""Every page of the real site, as a reader's browser shows it."""

import re
from typing import Any

import pytest

from tests.browser.conftest import Site, Tour
from tests.browser.tour import show

HASHED = re.compile(r"[0-9a-f]{32,}")


@pytest.mark.parametrize("view", ["light", "dark"])
def test_pages_load_without_errors_and_ask_no_other_host(tour: Tour, site: Site, view: str) -> None:
    assert len(site.pages) >= 7
    assert {"search.html", "genindex.html", *site.pages} <= set(tour(view))
    for path, seen in tour(view).items():
        assert seen.title, path
        assert seen.problems == [], path


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable_in_both_schemes(tour: Tour, site: Site, scheme: str) -> None:
    for path in site.pages:
        seen = tour(scheme)[path]
        assert seen.theme == scheme, path
        assert seen.contrasts, path
        assert min(seen.contrasts) >= 4.5, path


def test_every_image_says_what_it_shows(tour: Tour, site: Site) -> None:
    images = 0
    for path in site.pages:
        for alt, width in tour("light")[path].images:
            assert alt.strip(), path
            assert not HASHED.search(alt), path
            assert width > 0, path
            images += 1
    assert images > 0


def test_formulas_are_set(tour: Tour, site: Site) -> None:
    assert tour("light")["notebooks/theorem-1.html"].formulas > 0
    for path in site.pages:
        seen = tour("light")[path]
        assert seen.bad_formulas == [], path
        for table in seen.tables:
            assert not re.search(r"\$[^$]+\$", table), path


def test_search_finds_a_theorem(watch: Any, site: Site) -> None:
    watched = watch()
    show(watched.page, site.address + "book/index.html")
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
    show(watched.page, site.address + "notebooks/theorem-1.html")
    table = watched.page.locator("table.passport-table")
    assert not table.is_visible()
    watched.page.locator("details.passport summary, .passport summary").first.focus()
    watched.page.keyboard.press("Enter")
    table.wait_for(state="visible")
    assert "smoke" in table.inner_text()
