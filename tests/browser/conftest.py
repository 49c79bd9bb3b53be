"""A headless Chromium, and the site on a server of this machine, in a folder of that server."""

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from sanitygap.book.site import make_server
from tests.book.smoke import smoke_site
from tests.book.toy import CHECKOUT
from tests.browser.tour import Seen, take

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
FOLDER = "some/where"
"""Sites are often published below a folder, so the tests do that too."""


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything that shows the site runs in the worker that built it."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.xdist_group("book"))


@dataclass
class Site:
    """The served site.

    Attributes:
        folder: of its files.
        address: of its top.
    """

    folder: Path
    address: str

    @property
    def pages(self) -> list[str]:
        """The pages that people read, below the top; not those that only lead on."""
        return sorted(
            path.relative_to(self.folder).as_posix()
            for path in self.folder.glob("*/*.html")
            if path.parent.name in ("book", "notebooks")
            and 'http-equiv="refresh"' not in path.read_text(encoding="utf-8")[:200]
        )


@dataclass
class Watched:
    """A page of the browser, and everything that went wrong on it.

    Attributes:
        page: the page, of playwright.
        problems: messages of the console, failed requests and requests to other hosts.
    """

    page: Any
    problems: list[str] = field(default_factory=list)


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of Chromium; the tests are skipped without one, except in CI, where they fail."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        reason = "there is no Chromium; install the package chromium"
        if os.environ.get("CI_REQUIRE_BROWSER") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Any]:
    """A running headless Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield running
        running.close()


@pytest.fixture(scope="session")
def site(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The book in the smoke profile, served."""
    top = tmp_path_factory.mktemp("server")
    folder = top / FOLDER
    folder.parent.mkdir(parents=True)
    folder.symlink_to(smoke_site(tmp_path_factory.getbasetemp()))
    (top / "index.html").touch()
    with make_server(top) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Site(folder, f"http://127.0.0.1:{server.server_port}/{FOLDER}/")
        server.shutdown()


@contextmanager
def watching(browser: Any, site: Site) -> Iterator[Callable[..., Watched]]:
    """A function that opens watched pages, ``watch(width=…, color_scheme=…)``; they close here.

    Requests to other addresses than the site's are problems.
    """
    contexts: list[Any] = []

    def watch(width: int = 1200, **options: Any) -> Watched:
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        watched = Watched(context.new_page())
        tell, page, own = watched.problems.append, watched.page, (site.address, "data:", "blob:")
        page.on("request", lambda r: r.url.startswith(own) or tell(f"asks another host: {r.url}"))
        page.on("response", lambda r: r.status < 400 or tell(f"{r.status}: {r.url}"))
        page.on("console", lambda m: m.type in ("error", "warning") and tell(f"console: {m.text}"))
        page.on("pageerror", lambda error: tell(f"script: {error}"))
        return watched

    yield watch
    for context in contexts:
        context.close()


@pytest.fixture
def watch(browser: Any, site: Site) -> Iterator[Callable[..., Watched]]:
    """A function that opens a watched page."""
    with watching(browser, site) as opener:
        yield opener


@contextmanager
def alone(browser: Any, html: str, script: str) -> Iterator[Any]:
    """A narrow page with one figure and its script; whatever goes wrong on it fails the test."""
    context, problems = browser.new_context(viewport={"width": 390, "height": 800}), []
    page, static = context.new_page(), CHECKOUT / "book" / "_static"
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.set_content(html)
    page.add_style_tag(path=str(static / "book.css"))
    for name in ("parts.js", script):
        page.add_script_tag(path=str(static / name))
    yield page
    context.close()
    assert problems == []


Tour = Callable[[str], dict[str, Seen]]


@pytest.fixture(scope="session")
def tour(browser: Any, site: Site) -> Tour:
    """What is to be seen on every page in a view; each view is taken once."""
    # rows of the ledger that are filtered out are not looked at: all would take minutes
    ledger, filtered = "book/ledger.html", "book/ledger.html?words=thm1"
    every = ["search.html", "genindex.html", *site.pages, filtered]
    dark = ("book/index", "book/read", "notebooks/theorem-1", "notebooks/gap", "notebooks/gallery")
    # a look of axe takes a second; what the dark changes are colours, which the pages share
    ask = {
        "light": {*every} - {ledger, "genindex.html"},
        "dark": {f"{path}.html" for path in dark} | {filtered},
        "narrow": set(),
    }

    @cache
    def taken(view: str) -> dict[str, Seen]:
        with watching(browser, site) as opener:
            return take(opener, view, site.address, every, ask[view])

    return taken
