"""Figures of the formal statements about similarity measures: tidy table in, figure out.

The first lines of each description are written for readers; pages show them as captions. Callers
set the theme. Nothing here computes a result.
"""

from collections.abc import Iterable, Mapping, Sequence
from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sanitygap.show import bar_lengths, distinct, dots, legend_below, panel_axes

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


# --- Theorem 1 ----------------------------------------------------------------------------------


def ssim_against_covariance(grid: pd.DataFrame) -> Figure:
    """SSIM of two patches of equal means and equal spreads, against their correlation. Left: its
    signed value. Right: its absolute value, which Theorem 1 says is smallest at zero covariance
    among all that are not negative."""
    sample = grid[(grid["mean_a"] == 1) & (grid["mean_b"] == 1) & (grid["sd_a"] == grid["sd_b"])]
    figure, axes = panel_axes(2, 2, (4.5, 3.6))
    for axis, name, values in zip(
        axes, ("SSIM", "|SSIM|"), (sample["ssim"], sample["ssim"].abs()), strict=True
    ):
        lines(axis, sample.assign(value=values), "correlation", "sd_a", "value")
        axis.axvline(0, **REFERENCE)
        axis.set(xlabel="correlation of the patches", ylabel=name, xticks=(-1, -0.5, 0, 0.5, 1))
    axes[0].legend(title="standard deviation")
    return figure


