"""Real maps beside Theorem 4, and what maps are divided by (Binder et al. 2022, App. D)."""

import pandas as pd
from pandas.io.formats.style import Styler

from sanitygap.chapters.theorems_3_4.plots import map_dispersion as draw_dispersion
from sanitygap.chapters.theorems_3_4.plots import mean_shares as draw_shares
from sanitygap.figures.plate import Plate
from sanitygap.pages import side_by_side
from sanitygap.runs import Study
from sanitygap.show import (
    about,
    display_table,
    panel,
    shows,
    with_intervals,
)
from sanitygap.statements import _intervals, described
from sanitygap.words import plural


def mse_terms(study: Study) -> Styler:
    """What the normalised MSE after the last step of the randomisation test is made of."""
    table = study.table("randomization")
    rows = table[(table["order"] == "top-down") & (table["sign"] == "signed")]
    rows = rows[rows["step"] == rows["step"].max()]
    rows = rows.assign(covariance=rows["product"] - rows["means"])
    names = {"mse": "MSE", "means": "means m", "covariance": "covariance c"}
    numbers = with_intervals(rows, ["method"], names, "term")
    numbers["value"] = [
        f"{row['mean']:z.3f} [{row['low']:z.3f}, {row['high']:z.3f}]"
        for row in numbers.to_dict("records")
    ]
    return display_table(
        side_by_side(numbers, "method", "term", "value"),
        "Normalised MSE of signed maps after the last step of top-down randomisation, and its two "
        f"terms; 95 % bootstrap intervals over images. {about(study, 'randomization')}.",
    )


@shows()
def map_dispersion(study: Study) -> Plate:
    """How much two normalisers vary, on the network's own maps."""
    names = ("maximum_spread", "rms_spread")
    numbers = pd.concat([_own_maps(study, name).assign(value=name) for name in names])
    return described(draw_dispersion, numbers, numbers, about(study, "map-normalizers"))


@shows()
def mean_shares(study: Study) -> Plate:
    """The share of the mean in the second moment: the network's own maps, and random networks."""
    random = study.table("second-moment-rationale")
    names = {
        "Sensitivity, l2": "sensitivity-l2",
        "Gradient, mean": "gradient",
        "Gradient x Input": "gradient-x-input",
    }
    others = random[["method", "estimate", "low", "high"]].assign(
        method=random["method"].map(names), value="random networks", n=random["draws"]
    )
    own = _own_maps(study, "mean_share").assign(value=panel(study, "map-normalizers"))
    numbers = pd.concat([own, others])
    return described(draw_shares, numbers, numbers, about(study, "map-normalizers"))


def _own_maps(study: Study, column: str) -> pd.DataFrame:
    """Means over images of a column of the table map-normalizers."""
    table = study.table("map-normalizers")
    return _intervals(table, ["method"], column).rename(columns={"mean": "estimate"})


def normalizer_rankings(study: Study) -> Styler:
    """The order of the methods by MSE for three normalisers, on the network's own maps."""
    table = study.table("map-normalizers")
    names = {
        "mse_second_moment": "second moment",
        "mse_deviation": "standard deviation",
        "mse_maximum": "maximum",
    }
    zero = table.loc[table[list(names)].isna().any(axis=1), "image"].unique()
    rows = table[~table["image"].isin(zero)]
    means = rows.groupby("method", sort=False)[list(names)].mean().rename(columns=names)
    ranks = means.rank(ascending=False).astype(int)
    words = means.map("{:.3f}".format).astype(object) + " (" + ranks.astype(str) + ")"
    left_out = (
        f"{plural(len(zero), 'image')} left out, because a method's map of the redrawn network is "
        "zero everywhere. "
        if len(zero)
        else ""
    )
    return display_table(
        words.reset_index(),
        "Mean squared difference between the map of the trained network and that of the network "
        "with all weights redrawn, after dividing both maps by the quantity named; in brackets the "
        f"rank, 1 for the largest. {left_out}{about(study, 'map-normalizers')}.",
    )
