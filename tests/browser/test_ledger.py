"""The ledger of claims in a browser: filtering by keyboard, addresses, and no scripts at all."""

from typing import Any

import pytest

from sanitygap.claims import load_claims
from tests.browser.conftest import Site, Watched

CLAIMS = load_claims()


@pytest.fixture
def ledger(watch: Any, site: Site) -> Watched:
    """The ledger, opened."""
    watched = watch()
    watched.page.goto(site.address + "book/ledger.html")
    watched.page.locator("form.ledger-filter").wait_for()
    return watched


def shown(watched: Watched) -> list[str]:
    """Ids of the claims that can be seen."""
    rows = watched.page.locator("table.ledger tbody tr:visible")
    return [row.get_attribute("id") for row in rows.all()]


def test_all_claims_are_shown_at_first(ledger: Watched) -> None:
    assert shown(ledger) == [claim.id for claim in CLAIMS]
    assert ledger.page.locator("output").inner_text() == f"{len(CLAIMS)} of {len(CLAIMS)} claims"


def test_words_filter_by_keyboard(ledger: Watched) -> None:
    ledger.page.get_by_label("Words").focus()
    ledger.page.keyboard.type("binder-thm1-negative")
    assert shown(ledger) == ["binder-thm1-negative"]
    assert ledger.page.locator("output").inner_text() == f"1 of {len(CLAIMS)} claims"
    for _ in "binder-thm1-negative":
        ledger.page.keyboard.press("Backspace")
    assert len(shown(ledger)) == len(CLAIMS)


def test_paper_and_verdict_filter_by_keyboard(ledger: Watched) -> None:
    ledger.page.get_by_label("Words").focus()
    ledger.page.keyboard.press("Tab")
    ledger.page.keyboard.type("Khakzar")
    own = [claim.id for claim in CLAIMS if claim.paper == "khakzar-2022"]
    assert shown(ledger) == own
    ledger.page.keyboard.press("Tab")
    ledger.page.keyboard.type("not-run")
    marked = ledger.page.locator("tr.is-not-run.paper-khakzar-2022").all()
    expected = [row.get_attribute("id") for row in marked]
    assert shown(ledger) == expected
    assert ledger.problems == []


def test_address_may_carry_a_filter(watch: Any, site: Site) -> None:
    watched = watch()
    watched.page.goto(site.address + "book/ledger.html?paper=cross")
    watched.page.locator("form.ledger-filter").wait_for()
    assert shown(watched) == [claim.id for claim in CLAIMS if claim.paper == "cross"]


def test_claim_of_the_landing_page_leads_to_its_row(watch: Any, site: Site) -> None:
    watched = watch()
    watched.page.goto(site.address + "book/index.html")
    watched.page.locator("table.headlines a[href*='ledger.html#']").first.click()
    watched.page.wait_for_url("**/book/ledger.html#*")
    row = watched.page.locator("tr:target")
    row.wait_for()
    assert row.evaluate("row => row.getBoundingClientRect().top") < 900


def test_ledger_is_complete_without_scripts(watch: Any, site: Site) -> None:
    watched = watch(java_script_enabled=False)
    watched.page.goto(site.address + "book/ledger.html")
    assert watched.page.locator("table.ledger tbody tr").count() == len(CLAIMS)
    assert watched.page.locator("form.ledger-filter").count() == 0
    assert watched.page.locator("table.ledger .verdict").first.inner_text().strip()
