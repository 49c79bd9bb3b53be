"""Pages about what similarities say of maps that know nothing of the model."""

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

from sanitygap import show
from sanitygap.adebayo_metrics import SCALES
from sanitygap.chapters.randomization.judge import calibrated
from sanitygap.figures.methods import label
from sanitygap.figures.plate import Plate
from sanitygap.judge import rows_of
from sanitygap.runs import Study

CALIBRATION, NULLS = "metric-calibration", "smooth-nulls"
GRADIENTS, EDGES = "random-gradient", "edge-input"

#: column of both tables of controls -> its words
SIMILARITIES = {
    "spearman": "Spearman correlation",
    "hog_pearson": "HOG correlation",
    "ssim": "SSIM",
}

EDGE_METHODS = ("gradient", "guided-backprop", "guided-grad-cam")


@show.shows(CALIBRATION)
def calibration_table(study: Study) -> Styler:
    """Every printed number of the calibration beside its simulated distribution."""
    found = calibrated(study.table(CALIBRATION))
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
    sides = ", ".join(map(str, sorted(set(study.table(CALIBRATION)["side"]))))
    return show.display_table(
        shown,
        "Printed calibration and simulation. The standard error of a mean of 50 pairs is the "
        "standard deviation of a pair over √50. Rows of attribution methods: map against Gaussian "
        f"mask. Sides of the maps: {sides} pixels. {show.about(study, CALIBRATION)}.",
    )


@show.shows(NULLS)
def null_table(study: Study) -> Styler:
    """How wide the null distribution of Spearman's correlation is for smooth maps."""
    table = study.table(NULLS)
    table = table.assign(
        ratio=table["deviation"] / table["independent"],
        by_length=table["deviation"] / (table["length"] / np.sqrt(table["pixels"])),
    )
    means = table.groupby(["source", "smoothing"], sort=False)[
        ["length", "deviation", "independent", "ratio", "by_length"]
    ].mean()
    shown = means.reset_index()
    shown["source"] = [label(str(source)) for source in shown["source"]]
    return show.display_table(
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
        f"{show.about(study, NULLS)}.",
    )


def _similarities(table: pd.DataFrame, by: tuple[str, str]) -> pd.DataFrame:
    """Means of the similarities that a table has, without those that are undefined throughout."""
    held = {name: words for name, words in SIMILARITIES.items() if table[name].notna().any()}
    return show.with_intervals(table, by, held).dropna(subset="mean")


@show.shows(GRADIENTS)
def random_gradient_plate(study: Study) -> Plate:
    """Input times a random gradient, beside another one, the input, and gradient x input."""
    table = study.table(GRADIENTS)
    numbers = _similarities(table, ("second", "maps"))
    numbers["maps"] = numbers["maps"].map(SCALES)
    return show.dots(
        numbers.rename(columns={"second": "row", "maps": "series"}),
        caption="Input times a random gradient, compared with three other maps. Overlap of its "
        f"strongest pixels with edges: {table['overlap'].mean():.2f}, by chance "
        f"{table['edges'].mean():.2f}. {show.about(study, GRADIENTS)}, {table['seed'].nunique()} "
        f"random gradients an image. {show.BARS}",
        xlabels="similarity",
        lines=dict.fromkeys(SIMILARITIES.values(), 0.0),
        legend="scaling",
    )


@show.shows(EDGES)
def edge_plate(study: Study) -> Plate:
    """Maps of images beside maps of their edges, and beside the edges themselves."""
    table = rows_of(study.table(EDGES), maps="absolute")
    return show.dots(
        _similarities(table, ("method", "second")).rename(
            columns={"method": "row", "second": "series"}
        ),
        caption="Absolute maps of images, compared with those of the same images with all but "
        f"their edges set to zero ({table['edges'].mean():.0%} of the pixels are kept), and with "
        f"the edges themselves. {show.about(study, EDGES, 'Bars')}",
        xlabels="similarity\n(right: alike)",
        lines=dict.fromkeys(SIMILARITIES.values(), 0.0),
        legend="compared with the",
    )
