"""Pages about irrelevance that is preserved (Binder et al. 2022, Sec. 4.1)."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from IPython.display import Markdown
from scipy.stats import spearmanr

from sanitygap.criteria.irrelevance import MEASURES, by_image, rows_of
from sanitygap.experiments.irrelevance import (
    CONTROLS,
    KEPT,
    METHOD,
    explained,
    of_features,
    redraw_seeds,
)
from sanitygap.figures import Plate, theme
from sanitygap.figures.irrelevance import change_scatter, interval_dots
from sanitygap.figures.maps import map_grid
from sanitygap.figures.methods import label
from sanitygap.images import load_images
from sanitygap.models import Explainable
from sanitygap.pages.noise import holding, nothing_recorded
from sanitygap.pages.shared import about, shown_mean
from sanitygap.preservation.partition import cut_model
from sanitygap.randomization import RandomTwin
from sanitygap.runs import Study
from sanitygap.table import Batch, Context

#: profile -> photographs and redraws in the pictures
PICTURES = {"smoke": (1, 1), "quick": (2, 5), "full": (3, 5)}

MEASURE_LABELS = {"pearson": "Pearson", "spearman": "Spearman", "ssim": "SSIM"}


def pictured(study: Study, count: int) -> tuple[Explainable, Context, Batch]:
    """A few images to be looked at: the run's; the embedded photographs where it is recorded."""
    model = study.model
    images = load_images("photos") if study.recorded else study.images
    shown = images[: min(count, len(images))]
    context = Context(lambda: model, lambda: shown, study.settings.seed)
    return model, context, context.batch(range(len(shown)))


def seen(model: Explainable, batch: Batch) -> list[np.ndarray]:
    """What the model sees, RGB ``(H, W, 3)`` in ``[0, 1]``."""
    return list(model.preprocessing.to_rgb(batch.inputs).permute(0, 2, 3, 1).cpu().numpy())


def row_names(model: Explainable, batch: Batch) -> list[str]:
    """File name and explained class of each image."""
    return [
        f"{name}\n“{model.class_name(int(target))}”"
        for name, target in zip(batch.names, batch.targets, strict=True)
    ]


def preserved_maps(study: Study) -> Plate:
    """Fig. 4: maps of phi, of the trained network and of networks with g redrawn."""
    theme()
    count, redraws = PICTURES[study.settings.profile]
    model, context, batch = pictured(study, count)
    cut = cut_model(model, KEPT[0])
    maps: dict[str, torch.Tensor] = {
        "sum of φ(x)": of_features(model, batch, METHOD, cut, context.seed).cpu(),
        "trained": explained(model, batch, METHOD, context.seed).cpu(),
    }
    for seed in redraw_seeds(context, redraws):
        with RandomTwin(model, seed).redrawn(cut.redrawn):
            maps[f"redraw {seed}"] = explained(model, batch, METHOD, seed).cpu()
    return map_grid(
        seen(model, batch),
        maps,
        row_names(model, batch),
        f"{label(METHOD)} of {study.settings.public()['model']} for the class it predicts. φ ends "
        f"with the stage {cut.name} ({len(cut.kept)} of {len(model.stages)} stages are kept); "
        "everything above it is redrawn, once a column, by seed. First map: explanation of the "
        "sum of φ's activations. Each map has its own scale, cut at its 99.5 % quantile. A "
        "picture, not a measurement.",
    )


def interval(values: pd.Series) -> dict[str, Any]:
    """Mean over images with its 95 % bootstrap interval; images without a value are left out."""
    found = shown_mean(values)
    return {"mean": found.estimate, "low": found.low, "high": found.high, "n": found.n}


def _null(rows: pd.DataFrame, value: str) -> dict[str, Any]:
    values = rows.loc[rows["other"] > 0, value].dropna()
    if values.empty:
        return {"null_low": np.nan, "null_high": np.nan}
    return {"null_low": values.quantile(0.05), "null_high": values.quantile(0.95)}


