"""Make an executed notebook fit to be published."""

from __future__ import annotations

import re
from typing import Any

from sanitygap.book.localpaths import LocalPaths, map_strings

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
