"""The chapters of a recorded run, in this process.

    python -m tests.book.recorded_process RUN CHAPTER ...

A kernel for each chapter would cost minutes, and IPython takes over ``__main__``, so a test starts
this as a process of its own.
"""

import gc
import os
import sys
from collections.abc import Sequence
from functools import cache, partial

import torch
from IPython.core.interactiveshell import InteractiveShell

from sanitygap import runs
from sanitygap.axioms.metrics import metric_of
from sanitygap.book import Project
from sanitygap.chapters.axioms import show as axioms
from sanitygap.chapters.occlusion import pictures
from sanitygap.errors import NotRecordedError
from tests.book.one_process import leave_figures_undrawn, run_chapter
from tests.book.toy import CHECKOUT


def main(run: str, chapters: Sequence[str]) -> None:
    """Execute the chapters one after the other; print those that the run holds too little for."""
    torch.set_num_threads(1)
    os.chdir(CHECKOUT)  # recorded runs are read and never written
    runs.load_model = cache(runs.load_model)
    leave_figures_undrawn()  # the smoke site draws them
    axioms.metric_of = partial(metric_of, resamples=20)  # other tests look at intervals
    pictures.OCCLUSIONS["full"] = pictures.OCCLUSIONS["smoke"]  # of a picture, not of a table
    gc.freeze()  # IPython collects garbage for every chapter, and these modules are large
    shell, project = InteractiveShell.instance(), Project(CHECKOUT)
    for chapter in chapters:
        print(f"chapter {chapter}", flush=True)
        try:
            run_chapter(shell, project, chapter, {"run": run})
        except NotRecordedError as error:
            print(f"not recorded {error}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
