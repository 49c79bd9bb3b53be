"""Figures about what a map is divided by (Theorem 4, App. D and D.1): tidy table in, figure out.

The descriptions are written for readers; pages show them as captions. Callers set the theme.
"""

import pandas as pd
from matplotlib.figure import Figure

from sanitygap.figures.methods import label
from sanitygap.figures.theory import legend_beside, lines, points, styles
from sanitygap.show import distinct, panel_axes

# --- Eq. (29) -----------------------------------------------------------------------------------


def quantile_variance(table: pd.DataFrame) -> Figure:
    """Variance of a sample quantile (20 001 values): formula over simulation, 1 if the formula is
    right. Filled: Eq. (29) as printed. Hollow: with the density squared. The band is the
    criterion's, 0.93 to 1.07."""
    words = {"printed_ratio": "as printed", "squared_ratio": "squared"}
    ratios = table[["distribution", "p", *words]]
    long = ratios.melt(["distribution", "p"], var_name="formula", value_name="estimate")
    long["series"] = long["formula"].map(words) + ", p = " + long["p"].astype(str)
    # one formula filled, the other hollow: the marks of series alternate
    long = long.sort_values(["p", "formula"], kind="stable")
    figure = points(long, "distribution", "series", "formula / simulation")
    figure.axes[0].axvspan(0.93, 1.07, color="0.85", zorder=0)
    figure.axes[0].set(xscale="log")
    return figure


def tail_variance(table: pd.DataFrame) -> Figure:
    """The variance of the p-quantile times the sample size as p approaches 1, by Eq. (29) as
    printed and with the density squared. The paper says that it diverges for the non-uniform
    distributions."""
    figure, axes = panel_axes(2, 2, (4.5, 3.6))
    for axis, formula in zip(axes, distinct(table["formula"]), strict=True):
        rows = table[table["formula"] == formula]
        lines(axis, rows, "tail_probability", "distribution", "value")
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
    figure, (axis,) = panel_axes(1, 1, (7.5, 3.8))
    lines(axis, laws, "size", "distribution", "maximum")
    dashed = {"linestyle": "--", "markerfacecolor": "w"}
    looks = {name: look | dashed for name, look in styles(laws["distribution"]).items()}
    handles = axis.get_legend_handles_labels()[0]
    lines(axis, laws, "size", "distribution", "rms", looks)
    for name, dash in (("maximum", "-"), ("root mean square", "--")):
        handles += axis.plot([], [], color="0.35", linestyle=dash, label=name)
    axis.set(xscale="log", yscale="log", xlabel="values in the sample")
    axis.set_ylabel("relative standard deviation")
    axis.legend(handles=handles, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return figure


def normalizer_ranking(table: pd.DataFrame) -> Figure:
    """Rank of simulated methods by the mean squared error of their maps (1 is the largest, the best
    in the randomisation test), after dividing by the maximum and by the second moment. Crossing
    lines are methods that change places."""
    means = table.groupby(["normaliser", "method"], sort=False)["mse"].mean().reset_index()
    means["rank"] = means.groupby("normaliser")["mse"].rank(ascending=False)
    figure, (axis,) = panel_axes(1, 1, (6, 3.6))
    lines(axis, means, "normaliser", "method", "rank")
    axis.set(ylabel="rank by MSE", xlim=(-0.2, means["normaliser"].nunique() - 0.8))
    axis.invert_yaxis()
    legend_beside(axis, "noise, correlation")
    return figure


def map_dispersion(intervals: pd.DataFrame) -> Figure:
    """Relative standard deviation of two normalisers of the network's own attribution maps when
    the pixels of a map are drawn again with replacement: the largest absolute value, and the root
    mean square. Means over images with 95 % intervals. A normaliser that varies more adds more to
    the variance of whatever is computed from the map."""
    words = {"maximum_spread": "maximum", "rms_spread": "root mean square"}
    rows = intervals.assign(method=intervals["method"].map(label)).replace({"value": words})
    figure = points(rows, "method", "value", "relative standard deviation")
    figure.axes[0].set(xscale="log")
    return figure


def mean_shares(intervals: pd.DataFrame) -> Figure:
    """Share of the mean in the second moment of attribution maps, with 95 % intervals. At zero it
    makes no difference whether a map is divided by its root mean square or by its standard
    deviation; the higher the share, the more the standard deviation leaves out. Dashed: the
    criterion's limits, below 0.01 for the gradient and above 0.3 for the l2 norm."""
    rows = intervals.assign(method=intervals["method"].map(label))
    figure = points(rows, "method", "value", "μ² / E[A²]", 0.01, 0.3)
    figure.axes[0].set(xscale="log", xlim=(1e-7, 1))
    return figure
