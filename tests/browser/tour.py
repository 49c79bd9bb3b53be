"""Every page of the site, shown once in each view, and what can be seen there.

Showing a page takes longer than looking at it, so all tests that look at every page share a tour.
"""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

AXE = Path(__file__).parent / "vendor" / "axe.min.js"

VIEWS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "narrow": {"width": 400},
}
NARROWEST = 320

LOOK = (Path(__file__).parent / "look.js").read_text(encoding="utf-8")


def looking(what: str) -> str:
    """One of the functions of ``look.js``, for ``evaluate``."""
    return f"argument => ({LOOK}).{what}(argument)"


TEXT = (
    ".bd-article p, .bd-article summary, .verdict,"
    ".stepper :is(label, output, summary, caption, td, th, .stepper-title)"
)

Seen = SimpleNamespace
"""What ``look`` tells of a page, and its title, the problems of the browser, contrasts, by how many
pixels it is wider than each screen, and what axe-core finds; None where that was not asked."""


def show(page: Any, address: str) -> None:
    """Open an address and wait until its formulas are set."""
    page.goto(address)
    page.evaluate("() => window.MathJax?.startup?.promise")


def take(
    watch: Callable[..., Any], view: str, address: str, pages: list[str], ask_axe: set[str]
) -> dict[str, Seen]:
    """Show pages in one view and look at each.

    Args:
        watch: opens a watched page.
        view: name of the view.
        address: of the site.
        pages: below the address.
        ask_axe: those of them that axe-core looks at.
    """
    watched, found = watch(**VIEWS[view]), {}
    page = watched.page
    for path in pages:
        show(page, address + path)
        seen, contrasts = page.evaluate(looking("look")), page.evaluate(looking("contrasts"), TEXT)
        overflow, axe = {}, None
        if view == "narrow":
            for width in (VIEWS[view]["width"], NARROWEST):
                page.set_viewport_size({"width": width, "height": 900})
                overflow[width] = page.evaluate(looking("wider"))
            page.set_viewport_size({"width": VIEWS[view]["width"], "height": 900})
        if view == "light":  # requests that come late are the same in every view
            page.wait_for_load_state("networkidle")
        problems = list(watched.problems)
        if path in ask_axe:  # it asks for style sheets in wrong places, so problems come first
            page.add_script_tag(path=str(AXE))
            axe = page.evaluate(looking("axe"))
        found[path] = Seen(
            title=page.title(),
            problems=problems,
            contrasts=contrasts,
            overflow=overflow,
            axe=axe,
            **seen,
        )
        watched.problems.clear()
    return found
