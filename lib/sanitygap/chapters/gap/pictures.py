"""Both tests of several runs, linked, with maps that are computed as the page is executed."""

import numpy as np
import pandas as pd

from sanitygap import show
from sanitygap.attribution import Sampling, unpooled
from sanitygap.attribution.applicable import defined
from sanitygap.chapters.gap.show import OCCLUDED, RANDOMIZED, each_once, made_with, network
from sanitygap.chapters.gap.show_linked import FIVE, METHODS, LinkedScores, linked_scores
from sanitygap.figures.maps import map_colors
from sanitygap.inference import UndefinedStatisticError
from sanitygap.reductions import REDUCTIONS, reduce
from sanitygap.runs import Study

#: pixels of the height of a thumbnail; and points of sampling methods
HEIGHT, POINTS = 36, 8


def thumbnails(study: Study) -> tuple[dict[str, list[np.ndarray]], str]:
    """Maps of one photograph by the network of a run, each reduction; and what it shows."""
    model, images = study.model, show.pictured_images(study)[:1]
    inputs = model.prepare([images.open(0)])
    targets, known = model.predict(inputs), defined(model, METHODS)
    values = unpooled(model, inputs, targets, known, images.keys, Sampling(POINTS, POINTS))
    maps = {
        method: [
            map_colors(reduce(values[method], name)[0].cpu().numpy(), HEIGHT)
            for name in (list(REDUCTIONS)[:1] if method == "noise" else REDUCTIONS)
        ]
        for method in known
    }
    return maps, model.class_name(int(targets[0]))


@show.shows_several(OCCLUDED, RANDOMIZED)
def linked_plot(studies: list[Study]) -> LinkedScores:
    """Both tests of several runs, with choices of network, reduction and range."""
    frames, behind = [], []
    # the page's own run is the last; it leads, but a recorded one comes before a live one
    runs = reversed(each_once(studies))
    for study in sorted(runs, key=lambda one: not one.recorded):
        tables = study.table(OCCLUDED), study.table(RANDOMIZED)
        try:
            scores = linked_scores(*tables)
        except UndefinedStatisticError:  # a run may lack images or methods; the others stay
            continue
        frames.append(scores.assign(network=network(study)))
        behind.append(made_with(study, *tables))
    if not frames:
        raise UndefinedStatisticError("no run has two images with all maps in both tests")
    maps, photograph = thumbnails(studies[-1])
    return LinkedScores(
        pd.concat(frames, ignore_index=True), maps, photograph,
        "Mean SSIM over steps of top-down randomisation and mean softmax under occlusion, over the "
        "same images, and the ranks by both; low is good. Every choice but network, reduction and "
        "range L is the one nearest to the paper. The orders are compared by Kendall's τ over the "
        f"methods 1 to {FIVE}. Thumbnails: maps of a photograph (class “{photograph}”) by "
        f"{show.model_of(studies[-1])}. {' '.join(behind)}",
    )  # fmt: skip
