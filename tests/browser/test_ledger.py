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


def test_paper_and_verdict_filter_by_keyboard(ledger: Watched) -> None:
    ledger.page.locator("form.ledger-filter").get_by_label("Words").focus()
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


def test_model_and_verdict_are_asked_of_the_same_run(ledger: Watched) -> None:
    page, form = ledger.page, ledger.page.locator("form.ledger-filter")
    findings = {
        row.get_attribute("id"): [
            (
                found.locator(".shown-on").all_text_contents(),
                found.locator("> p > .verdict").inner_text(),
            )
            for found in row.locator(".finding.of-run").all()
        ]
        for row in page.locator("table.ledger tbody tr").all()[:20]
    }
    models = {name.strip() for rows in findings.values() for (names, _) in rows for name in names}
    for model in sorted(models):
        form.get_by_label("Model").select_option(model)
        form.get_by_label("Verdict").select_option("holds")
        visible = set(shown(ledger))
        for claim, rows in findings.items():
            on_model = [
                word.split()[-1] for names, word in rows if [n.strip() for n in names] == [model]
            ]
            assert (claim in visible) == ("holds" in on_model), (claim, model)


def test_link_to_a_claim_shows_it_whatever_is_chosen(watch: Any, site: Site) -> None:
    watched = watch()
    watched.page.goto(site.address + "book/ledger.html?paper=cross#binder-thm1")
    watched.page.locator("form.ledger-filter").wait_for()
    assert watched.page.locator("tr#binder-thm1").is_visible()


def test_counts_lead_to_as_many_claims(watch: Any, site: Site) -> None:
    watched = watch()
    watched.page.goto(site.address + "book/index.html")
    links = watched.page.locator("table.verdict-counts tbody a")
    counted = [(link.get_attribute("href"), link.inner_text()) for link in links.all()]
    assert len(counted) > 5
    for address, number in counted[::4]:
        watched.page.goto(f"{site.address}book/{address}")
        count = watched.page.locator("form.ledger-filter output")
        assert count.inner_text() == f"{number} of {len(CLAIMS)} claims", address


def test_claim_of_the_landing_page_leads_to_its_row(watch: Any, site: Site) -> None:
    watched = watch()
    watched.page.goto(site.address + "book/index.html")
    watched.page.locator("table.headlines a[href*='ledger.html#']").first.click()
    watched.page.wait_for_url("**/book/ledger.html#*")
    row = watched.page.locator("tr:target")
    row.wait_for()
    assert row.evaluate("row => row.getBoundingClientRect().top") < 900
