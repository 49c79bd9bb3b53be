"""Pages and reports about a person's own methods."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import Markdown
from pandas.io.formats.style import Styler

from sanitygap.chapters.yours import COMPARED, EXAMPLES
from sanitygap.chapters.yours.judge import Test, duels, sentences, standings
from sanitygap.figures.maps import map_colors
from sanitygap.figures.methods import label, label_points
from sanitygap.figures.plate import Plate
from sanitygap.inference import Interval
from sanitygap.runs import Study
from sanitygap.show import (
    about,
    display_table,
    distinct,
    dots,
    draw_points,
    picture_grid,
    shows,
)

OCCLUSION, RANDOMIZATION = "yours-occlusion", "yours-randomization"

WORDS: dict[Test, str] = {"occlusion": "occlusion", "randomization": "randomisation"}


def compared(study: Study) -> tuple[str, ...] | None:
    """The methods of this page where a run has none of its own: the usual ones and examples."""
    return None if study.settings.methods else (*COMPARED, *EXAMPLES)


def shown(study: Study) -> tuple[str, ...] | None:
    """As :func:`compared`, for pictures of maps."""
    return None if study.settings.methods else ("gradient", "lrp-epsilon-plus", *EXAMPLES)


def _tables(study: Study) -> tuple[pd.DataFrame, pd.DataFrame]:
    return study.table(OCCLUSION), study.table(RANDOMIZATION)


@shows(OCCLUSION, RANDOMIZATION)
def findings(study: Study) -> Markdown:
    """A paragraph for each own method: what both tests say of it."""
    return Markdown("\n\n".join(f"- {text}" for text in sentences(*_tables(study))))


@shows(OCCLUSION, RANDOMIZATION)
def standing_table(study: Study) -> Styler:
    """Scores and places of every method in both tests, in the order of the occlusion test."""
    rows = [
        {
            "method": one.method,
            "occlusion, softmax": one.softmax.estimate,
            "95 %": _range(one.softmax),
            "place": one.matters,
            "randomisation, SSIM": one.similarity.estimate if one.similarity else None,
            "95 % ": _range(one.similarity),
            "place ": str(one.changes or "–"),
        }
        for one in sorted(standings(*_tables(study)), key=lambda one: one.matters)
    ]
    return display_table(
        rows,
        "Both tests. Occlusion: mean softmax of the target while the 30 regions that a map ranks "
        "highest are blurred; low is better. Randomisation: mean SSIM to the map of the trained "
        "network as stages are redrawn from the top; the check praises low values. Maps and "
        f"regions by the sum of absolute values. {about(study, OCCLUSION)}; "
        f"intervals: bootstrap over images.",
    )


def _range(interval: Interval | None) -> str:
    return f"[{interval.low:.3f}, {interval.high:.3f}]" if interval else "–"


@shows(OCCLUSION, RANDOMIZATION)
def gap_plate(study: Study) -> Plate:
    """Each method by its scores in both tests."""
    x, y = "mean SSIM", "mean softmax"
    numbers = pd.DataFrame(
        {"method": one.method}
        | {x: one.similarity.estimate, f"{x}_low": one.similarity.low,
           f"{x}_high": one.similarity.high}
        | {y: one.softmax.estimate, f"{y}_low": one.softmax.low, f"{y}_high": one.softmax.high}
        for one in standings(*_tables(study))
        if one.similarity
    )  # fmt: skip
    figure, axis = plt.subplots(figsize=(8.2, 4.6))
    points = draw_points(axis, numbers, x, y)
    axis.set(
        xlabel="mean SSIM after redrawing (left: passes the sanity check)",
        ylabel="mean softmax under occlusion\n(down: points at what matters)",
    )
    label_points(axis, points)
    told = "; ".join(f"{label(m)} {p[0]:.2f}, {p[1]:.3f}" for m, p in points.items())
    return Plate(
        figure, f"Mean SSIM and mean softmax of each method: {told}.",
        f"Both tests in one plane. {about(study, OCCLUSION, 'Bars')}", numbers,
    )  # fmt: skip


@shows(OCCLUSION, RANDOMIZATION)
def duel_plate(study: Study) -> Plate:
    """In how many specifications an own method has the lower score than its rivals."""
    rows, counts = [], {}
    for (test, words), table in zip(WORDS.items(), _tables(study), strict=True):
        outcomes = duels(table, test)
        if outcomes.empty:
            continue
        for (own, rival), part in outcomes.groupby(["method", "rival"], sort=False):
            rows.append(
                {"panel": words, "row": f"{label(str(own))}\nagainst {label(str(rival))}",
                 "mean": float((part["outcome"] == "lower").mean()),
                 "higher": float((part["outcome"] == "higher").mean()), "specifications": len(part)}
            )  # fmt: skip
            counts[words] = len(part)
    total = ", ".join(f"{count} of {words}" for words, count in counts.items())
    plate = dots(
        pd.DataFrame(rows),
        caption="Share of specifications in which an own method has the lower score, with a 95 % "
        f"interval of the paired difference that excludes 0. Specifications: {total}. "
        f"{about(study, OCCLUSION)}.",
        xlabels={
            "occlusion": "share better (right: better)",
            "randomisation": "share that changes more",
        },
    )
    for axis in plate.figure.axes:
        axis.set_xlim(-0.04, 1.04)
    return plate


@shows("yours-maps")
def map_plate(study: Study) -> Plate:
    """Photographs beside the maps of own and of some usual methods."""
    table = study.table("yours-maps")
    colors = ("red", "green", "blue")
    methods = [name for name in distinct(table["method"]) if name not in colors]
    pictures = []
    for _, part in table.groupby("image", sort=False):
        side = int(part["row"].max()) + 1
        values = {
            name: rows["value"].to_numpy().reshape(side, -1)
            for name, rows in part.groupby("method", sort=False)
        }
        photograph = np.stack([values[name] for name in colors], axis=-1).clip(0, 1)
        pictures.append([photograph, *(map_colors(values[name]) for name in methods)])
    titles = ["photograph", *(label(name) for name in methods)]
    figure = picture_grid(pictures, titles=titles, size=(1.5, 1.55))
    strengths = table[table["method"].isin(methods)].groupby(["image", "method"])["value"]
    numbers = strengths.agg(["mean", "std", "min", "max"]).reset_index()
    return Plate(
        figure,
        f"{len(pictures)} photographs, each with the maps of {', '.join(titles[1:])}.",
        "Photographs and maps of the trained network, red in favour of the predicted class, blue "
        f"against. {about(study, 'yours-maps')}.",
        numbers,
        pixels=True,
    )
