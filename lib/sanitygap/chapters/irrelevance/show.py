"""Pages about irrelevance that is preserved (Binder et al. 2022, Sec. 4.1)."""

import math
from collections.abc import Mapping

import pandas as pd
from scipy.stats import spearmanr

from sanitygap import show
from sanitygap.chapters.irrelevance.judge import LEAST_AUC
from sanitygap.chapters.irrelevance.measure import (
    CONTROLS,
    METHOD,
)
from sanitygap.chapters.irrelevance.plots import change_scatter
from sanitygap.figures.methods import label
from sanitygap.figures.plate import Plate
from sanitygap.judge import by_image, rows_of, strict_mean
from sanitygap.runs import Study

TABLE, TILES, CHANGE = "irrelevance", "ignored-tiles", "limited-change"

#: what grey ranges are of
NULL = "maps of different images"

MEASURE_LABELS = {"pearson": "Pearson", "spearman": "Spearman", "ssim": "SSIM"}


def _compared(
    kinds: Mapping[tuple[str, str], pd.DataFrame], panels: Mapping[str, str]
) -> pd.DataFrame:
    """Means over images beside the range of maps of different images, for :func:`show.dots`.

    Args:
        kinds: series and row -> comparisons of maps of the same and of other images.
        panels: title -> column of the comparisons.
    """
    numbers = []
    for (series, row), rows in kinds.items():
        others = rows[rows["other"] > 0]
        numbers += [
            {"panel": title, "row": row, "series": series}
            | show.interval(by_image(rows_of(rows, other=0), value))
            | {"null_low": others[value].quantile(0.05), "null_high": others[value].quantile(0.95)}
            for title, value in panels.items()
        ]
    return pd.DataFrame(numbers)


def _cuts(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    return {
        f"φ up to {kept} ({share:.1%} of the stages)": rows
        for (share, kept), rows in table.groupby(["share", "kept"], sort=True)
    }


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
    numbers = _compared(
        {
            (series, row): rows_of(rows, **chosen)
            for series, rows in _cuts(redrawn).items()
            for row, chosen in kinds.items()
        },
        {title: measure for measure, title in MEASURE_LABELS.items()},
    )
    return show.dots(
        numbers,
        caption=f"Similarity of {label(METHOD)} maps of the same image before and after g is "
        f"redrawn ({redrawn['seed'].nunique()} redraws), and of two controls that know nothing of "
        "the network with the maps after. Grey: 5th to 95th percentile of the similarity to maps "
        f"of other images. {show.about(study, TABLE, 'Bars')}",
        null=NULL,
        lines=dict.fromkeys(MEASURE_LABELS.values(), 0.0),
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
    numbers = _compared(
        {
            (series, row): rows_of(rows, **chosen)
            for series, rows in _cuts(smoothed).items()
            for row, chosen in kinds.items()
        },
        {"Spearman": "spearman", area: "auc"},
    )
    return show.dots(
        numbers,
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
        rows.append(
            {
                "image": image,
                "change": change,
                "network": "trained" if part["seed"].isna().all() else "redrawn",
                "rank_logits": spearmanr(part["phi"], part["logits"]).statistic,
                "rank_attribution": spearmanr(part["phi"], part["attribution"]).statistic,
                "low_logits": _share(lowest["logits"], part["logits"]),
                "low_attribution": _share(lowest["attribution"], part["attribution"]),
                "low_tiles": len(lowest) / len(part),
            }
        )
    keys = ["image", "change", "network"]
    return pd.DataFrame(rows).groupby(keys, as_index=False, sort=False).mean()


def _share(some: pd.Series, every: pd.Series) -> float:
    """What some values are of the sum of all; NaN where that is zero."""
    return float(some.sum() / every.sum()) if every.sum() else math.nan


@show.shows(TILES)
def tile_plate(study: Study) -> Plate:
    """Eq. (4) on a real network: do g and its explanation ignore what phi ignores?"""
    table = study.table(TILES)
    agreement = tile_agreement(table)
    share = float(agreement["low_tiles"].iloc[0])
    names = {"logits": "response of the logits", "attribution": "attribution"}
    rank, low = "rank correlation with φ's response", "share of the tiles φ ignores most"
    numbers = [
        {
            "panel": title,
            "row": f"{words}, {network} g",
            "series": f"tile changed by {change}",
        }
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
