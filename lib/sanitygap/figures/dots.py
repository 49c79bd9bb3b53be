"""Means with their intervals as dots: one row a method, one panel a statistic."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import pandas as pd

from sanitygap.figures.methods import label
from sanitygap.figures.plate import Plate

#: a series is told by its marker and filling, not only by its shade
SERIES = (("o", True), ("D", False), ("s", True), ("^", False), ("v", True), ("P", False))


def interval_dots(
    numbers: pd.DataFrame,
    *,
    caption: str,
    xlabels: Mapping[str, str],
    lines: Mapping[str, float] | None = None,
    legend: str = "",
) -> Plate:
    """Dots with bars, row by row, a panel beside the other.

    Args:
        numbers: columns ``row`` (a method, or any other name), ``series``, ``panel``, ``mean``,
            ``low`` and ``high``; all in the order of appearance.
        caption: the figure's caption.
        xlabels: panel -> label of its horizontal axis, which says which direction means what.
        lines: panel -> where to draw a reference line.
        legend: title of the legend of the series; without it there is none.
    """
    rows = list(dict.fromkeys(numbers["row"]))
    panels = list(dict.fromkeys(numbers["panel"]))
    series = list(dict.fromkeys(numbers["series"]))
    wide = len(panels) if len(panels) < 4 else 2
    tall = -(-len(panels) // wide)
    figure, axes = plt.subplots(
        tall, wide, figsize=(2.4 + min(3.1 * wide, 7.0), (1.3 + 0.36 * len(rows)) * tall),
        sharey=True, squeeze=False,
    )  # fmt: skip
    for axis in axes.flat[len(panels) :]:
        axis.set_axis_off()
    for axis, panel in zip(axes.flat, panels, strict=False):
        for number, name in enumerate(series):
            part = numbers[(numbers["panel"] == panel) & (numbers["series"] == name)]
            marker, filled = SERIES[number % len(SERIES)]
            shift = 0.16 * (number - (len(series) - 1) / 2)
            axis.errorbar(
                part["mean"],
                [rows.index(row) + shift for row in part["row"]],
                xerr=[part["mean"] - part["low"], part["high"] - part["mean"]],
                fmt=marker, color=plt.cm.viridis(0.12 + 0.55 * number / max(1, len(series) - 1)),
                mfc=None if filled else "white", ms=6, capsize=2, label=str(name),
            )  # fmt: skip
        if lines and panel in lines:
            axis.axvline(lines[panel], color="0.5", lw=0.9, zorder=0)
        axis.set(xlabel=xlabels[panel], ylim=(len(rows) - 0.5, -0.5))
        axis.set_title(panel, fontsize=10)
    axes[0][0].set_yticks(range(len(rows)), [label(str(row)) for row in rows])
    if legend:
        axes[0][-1].legend(
            frameon=False, title=legend, loc="center left", bbox_to_anchor=(1.01, 0.5)
        )
    return Plate(figure, _words(numbers, legend), caption, numbers)


def _words(numbers: pd.DataFrame, legend: str) -> str:
    sentences = []
    for (panel, name), part in numbers.groupby(["panel", "series"], sort=False):
        listed = ", ".join(
            f"{label(str(row))} {mean:.3g}"
            for row, mean in zip(part["row"], part["mean"], strict=True)
        )
        where = f"{panel}, {name}" if legend else str(panel)
        sentences.append(f"{where}: {listed}.")
    return " ".join(sentences).replace("$", "")
