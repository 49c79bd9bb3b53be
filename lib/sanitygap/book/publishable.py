"""Make executed notebooks fit to be published, without local paths; check links of the site."""

from __future__ import annotations

import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

KERNELSPEC = {"name": "python3", "display_name": "Python 3", "language": "python"}
"""What a published notebook says about the kernel that it needs."""

_PROGRESS_BAR = re.compile(r"\r[^\r\n]*?\[\d\d:\d\d[^\r\n\]]*\]|\r +(?=\r)")
"""One state of a tqdm progress bar: it starts with a carriage return and ends with its times."""


def publishable(notebook: Any, local: LocalPaths) -> None:
    """Take out of an executed notebook what concerns only the machine that executed it.

    Args:
        notebook: the executed copy, changed in place.
        local: the folders of this machine.
    """
    papermill = notebook.metadata.papermill
    for key in ("input_path", "output_path", "environment_variables"):
        papermill.pop(key, None)
    notebook.metadata.kernelspec = dict(KERNELSPEC)
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        if "injected-parameters" in tags:
            # Papermill does not hand the tags of the parameters cell on to the cell it injects.
            cell.metadata.tags = [*tags, "hide-input"]
            cell.source = local.hide(cell.source)
        elif "parameters" in tags:
            # Its values are defaults, which the injected cell below it replaces.
            cell.metadata.tags = [*tags, "remove-input"]
        if cell.cell_type != "code":
            continue
        for output in cell.outputs:
            if output.output_type == "stream" and output.name == "stderr":
                output.text = _PROGRESS_BAR.sub("", output.text).strip("\n")
        cell.outputs = [
            output
            for output in cell.outputs
            if output.output_type != "stream" or output.text.strip()  # bars leave blanks behind
        ]
        for output in cell.outputs:
            for key, value in output.items():
                if key == "data":
                    output.data = {
                        mime: content
                        if mime in ("image/png", "image/jpeg")
                        else (map_strings(content, local.hide))
                        for mime, content in value.items()
                    }
                elif key not in ("output_type", "execution_count"):
                    output[key] = map_strings(value, local.hide)
    notebook.metadata.papermill = map_strings(papermill, local.hide)


class LocalPaths:
    """The folders of this machine that no published notebook may name.

    Args:
        root: the checkout; a path inside it is shown relative to it.
    """

    def __init__(self, root: Path) -> None:
        folders = {
            str(root): ".",
            str(root.resolve()): ".",
            sys.prefix: "<environment>",
            sys.base_prefix: "<python>",
            tempfile.gettempdir(): "<temporary>",
            str(Path.home()): "~",
        }
        for system in ("/usr", "/usr/local"):  # where a system's own Python lies tells nothing
            folders.pop(system, None)
        # Longest first: an environment inside the home folder is named as the environment.
        self._folders = {
            folder: folders[folder]
            for folder in sorted(folders, key=len, reverse=True)
            if len(Path(folder).parts) > 1
        }
        names = "|".join(re.escape(folder) for folder in self._folders)
        self._pattern = re.compile(rf"(?<![\w.~-])(?:{names})(?![\w.-])")

    def hide(self, text: str) -> str:
        """The text with every local folder replaced by a neutral word."""
        return self._pattern.sub(lambda match: self._folders[match.group()], text)

    def find(self, text: str) -> str | None:
        """The first local folder that the text names, or None."""
        match = self._pattern.search(text)
        return match.group() if match else None


def map_strings(value: Any, change: Callable[[str], str]) -> Any:
    """The same nesting of lists and mappings, with ``change`` applied to every string in it."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {key: map_strings(item, change) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [map_strings(item, change) for item in value]
    return value


def strings(value: Any) -> Iterator[str]:
    """Every string in a nesting of lists and mappings."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from strings(item)


def published_parts(notebook: Any) -> dict[str, Any]:
    """What a reader of a notebook can see and a path may hide in: sources, outputs, metadata.

    Images are left out: they are base64 text, where a match would be chance.
    """
    cells = [
        {
            "source": cell.source,
            "outputs": [
                {
                    **{key: item for key, item in output.items() if key != "data"},
                    "data": {
                        mime: item
                        for mime, item in output.get("data", {}).items()
                        if not mime.startswith("image/") or mime == "image/svg+xml"
                    },
                }
                for output in cell.get("outputs", [])
            ],
        }
        for cell in notebook.cells
    ]
    return {"cells": cells, "metadata": notebook.metadata}


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
