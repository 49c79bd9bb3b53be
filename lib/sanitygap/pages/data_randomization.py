"""Pages about the data randomisation test of Adebayo et al. (2018), and the bone-age surrogate."""

import numpy as np
import pandas as pd
from IPython.display import Markdown

from sanitygap.attribution import Sampling, attribute
from sanitygap.criteria.adebayo_networks import MEASURES
from sanitygap.criteria.irrelevance import rows_of
from sanitygap.experiments.grey_networks import grey_images, grey_network
from sanitygap.figures import Plate, theme
from sanitygap.figures.dots import interval_dots
from sanitygap.figures.maps import map_grid
from sanitygap.figures.methods import label
from sanitygap.pages.noise import holding, nothing_recorded
from sanitygap.pages.parameter_test import pictured_network
from sanitygap.pages.shared import about, with_intervals
from sanitygap.runs import Study

PICTURED_METHODS = ("gradient", "gradient-x-input", "guided-backprop", "grad-cam")

#: pictured digits
DIGITS = {"smoke": 1, "quick": 3, "full": 3}

NETWORKS = {
    "true": ("true", 0),
    "again": ("true", 1000),
    "random": ("random", 0),
}


def label_pictures(study: Study) -> Plate:
    """Digits and their maps by networks with true, again true, and random labels."""
    theme()
    images = grey_images(study.context, "digits").test[: DIGITS[study.settings.profile]]
    maps, targets, words = {}, None, []
    for name, (labels, seed) in NETWORKS.items():
        trained = grey_network(study.context, pictured_network(study, labels, seed))
        inputs = trained.model.prepare([images.open(place) for place in range(len(images))])
        if targets is None:
            targets = trained.model.predict(inputs)
        found = attribute(
            trained.model, inputs, targets, PICTURED_METHODS, images.keys, Sampling(10, 10)
        )
        maps[name] = found
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


def label_plate(study: Study, network: str = "CNN") -> Plate | Markdown:
    """Similarity of maps: to a network with random labels, and to another one with true labels.

    Args:
        study: the run.
        network: ``CNN`` or ``MLP``.
    """
    theme()
    name = "data-randomization"
    if not holding(study, name):
        return nothing_recorded(name)
    table = rows_of(study.table(name), network=network)
    table = rows_of(table, data=table["data"].iloc[0])
    frames = [
        with_intervals(
            rows_of(table, maps=maps).dropna(subset=[column]), ("method", "compared"), column
        ).assign(panel=words)
        for words, (column, maps) in MEASURES.items()
    ]
    numbers = pd.concat(frames, ignore_index=True)
    return interval_dots(
        numbers.rename(columns={"method": "row", "compared": "series"}),
        caption=f"Similarity of the maps of the {network} trained on true labels to those of two "
        f"others, on {table['image'].nunique()} test images of {table['data'].iloc[0]}. "
        f"{about(study, name)}. Bars: 95 % bootstrap intervals over images.",
        xlabels=dict.fromkeys(MEASURES, "similarity\n(left: the maps differ)"),
        lines=dict.fromkeys(MEASURES, 0.0),
        legend="compared with a network of",
    )


def bone_age_plate(study: Study) -> Plate | Markdown:
    """Fig. 7 in numbers, on a surrogate: trained and random regression networks."""
    theme()
    name = "regression-surrogate"
    if not holding(study, name):
        return nothing_recorded(name)
    table = rows_of(study.table(name), maps="absolute")
    panels = {"Spearman, absolute maps": "spearman", "SSIM, absolute maps": "ssim"}
    frames = [
        with_intervals(table.dropna(subset=[column]), ("method", "compared"), column).assign(
            panel=words
        )
        for words, column in panels.items()
    ]
    error, guess = table["error"].iloc[0], table["error_of_mean"].iloc[0]
    return interval_dots(
        pd.concat(frames, ignore_index=True).rename(
            columns={"method": "row", "compared": "series"}
        ),
        caption="Maps of a network that estimates the value of a digit, beside those of the same "
        f"network with all weights random. Mean absolute error {error:.2f}; always guessing the "
        f"mean gives {guess:.2f}. {about(study, name)}. Bars: 95 % bootstrap intervals over images "
        f"({table['image'].nunique()} digits, {table['seed'].nunique()} draws).",
        xlabels=dict.fromkeys(panels, "similarity"),
        lines=dict.fromkeys(panels, 0.5),
        legend="compared",
    )
