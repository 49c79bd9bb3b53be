"""Check the links inside a built site."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {"img": "src", "script": "src", "link": "href", "source": "src", "iframe": "src"}
"""Elements that a browser fetches when it shows a page, and the attribute that says what."""

NOT_FETCHED = {"canonical", "next", "prev", "search", "index", "author", "alternate"}
"""Kinds of ``<link>`` that point somewhere without fetching it."""


def check_links(site: Path) -> list[str]:
    """Everything wrong with the links and ids of a site, one line each; empty if all is well.

    Every relative link must lead to a file of the site, and its fragment to an id in that file.
    No link may start with a slash, because the site may lie in any folder of a server. Nothing a
    page loads may come from another host. No page may use an id twice. Every image needs
    alternative text.

    Args:
        site: the folder of the built HTML.
    """
    from bs4 import BeautifulSoup

    site = site.resolve()
    pages = {
        path: BeautifulSoup(path.read_bytes(), "html.parser")
        for path in sorted(site.rglob("*.html"))
        if "_static" not in path.parts
    }
    anchors = {path: _ids(soup) for path, soup in pages.items()}
    found = []
    for path, soup in pages.items():
        page = path.relative_to(site).as_posix()
        found += [
            f"{page}: id {name!r} is used {count} times"
            for name, count in anchors[path].items()
            if count > 1
        ]
        for image in soup.find_all("img"):
            if not str(image.get("alt") or "").strip():
                found.append(f"{page}: image {image.get('src')!r} has no alternative text")
        for element in soup.find_all(["a", *LOADED]):
            address = element.get(LOADED.get(element.name, "href"))
            if address is None:
                continue
            loaded = element.name in LOADED and not NOT_FETCHED & set(element.get("rel") or ())
            if problem := _problem(path, str(address), loaded, site, anchors):
                found.append(f"{page}: {problem}")
        for refresh in soup.find_all("meta", attrs={"http-equiv": re.compile("^refresh$", re.I)}):
            target = str(refresh.get("content")).partition("url=")[2]
            if problem := _problem(path, target, False, site, anchors):
                found.append(f"{page}: {problem}")
    return found


def _ids(soup: object) -> Counter[str]:
    """How often each id is used in a page."""
    return Counter(element["id"] for element in soup.find_all(id=True))  # type: ignore[attr-defined]


def _problem(
    page: Path, address: str, loaded: bool, site: Path, anchors: dict[Path, Counter[str]]
) -> str | None:
    """What is wrong with one link of a page, or None."""
    parts = urlsplit(address)
    if parts.scheme or parts.netloc:
        outside = parts.scheme in ("http", "https", "") and loaded
        return f"loads {address!r} from another host" if outside else None
    if parts.path.startswith("/"):
        return f"link {address!r} works only at the top of a server"
    target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if target.is_dir():
        target /= "index.html"
    if not target.is_relative_to(site) or not target.exists():
        return f"link {address!r} leads to no file"
    fragment = unquote(parts.fragment)
    # An empty fragment, and "top", are the top of the page by definition.
    if fragment in ("", "top") or target not in anchors or fragment in anchors[target]:
        return None
    return f"link {address!r} leads to no id in {target.relative_to(site).as_posix()}"