def _expectations(
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


def expected_ssim(table: pd.DataFrame) -> Figure:
    """Mean of SSIM and of its absolute value over random patches of zero expected covariance, with
    95 % intervals, against the bound of Eq. (2), dashed, and √(2/πn), grey, which is about the mean
    absolute correlation of independent patches of n pixels. In the last panel B is A or -A by the
    toss of a coin."""
    figure, axes = _expectations(table, ("E[SSIM]", "E[|SSIM|]"), "mean over patches")
    for process, axis in axes.items():
        rows = table[table["process"] == process]
        axis.axhline(rows["bound"].iloc[0], label="bound, Eq. (2)", **REFERENCE)
        if rows["independent"].iloc[0]:
            x = np.geomspace(rows["pixels"].min(), rows["pixels"].max(), 50)
            axis.plot(x, np.sqrt(2 / (np.pi * x)), color="0.6", lw=1, label="√(2/πn)")
        axis.set_yscale("symlog", linthresh=0.01)
    legend_below(figure, axes.values())
    return figure


def normalized_ssim(table: pd.DataFrame) -> Figure:
    """Mean SSIM (window 7, data range 1) with 95 % intervals. Left: second-moment normalised maps,
    against their correlation. Centre: B is c times A, not normalised; the correlation is one.
    Right: unrelated maps around 0.5, against Eq. (2), dashed."""
    panels = (
        ("correlation", "correlation of the maps", "normalised maps"),
        ("scale", "factor c", "B = c A, not normalised"),
        ("spread", "standard deviation of the maps", "unrelated maps around 0.5"),
    )
    figure, axes = panel_axes(3, 3, (3, 3.3), sharey=True)
    for axis, (experiment, xlabel, title) in zip(axes, panels, strict=True):
        rows = table[table["experiment"] == experiment]
        lines(axis, rows, experiment, "noise")
        axis.set(xlabel=xlabel, title=title, xscale="linear" if axis is axes[0] else "log")
    spread = rows.sort_values("spread")
    axes[2].plot(spread["spread"], spread["bound"], label="bound, Eq. (2)", **REFERENCE)
    axes[0].set_ylabel("mean SSIM")
    axes[2].legend()
    return figure


def data_range_sensitivity(table: pd.DataFrame) -> Figure:
    """Mean SSIM of second-moment normalised maps of simulated methods, for several data ranges L.
    The paper names none for normalised maps; crossing lines mean that the order of the methods
    depends on the choice."""
    figure, (axis,) = panel_axes(1, 1, (8.5, 4))
    order = distinct(table["data_range"])
    ranges = table.assign(place=table["data_range"].map(order.index), ssim=table["estimate"])
    lines(axis, ranges, "place", "method", "ssim")
    ticks = [f"L = {x}" if x.isdigit() else x.replace(" range", "\nrange") for x in order]
    axis.set_xticks(range(len(order)), ticks)
    axis.set(ylabel="mean SSIM")
    legend_beside(axis, "noise, correlation")
    return figure


def entanglement(table: pd.DataFrame) -> Figure:
    """Mean SSIM of two synthetic explainers, with 95 % intervals: a noiseless one whose maps change
    when the model is randomised, and a noisy one whose noiseless maps do not. Below: the control,
    the unchanged model explained twice, and what the noiseless maps do."""
    words = {
        "randomised": "after randomisation",
        "retest": "same model, explained twice",
        "noiseless part": "noiseless part, after randomisation",
    }
    rows = table[table["similarity"] == "SSIM"].set_index("comparison").loc[list(words)]
    return points(rows.rename(words).reset_index(), "comparison", "explainer", "mean SSIM")


# --- Theorem 3 ----------------------------------------------------------------------------------


def expected_spearman(table: pd.DataFrame) -> Figure:
    """Mean of Spearman's correlation and of its absolute value over random maps, with 95 %
    intervals; grey, about the mean absolute value for independent maps of n pixels. Common
    envelope: independent noise times the same positive map, signed and as absolute values. Ties:
    maps with one non-zero pixel in the mixture, such that the expected rank covariance is zero."""
    functionals = ("E[Spearman]", "E[|Spearman|]")
    figure, axes = _expectations(table, functionals, "mean over pairs of maps")
    for process, axis in axes.items():
        floor = table[table["process"] == process].sort_values("pixels")
        axis.plot(floor["pixels"], floor["floor"], color="0.6", lw=1, label="√(2/π(n-1))")
        axis.axhline(0, **REFERENCE)
    legend_below(figure, axes.values())
    return figure


def rank_covariance(table: pd.DataFrame) -> Figure:
    """Spearman's correlation against the covariance of the ranks (as fractions of the pixels), one
    point a pair of random maps of 25 pixels. Without ties all maps have the same spread of ranks,
    so all points lie on a line: the correlation is zero where the covariance is. With ties the
    spread differs from map to map, and the points leave the line."""
    figure, (axis,) = panel_axes(1, 1, (5.6, 3.8))
    few = {"markersize": 3.5, "linestyle": "none", "alpha": 0.6}
    for values, look in styles(table["values"]).items():
        rows = table[table["values"] == values]
        axis.plot(rows["rank_covariance"], rows["spearman"], label=values, **look | few)
    axis.axhline(0, **REFERENCE)
    axis.axvline(0, **REFERENCE)
    axis.set(xlabel="covariance of the ranks", ylabel="Spearman's correlation")
    axis.legend()
    return figure


def sign_disagreement(table: pd.DataFrame) -> Figure:
    """Share of pairs of 25-pixel maps B = dependence times A + noise whose covariance and rank
    covariance differ in sign, with 95 % intervals. The paper says that this never happens."""
    rows = table.assign(dependence=[f"dependence {value}" for value in table["dependence"]])
    figure = points(rows, "noise", "dependence", "pairs with opposite signs", 0)
    figure.axes[0].xaxis.set_major_formatter("{x:.0%}")
    return figure


# --- Theorem 4 ----------------------------------------------------------------------------------


def normalized_mse(table: pd.DataFrame) -> Figure:
    """Mean squared error of second-moment normalised random maps with 95 % intervals (points) and
    Eq. (23) at the population moments (crosses). Left: independent maps. Right: normal maps with
    fixed means and second moments. The value 2, dashed, belongs to zero covariance and zero
    means."""
    ladder = table["process"].isin(table.loc[table["correlation"] > 0, "process"])
    single, several = table[~ladder], table[ladder]
    figure, axes = panel_axes(2, 2, (4.5, 3.4), width_ratios=(1, 1.2))
    places = range(len(single))
    arms = bar_lengths(single, "estimate", "low", "high")
    axes[0].errorbar(single["estimate"], places, xerr=arms, fmt="o", capsize=2, label="simulated")
    axes[0].plot(single["formula"], places, "kx", label="Eq. (23)")
    axes[0].set_yticks(places, single["process"])
    axes[0].axvline(2, **REFERENCE)
    axes[0].set(xlabel="normalised MSE", title="independent maps", ylim=(len(single) - 0.5, -0.5))
    lines(axes[1], several, "correlation", "process")
    axes[1].plot(several["correlation"], several["formula"], "kx")
    axes[1].axhline(2, **REFERENCE)
    axes[1].set(xlabel="correlation of the maps", ylabel="normalised MSE", ylim=(-0.1, 4))
    axes[0].legend()
    legend_beside(axes[1])
    return figure


def scale_dependence(table: pd.DataFrame) -> Figure:
    """Mean squared error of two correlated maps that are both multiplied by a factor, with and
    without normalisation by the second moment, on logarithmic axes."""
    figure, (axis,) = panel_axes(1, 1, (6, 3.4))
    lines(axis, table, "scale", "measure")
    axis.set(xscale="log", yscale="log", xlabel="factor on both maps", ylabel="mean squared error")
    axis.legend()
    return figure
