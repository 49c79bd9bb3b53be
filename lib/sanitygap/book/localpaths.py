"""Keep the paths of the machine that executed a notebook out of what is published."""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any


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
