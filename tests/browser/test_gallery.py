"""The gallery: image, method, order and stage by keyboard, addresses that say what is shown."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.browser.conftest import Site, Watched

PAGE = "notebooks/gallery.html"

#: image and method of the picture that a panel shows, and which of its strip
SHOWN = """
panel => Array.from(panel.querySelectorAll("img"))
  .filter(image => image.checkVisibility())
  .map(image => {
    const strip = image.getBoundingClientRect(), own = panel.getBoundingClientRect();
    return [image.dataset.image, image.dataset.method, Math.round((own.x - strip.x) / own.width)];
  })
"""


@pytest.fixture
def gallery(watch: Any, site: Site) -> Watched:
    """The gallery, opened."""
    return opened(watch, site)


def opened(watch: Any, site: Site, query: str = "", **options: Any) -> Watched:
    watched = watch(**options)
    watched.page.goto(f"{site.address}{PAGE}{query}")
    watched.page.locator(".stepper-gallery").wait_for()
    return watched


def controls(watched: Watched) -> dict[str, Any]:
    """Label of each control -> the control, in the order of the keyboard."""
    found = {}
    for label in watched.page.locator(".stepper-controls label").all():
        control = label.locator("select, input")
        found[label.evaluate("label => label.firstChild.textContent")] = control
    return found


def tables(watched: Watched) -> dict[tuple[str, str], list[list[str]]]:
    """Image and order -> rows: name of the network, its place, then a number a method."""
    read = """
    table => [table.dataset.image, table.dataset.order, Array.from(table.tBodies[0].rows, row =>
      [row.cells[0].textContent, row.dataset.place,
       ...Array.from(row.cells).slice(1).map(cell => cell.textContent)])]
    """
    found = [table.evaluate(read) for table in watched.page.locator(".stepper table").all()]
    return {(image, order): rows for image, order, rows in found}


def test_everything_is_chosen_by_keyboard(gallery: Watched) -> None:
    page, chosen, numbers = gallery.page, controls(gallery), tables(gallery)
    assert list(chosen) == ["Image", "Method", "Order", "Network"]
    images = chosen["Image"].locator("option").all_inner_texts()
    methods = chosen["Method"].locator("option").all_inner_texts()
    orders = chosen["Order"].locator("option").all_inner_texts()
    assert set(numbers) == {(image, order) for image in images for order in orders}
    assert orders == ["top-down", "bottom-up", "independent"]
    keys = page.locator(".stepper th[data-method]").evaluate_all(
        "heads => heads.map(head => head.dataset.method)"
    )[: len(methods)]
    photograph, trained, moving = page.locator(".stepper-panel .stepper-window").all()

    chosen["Image"].focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    seen = set()
    for order in orders:
        page.keyboard.press("Tab")
        for step, (network, place, *values) in enumerate(numbers[images[1], order]):
            page.keyboard.press("Home" if step == 0 else "ArrowRight")
            told = page.locator(".stepper output").inner_text()
            assert told.startswith(f"{images[1]}, {methods[2]}, {network}: ")
            assert told.endswith(values[2])
            assert moving.evaluate(SHOWN) == [[images[1], keys[2], int(place)]]
            assert trained.evaluate(SHOWN) == [[images[1], keys[2], 0]]
            assert photograph.evaluate(SHOWN) == [[images[1], "", 0]]
            assert network in moving.locator("img:visible").get_attribute("alt")
            seen.add(place)
        assert page.locator(".stepper-chart:visible").count() == 1
        page.keyboard.press("Shift+Tab")
        page.keyboard.press("ArrowDown")
    assert len(seen) == 1 + max(map(int, seen)), "every network can be reached"
    assert gallery.problems == []


def test_address_says_what_is_shown_and_shows_it(watch: Any, site: Site, gallery: Watched) -> None:
    chosen = controls(gallery)
    chosen["Image"].select_option(index=1)
    chosen["Method"].select_option(index=3)
    chosen["Order"].select_option(label="independent")
    chosen["Network"].press("End")
    address = urlsplit(gallery.page.url)
    asked = parse_qs(address.query)
    assert set(asked) == {"image", "method", "order", "stage"}
    assert asked["order"] == ["independent"]
    other = opened(watch, site, f"?{address.query}")
    outputs = [one.page.locator(".stepper output").inner_text() for one in (gallery, other)]
    assert outputs[0] == outputs[1]
    unknown = opened(watch, site, "?image=nobody&stage=999&order=sideways")
    first = unknown.page.locator(".stepper output").inner_text()
    assert controls(unknown)["Image"].locator("option").first.inner_text() in first
    assert unknown.problems == other.problems == []


def test_without_scripts_there_are_strips_and_tables(watch: Any, site: Site) -> None:
    watched = opened(watch, site, java_script_enabled=False)
    assert all(table.is_visible() for table in watched.page.locator(".stepper table").all())
    strips = watched.page.locator(".stepper img[data-method]:not([data-method=''])")
    assert strips.count() >= 2 * 6
    assert watched.page.locator(".stepper :is(select, input)").count() == 0
    words = watched.page.locator(".stepper-name", has_text="From left to right: trained;")
    assert words.is_visible()
