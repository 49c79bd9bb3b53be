"""Every page of the site, shown once in each view, and what can be seen there.

Showing a page takes longer than looking at it, so all tests that look at every page share a tour.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

AXE = Path(__file__).parent / "vendor" / "axe.min.js"

VIEWS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "narrow": {"width": 400},
}
NARROWEST = 320

RUN_AXE = """
async () => (await axe.run(document, {resultTypes: ["violations"]})).violations
  .filter(found => ["serious", "critical"].includes(found.impact))
  .map(found => `${found.id}: ${found.nodes[0].html.slice(0, 200)}`)
"""

WIDER_THAN_SCREEN = """
() => new Promise(done => requestAnimationFrame(() => {
  const { scrollWidth, clientWidth } = document.documentElement;
  done(scrollWidth - clientWidth);
}))
"""

CONTRASTS = """
selector => {
  // Relative luminance and contrast as in WCAG 2.
  const channels = text => text.match(/[\\d.]+/g).map(Number);
  const luminance = ([r, g, b]) => {
    const part = v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const background = element => {
    for (; element; element = element.parentElement) {
      const found = channels(getComputedStyle(element).backgroundColor);
      if (found.length === 3 || found[3] === 1) return found;
    }
    return [255, 255, 255];
  };
  return Array.from(document.querySelectorAll(selector)).map(element => {
    const pair = [channels(getComputedStyle(element).color), background(element)].map(luminance);
    return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
  });
}
"""

TEXT = ".bd-article p, .bd-article summary, .verdict"

LOOK = """
async () => {
  const all = selector => Array.from(document.querySelectorAll(selector));
  const ids = all("[id]").map(element => element.id);
  return {
    theme: document.documentElement.dataset.theme,
    images: await Promise.all(all("img").map(async image => {
      await image.decode();
      return [image.getAttribute("alt") || "", image.naturalWidth];
    })),
    formulas: all("mjx-container").length,
    bad_formulas: all(
      "mjx-merror, [data-mjx-error], span.math:not(:has(mjx-container))"
    ).map(element => element.outerHTML.slice(0, 200)),
    tables: all("table.sanitygap-table").map(table => table.innerText),
    headings: all("article :is(h1, h2, h3, h4, h5, h6)")
      .filter(heading => heading.offsetParent)
      .map(heading => Number(heading.tagName[1])),
    twice: ids.filter((id, at) => ids.indexOf(id) !== at),
  };
}
"""


@dataclass(frozen=True)
class Seen:
    """What is to be seen on a page.

    Attributes:
        title: of the window.
        problems: of the browser, see ``Watched``.
        theme: light or dark.
        contrasts: of paragraphs, summaries and verdicts.
        images: alternative text and width in pixels of each.
        formulas: how many are set.
        bad_formulas: those that are not, or with an error.
        tables: their texts.
        headings: their levels, in order.
        twice: ids that stand more than once.
        overflow: width of the screen -> pixels by which the page is wider.
        axe: what axe-core finds; None where it was not asked.
    """

    title: str
    problems: list[str]
    theme: str
    contrasts: list[float]
    images: list[tuple[str, int]]
    formulas: int
    bad_formulas: list[str]
    tables: list[str]
    headings: list[int]
    twice: list[str]
    overflow: dict[int, int]
    axe: list[str] | None


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
        seen, contrasts = page.evaluate(LOOK), page.evaluate(CONTRASTS, TEXT)
        overflow, axe = {}, None
        if view == "narrow":
            for width in (VIEWS[view]["width"], NARROWEST):
                page.set_viewport_size({"width": width, "height": 900})
                overflow[width] = page.evaluate(WIDER_THAN_SCREEN)
            page.set_viewport_size({"width": VIEWS[view]["width"], "height": 900})
        if view == "light":  # requests that come late are the same in every view
            page.wait_for_load_state("networkidle")
        problems = list(watched.problems)
        if path in ask_axe:  # it asks for style sheets in wrong places, so problems come first
            page.add_script_tag(path=str(AXE))
            axe = page.evaluate(RUN_AXE)
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
