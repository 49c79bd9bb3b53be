"""Theorems 3 and 4 in figures, beside real maps, and what maps are divided by (App. D)."""

import pandas as pd
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler

from sanitygap import show
from sanitygap.figures.methods import label
from sanitygap.figures.plate import Plate
from sanitygap.figures.theory import REFERENCE, expectations, legend_beside, lines, points, styles
from sanitygap.pages import side_by_side
from sanitygap.runs import Study
from sanitygap.show import bar_lengths, distinct, legend_below, panel_axes
from sanitygap.statements import _intervals, described
from sanitygap.words import plural


def mse_terms(study: Study) -> Styler:
    """What the normalised MSE after the last step of the randomisation test is made of."""
    table = study.table("randomization")
    rows = table[(table["order"] == "top-down") & (table["sign"] == "signed")]
    rows = rows[rows["step"] == rows["step"].max()]
    rows = rows.assign(covariance=rows["product"] - rows["means"])
    names = {"mse": "MSE", "means": "means m", "covariance": "covariance c"}
    numbers = show.with_intervals(rows, ["method"], names, "term")
    numbers["value"] = [
        f"{row['mean']:z.3f} [{row['low']:z.3f}, {row['high']:z.3f}]"
        for row in numbers.to_dict("records")
    ]
    return show.display_table(
        side_by_side(numbers, "method", "term", "value"),
        "Normalised MSE of signed maps after the last step of top-down randomisation, and its two "
        f"terms; 95 % bootstrap intervals over images. {show.about(study, 'randomization')}.",
    )


@show.shows()
def map_dispersion(study: Study) -> Plate:
    """How much two normalisers vary, on the network's own maps."""
    numbers = pd.concat([_own_maps(study, name).assign(value=name) for name in SPREADS])
    return described(_dispersion, numbers, numbers, show.about(study, "map-normalizers"))


@show.shows()
def mean_shares(study: Study) -> Plate:
    """The share of the mean in the second moment: the network's own maps, and random networks."""
    random = study.table("second-moment-rationale")
    names = {
        "Sensitivity, l2": "sensitivity-l2",
        "Gradient, mean": "gradient",
        "Gradient x Input": "gradient-x-input",
    }
    others = random[["method", "estimate", "low", "high"]].assign(
        method=random["method"].map(names), value="random networks", n=random["draws"]
    )
    own = _own_maps(study, "mean_share").assign(value=show.panel(study, "map-normalizers"))
    numbers = pd.concat([own, others])
    return described(_shares, numbers, numbers, show.about(study, "map-normalizers"))


def _own_maps(study: Study, column: str) -> pd.DataFrame:
    """Means over images of a column of the table map-normalizers."""
    table = study.table("map-normalizers")
    return _intervals(table, ["method"], column).rename(columns={"mean": "estimate"})


def normalizer_rankings(study: Study) -> Styler:
    """The order of the methods by MSE for three normalisers, on the network's own maps."""
    table = study.table("map-normalizers")
    names = {
        "mse_second_moment": "second moment",
        "mse_deviation": "standard deviation",
        "mse_maximum": "maximum",
    }
    zero = table.loc[table[list(names)].isna().any(axis=1), "image"].unique()
    rows = table[~table["image"].isin(zero)]
    means = rows.groupby("method", sort=False)[list(names)].mean().rename(columns=names)
    ranks = means.rank(ascending=False).astype(int)
    words = means.map("{:.3f}".format).astype(object) + " (" + ranks.astype(str) + ")"
    left_out = (
        f"{plural(len(zero), 'image')} left out, because a method's map of the redrawn network is "
        "zero everywhere. "
    ) * bool(len(zero))
    return show.display_table(
        words.reset_index(),
        "Mean squared difference between the map of the trained network and that of the network "
        "with all weights redrawn, after dividing both maps by the quantity named; in brackets the "
        f"rank, 1 for the largest. {left_out}{show.about(study, 'map-normalizers')}.",
    )


def expected_spearman(table: pd.DataFrame) -> Figure:
    """Mean of Spearman's correlation and of its absolute value over random maps, with 95 %
    intervals; grey, about the mean absolute value for independent maps of n pixels. Common
    envelope: independent noise times the same positive map, signed and as absolute values. Ties:
    maps with one non-zero pixel in the mixture, such that the expected rank covariance is zero."""
    functionals = ("E[Spearman]", "E[|Spearman|]")
    figure, axes = expectations(table, functionals, "mean over pairs of maps")
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


SPREADS = {"maximum_spread": "maximum", "rms_spread": "root mean square"}


def _dispersion(intervals: pd.DataFrame) -> Figure:
    """Relative standard deviation of two normalisers of the network's own attribution maps when
    the pixels of a map are drawn again with replacement: the largest absolute value, and the root
    mean square. Means over images with 95 % intervals. A normaliser that varies more adds more to
    the variance of whatever is computed from the map."""
    rows = intervals.assign(method=intervals["method"].map(label)).replace({"value": SPREADS})
    figure = points(rows, "method", "value", "relative standard deviation")
    figure.axes[0].set(xscale="log")
    return figure


def _shares(intervals: pd.DataFrame) -> Figure:
    """Share of the mean in the second moment of attribution maps, with 95 % intervals. At zero it
    makes no difference whether a map is divided by its root mean square or by its standard
    deviation; the higher the share, the more the standard deviation leaves out. Dashed: the
    criterion's limits, below 0.01 for the gradient and above 0.3 for the l2 norm."""
    rows = intervals.assign(method=intervals["method"].map(label))
    figure = points(rows, "method", "value", "μ² / E[A²]", 0.01, 0.3)
    figure.axes[0].set(xscale="log", xlim=(1e-7, 1))
    return figure
