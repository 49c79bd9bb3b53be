"""Pages about skips that preserve a baseline (Binder et al. 2022, Sec. 4.2)."""

from dataclasses import replace

import pandas as pd

from sanitygap import show
from sanitygap.chapters.skips import BETAS
from sanitygap.chapters.skips.judge import LEAST_SKIP_CORRELATION, median_correlation
from sanitygap.figures.methods import label
from sanitygap.figures.plate import Plate
from sanitygap.judge import by_image, rows_of
from sanitygap.residual_blocks import PARTS
from sanitygap.runs import Study
from sanitygap.words import plural

PART_LABELS = {"total": "whole map", "skip": "through the skip", "branch": "through the branch"}

#: where a layer lies -> what the figure calls it
PATHS = {
    "residual branch": "beside a skip",
    "skip": "on a skip (projection)",
    "neither": "no skip around it",
}

#: what is measured of the surrogate -> title of its panel
SURROGATE = {
    "error": "error of the surrogate, relative to the change",
    "correlation": "correlation of the logits before and after",
    "constant": "correlation of B(x) with the logits after",
}

#: bound on the surrogate's error in the criterion for Eq. (5)
LARGEST_ERROR = 0.2


def measured(study: Study, table: str) -> pd.DataFrame:
    """A table about skip connections.

    Raises:
        NothingToShowError: the network has none, so that the table is empty.
    """
    rows = study.table(table)
    if rows.empty:
        raise show.NothingToShowError(
            "Without a skip connection there is nothing to measure here either."
        )
    return rows


@show.shows("layer-logits")
def layer_plate(study: Study) -> Plate:
    """Fig. 5 in numbers: correlation of the logits for every layer."""
    table = study.table("layer-logits")
    numbers = [
        {"layer": layer, "depth": depth, "path": path, "measure": measure}
        | show.columns(median_correlation(rows, measure), "median")
        for (layer, depth, path), rows in table.groupby(["layer", "depth", "path"], sort=False)
        for measure in ("pearson", "spearman")
    ]
    frame = pd.DataFrame(numbers)
    drawn = frame[frame["measure"] == "pearson"].sort_values("depth", kind="stable")
    plate = show.along(
        drawn.assign(path=drawn["path"].map(PATHS)),
        "layer",
        series="path",
        value="median",
        style="",
        lines={"": 0.0},
        ylabel="correlation of the logits\nbefore and after",
        caption="Pearson correlation over classes of the logits before and after one layer is "
        f"redrawn: median over images and {table['seed'].nunique()} redraws, from the input to the "
        "output. The normalisation behind the layer keeps its trained statistics. "
        f"{show.about(study, 'layer-logits', 'Bars')} Spearman correlations are in the download.",
    )
    return replace(plate, numbers=frame)


@show.shows("skip-relevance")
def part_plate(study: Study) -> Plate:
    """Fig. 7 in numbers: how alike each part stays, and how much of the map it is."""
    table = measured(study, "skip-relevance")
    correlation, mass = "correlation before and after", "share of the map's absolute values"
    held = {
        f"LRP-β, β = {beta:g}": rows_of(table, method=method)
        for method, beta in BETAS.items()
        if method in set(table["method"])
    }
    numbers = [
        {"panel": correlation, "row": words, "series": series}
        | show.interval(by_image(rows_of(rows, part=part), "pearson"))
        for part, words in PART_LABELS.items()
        for series, rows in held.items()
    ] + [
        {"panel": mass, "row": f"{PART_LABELS[part]}, {network}", "series": series}
        | show.interval(by_image(rows_of(rows, part=part), column))
        for part in PARTS
        for column, network in (("mass", "trained"), ("mass_after", "redrawn"))
        for series, rows in held.items()
    ]
    block, layer = table.loc[0, ["block", "layer"]]
    return show.dots(
        pd.DataFrame(numbers),
        caption=f"Maps split at the addition of {block}, before and after {layer} is redrawn "
        f"({plural(table['seed'].nunique(), 'redraw')}). Left: Pearson correlation over pixels; "
        f"dashed is the criterion's {LEAST_SKIP_CORRELATION} for the skip's part. Right: sum of "
        "a part's absolute values over that of the whole map; parts of opposite signs can exceed 1 "
        f"together. {show.about(study, 'skip-relevance', 'Bars')}",
        lines={correlation: LEAST_SKIP_CORRELATION, mass: 0.0},
    )


@show.shows("skip-surrogate")
def surrogate_plate(study: Study) -> Plate:
    """Eq. (5) on a real network: where does the additive surrogate hold?"""
    table = measured(study, "skip-surrogate")
    numbers = [
        {"block": block, "change": change, "size": size, "value": value}
        | show.interval(by_image(rows, value))
        for (block, change, size), rows in table.groupby(["block", "change", "size"], sort=False)
        for value in SURROGATE
    ]
    frame = pd.DataFrame(numbers)
    drawn = frame.sort_values(["change", "size"], kind="stable")
    changes = [
        change if change == "redraw" else f"{change} {size:g}"
        for change, size in zip(drawn["change"], drawn["size"], strict=True)
    ]
    plate = show.along(
        drawn.assign(change=changes, value=drawn["value"].map(SURROGATE)),
        "change",
        series="block",
        panel="value",
        ylabel="",
        lines={SURROGATE["error"]: LARGEST_ERROR},
        legend="split at",
        caption="The layers above the addition of a residual block, linearised at the trained "
        "weights and the given image. Left: norm of surrogate minus network over the norm of the "
        "network's change; below the dashed line the criterion for Eq. (5) would call it a good "
        "approximation, and at 1 it is no better than assuming no change. Noise: on the input, "
        "standard deviation over the value range. Redraw: of the last layer of the branch "
        f"({table['seed'].nunique()} draws of each). {show.about(study, 'skip-surrogate', 'Bars')}",
    )
    return replace(plate, numbers=frame)


@show.shows("skip-networks")
def network_plate(study: Study) -> Plate:
    """What skips predict: the sanity check of single layers with skips, without, without E{B}."""
    table = study.table("skip-networks")
    kinds = {
        "with skips": {"network": "with skips", "part": "total"},
        "with skips, E{B} removed": {"network": "with skips", "part": "branch"},
        "without skips": {"network": "without skips", "part": "total"},
    }
    numbers = [
        {"method": label(str(method)), "layer": layer, "series": series}
        | show.interval(by_image(rows_of(rows, **chosen), "ssim"))
        for (method, layer), rows in table.groupby(["method", "layer"], sort=False)
        for series, chosen in kinds.items()
    ]
    accuracy = table.groupby("network", sort=False)["accuracy"].mean()
    listed = ", ".join(f"{value:.1%} {name}" for name, value in accuracy.items())
    return show.along(
        pd.DataFrame(numbers),
        "layer",
        series="series",
        panel="method",
        ylabel="SSIM before and after\n(down: passes the sanity check)",
        caption="Two small networks of the same layers, trained on handwritten digits "
        f"({plural(table['training'].nunique(), 'training')}; accuracy {listed}). One convolution "
        f"is redrawn at a time ({plural(table['seed'].nunique(), 'redraw')}); SSIM of the maps "
        f"before and after, n = {table['image'].nunique()} digits. E{{B}} removed: only what flows "
        f"through the branch of the redrawn layer is explained. {show.BARS}",
    )
