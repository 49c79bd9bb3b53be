"""Pages about Eq. (3) to (6), and irrelevance that is preserved (Sec. 4.1)."""

import math
from collections.abc import Mapping
from itertools import product

import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import spearmanr

from sanitygap import show
from sanitygap.chapters.irrelevance.judge import LEAST_AUC, readings
from sanitygap.chapters.irrelevance.measure import CONTROLS, METHOD
from sanitygap.figures.methods import label
from sanitygap.figures.plate import Plate
from sanitygap.figures.theory import REFERENCE, lines, log_axis, points, shades
from sanitygap.judge import by_image, rows_of, strict_mean
from sanitygap.runs import Study
from sanitygap.show import draw_points, panel_axes

TABLE, TILES, CHANGE = "irrelevance", "ignored-tiles", "limited-change"

#: what grey ranges are of
NULL = "maps of different images"

MEASURES = {"Pearson": "pearson", "Spearman": "spearman", "SSIM": "ssim"}


def _compared(
    table: pd.DataFrame, kinds: Mapping[str, Mapping[str, str]], panels: Mapping[str, str]
) -> pd.DataFrame:
    """Means over images beside the range of maps of different images, for :func:`show.dots`.

    Args:
        table: comparisons of maps of the same and of other images; each cut is a series.
        kinds: row -> the values of columns by which its comparisons are told.
        panels: title -> column of the comparisons.
    """
    numbers = []
    for (name, cut), (row, chosen) in product(readings(table).items(), kinds.items()):
        rows = rows_of(cut, **chosen)
        others = rows[rows["other"] > 0]
        numbers += [
            {"panel": title, "row": row, "series": name.replace("kept", "φ", 1)}
            | show.interval(by_image(rows_of(rows, other=0), value))
            | {"null_low": others[value].quantile(0.05), "null_high": others[value].quantile(0.95)}
            for title, value in panels.items()
        ]
    return pd.DataFrame(numbers)


@show.shows(TABLE)
def similarity_plate(study: Study) -> Plate:
    """Fig. 4 in numbers: maps before and after redrawing g, the null distribution, controls."""
    redrawn = rows_of(study.table(TABLE), second="redrawn")
    kinds = {
        "trained and redrawn, absolute": {"first": "trained", "maps": "absolute"},
        "trained and redrawn, signed": {"first": "trained", "maps": "signed"},
    } | {
        f"{label(name)} and redrawn, absolute": {"first": name, "maps": "absolute"}
        for name in CONTROLS
    }
    return show.dots(
        _compared(redrawn, kinds, MEASURES),
        caption=f"Similarity of {label(METHOD)} maps of the same image before and after g is "
        f"redrawn ({redrawn['seed'].nunique()} redraws), and of two controls that know nothing of "
        "the network with the maps after. Grey: 5th to 95th percentile of the similarity to maps "
        f"of other images. {show.about(study, TABLE, 'Bars')}",
        null=NULL,
        lines=dict.fromkeys(MEASURES, 0.0),
    )


@show.shows(TABLE)
def feature_plate(study: Study) -> Plate:
    """Fig. 4, bottom left, in numbers: what the map of phi says about the maps above it."""
    area = "area under the ROC curve"
    kinds = {
        "φ and trained": {"first": "phi", "second": "trained"},
        "φ and redrawn": {"first": "phi", "second": "redrawn"},
    } | {f"{label(name)} and trained": {"first": name, "second": "trained"} for name in CONTROLS}
    smoothed = rows_of(study.table(TABLE), maps="smoothed")
    return show.dots(
        _compared(smoothed, kinds, {"Spearman": "spearman", area: "auc"}),
        caption="What the explanation of the sum of φ's activations says about the explanations of "
        f"the class: {label(METHOD)} maps, absolute values averaged over squares of 15 pixels. "
        "Left: rank correlation. Right: how well low values at φ find the less relevant half of "
        "the pixels of the other map; 0.5 is chance, dashed is the criterion's 0.6. Grey: 5th to "
        f"95th percentile over maps of different images. {show.about(study, TABLE, 'Bars')}",
        null=NULL,
        lines={"Spearman": 0.0, area: LEAST_AUC},
    )


def tile_agreement(table: pd.DataFrame) -> pd.DataFrame:
    """For each image, network and kind of change: how tiles that phi ignores fare above it.

    Args:
        table: the table ``ignored-tiles``.

    Returns:
        One row an image, change and network (``trained`` or ``redrawn``, redraws averaged) with
        the rank correlation over tiles of phi's response with the logits' (``rank_logits``) and
        with the attribution (``rank_attribution``), and what falls to the quarter of the tiles to
        which phi responds least: its share of the logits' response (``low_logits``), of the
        attribution (``low_attribution``), and of the tiles (``low_tiles``, about 0.25).
    """
    rows = []
    for (image, change, _), part in table.groupby(["image", "change", "seed"], dropna=False):
        lowest = part.nsmallest(max(1, round(len(part) / 4)), "phi")
        network = "trained" if part["seed"].isna().all() else "redrawn"
        row = {"image": image, "change": change, "network": network}
        for what in ("logits", "attribution"):
            total = part[what].sum() or math.nan
            row[f"rank_{what}"] = spearmanr(part["phi"], part[what]).statistic
            row[f"low_{what}"] = float(lowest[what].sum() / total)
        rows.append({**row, "low_tiles": len(lowest) / len(part)})
    keys = ["image", "change", "network"]
    return pd.DataFrame(rows).groupby(keys, as_index=False, sort=False).mean()


