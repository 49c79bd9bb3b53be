"""The activations of real networks, layer by layer (Binder et al. 2022, App. I and J)."""

import pandas as pd
from pandas.io.formats.style import Styler

from sanitygap.chapters.theorem_2.judge_activations import PAIRS, frequencies
from sanitygap.chapters.theorem_2.plots import redrawn_layers
from sanitygap.figures.plate import Plate
from sanitygap.runs import Study
from sanitygap.show import (
    NothingToShowError,
    about,
    bounds,
    display_table,
    model_of,
    shown_mean,
    shows,
)
from sanitygap.statements import Draw, _intervals, described


@shows()
def activation_plate(study: Study, table: str, draw: Draw) -> Plate:
    """A figure about activations; the numbers behind it are means over images."""
    rows = study.table(table)
    keys = [name for name in ("layer_index", "layer", "q_high", "q_low") if name in rows]
    numbers = rows.groupby(keys, as_index=False).mean(numeric_only=True)
    return described(draw, rows, numbers, about(study, table))


def _overtaking(study: Study) -> tuple[pd.DataFrame, str]:
    """How often real neurons of redrawn layers are overtaken, and words about the table."""
    table = frequencies(study.table("redrawn-overtaking"))
    if table.empty:
        raise NothingToShowError(
            f"{model_of(study)} has no convolution or dense layer that an activation module feeds "
            "directly, so there is nothing to redraw here."
        )
    redraws = study.made("redrawn-overtaking")["parameters"]["redraws"]
    return table, f"{about(study, 'redrawn-overtaking')}, {redraws} redraws an image"


@shows()
def redrawn_plate(study: Study) -> Plate:
    """Overtaking in the real neurons of redrawn layers beside the bound, layer by layer."""
    table, words = _overtaking(study)
    keys = ["q_high", "q_low", "layer_index", "layer"]
    means = table.groupby(keys, as_index=False)[["bound", "simulated"]].mean()
    numbers = _intervals(table, keys, "frequency").merge(means, on=keys)
    chosen = [pair in PAIRS for pair in zip(numbers["q_high"], numbers["q_low"], strict=True)]
    return described(redrawn_layers, numbers[chosen], numbers[chosen], words)


@shows()
def measured_overtaking(study: Study) -> Styler:
    """The bound on overtaking beside its frequency in real neurons with redrawn weights."""
    table, words = _overtaking(study)
    rows = []
    for (high, low), part in table.groupby(["q_high", "q_low"], sort=False):
        images = part.groupby("image")[["bound", "simulated", "frequency"]].mean()
        layers = part.groupby("layer_index")
        zeros = layers["value_low"].max() == 0
        above = layers["frequency"].mean() > layers["bound"].mean()
        rows.append(
            {"large: above V(q)": f"{high:g}", "small: below V(q)": f"{low:g}"}
            | {
                "mean bound": images["bound"].mean(),
                "simulated neurons": images["simulated"].mean(),
            }
            | bounds(shown_mean(images["frequency"]), "real neurons")
            | {"layers": layers.ngroups, "of them with V(q) = 0": int(zeros.sum())}
            | {"real neurons above the bound": int(above.sum())}
        )
    return display_table(
        rows,
        "Means over layers and images of the bound of Theorem 2 and of the two frequencies; 95 % "
        "bootstrap intervals over images. The last three columns count layers: all that the "
        "paper's rule covers, those whose small activations are zeros in every image, and those "
        f"whose mean frequency exceeds the mean bound. {words}.",
    )
