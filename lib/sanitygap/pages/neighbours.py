"""Pages about other published forms of the randomisation test."""

import pandas as pd
from pandas.io.formats.style import Styler

from sanitygap import show
from sanitygap.experiments.mprt_variants import DRAWS
from sanitygap.figures import Plate
from sanitygap.runs import Study

MPRT = "mprt-variants"

PANELS = {
    "book": "this book: SSIM, signed",
    "image_ssim": "SSIM, absolute",
    "flat_ssim": "SSIM of one row",
    "spearman": "MPRT: Spearman",
    "smooth": "smooth MPRT: Spearman",
}


@show.shows(MPRT)
def neighbour_plate(study: Study) -> Plate:
    """The scores of this book and of its neighbours for the same methods."""
    table = study.table(MPRT)
    random = table[table["layers"] > 0]
    frames = []
    for value, title in PANELS.items():
        draw = DRAWS[0] if value == "book" else "smooth" if value == "smooth" else DRAWS[1]
        column = "spearman" if value == "smooth" else value
        part = show.with_intervals(random[random["draw"] == draw], ("method",), column)
        frames.append(part.assign(panel=title, series="score", row=part["method"]))
    count = random["layers"].nunique()
    return show.dots(
        pd.concat(frames, ignore_index=True),
        caption=f"Mean similarity over {count} networks whose layers are random from the top. "
        "First panel: weights drawn as in this book. Others: the layers' own initialisers, one "
        "seed for all layers, as in the peer. Smooth: mean map of noisy copies of the image. "
        f"{show.about(study, MPRT, 'Bars')}",
        xlabels="similarity (down: passes)",
    )


def _mean(rows: pd.DataFrame, value: str) -> float:
    return float(rows.groupby("image")[value].mean().mean())


@show.shows(MPRT)
def disagreement_table(study: Study) -> Styler:
    """Each difference between this book's numbers and the peer's, switched on alone."""
    table = study.table(MPRT)
    rows = []
    for method in show.distinct(table["method"]):
        own = table[table["method"] == method]
        ours, theirs = own[own["draw"] == DRAWS[0]], own[own["draw"] == DRAWS[1]]
        random, redrawn = ours[ours["layers"] > 0], theirs[theirs["layers"] > 0]
        rows.append(
            {
                "method": method,
                "flattening: SSIM": _mean(random, "image_ssim"),
                "of one row": _mean(random, "flat_ssim"),
                "averaging: without the original": _mean(redrawn, "spearman"),
                "with it": _mean(theirs, "spearman"),
                "seeds: one a layer": _mean(random, "spearman"),
                "one for all": _mean(redrawn, "spearman"),
                "sign: absolute": _mean(random, "spearman"),
                "signed": _mean(random, "spearman_signed"),
            }
        )
    doubles = float(table["doubles"].iloc[0])
    return show.display_table(
        rows,
        "Means over the same maps, two columns for each difference. Flattening: windows of 7 x 7 "
        "or 7 x 1, absolute maps. Averaging: Spearman with or without the 1.0 of the trained "
        "network. Seeds: He-normal weights with a seed for each layer, or the layers' own "
        f"initialisers with one seed; {doubles:.0%} of the weight tensors here have the shape of "
        f"an earlier one, and so its numbers. {show.about(study, MPRT)}.",
    )


@show.shows(MPRT)
def efficient_table(study: Study) -> Styler:
    """Efficient MPRT: rise of the complexity from the trained to the random network."""
    table = study.table(MPRT)
    last = table[table["layers"] == table["layers"].max()]
    plain = last[last["draw"] == DRAWS[1]]
    rows = []
    for method, part in plain.groupby("method", sort=False):
        values = part.groupby("image")["rise"].mean().dropna()
        rows.append(
            {"method": method}
            | show.bounds(show.shown_mean(values), "rise")
            | {"rise": float(values.mean()), "MPRT, last layer": _mean(part, "spearman")}
        )
    frame = pd.DataFrame(rows).sort_values("rise", ascending=False, ignore_index=True)
    return show.display_table(
        frame,
        "Relative rise of the entropy of a map's histogram (100 bins) once all layers are random: "
        "efficient MPRT asks for a high rise and compares no maps. 95 % bootstrap intervals over "
        f"images. {show.about(study, MPRT)}.",
    )
