"""Figures about what a map is divided by (Theorem 4, App. D and D.1): tidy table in, figure out.

The descriptions are written for readers; pages show them as captions. Callers set the theme.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sanitygap.figures.methods import label
from sanitygap.figures.theory import REFERENCE, horizontal_points, legend_beside, styles

# --- Eq. (29) -----------------------------------------------------------------------------------


def quantile_variance(table: pd.DataFrame) -> Figure:
    """Variance of a sample quantile (20 001 values): formula over simulation, 1 if the formula is
    right. Filled: Eq. (29) as printed. Hollow: with the density squared. The band is the
    criterion's, 0.93 to 1.07."""
    figure, axis = plt.subplots(figsize=(8.5, 3.6))
    groups = list(dict.fromkeys(table["distribution"]))
    for (p, style), shift in zip(styles(table["p"]).items(), (-0.2, 0, 0.2), strict=True):
        rows = table[table["p"] == float(p)].set_index("distribution").loc[groups]
        at = np.arange(len(groups)) + shift
        filled = style | {"linestyle": "none"}
        axis.plot(at, rows["printed_ratio"], label=f"as printed, p = {p}", **filled)
        hollow = filled | {"markerfacecolor": "white"}
        axis.plot(at, rows["squared_ratio"], label=f"squared, p = {p}", **hollow)
    axis.axhspan(0.93, 1.07, color="0.85", zorder=0)
    axis.set_xticks(range(len(groups)), [name.replace(" on ", "\non ") for name in groups])
    axis.set(yscale="log", ylabel="formula / simulation")
    legend_beside(axis)
    return figure


def tail_variance(table: pd.DataFrame) -> Figure:
    """The variance of the p-quantile times the sample size as p approaches 1, by Eq. (29) as
    printed and with the density squared. The paper says that it diverges for the non-uniform
    distributions."""
    formulas = list(dict.fromkeys(table["formula"]))
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6))
    for axis, formula in zip(axes, formulas, strict=True):
        rows = table[table["formula"] == formula]
        for name, style in styles(rows["distribution"]).items():
            part = rows[rows["distribution"] == name].sort_values("tail_probability")
            every = max(1, len(part) // 6)
            axis.plot(part["tail_probability"], part["value"], label=name, markevery=every, **style)
        axis.set(xscale="log", yscale="log", xlabel="1 - p", title=f"Eq. (29), {formula}")
        axis.invert_xaxis()
    axes[0].set_ylabel("variance × sample size")
    legend_beside(axes[1])
    return figure


# --- normalisers of maps ------------------------------------------------------------------------


def maximum_dispersion(table: pd.DataFrame) -> Figure:
    """Relative standard deviation of two normalisers against the size of the sample: the largest
    absolute value (solid) and the root mean square (dashed), for five distributions of the
    values."""
    laws = table[table["source"] == "distribution"]
    figure, axis = plt.subplots(figsize=(7.5, 3.8))
    for name, style in styles(laws["distribution"]).items():
        rows = laws[laws["distribution"] == name].sort_values("size")
        axis.plot(rows["size"], rows["maximum"], label=name, **style)
        axis.plot(rows["size"], rows["rms"], **style | {"linestyle": "--", "markerfacecolor": "w"})
    for name, line in (("maximum", "-"), ("root mean square", "--")):
        axis.plot([], [], color="0.35", linestyle=line, label=name)
    axis.set(xscale="log", yscale="log", xlabel="values in the sample")
    axis.set_ylabel("relative standard deviation")
    legend_beside(axis)
    return figure


def normalizer_ranking(table: pd.DataFrame) -> Figure:
    """Rank of simulated methods by the mean squared error of their maps (1 is the largest, the best
    in the randomisation test), after dividing by the maximum and by the second moment. Crossing
    lines are methods that change places."""
    means = table.groupby(["method", "normaliser"], sort=False)["mse"].mean().unstack()
    ranks = means.rank(ascending=False)
    figure, axis = plt.subplots(figsize=(6, 3.6))
    for method, style in styles(ranks.index).items():
        axis.plot(range(ranks.shape[1]), ranks.loc[method], label=method, **style)
    axis.set_xticks(range(ranks.shape[1]), list(ranks.columns))
    axis.set(ylabel="rank by MSE", xlim=(-0.2, ranks.shape[1] - 0.8))
    axis.invert_yaxis()
    legend_beside(axis, "noise, correlation")
    return figure


def map_dispersion(intervals: pd.DataFrame) -> Figure:
    """Relative standard deviation of two normalisers of the network's own attribution maps when
    the pixels of a map are drawn again with replacement: the largest absolute value, and the root
    mean square. Means over images with 95 % intervals. A normaliser that varies more adds more to
    the variance of whatever is computed from the map."""
    names = {"maximum_spread": "maximum", "rms_spread": "root mean square"}
    figure, axis = plt.subplots(figsize=(7.5, 3.4))
    _by_method(axis, intervals, names)
    axis.set(xscale="log", xlabel="relative standard deviation")
    legend_beside(axis)
    return figure


def mean_shares(intervals: pd.DataFrame) -> Figure:
    """Share of the mean in the second moment of attribution maps, with 95 % intervals. At zero it
    makes no difference whether a map is divided by its root mean square or by its standard
    deviation; the higher the share, the more the standard deviation leaves out. Dashed: the
    criterion's limits, below 0.01 for the gradient and above 0.3 for the l2 norm."""
    figure, axis = plt.subplots(figsize=(7.5, 3.6))
    _by_method(axis, intervals, {name: name for name in dict.fromkeys(intervals["value"])})
    for limit in (0.01, 0.3):
        axis.axvline(limit, **REFERENCE)
    axis.set(xscale="log", xlabel="μ² / E[A²]", xlim=(1e-7, 1))
    legend_beside(axis)
    return figure


def _by_method(axis: Axes, intervals: pd.DataFrame, names: dict[str, str]) -> None:
    """One line a method, one marker a value; columns method, value, estimate, low, high."""
    methods = list(dict.fromkeys(intervals["method"]))
    labels = [label(method) for method in methods]
    shifts = np.linspace(-0.12, 0.12, len(names))
    for (value, style), shift in zip(styles(names).items(), shifts, strict=True):
        rows = intervals[intervals["value"] == value].set_index("method").reindex(methods)
        horizontal_points(axis, rows, labels, names[value], float(shift), **style)
