"""Every page of the real site, as a reader's browser shows it, and for everyone."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pypdf import PdfReader

from sanitygap.book.pdf import one_page, print_pdf
from tests.browser.conftest import Site, Tour
from tests.browser.tour import AXE, looking, show

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


@pytest.mark.parametrize("view", ["light", "dark"])
def test_axe_finds_nothing_serious(tour: Tour, view: str) -> None:
    found = {path: seen.axe for path, seen in tour(view).items() if seen.axe is not None}
    assert len(found) > 5
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
    found = watched.page.evaluate(looking("axe"))
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
            assert watched.page.evaluate(looking("focus")) is None, path


def test_no_page_is_wider_than_a_narrow_screen(tour: Tour, site: Site) -> None:
    for path in site.pages:
        overflow = tour("narrow")[path].overflow
        assert set(overflow) == {400, 320}
        assert max(overflow.values()) <= 0, path


PAGES = ["book/index", "notebooks/theorem-1", "book/glossary"]


def test_pdf_has_pages_text_and_an_outline(chromium: str, site: Site, tmp_path: Path) -> None:
    before = sorted(path.name for path in site.folder.iterdir())
    # in a thread of its own, because this one drives the browser of the other tests already
    with ThreadPoolExecutor(1) as thread:
        target = tmp_path / "out" / "book.pdf"
        printed = thread.submit(print_pdf, site.folder.resolve(), PAGES, target).result()
    reader = PdfReader(printed)
    assert len(reader.pages) >= 4
    text = " ".join(" ".join(page.extract_text() for page in reader.pages).split())
    for words in ("Sanity Checks, Checked", "Theorem 1: SSIM rewards noise", "Glossary", "SHA-256"):
        assert words in text, words
    assert f"1 / {len(reader.pages)}" in text
    assert len(reader.outline) >= 3
    assert sorted(path.name for path in site.folder.iterdir()) == before


def test_links_between_pages_stay_in_the_document(site: Site) -> None:
    from bs4 import BeautifulSoup

    soup = BeautifulSoup(one_page(site.folder.resolve(), PAGES), "html.parser")
    ids = [element["id"] for element in soup.find_all(id=True)]
    assert len(ids) == len(set(ids))
    inside = [str(a["href"])[1:] for a in soup.find_all("a", href=True) if a["href"][0] == "#"]
    assert len(inside) > 10
    assert set(inside) <= set(ids)
    for image in soup.find_all("img"):
        source = str(image["src"])
        assert source.startswith("data:") or (site.folder / source).is_file(), source
