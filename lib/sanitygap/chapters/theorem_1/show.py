"""Theorem 1 in figures: formal statements about SSIM, and noise in real maps."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler

from sanitygap import show
from sanitygap.chapters.theorem_1.judge import at_lag
from sanitygap.figures.methods import label, label_ends, label_points
from sanitygap.figures.plate import Plate
from sanitygap.figures.simulator import Control, Simulator
from sanitygap.figures.theory import REFERENCE, expectations, legend_beside, lines, points
from sanitygap.runs import Study
from sanitygap.scores import occlusion_scores, randomization_scores
from sanitygap.show import distinct, draw_curves, draw_points, legend_below, panel_axes
from sanitygap.theory.theorem_1 import PatchMoments, bound, ssim


@show.shows_several("noise-curve")
def noise_plate(studies: list[Study]) -> Plate:
    """Both scores of a map as independent noise is added to it."""
    frames, where = [], []
    for study in studies:
        table = study.table("noise-curve")
        means = show.with_intervals(
            table, ("method", "amount"), {name: name for name in SCORES}, "score"
        )
        both = pd.concat([means, _pure_noise(study, table)], ignore_index=True)
        frames.append(both.assign(panel=show.panel(study, "noise-curve")))
        where.append(
            f"{show.about(study, 'noise-curve')}, {int(table['steps'].iloc[0])} steps, "
            f"{int(table['regions'].iloc[0])} regions of 15 pixels"
        )
    return noise_curves(
        pd.concat(frames, ignore_index=True),
        "Maps with independent Gaussian noise of λ times their root mean square, drawn anew for "
        "the trained and for each randomised network: mean SSIM over the steps of top-down "
        "randomisation, and mean softmax as the regions ranked highest are blurred. "
        f"{'; '.join(where)}. {show.BANDS} Dotted: noise alone, on the same images, over all steps "
        "of the table randomization.",
    )


def _pure_noise(study: Study, curve: pd.DataFrame) -> pd.DataFrame:
    """The level of the noise control on the images of the curves, in their form."""
    random = randomization_scores(study.table("randomization"))["noise"]
    table = study.table("occlusion")
    table = table[
        (table["regions"] <= int(curve["regions"].iloc[0])) & table["image"].isin(curve["image"])
    ]
    levels = {
        "ssim": random[random.index.isin(curve["image"])],
        "softmax": occlusion_scores(table)["noise"],
    }
    return pd.DataFrame(
        {"method": "noise", "amount": float("inf"), "score": score} | show.interval(values)
        for score, values in levels.items()
    )


@show.shows("noise-controls")
def noise_controls(study: Study) -> Styler:
    """Three ways of being nothing but noise, and what the sanity check says of them."""
    table = study.table("noise-controls")
    by = ("method", "sign")
    rows = show.with_intervals(table, by, "ssim").drop(columns="n")
    rows["mean Spearman correlation"] = show.with_intervals(table, by, "spearman")["mean"]
    rows.insert(0, "control", [label(str(method)) for method in rows.pop("method")])
    return show.display_table(
        rows.rename(columns={"sign": "maps", "mean": "mean SSIM"}),
        "Controls that are blind to the model, over the steps of top-down randomisation. "
        f"{show.about(study, 'noise-controls')}; 95 % bootstrap intervals over images.",
    )


@show.shows("autocorrelation")
def smoothness_plate(study: Study) -> Plate:
    """How smooth maps are, beside their randomisation score."""
    table = study.table("autocorrelation")
    numbers = show.with_intervals(table, ("method", "lag"), "autocorrelation")
    means = randomization_scores(study.table("randomization")).mean()
    numbers["ssim"] = numbers["method"].map(means)
    both = pd.DataFrame({"smooth": at_lag(table).mean(), "ssim": means}).dropna()
    both = both.drop(index="noise")
    tau = both["smooth"].corr(both["ssim"], method="kendall")
    return smoothness_scatter(
        numbers,
        "Correlation of each map with itself, shifted by a lag (mean of both axes), and its value "
        f"at lag 1 beside the method's mean SSIM: Kendall's τ over {len(both)} methods is "
        f"{tau:+.2f}. {show.about(study, 'autocorrelation')}; SSIM: "
        f"{show.about(study, 'randomization', 'Bands')}",
    )


@show.shows("nearby-inputs")
def nearby_plate(study: Study) -> Plate:
    """How alike the maps of an image and of its close neighbours are."""
    numbers = show.with_intervals(study.table("nearby-inputs"), ("method", "level"), "correlation")
    title = "maps of nearby inputs"
    return show.dots(
        numbers.rename(columns={"method": "row"}).assign(
            series=[f"{level:.1%}" for level in numbers["level"]], panel=title
        ),
        caption="Pearson correlation over pixels of the signed map of an image and of the same "
        "image with weak noise, on the trained network. Methods that draw at random draw anew. "
        f"{show.about(study, 'nearby-inputs', 'Bars')}",
        xlabels="correlation\n(near 0: shattered)",
        lines={title: 0.0},
        legend="noise, of the range",
    )


@show.shows("smoothgrad-copies")
def copies_table(study: Study) -> Styler:
    """SmoothGrad under randomisation, with few and with many noisy copies."""
    table = study.table("smoothgrad-copies")
    rows = show.with_intervals(table, ("copies", "sign"), "ssim").drop(columns="n")
    return show.display_table(
        rows.rename(columns={"copies": "noisy copies", "sign": "maps", "mean": "mean SSIM"}),
        f"SmoothGrad: mean SSIM over {table['stage'].nunique()} steps of top-down randomisation. "
        f"{show.about(study, 'smoothgrad-copies')}; 95 % bootstrap intervals over images.",
    )


@show.shows("randomization")
def noise_against_methods(study: Study) -> Styler:
    """The noise control beside every method, on real attribution maps."""
    scores = randomization_scores(study.table("randomization"))
    rows = []
    for method in map(str, scores):
        pair = scores[list(dict.fromkeys((method, "noise")))].dropna()
        row = {"method": method} | show.bounds(show.shown_mean(pair[method]), "mean SSIM")
        if method != "noise":
            gap = show.shown_mean(pair[method] - pair["noise"])
            row |= {"minus noise": gap.estimate, "gap low": gap.low, "gap high": gap.high}
        rows.append(row)
    return show.display_table(
        pd.DataFrame(rows).sort_values("mean SSIM"),
        "Mean SSIM over the steps of top-down randomisation, lowest (best in that test) first. "
        f"{show.about(study, 'randomization')}; 95 % bootstrap intervals over images.",
    )


SPREADS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)

#: what a reader can set; every value of a slider is listed, so that all have the same ones
CONTROLS = (
    Control("correlation", "correlation", [place / 20 for place in range(-20, 21)]),
    Control("sd_a", "spread of A", SPREADS),
    Control("sd_b", "spread of B", SPREADS),
    Control("mean_a", "mean of A", [place / 10 for place in range(-10, 11)]),
    Control("mean_b", "mean of B", [place / 10 for place in range(-10, 11)]),
    Control("pixels", "pixels n", [side**2 for side in range(3, 16)]),
    Control("range", "range L", [0.1, 0.2, 0.5, 1, 2, 5, 10]),
    Control("variances", "variances", ["fixed", "free"]),
    Control("held", "spreads held", SPREADS, only="variances=free"),
)

_UNRELATED: dict[str, Any] = {
    "correlation": 0.0, "sd_a": 0.3, "sd_b": 0.3, "mean_a": 0.2, "mean_b": 0.2, "pixels": 49,
    "range": 1, "variances": "fixed", "held": 0.02,
}  # fmt: skip

PRESETS = {
    "unrelated patches": _UNRELATED,
    "patches that have much in common": _UNRELATED | {"correlation": 0.8},
    "one patch is the other, sign flipped": _UNRELATED | {"correlation": -1.0, "mean_b": -0.2},
    "unrelated, nearly flat patches": _UNRELATED | {"sd_a": 0.02, "sd_b": 0.02},
    "counterexample: only the means are fixed": _UNRELATED
    | {"correlation": 0.05, "variances": "free"},
}


def simulator() -> Simulator:
    """Two patches to play with, and what Theorem 1 says of them."""
    rows = []
    for name, at in PRESETS.items():
        sd_a, sd_b, scale = at["sd_a"], at["sd_b"], at["range"]
        covariance = at["correlation"] * sd_a * sd_b
        moments = PatchMoments(at["mean_a"], at["mean_b"], sd_a**2, sd_b**2, covariance)
        values = {"SSIM": ssim(moments, scale), "bound": bound(sd_a**2, sd_b**2, scale)}
        rows += [
            {"setting": name, "quantity": key, "estimate": float(value)}
            for key, value in values.items()
        ]
    return Simulator(
        "theorem-1", CONTROLS, PRESETS, pd.DataFrame(rows),
        "Two patches with a choice of correlation, spreads, means, pixels and range: their SSIM, "
        "the bound of Theorem 1 and a histogram over drawn pairs.",
        "Two patches of normal pixels. A spread is a standard deviation. The first pair is red "
        "above zero and blue below. SSIM of the moments stands against the correlation, between "
        "dotted lines at plus and minus the bound. The histogram shows SSIM of drawn pairs; "
        "dotted, that of the moments. If the variances are free, the patches are compared with "
        "uncorrelated ones whose spreads are held, drawn dashed: the theorem says nothing of "
        "such a pair. Nothing here comes from a network.",
    )  # fmt: skip


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


def expected_ssim(table: pd.DataFrame) -> Figure:
    """Mean of SSIM and of its absolute value over random patches of zero expected covariance, with
    95 % intervals, against the bound of Eq. (2), dashed, and √(2/πn), grey, which is about the mean
    absolute correlation of independent patches of n pixels. In the last panel B is A or -A by the
    toss of a coin."""
    figure, axes = expectations(table, ("E[SSIM]", "E[|SSIM|]"), "mean over patches")
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


SCORES = {
    "ssim": "mean SSIM after randomisation\n(down: passes the sanity check)",
    "softmax": "mean softmax under occlusion\n(down: more faithful)",
}


def noise_curves(numbers: pd.DataFrame, caption: str) -> Plate:
    """Both scores against the amount of added noise: a row a run, a column a score.

    Args:
        numbers: columns ``panel``, ``method``, ``amount``, ``score`` (``ssim`` or ``softmax``),
            ``mean``, ``low``, ``high``; rows of the method ``noise`` give its level, whatever
            their amount.
        caption: the figure's caption.
    """
    panels, noise = distinct(numbers["panel"]), numbers["method"] == "noise"
    # evenly spaced: the amounts double, and 0 has no logarithm
    amounts = sorted(set(numbers.loc[~noise, "amount"]))
    methods = numbers[~noise]
    ends = [numbers[noise].assign(place=place) for place in (0, len(amounts) - 1)]
    placed = pd.concat([methods.assign(place=methods["amount"].map(amounts.index)), *ends])
    figure, axes = panel_axes(2 * len(panels), 2, (4.7, 3.6), sharex=True)
    for axis, (title, score) in zip(axes, product(panels, SCORES), strict=True):
        rows = placed[(placed["panel"] == title) & (placed["score"] == score)]
        names = draw_curves(axis, rows, "place")
        axis.set(ylabel=SCORES[score])
        axis.set_title(title, fontsize=10)
        axis.set_xticks(range(len(amounts)), [f"{amount:g}" for amount in amounts])
        label_ends(axis, names)
    for axis in axes[-2:]:
        axis.set_xlabel("λ: added noise, in units of\nthe map's root mean square")
    return Plate(figure, _words(numbers, amounts), caption, numbers)


def _words(numbers: pd.DataFrame, amounts: Sequence[float]) -> str:
    sentences = [
        f"Mean SSIM after randomisation and mean softmax under occlusion, as noise from λ = "
        f"{amounts[0]:g} to {amounts[-1]:g} is added to each map."
    ]
    rows = numbers[numbers["method"] != "noise"]
    for (panel, method), part in rows.groupby(["panel", "method"], sort=False):
        values = {
            score: part[part["score"] == score].sort_values("amount")["mean"] for score in SCORES
        }
        sentences.append(
            f"{panel}, {label(str(method))}: SSIM {values['ssim'].iloc[0]:.2f} to "
            f"{values['ssim'].iloc[-1]:.2f}, softmax {values['softmax'].iloc[0]:.2f} to "
            f"{values['softmax'].iloc[-1]:.2f}."
        )
    return " ".join(sentences)


def smoothness_scatter(numbers: pd.DataFrame, caption: str) -> Plate:
    """Left: autocorrelation against lag. Right: that at lag 1 against the randomisation score.

    Args:
        numbers: columns ``method``, ``lag``, ``mean``, ``low``, ``high`` of the autocorrelation,
            and ``ssim``, the same in all rows of a method, NaN where there is none.
        caption: the figure's caption.
    """
    figure, (lags, scores) = panel_axes(2, 2, (4.8, 4))
    ends = draw_curves(lags, numbers, "lag")
    lags.axhline(0, color="0.6", lw=0.8)
    lags.set(xlabel="lag in pixels", ylabel="autocorrelation of the map")
    label_ends(lags, ends)
    first = numbers[numbers["lag"] == numbers["lag"].min()].dropna(subset="ssim")
    points = draw_points(scores, first, "mean", "ssim")
    scores.set(
        xlabel=f"autocorrelation at lag {int(numbers['lag'].min())}",
        ylabel="mean SSIM after randomisation\n(down: passes the sanity check)",
    )
    label_points(scores, points)
    listed = ", ".join(f"{label(name)} {x:.2f} and {y:.2f}" for name, (x, y) in points.items())
    alt = (
        "Autocorrelation of each method's maps against the lag, and its value at the first lag "
        f"beside the mean SSIM after randomisation: {listed}."
    )
    return Plate(figure, alt, caption, numbers)
