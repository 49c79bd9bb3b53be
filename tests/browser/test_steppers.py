"""The views that readers step through: by keyboard, without scripts, dark and narrow."""

import re
from typing import Any

import pytest

from tests.browser.conftest import Site, Watched
from tests.browser.tour import CONTRASTS, WIDER_THAN_SCREEN

VIEWS = {"attribution-maps": "map at this stage", "occlusion": "what the network sees"}

#: address of what a panel shows now: which picture, where its strip stands, what is clipped
SHOWN = """
panel => Array.from(panel.querySelectorAll("img"))
  .filter(image => image.checkVisibility())
  .map(image => [image.dataset.method, image.style.clipPath,
                 Math.round(image.getBoundingClientRect().x - panel.getBoundingClientRect().x)])
"""


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
        seen.append(panel.evaluate(SHOWN))
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


def test_blurred_regions_are_uncovered_and_outlined(watch: Any, site: Site) -> None:
    watched = opened(watch, site, "occlusion")
    slider = watched.page.locator(".stepper input")
    slider.press("End")
    regions = int(re.match(r"\d+", slider.get_attribute("aria-valuetext"))[0])
    clip = watched.page.locator(".stepper-beneath").evaluate("image => image.style.clipPath")
    corners = clip.removeprefix("polygon(").split(", ")
    assert len(corners) == 1 + 6 * regions
    for panel in watched.page.locator(".stepper-window").all():
        drawn = "".join(path.get_attribute("d") for path in panel.locator("svg path").all())
        assert drawn.count("z") == regions


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", VIEWS)
def test_view_fits_a_narrow_screen_and_is_readable(
    watch: Any, site: Site, name: str, scheme: str
) -> None:
    watched = opened(watch, site, name, width=320, color_scheme=scheme)
    watched.page.locator(".stepper summary").click()
    assert watched.page.evaluate(WIDER_THAN_SCREEN) <= 0
    for box in watched.page.locator(".stepper, .stepper-controls > *, .stepper-panel").all():
        bounds = box.bounding_box()
        assert bounds["x"] >= 0
        assert bounds["x"] + bounds["width"] <= 320
    words = ".stepper :is(label, output, summary, caption, td, th, .stepper-title)"
    contrasts = watched.page.evaluate(CONTRASTS, words)
    assert len(contrasts) > 40
    assert min(contrasts) >= 4.5
    assert watched.problems == []


@pytest.mark.parametrize("name", VIEWS)
def test_numbers_and_pictures_are_there_without_scripts(watch: Any, site: Site, name: str) -> None:
    watched = opened(watch, site, name, java_script_enabled=False)
    for numbers in watched.page.locator(".stepper table").all():
        assert numbers.is_visible()
        assert numbers.locator("td").count() >= 3 * 12
    assert watched.page.locator(".stepper :is(select, input)").count() == 0
    assert all(picture.is_visible() for picture in watched.page.locator(".stepper img").all())


@pytest.mark.parametrize("name", VIEWS)
def test_page_with_a_view_stays_light(site: Site, name: str) -> None:
    assert (site.folder / "notebooks" / f"{name}.html").stat().st_size < 1_500_000
