"""The views that readers step through: by keyboard, without scripts, dark and narrow."""

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.browser.conftest import Site, Watched
from tests.browser.tour import looking

VIEWS = {"attribution-maps": "map at this stage", "occlusion": "what the network sees"}


def opened(watch: Any, site: Site, page: str, **options: Any) -> Watched:
    """A page with a view on it."""
    watched = watch(**options)
    watched.page.goto(f"{site.address}notebooks/{page}.html")
    watched.page.locator(".stepper").wait_for()
    return watched


def table(watched: Watched) -> list[list[str]]:
    """The first table of numbers, with its head and the names of its rows."""
    rows = watched.page.locator(".stepper table").first.locator("tr").all()
    return [row.locator("th, td").all_text_contents() for row in rows]


@pytest.mark.parametrize("name", VIEWS)
def test_slider_is_moved_by_keyboard(watch: Any, site: Site, name: str) -> None:
    watched = opened(watch, site, name)
    numbers = table(watched)
    frames = [row[0] for row in numbers[1:]]
    assert len(frames) >= 3
    slider, told = watched.page.locator(".stepper input"), watched.page.locator(".stepper output")
    panel = watched.page.locator(f".stepper-panel[data-title='{VIEWS[name]}'] .stepper-window")
    assert slider.evaluate("slider => slider.type") == "range"
    assert told.get_attribute("aria-live") == "polite"
    watched.page.locator(".stepper select").focus()
    watched.page.keyboard.press("Tab")
    seen, moves = [], [None, *["ArrowRight"] * (len(frames) - 1), "Home", "End", "ArrowLeft"]
    places = [*range(len(frames)), 0, len(frames) - 1, len(frames) - 2]
    for key, place in zip(moves, places, strict=True):
        if key:
            watched.page.keyboard.press(key)
        words = f"{frames[place]}: "
        value = re.escape(numbers[1 + place][1])
        assert slider.input_value() == str(place)
        assert re.fullmatch(
            rf"{re.escape(words)}.+ {value}(, .+)?", slider.get_attribute("aria-valuetext")
        )
        assert told.inner_text() == f"{numbers[0][1]}, {slider.get_attribute('aria-valuetext')}"
        seen.append(panel.evaluate(looking("strip")))
    assert len({str(shown) for shown in seen[: len(frames)]}) == len(frames), "each has its picture"
    assert seen[len(frames)] == seen[0]
    assert seen[len(frames) + 1] == seen[len(frames) - 1]
    assert watched.problems == []


@pytest.mark.parametrize("name", VIEWS)
def test_method_is_chosen_by_keyboard(watch: Any, site: Site, name: str) -> None:
    watched = opened(watch, site, name)
    heads = table(watched)[0][1:]
    select = watched.page.locator(".stepper select")
    assert [option.inner_text() for option in select.locator("option").all()] == heads
    watched.page.locator(".stepper input").press("End")
    pictures = watched.page.locator(".stepper-window img[data-method]:not([data-method=''])")
    shown = {}
    for place, method in enumerate(heads):
        if place:
            select.press("ArrowDown")
        visible = [picture for picture in pictures.all() if picture.is_visible()]
        names = {picture.get_attribute("data-method") for picture in visible}
        assert len(names) == 1
        assert all(method in picture.get_attribute("alt") for picture in visible)
        output = watched.page.locator(".stepper output").inner_text()
        assert output.startswith(f"{method}, ")
        assert table(watched)[-1][1 + place] in output
        shown[method] = names.pop()
    assert len(set(shown.values())) == len(heads)
    assert watched.problems == []


@pytest.mark.parametrize("name", [*VIEWS, "gallery"])
def test_numbers_and_pictures_are_there_without_scripts(watch: Any, site: Site, name: str) -> None:
    watched = opened(watch, site, name, java_script_enabled=False)
    for numbers in watched.page.locator(".stepper table").all():
        assert numbers.is_visible()
        assert numbers.locator("td").count() >= 6
    assert watched.page.locator(".stepper :is(select, input)").count() == 0
    assert all(picture.is_visible() for picture in watched.page.locator(".stepper img").all())


PAGE = "notebooks/gallery.html"


@pytest.fixture
def gallery(watch: Any, site: Site) -> Watched:
    """The gallery, opened."""
    return gallery_page(watch, site)


def gallery_page(watch: Any, site: Site, query: str = "", **options: Any) -> Watched:
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
    found = [
        table.evaluate(looking("rows")) for table in watched.page.locator(".stepper table").all()
    ]
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
            assert moving.evaluate(looking("place")) == [[images[1], keys[2], int(place)]]
            assert trained.evaluate(looking("place")) == [[images[1], keys[2], 0]]
            assert photograph.evaluate(looking("place")) == [[images[1], "", 0]]
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
    other = gallery_page(watch, site, f"?{address.query}")
    outputs = [one.page.locator(".stepper output").inner_text() for one in (gallery, other)]
    assert outputs[0] == outputs[1]
    unknown = gallery_page(watch, site, "?image=nobody&stage=999&order=sideways")
    first = unknown.page.locator(".stepper output").inner_text()
    assert controls(unknown)["Image"].locator("option").first.inner_text() in first
    assert unknown.problems == other.problems == []
