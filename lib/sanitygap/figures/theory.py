"""Figures of the formal statements about similarity measures: tidy table in, figure out.

The first lines of each description are written for readers; pages show them as captions. Callers
set the theme. Nothing here computes a result.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from textwrap import fill
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

REFERENCE: dict[str, Any] = {"color": "0.35", "linestyle": "--", "linewidth": 1.2}
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "*")


def styles(names: Iterable[object]) -> dict[str, dict[str, Any]]:
    """Colour and marker of each series: never told apart by colour alone."""
    distinct = list(dict.fromkeys(map(str, names)))
    colors = sns.color_palette("colorblind", len(distinct))
    return {
        name: {"color": color, "marker": MARKERS[i % len(MARKERS)], "markersize": 5}
        for i, (name, color) in enumerate(zip(distinct, colors, strict=True))
    }


def errorbars(axis: Axes, rows: pd.DataFrame, x: str, label: str, **style: Any) -> None:
    """Estimates with their 95 % intervals, joined by a line in the order of x."""
    rows = rows.sort_values(x)
    below, above = rows["estimate"] - rows["low"], rows["high"] - rows["estimate"]
    axis.errorbar(
        rows[x], rows["estimate"], yerr=np.maximum([below, above], 0), label=label, capsize=2,
        **{"linewidth": 1.3, **style},
    )  # fmt: skip


def legend_beside(axis: Axes, title: str | None = None) -> None:
    """A legend to the right of the axes."""
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, title=title)


def log_axis(axis: Axes, values: Iterable[float]) -> None:
    """A logarithmic horizontal axis with ticks at the values only."""
    ticks = sorted(set(values))
    axis.set_xscale("log")
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.minorticks_off()


def horizontal_points(
    axis: Axes, rows: pd.DataFrame, labels: Sequence[str], label: str, shift: float = 0.0,
    **style: Any,
) -> None:  # fmt: skip
    """Estimates with their intervals, one a line from top to bottom."""
    at = np.arange(len(rows)) + shift
    below, above = rows["estimate"] - rows["low"], rows["high"] - rows["estimate"]
    axis.errorbar(
        rows["estimate"], at, xerr=np.maximum([below, above], 0), label=label, capsize=2,
        **{"linestyle": "none", **style},
    )  # fmt: skip
    axis.set_yticks(np.arange(len(rows)), labels)
    axis.set_ylim(len(rows) - 0.5, -0.5)


# --- Theorem 1 ----------------------------------------------------------------------------------


def ssim_against_covariance(grid: pd.DataFrame) -> Figure:
    """SSIM of two patches of equal means and equal spreads, against their correlation. Left: its
    signed value. Right: its absolute value, which Theorem 1 says is smallest at zero covariance
    among all that are not negative."""
    sample = grid[
        (grid["mean_a"] == 1) & (grid["mean_b"] == 1) & (grid["sd_a"] == grid["sd_b"])
    ].sort_values("correlation")
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6))
    for spread, style in styles(sample["sd_a"].unique()).items():
        rows = sample[sample["sd_a"] == float(spread)]
        every = max(1, len(rows) // 8)
        for axis, values in zip(axes, (rows["ssim"], rows["ssim"].abs()), strict=True):
            axis.plot(rows["correlation"], values, label=spread, markevery=every, **style)
    for axis in axes:
        axis.axvline(0, **REFERENCE)
        axis.set(xlabel="correlation of the patches", xticks=(-1, -0.5, 0, 0.5, 1))
    axes[0].set_ylabel("SSIM")
    axes[1].set_ylabel("|SSIM|")
    axes[0].legend(title="standard deviation")
    return figure


def expected_ssim(table: pd.DataFrame) -> Figure:
    """Mean of SSIM and of its absolute value over random patches of zero expected covariance, with
    95 % intervals, against the bound of Eq. (2), dashed, and √(2/πn), grey, which is about the mean
    absolute correlation of independent patches of n pixels. In the last panel B is A or -A by the
    toss of a coin."""
    functionals = ("E[SSIM]", "E[|SSIM|]")
    shown = table[table["functional"].isin(functionals)]
    processes = list(dict.fromkeys(shown["process"]))
    figure, axes = plt.subplots(
        1, len(processes), figsize=(1.85 * len(processes), 3.4), sharey=True
    )
    for axis, process in zip(axes, processes, strict=True):
        rows = shown[shown["process"] == process]
        for functional, style in styles(functionals).items():
            errorbars(axis, rows[rows["functional"] == functional], "pixels", functional, **style)
        axis.axhline(rows["bound"].iloc[0], label="bound, Eq. (2)", **REFERENCE)
        if rows["independent"].iloc[0]:
            x = np.geomspace(rows["pixels"].min(), rows["pixels"].max(), 50)
            axis.plot(x, np.sqrt(2 / (np.pi * x)), color="0.6", lw=1, label="√(2/πn)")
        log_axis(axis, rows["pixels"])
        axis.set_yscale("symlog", linthresh=0.01)
        axis.set(xlabel="pixels n", title=process.replace(", ", ",\n"))
    axes[0].set_ylabel("mean over patches")
    figure.legend(
        *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False
    )
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
    figure, axes = plt.subplots(1, 3, figsize=(9, 3.3), sharey=True)
    for axis, (experiment, label, title) in zip(axes, panels, strict=True):
        rows = table[table["experiment"] == experiment]
        for noise, style in styles(rows["noise"]).items():
            errorbars(axis, rows[rows["noise"] == noise], experiment, noise, **style)
        axis.set(xlabel=label, title=title)
        if experiment != "correlation":
            axis.set_xscale("log")
    spread = table[table["experiment"] == "spread"].sort_values("spread")
    axes[2].plot(spread["spread"], spread["bound"], label="bound, Eq. (2)", **REFERENCE)
    axes[0].set_ylabel("mean SSIM")
    axes[2].legend()
    return figure


def data_range_sensitivity(table: pd.DataFrame) -> Figure:
    """Mean SSIM of second-moment normalised maps of simulated methods, for several data ranges L.
    The paper names none for normalised maps; crossing lines mean that the order of the methods
    depends on the choice."""
    figure, axis = plt.subplots(figsize=(8.5, 4))
    order = list(table["data_range"].unique())
    for method, style in styles(table["method"]).items():
        rows = table[table["method"] == method].set_index("data_range").reindex(order)
        axis.plot(range(len(order)), rows["estimate"], label=method, **style)
    ticks = [f"L = {x}" if x.isdigit() else x.replace(" range", "\nrange") for x in order]
    axis.set_xticks(range(len(order)), ticks)
    axis.set(ylabel="mean SSIM")
    legend_beside(axis, "noise, correlation")
    return figure


def entanglement(table: pd.DataFrame) -> Figure:
    """Mean SSIM of two synthetic explainers, with 95 % intervals: a noiseless one whose maps change
    when the model is randomised, and a noisy one whose noiseless maps do not. Below: the control,
    the unchanged model explained twice, and what the noiseless maps do."""
    rows = table[table["similarity"] == "SSIM"]
    labels = {
        "randomised": "after randomisation",
        "retest": "same model, explained twice",
        "noiseless part": "noiseless part, after randomisation",
    }
    figure, axis = plt.subplots(figsize=(7.5, 3))
    for shift, (explainer, style) in zip(
        (-0.12, 0.12), styles(rows["explainer"]).items(), strict=True
    ):
        part = rows[rows["explainer"] == explainer].set_index("comparison").loc[list(labels)]
        horizontal_points(axis, part, list(labels.values()), explainer, shift, **style)
    axis.set_xlabel("mean SSIM")
    legend_beside(axis)
    return figure


# --- Theorem 3 ----------------------------------------------------------------------------------


def expected_spearman(table: pd.DataFrame) -> Figure:
    """Mean of Spearman's correlation and of its absolute value over random maps, with 95 %
    intervals; grey, about the mean absolute value for independent maps of n pixels. Common
    envelope: independent noise times the same positive map, signed and as absolute values. Ties:
    maps with one non-zero pixel in the mixture, such that the expected rank covariance is zero."""
    functionals = ("E[Spearman]", "E[|Spearman|]")
    processes = list(dict.fromkeys(table["process"]))
    figure, axes = plt.subplots(
        1, len(processes), figsize=(1.85 * len(processes), 3.4), sharey=True
    )
    for axis, process in zip(axes, processes, strict=True):
        rows = table[table["process"] == process]
        for functional, style in styles(functionals).items():
            errorbars(axis, rows[rows["functional"] == functional], "pixels", functional, **style)
        floor = rows.sort_values("pixels")
        axis.plot(floor["pixels"], floor["floor"], color="0.6", lw=1, label="√(2/π(n-1))")
        axis.axhline(0, **REFERENCE)
        log_axis(axis, rows["pixels"])
        axis.set(xlabel="pixels n", title=fill(process, 16))
    axes[0].set_ylabel("mean over pairs of maps")
    figure.legend(
        *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False
    )
    return figure


def rank_covariance(table: pd.DataFrame) -> Figure:
    """Spearman's correlation against the covariance of the ranks (as fractions of the pixels), one
    point a pair of random maps of 25 pixels. Without ties all maps have the same spread of ranks,
    so all points lie on a line: the correlation is zero where the covariance is. With ties the
    spread differs from map to map, and the points leave the line."""
    figure, axis = plt.subplots(figsize=(5.6, 3.8))
    for (values, style), size in zip(styles(table["values"]).items(), (4, 3), strict=True):
        rows = table[table["values"] == values]
        look = style | {"markersize": size, "linestyle": "none", "alpha": 0.6}
        axis.plot(rows["rank_covariance"], rows["spearman"], label=values, **look)
    axis.axhline(0, **REFERENCE)
    axis.axvline(0, **REFERENCE)
    axis.set(xlabel="covariance of the ranks", ylabel="Spearman's correlation")
    axis.legend()
    return figure


def sign_disagreement(table: pd.DataFrame) -> Figure:
    """Share of pairs of 25-pixel maps B = dependence times A + noise whose covariance and rank
    covariance differ in sign, with 95 % intervals. The paper says that this never happens."""
    figure, axis = plt.subplots(figsize=(7.5, 2.8))
    names = list(dict.fromkeys(table["noise"]))
    levels = styles(sorted(table["dependence"].unique()))
    for shift, (dependence, style) in zip((-0.1, 0.1), levels.items(), strict=True):
        rows = table[table["dependence"] == float(dependence)].set_index("noise").loc[names]
        horizontal_points(axis, rows, names, f"dependence {dependence}", shift, **style)
    axis.axvline(0, **REFERENCE)
    axis.xaxis.set_major_formatter("{x:.0%}")
    axis.set_xlabel("pairs with opposite signs")
    legend_beside(axis)
    return figure


# --- Theorem 4 ----------------------------------------------------------------------------------


def normalized_mse(table: pd.DataFrame) -> Figure:
    """Mean squared error of second-moment normalised random maps with 95 % intervals (points) and
    Eq. (23) at the population moments (crosses). Left: independent maps. Right: normal maps with
    fixed means and second moments. The value 2, dashed, belongs to zero covariance and zero
    means."""
    ladder = table["process"].isin(table.loc[table["correlation"] > 0, "process"])
    single, several = table[~ladder], table[ladder]
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), width_ratios=(1, 1.2))
    horizontal_points(axes[0], single, list(single["process"]), "simulated", marker="o")
    axes[0].plot(single["formula"], range(len(single)), "kx", label="Eq. (23)")
    axes[0].axvline(2, **REFERENCE)
    axes[0].set(xlabel="normalised MSE", title="independent maps")
    for process, style in styles(several["process"]).items():
        rows = several[several["process"] == process].sort_values("correlation")
        errorbars(axes[1], rows, "correlation", process, **style)
        axes[1].plot(rows["correlation"], rows["formula"], "kx")
    axes[1].axhline(2, **REFERENCE)
    axes[1].set(xlabel="correlation of the maps", ylabel="normalised MSE", ylim=(-0.1, 4))
    axes[0].legend()
    legend_beside(axes[1])
    return figure


def scale_dependence(table: pd.DataFrame) -> Figure:
    """Mean squared error of two correlated maps that are both multiplied by a factor, with and
    without normalisation by the second moment, on logarithmic axes."""
    figure, axis = plt.subplots(figsize=(6, 3.4))
    for measure, style in styles(table["measure"]).items():
        errorbars(axis, table[table["measure"] == measure], "scale", measure, **style)
    axis.set(xscale="log", yscale="log", xlabel="factor on both maps", ylabel="mean squared error")
    axis.legend()
    return figure
