"""Chapters executed one after the other in this process: a kernel for each would cost minutes.

    python -m tests.book.one_process FOLDER JSON-OF-PARAMETERS CHAPTER ...

IPython takes over ``__main__`` and chapters change more than that, so a test starts this as a
process of its own.
"""

import gc
import json
import os
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import jupytext
import torch
from IPython.core.interactiveshell import InteractiveShell
from matplotlib import pyplot

from sanitygap import runs
from sanitygap.book import Project
from sanitygap.figures import plate
from tests.book.toy import CHECKOUT


def run_chapter(
    shell: InteractiveShell, project: Project, chapter: str, parameters: dict[str, object]
) -> None:
    """Execute a chapter's cells in turn, with these parameters behind its own."""
    shell.reset()
    for cell in jupytext.read(project.source(chapter), fmt="md:myst").cells:
        if cell.cell_type != "code":
            continue
        shell.run_cell(cell.source, store_history=False).raise_error()
        if "parameters" in cell.metadata.get("tags", []):
            shell.push(parameters)
    pyplot.close("all")


def main(folder: str, parameters: str, chapters: Sequence[str]) -> None:
    """Execute chapters of the checkout in a folder that is a project of its own."""
    torch.set_num_threads(1)
    runs.load_model = cache(runs.load_model)  # drawing the weights of VGG-16 takes seconds
    os.chdir(Path(folder))
    pyplot.switch_backend("agg")
    plate.PIXELS_PER_INCH = 30  # pictures are drawn, but nobody looks at them
    gc.freeze()  # IPython collects garbage for every chapter, and these modules are large
    shell, project = InteractiveShell.instance(), Project(CHECKOUT)
    for chapter in chapters:
        print(f"chapter {chapter}", flush=True)
        run_chapter(shell, project, chapter, json.loads(parameters))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
