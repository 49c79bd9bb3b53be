"""Citing one part of a page: by keyboard, without a network, with entries that BibTeX reads."""

import json
from typing import Any

import pytest
from pybtex.database import parse_string

from tests.browser.conftest import Site, Tour, Watched
from tests.browser.tour import show


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