def _cuts(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    return {
        f"φ up to {kept} ({share:.1%} of the stages)": rows
        for (share, kept), rows in table.groupby(["share", "kept"], sort=True)
    }


def similarity_plate(study: Study) -> Plate | Markdown:
    """Fig. 4 in numbers: maps before and after redrawing g, the null distribution, controls."""
    theme()
    if not holding(study, "irrelevance"):
        return nothing_recorded("irrelevance")
    kinds: Mapping[str, dict[str, str]] = {
        "trained and redrawn, absolute": {"first": "trained", "maps": "absolute"},
        "trained and redrawn, signed": {"first": "trained", "maps": "signed"},
    } | {
        f"{label(name)} and redrawn, absolute": {"first": name, "maps": "absolute"}
        for name in CONTROLS
    }
    numbers = []
    for series, table in _cuts(study.table("irrelevance")).items():
        for row, chosen in kinds.items():
            rows = rows_of(table, second="redrawn", **chosen)
            own = rows_of(rows, other=0)
            numbers += [
                {"panel": MEASURE_LABELS[measure], "row": row, "series": series}
                | interval(by_image(own, measure))
                | _null(rows, measure)
                for measure in MEASURES
            ]
    draws = rows_of(study.table("irrelevance"), second="redrawn")["seed"].nunique()
    return interval_dots(
        pd.DataFrame(numbers),
        f"Similarity of {label(METHOD)} maps of the same image before and after g is redrawn "
        f"({draws} redraws), and of two controls that know nothing of the network with the maps "
        "after. Grey: 5th to 95th percentile of the similarity to maps of other images. "
        f"{about(study, 'irrelevance')}. Bars: 95 % bootstrap intervals over images.",
        null="maps of different images",
    )


def feature_plate(study: Study) -> Plate | Markdown:
    """Fig. 4, bottom left, in numbers: what the map of phi says about the maps above it."""
    theme()
    if not holding(study, "irrelevance"):
        return nothing_recorded("irrelevance")
    panels = {"Spearman": "spearman", "area under the ROC curve": "auc"}
    numbers = []
    for series, table in _cuts(study.table("irrelevance")).items():
        smoothed = rows_of(table, maps="smoothed")
        kinds = {
            "φ and trained": rows_of(smoothed, first="phi", second="trained"),
            "φ and redrawn": rows_of(smoothed, first="phi", second="redrawn"),
        } | {
            f"{label(name)} and trained": rows_of(smoothed, first=name, second="trained")
            for name in CONTROLS
        }
        numbers += [
            {"panel": panel, "row": row, "series": series}
            | interval(by_image(rows_of(rows, other=0), value))
            | _null(rows, value)
            for row, rows in kinds.items()
            for panel, value in panels.items()
        ]
    return interval_dots(
        pd.DataFrame(numbers),
        "What the explanation of the sum of φ's activations says about the explanations of the "
        f"class: {label(METHOD)} maps, absolute values averaged over squares of 15 pixels. Left: "
        "rank correlation. Right: how well low values at φ find the less relevant half of the "
        "pixels of the other map; 0.5 is chance, dashed is the criterion's 0.6. Grey: 5th to 95th "
        f"percentile over maps of different images. {about(study, 'irrelevance')}. Bars: 95 % "
        "bootstrap intervals over images.",
        reference={"area under the ROC curve": 0.6},
        null="maps of different images",
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


def tile_plate(study: Study) -> Plate | Markdown:
    """Eq. (4) on a real network: do g and its explanation ignore what phi ignores?"""
    theme()
    if not holding(study, "ignored-tiles"):
        return nothing_recorded("ignored-tiles")
    table = study.table("ignored-tiles")
    agreement = tile_agreement(table)
    share = float(agreement["low_tiles"].iloc[0])
    names = {"logits": "response of the logits", "attribution": "attribution"}
    panels = {
        "rank correlation with φ's response": {"logits": "rank_logits",
                                              "attribution": "rank_attribution"},
        "share of the tiles φ ignores most": {"logits": "low_logits",
                                              "attribution": "low_attribution"},
    }  # fmt: skip
    numbers = [
        {
            "panel": panel,
            "row": f"{names[what]}, {network} g",
            "series": f"tile changed by {change}",
        }
        | interval(rows.set_index("image")[value])
        for panel, values in panels.items()
        for what, value in values.items()
        for (change, network), rows in agreement.groupby(["change", "network"], sort=False)
    ]
    tiles = table["tile"].nunique()
    return interval_dots(
        pd.DataFrame(numbers),
        f"Each of {tiles} tiles of an image is changed, by noise of the same energy in all or by "
        "blurring, and the change of φ(x), of the logits and the tile's share of the attribution "
        f"({label(METHOD)}) are compared. Left: rank correlation over tiles. Right: what falls to "
        f"the {share:.0%} of the tiles to which φ responds least; dashed is their share of the "
        f"tiles. {about(study, 'ignored-tiles')}. Bars: 95 % bootstrap intervals over images.",
        reference={"share of the tiles φ ignores most": share},
    )


def change_plate(study: Study) -> Plate | Markdown:
    """Planted networks: the change that the truth attains, and every method's."""
    theme()
    if not holding(study, "limited-change"):
        return nothing_recorded("limited-change")
    table = study.table("limited-change")
    numbers = []
    for method, rows in table.groupby("method", sort=False):
        row: dict[str, object] = {"method": method}
        for value in ("error", "ssim"):
            found = interval(by_image(rows, value))
            row |= {
                value: found["mean"],
                f"{value}_low": found["low"],
                f"{value}_high": found["high"],
            }
        numbers.append(row)
    first = rows_of(table, method=table["method"].iloc[0])
    attainable = pd.Series(interval(by_image(first, "attainable")))
    knobs = study.made("limited-change")["parameters"]
    sampled = ", ".join(f"{name} = {value}" for name, value in knobs.items())
    return change_scatter(
        pd.DataFrame(numbers),
        attainable,
        "Networks in which every pixel adds its own, known amount to the logits, and whose upper "
        f"layers are drawn twice ({table['seed'].nunique()} networks). Dashed, with its interval: "
        "SSIM of the true contributions before and after. Error: normalised MSE against the true "
        f"contributions. Images of {study.settings.public()['images']}, n = "
        f"{table['image'].nunique()}, seed {study.settings.seed}; {sampled}. Bars: 95 % bootstrap "
        "intervals over images.",
    )
