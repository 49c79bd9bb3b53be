"""Pages about the data randomisation test of Adebayo et al. (2018), and the bone-age surrogate."""

import numpy as np
import pandas as pd

from sanitygap.attribution import Sampling, attribute
from sanitygap.criteria.adebayo_networks import MEASURES
from sanitygap.criteria.irrelevance import rows_of
from sanitygap.experiments.grey_networks import grey_images, grey_network
from sanitygap.figures.maps import map_grid
from sanitygap.figures.methods import label
from sanitygap.figures.plate import Plate
from sanitygap.pages.parameter_test import pictured_network
from sanitygap.runs import Study
from sanitygap.show import BARS, about, dots, shows, with_intervals

PICTURED_METHODS = ("gradient", "gradient-x-input", "guided-backprop", "grad-cam")

#: pictured digits
DIGITS = {"smoke": 1, "quick": 3, "full": 3}

NETWORKS = {"true": ("true", 0), "again": ("true", 1000), "random": ("random", 0)}


@shows()
def label_pictures(study: Study) -> Plate:
    """Digits and their maps by networks with true, again true, and random labels."""
    images = grey_images(study.context, "digits").test[: DIGITS[study.settings.profile]]
    maps, targets, words = {}, None, []
    for name, (labels, seed) in NETWORKS.items():
        trained = grey_network(study.context, pictured_network(study, labels, seed))
        inputs = trained.model.prepare([images.open(place) for place in range(len(images))])
        if targets is None:
            targets = trained.model.predict(inputs)
        maps[name] = attribute(
            trained.model, inputs, targets, PICTURED_METHODS, images.keys, Sampling(10, 10)
        )
        words.append(f"{name} {trained.test_right / trained.test_images:.0%}")
    pictures = [np.asarray(images.open(place).resize((28, 28))) for place in range(len(images))]
    return map_grid(
        pictures,
        {
            f"{name} {label(method)}": maps[name][method].cpu()
            for method in PICTURED_METHODS
            for name in NETWORKS
        },
        [f"digit {kind}" for kind in images.labels],
        "Signed maps of digits by three small CNNs: trained on true labels, on true labels again "
        "from another seed (again), and on random labels. All maps explain the class that the "
        f"first one predicts. Test accuracy: {', '.join(words)}. A picture, not a measurement.",
    )


@shows("data-randomization")
def label_plate(study: Study, network: str = "CNN") -> Plate:
    """Similarity of maps: to a network with random labels, and to another one with true labels.

    Args:
        study: the run.
        network: ``CNN`` or ``MLP``.
    """
    name = "data-randomization"
    table = rows_of(study.table(name), network=network)
    data, by = table["data"].iloc[0], ("method", "compared")
    table = rows_of(table, data=data)
    frames = [
        with_intervals(rows_of(table, maps=maps).dropna(subset=[column]), by, {column: words})
        for words, (column, maps) in MEASURES.items()
    ]
    return _compared(
        pd.concat(frames, ignore_index=True),
        f"Similarity of the maps of the {network} trained on true labels to those of two others, "
        f"on {table['image'].nunique()} test images of {data}. {about(study, name)}. {BARS}",
        "similarity\n(left: the maps differ)", 0.0, "compared with a network of",
    )  # fmt: skip


@shows("regression-surrogate")
def bone_age_plate(study: Study) -> Plate:
    """Fig. 7 in numbers, on a surrogate: trained and random regression networks."""
    name = "regression-surrogate"
    table = rows_of(study.table(name), maps="absolute")
    panels = {"spearman": "Spearman, absolute maps", "ssim": "SSIM, absolute maps"}
    frames = [
        with_intervals(table.dropna(subset=[column]), ("method", "compared"), {column: words})
        for column, words in panels.items()
    ]
    error, guess = table["error"].iloc[0], table["error_of_mean"].iloc[0]
    return _compared(
        pd.concat(frames, ignore_index=True),
        "Maps of a network that estimates the value of a digit, beside those of the same "
        f"network with all weights random. Mean absolute error {error:.2f}; always guessing the "
        f"mean gives {guess:.2f}. {about(study, name)}. {BARS[:-1]} "
        f"({table['image'].nunique()} digits, {table['seed'].nunique()} draws).",
        "similarity", 0.5, "compared",
    )  # fmt: skip


def _compared(numbers: pd.DataFrame, caption: str, xlabel: str, line: float, legend: str) -> Plate:
    """Similarities to other networks: columns ``method``, ``compared`` and ``panel``."""
    return dots(
        numbers.rename(columns={"method": "row", "compared": "series"}),
        caption=caption,
        xlabels=xlabel,
        lines=dict.fromkeys(numbers["panel"], line),
        legend=legend,
    )
