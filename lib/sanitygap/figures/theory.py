"""Figures of the formal statements about similarity measures: tidy table in, figure out.

The first lines of each description are written for readers; pages show them as captions. Callers
set the theme. Nothing here computes a result.
"""

from collections.abc import Iterable, Mapping, Sequence
from textwrap import fill
from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sanitygap.show import bar_lengths, distinct, dots, panel_axes

REFERENCE: dict[str, Any] = {"color": "0.35", "linestyle": "--", "linewidth": 1.2}
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "*")


def styles(names: Iterable[object]) -> dict[str, dict[str, Any]]:
    """Colour and marker of each series: never told apart by colour alone."""
    series = distinct(map(str, names))
    colors = sns.color_palette("colorblind", len(series))
    return {
        name: {"color": color, "marker": MARKERS[i % len(MARKERS)], "markersize": 5}
        for i, (name, color) in enumerate(zip(series, colors, strict=True))
    }


def lines(
    axis: Axes,
    table: pd.DataFrame,
    x: str,
    series: str,
    y: str = "estimate",
    looks: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """A line for each series in the order of x; estimates have their 95 % intervals if known."""
    for name, look in (looks or styles(table[series])).items():
        rows = table[table[series].astype(str) == name].sort_values(x)
        if y == "estimate" and "low" in rows:
            arms = bar_lengths(rows, y, "low", "high")
            axis.errorbar(rows[x], rows[y], arms, label=name, capsize=2, **{"lw": 1.3} | dict(look))
        else:
            every = max(1, len(rows) // 8)
            axis.plot(rows[x], rows[y], label=name, **{"markevery": every} | dict(look))


def points(table: pd.DataFrame, row: str, series: str, xlabel: str, *at: float) -> Figure:
    """Estimates with their 95 % intervals, a row a case, a mark a series; dashed lines at values.

    Args:
        table: columns ``row``, ``series``, ``estimate`` and, if known, ``low`` and ``high``.
        row, series: the columns.
        xlabel: what is estimated.
        at: where the lines stand.
    """
    figure = dots(
        table, row=row, series=series, value="estimate", caption="", xlabels=xlabel
    ).figure
    names = distinct(table[row])
    height = max(0.24, 0.09 * table[series].nunique())
    figure.set_size_inches(8, 1.4 + height * len(names))
    figure.axes[0].set_yticks(range(len(names)), names)  # not all of them are methods
    for value in at:
        figure.axes[0].axvline(value, **REFERENCE)
    return figure


def legend_beside(axis: Axes, title: str | None = None) -> None:
    """A legend to the right of the axes."""
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, title=title)


def log_axis(axis: Axes, values: Iterable[float]) -> None:
    """A logarithmic horizontal axis with ticks at the values only."""
    ticks = sorted(set(values))
    axis.set_xscale("log")
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.minorticks_off()


COLORS = sns.color_palette("colorblind")


def shades(axis: Axes, table: pd.DataFrame, form: str, **options: object) -> None:
    """A table of shades with its values, from 0 on: rows by columns."""
    sns.heatmap(table, annot=True, fmt=form, vmin=0, linewidths=1, ax=axis, **options)
    axis.set(xlabel="", ylabel="")
    axis.tick_params(left=False, bottom=False)


def expectations(
    table: pd.DataFrame, functionals: Sequence[str], ylabel: str
) -> tuple[Figure, dict[str, Axes]]:
    """Means of two functionals against the number of pixels, a panel a process."""
    processes = distinct(table["process"])
    figure, axes = panel_axes(len(processes), len(processes), (1.85, 3.4), sharey=True)
    for axis, process in zip(axes, processes, strict=True):
        rows = table[(table["process"] == process) & table["functional"].isin(functionals)]
        lines(axis, rows, "pixels", "functional")
        log_axis(axis, rows["pixels"])
        axis.set(xlabel="pixels n", title=fill(process, 16))
    axes[0].set_ylabel(ylabel)
    return figure, dict(zip(processes, axes, strict=True))
