"""Citing a part of a page, and the ledger of claims: by keyboard, addresses, and no scripts."""

import json
from typing import Any

import pytest
from pybtex.database import parse_string

from sanitygap.claims import load_claims
from tests.browser.conftest import Site, Tour, Watched
from tests.browser.tour import show

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


@pytest.fixture
def theorem(watch: Any, site: Site) -> Watched:
    """The page of a theorem, opened."""
    watched = watch()
    watched.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    show(watched.page, site.address + "notebooks/theorem-1.html")
    return watched


def test_dialog_by_keyboard(theorem: Watched, site: Site) -> None:
    page = theorem.page
    button = page.locator("div.proof.theorem .cite-button").first
    button.focus()
    page.keyboard.press("Enter")
    dialog = page.locator("dialog.cite-dialog")
    dialog.wait_for(state="visible")
    anchor = page.locator("div.proof.theorem").first.get_attribute("id")
    ours, original = dialog.locator("pre").all_inner_texts()
    (entry,) = parse_string(ours, "bibtex").entries.values()
    data = json.loads(page.locator("#citations").inner_text())
    top = data["address"] or site.address
    assert entry.fields["url"] == f"{top.rstrip('/')}/notebooks/theorem-1.html#{anchor}"
    assert "Theorem" in entry.fields["title"]
    assert "model" in entry.fields["note"]
    assert "binder2022" in parse_string(original, "bibtex").entries
    focused = "document.querySelector('dialog.cite-dialog').contains(document.activeElement)"
    for key in ("Tab", "Tab", "Tab"):
        assert page.evaluate(focused), "the focus starts and stays in the dialog"
        page.keyboard.press(key)
    page.get_by_role("button", name="Copy: This companion").focus()
    page.keyboard.press("Enter")
    page.get_by_role("status").get_by_text("Copied.").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == ours
    page.keyboard.press("Escape")
    dialog.wait_for(state="hidden")
    assert button.evaluate("button => button === document.activeElement")
    assert theorem.problems == []


def test_every_part_has_a_button_and_an_entry(tour: Tour, site: Site) -> None:
    for path in site.pages:
        seen = tour("light")[path]
        assert seen.buttons == len(seen.entries) > 0, path
        read = parse_string("\n".join(seen.entries), "bibtex").entries
        assert len(read) == len(seen.entries), path
        assert seen.lost == [], path
        assert seen.citable <= seen.buttons, path


def test_entries_from_a_file_name_no_path_of_the_machine(browser: Any, site: Site) -> None:
    context = browser.new_context()
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto((site.folder.resolve() / "notebooks" / "theorem-1.html").as_uri())
    page.locator(".cite-button").first.click()
    (entry,) = parse_string(
        page.locator("dialog pre").first.inner_text(), "bibtex"
    ).entries.values()
    assert not entry.fields.get("url", "").startswith("file:")
    page.goto((site.folder.resolve() / "book" / "ledger.html").as_uri())
    page.locator("form.ledger-filter").get_by_label("Paper").select_option("cross")
    assert page.url.endswith("?paper=cross")
    assert problems == []
    context.close()
