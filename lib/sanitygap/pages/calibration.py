"""Pages about what similarities say of maps that know nothing of the model."""

import numpy as np
import pandas as pd
from IPython.display import Markdown
from pandas.io.formats.style import Styler

from sanitygap.attribution import unpooled
from sanitygap.attribution.applicable import defined
from sanitygap.criteria.adebayo_controls import calibrated
from sanitygap.criteria.irrelevance import rows_of
from sanitygap.experiments.input_controls import edge_masks, thick
from sanitygap.figures import Plate, theme
from sanitygap.figures.dots import interval_dots
from sanitygap.figures.maps import map_grid
from sanitygap.figures.methods import label
from sanitygap.images import load_images
from sanitygap.pages.noise import holding, nothing_recorded
from sanitygap.pages.parameter_test import SCALES
from sanitygap.pages.shared import about, display_table, with_intervals
from sanitygap.runs import Study
from sanitygap.seeds import normal

#: profile -> photographs in pictures
PHOTOGRAPHS = {"smoke": 1, "quick": 2, "full": 2}

EDGE_METHODS = ("gradient", "guided-backprop", "guided-grad-cam")


def calibration_table(study: Study) -> Styler | Markdown:
    """Every printed number of the calibration beside its simulated distribution."""
    name = "metric-calibration"
    if not holding(study, name):
        return nothing_recorded(name)
    found = calibrated(study.table(name))
    shown = pd.DataFrame(
        {
            "pair": found["subject"],
            "similarity": found["quantity"],
            "printed": [f"{value:+.5f}" for value in found["value"]],
            "simulated mean": [f"{value:+.5f}" for value in found["mean"]],
            "standard deviation of a pair": [f"{value:.5f}" for value in found["deviation"]],
            "distance / standard errors of 50": [f"{value:.1f}" for value in found["errors"]],
            "pairs here": found["pairs"],
        }
    )
    sides = ", ".join(map(str, sorted(set(study.table(name)["side"]))))
    return display_table(
        shown,
        "Printed calibration and simulation. The standard error of a mean of 50 pairs is the "
        "standard deviation of a pair over √50. Rows of attribution methods: map against Gaussian "
        f"mask. Sides of the maps: {sides} pixels. {about(study, name)}.",
    )


def null_table(study: Study) -> Styler | Markdown:
    """How wide the null distribution of Spearman's correlation is for smooth maps."""
    name = "smooth-nulls"
    if not holding(study, name):
        return nothing_recorded(name)
    table = study.table(name)
    table = table.assign(
        ratio=table["deviation"] / table["independent"],
        by_length=table["deviation"] / (table["length"] / np.sqrt(table["pixels"])),
    )
    means = table.groupby(["source", "smoothing"], sort=False)[
        ["length", "deviation", "independent", "ratio", "by_length"]
    ].mean()
    shown = means.reset_index()
    shown["source"] = [label(str(source)) for source in shown["source"]]
    return display_table(
        shown.rename(
            columns={
                "smoothing": "filter or block / pixels",
                "length": "correlation length",
                "deviation": "standard deviation",
                "independent": "1/√(n−1)",
                "ratio": "their ratio",
                "by_length": "over length/√n",
            }
        ),
        "Standard deviation of Spearman's correlation between maps without any relation: simulated "
        "noise after a Gaussian filter, and maps against themselves in shuffled blocks. "
        f"{about(study, name)}.",
    )


def random_gradient_plate(study: Study) -> Plate | Markdown:
    """Input times a random gradient, beside another one, the input, and gradient x input."""
    theme()
    name = "random-gradient"
    if not holding(study, name):
        return nothing_recorded(name)
    table = study.table(name)
    scores = {"spearman": "Spearman correlation", "hog_pearson": "HOG correlation", "ssim": "SSIM"}
    frames = [
        with_intervals(rows.dropna(subset=[score]), ("second", "maps"), score).assign(panel=words)
        for score, words in scores.items()
        if len(rows := table.dropna(subset=[score]))
    ]
    numbers = pd.concat(frames, ignore_index=True)
    numbers["maps"] = numbers["maps"].map(SCALES)
    return interval_dots(
        numbers.rename(columns={"second": "row", "maps": "series"}),
        caption="Input times a random gradient, compared with three other maps. Overlap of its "
        f"strongest pixels with edges: {table['overlap'].mean():.2f}, by chance "
        f"{table['edges'].mean():.2f}. {about(study, name)}, {table['seed'].nunique()} random "
        "gradients an image. Bars: 95 % bootstrap intervals over images.",
        xlabels=dict.fromkeys(scores.values(), "similarity"),
        lines=dict.fromkeys(scores.values(), 0.0),
        legend="scaling",
    )


def edge_plate(study: Study) -> Plate | Markdown:
    """Maps of images beside maps of their edges, and beside the edges themselves."""
    theme()
    name = "edge-input"
    if not holding(study, name):
        return nothing_recorded(name)
    table = rows_of(study.table(name), maps="absolute")
    scores = {"spearman": "Spearman correlation", "ssim": "SSIM", "hog_pearson": "HOG correlation"}
    frames = [
        with_intervals(rows, ("method", "second"), score).assign(panel=words)
        for score, words in scores.items()
        if len(rows := table.dropna(subset=[score]))
    ]
    return interval_dots(
        pd.concat(frames, ignore_index=True).rename(columns={"method": "row", "second": "series"}),
        caption="Absolute maps of images, compared with those of the same images with all but "
        f"their edges set to zero ({table['edges'].mean():.0%} of the pixels are kept), and with "
        f"the edges themselves. {about(study, name)}. Bars: 95 % bootstrap intervals over images.",
        xlabels=dict.fromkeys(scores.values(), "similarity\n(right: alike)"),
        lines=dict.fromkeys(scores.values(), 0.0),
        legend="compared with the",
    )


def control_pictures(study: Study) -> Plate:
    """Photographs, their edges, two random gradients times input, and maps of image and edges."""
    theme()
    count = PHOTOGRAPHS[study.settings.profile]
    model, seed = study.model, study.settings.seed
    images = (load_images("photos") if study.recorded else study.images)[:count]
    inputs = model.prepare([images.open(place) for place in range(count)])
    targets, keys = model.predict(inputs), images.keys
    edges = thick(edge_masks(model, inputs))
    shape = tuple(inputs.shape[1:])
    maps = {"edges that are kept": edges.float()}
    for number in (1, 2):
        drawn = normal(shape, [key + seed + number for key in keys], inputs)
        maps[f"input × random gradient {number}"] = (inputs * drawn).sum(1)
    methods = defined(model, EDGE_METHODS)
    own = unpooled(model, inputs, targets, ["gradient-x-input", *methods], keys)
    reduced = unpooled(model, inputs * edges[:, None], targets, methods, keys)
    maps["gradient x input"] = own["gradient-x-input"].sum(1)
    for method in methods:
        maps[f"{label(method)}, image"] = own[method].sum(1)
        maps[f"{label(method)}, edges"] = reduced[method].sum(1)
    pictures = model.preprocessing.to_rgb(inputs).permute(0, 2, 3, 1).cpu().numpy()
    return map_grid(
        list(pictures),
        {name: values.detach().cpu() for name, values in maps.items()},
        list(images.names),
        "Signed maps. Input times a random gradient knows nothing of the network. “Edges”: all "
        "pixels but Canny's edges and their neighbours are set to zero before "
        f"{study.settings.public()['model']} sees the photograph. Seed {seed}. A picture, not a "
        "measurement.",
    )