@show.shows(TILES)
def tile_plate(study: Study) -> Plate:
    """Eq. (4) on a real network: do g and its explanation ignore what phi ignores?"""
    table = study.table(TILES)
    if table.empty:
        raise show.NothingToShowError("No tile of an image of this run could be looked at.")
    agreement = tile_agreement(table)
    share = float(agreement["low_tiles"].iloc[0])
    names = {"logits": "response of the logits", "attribution": "attribution"}
    rank, low = "rank correlation with φ's response", "share of the tiles φ ignores most"
    numbers = [
        {"panel": title, "row": f"{words}, {network} g", "series": f"tile changed by {change}"}
        | show.interval(rows[f"{start}_{what}"])
        for title, start in {rank: "rank", low: "low"}.items()
        for what, words in names.items()
        for (change, network), rows in agreement.groupby(["change", "network"], sort=False)
    ]
    return show.dots(
        pd.DataFrame(numbers),
        caption=f"Each of {table['tile'].nunique()} tiles of an image is changed, by noise of the "
        "same energy in all or by blurring, and the change of φ(x), of the logits and the tile's "
        f"share of the attribution ({label(METHOD)}) are compared. Left: rank correlation over "
        f"tiles. Right: what falls to the {share:.0%} of the tiles to which φ responds least; "
        f"dashed is their share of the tiles. {show.about(study, TILES, 'Bars')}",
        lines={rank: 0.0, low: share},
    )


@show.shows(CHANGE)
def change_plate(study: Study) -> Plate:
    """Planted networks: the change that the truth attains, and every method's."""
    table = study.table(CHANGE)
    scores = [
        show.score_columns(
            table.pivot_table(value, "image", "method", strict_mean, sort=False), value
        )
        for value in ("error", "ssim")
    ]
    first = rows_of(table, method=table["method"].iloc[0])
    parameters = study.made(CHANGE)["parameters"]
    sampled = ", ".join(f"{name} = {value}" for name, value in parameters.items())
    return change_scatter(
        pd.concat(scores, axis=1).reset_index(),
        pd.Series(show.interval(by_image(first, "attainable"))),
        "Networks in which every pixel adds its own, known amount to the logits, and whose upper "
        f"layers are drawn twice ({table['seed'].nunique()} networks). Dashed, with its interval: "
        "SSIM of the true contributions before and after. Error: normalised MSE against the true "
        f"contributions. Images of {study.settings.public()['images']}, n = "
        f"{table['image'].nunique()}, seed {study.settings.seed}; {sampled}. {show.BARS}",
    )


def ignored_features(table: pd.DataFrame) -> Figure:
    """Mean share of the absolute attribution that goes to inputs to which the kept layers do not
    respond, under random layers on top. The layers ignore these inputs because their weights are
    zero, because two paths cancel, or only near the input (locally dead units). The paper says that
    the share should be small."""
    rows = table[table["head"] == "random"]
    wide = rows.pivot_table(index="method", columns="case", values="share", sort=False)
    figure, (axis,) = panel_axes(1, 1, (6.5, 3.8))
    top = max(0.3, wide.to_numpy().max())
    shades(axis, wide, ".2f", cmap="Blues", vmax=top, cbar_kws={"label": "share of attribution"})
    return figure


def additive_surrogate(table: pd.DataFrame) -> Figure:
    """A block with a skip connection whose branch is drawn again. Left: error of the additive form
    of Eq. (5) relative to the change, with 95 % intervals; the criterion is below 0.2, dashed.
    Right: correlation of the logits before and after the draw."""
    figure, axes = panel_axes(2, 2, (4.5, 3.5))
    panels = {
        "estimate": "relative error of the surrogate",
        "logit_correlation": "correlation of the logits",
    }
    for axis, (column, words) in zip(axes, panels.items(), strict=True):
        lines(axis, table, "branch_scale", "top", column)
        log_axis(axis, table["branch_scale"])
        axis.set(xlabel="scale of the branch", ylabel=words)
    axes[0].axhline(0.2, **REFERENCE)
    axes[1].set_ylim(0, 1)
    axes[0].legend(title="top of the network")
    return figure


def linearity(table: pd.DataFrame) -> Figure:
    """Largest distance between the explanation of a combined network and the combination of the
    explanations of its parts, relative to the largest attribution. The dashed line is the criterion
    for methods that are linear in the function."""
    rows = table.rename(columns={"largest": "estimate"})[["method", "combination", "estimate"]]
    figure = points(rows, "method", "combination", "relative error", 1e-10)
    figure.axes[0].set(xscale="log")
    return figure


def change_scatter(numbers: pd.DataFrame, attainable: pd.Series, caption: str) -> Plate:
    """Methods by their error against the truth and by how much their maps change.

    Args:
        numbers: columns ``method``, ``error``, ``ssim`` and their ``_low`` and ``_high``.
        attainable: ``mean``, ``low`` and ``high`` of the SSIM of the true contributions.
        caption: the figure's caption.
    """
    figure, [axis] = panel_axes(1, 1, (8.6, 4.6))
    axis.axhspan(attainable["low"], attainable["high"], color="0.88", zorder=0)
    axis.axhline(attainable["mean"], color="0.35", ls="--", lw=1.1, label="attainable: the truth")
    draw_points(axis, numbers, "error", "ssim")
    axis.set(
        xlabel="error against the true contributions\n(left: faithful)",
        ylabel="SSIM before and after the redraw\n(down: passes the sanity check)",
    )
    axis.set_xscale("symlog", linthresh=0.01)
    axis.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5))
    listed = "; ".join(
        f"{label(str(row['method']))} error {row['error']:.2f}, SSIM {row['ssim']:.2f}"
        for row in numbers.to_dict("records")
    )
    alt = f"The truth itself has an SSIM of {attainable['mean']:.2f}. {listed}."
    return Plate(figure, alt, caption, numbers)
