"""Every chapter for one network, in this process; and every method.

    python -m tests.book.one_process FOLDER JSON-OF-PARAMETERS

A kernel for each chapter would cost minutes. IPython takes over ``__main__``, chapters change more
than that, and networks are large, so a test starts this as a process of its own.
"""

import gc
import json
import os
import sys
from functools import cache, partial
from pathlib import Path

import jupytext
import torch
from IPython.core.interactiveshell import InteractiveShell
from matplotlib import pyplot
from matplotlib.figure import Figure

from sanitygap import runs
from sanitygap.attribution import METHODS, Sampling, attribute
from sanitygap.attribution.applicable import undefined
from sanitygap.axioms.metrics import metric_of
from sanitygap.book import Project
from sanitygap.chapters.axioms import show as axioms
from sanitygap.chapters.occlusion import pictures
from sanitygap.figures import plate
from sanitygap.images import load_images
from tests.book.toy import CHECKOUT

NO_NETWORK = ("adebayo-definitions", "audit", "summary")
"""Chapters about texts and other networks; the smoke site and the recorded run show them."""

MAPS_ALONE = ("attribution-maps", "gallery")
"""Chapters that compute maps of photographs and read few tables; the smoke site executes them."""

SHORT = {"lime": 8, "lime-ridge": 8, "perturbation-mask": 2, "extremal-perturbation": 2}
"""Methods with a sample or a number of steps -> a small one."""


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


def run_methods(spec: str) -> dict[str, str]:
    """Explain a photograph by every method that the network can have; the others, and why."""
    model = runs.load_model(spec)
    refused = undefined(model, list(METHODS))
    methods = [f"{m}@{SHORT[m]}" if m in SHORT else m for m in METHODS if m not in refused]
    inputs = model.prepare([load_images("photos").open(0)])
    maps = attribute(model, inputs, model.predict(inputs), methods, [0], Sampling(2, 2))
    assert list(maps) == methods
    for values in maps.values():
        assert values.shape == (1, *inputs.shape[2:])
        assert torch.isfinite(values).all()
    return refused


def main(folder: str, parameters: str) -> None:
    """Execute chapters of the checkout.

    Args:
        folder: a project of its own; the checkout itself for a recorded run, which is only read.
        parameters: of the chapters, as JSON.
    """
    torch.set_num_threads(1)
    runs.load_model = cache(runs.load_model)
    os.chdir(Path(folder))
    pyplot.switch_backend("agg")
    given, left_out = json.loads(parameters), NO_NETWORK
    if Path(folder) == CHECKOUT:
        Figure.savefig = lambda *args, **kwargs: None  # drawing takes a quarter of the time
        axioms.metric_of = partial(metric_of, resamples=20)  # other tests look at intervals
        pictures.OCCLUSIONS["full"] = pictures.OCCLUSIONS["smoke"]  # of a picture, not of a table
        left_out = *MAPS_ALONE, "yours"  # own methods are in no recorded run
    else:
        plate.PIXELS_PER_INCH = 30  # pictures are drawn, but nobody looks at them
    gc.freeze()  # IPython collects garbage for every chapter, and these modules are large
    shell, project = InteractiveShell.instance(), Project(CHECKOUT)
    for chapter in project.chapters:
        print(f"chapter {chapter}", flush=True)
        if chapter not in left_out:
            run_chapter(shell, project, chapter, given)


if __name__ == "__main__":
    main(*sys.argv[1:])
