"""Theorem 2 in figures: formal statements, activations of real networks, and where maps stay."""

import re
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler

from sanitygap import show
from sanitygap.chapters.theorem_2.judge import PAIRS, concentration, frequencies, own_activity
from sanitygap.figures.plate import Plate
from sanitygap.figures.simulator import Control, Simulator
from sanitygap.figures.theory import COLORS, REFERENCE, lines, points, styles
from sanitygap.runs import Study
from sanitygap.show import bar_lengths, distinct, legend_below, panel_axes
from sanitygap.statements import Draw, _intervals, described
from sanitygap.theory.theorem_2 import Activations, claimed_probabilities, exact_probabilities

TABLE = "activated-regions"


#: names of the panels with what their axes say
RATIO = "mass in the most active 10 %"
CORRELATION = "rank correlation with the own activity"


@show.shows(TABLE)
def region_plate(study: Study) -> Plate:
    """Mass in the active regions and correlation with activity, method by method and depth."""
    table = study.table(TABLE)
    rows = []
    for method in show.distinct(table["method"]):
        for step, stage in sorted(set(zip(table["step"], table["stage"], strict=True))):
            rows += [
                {"row": method, "series": f"below {stage}", "panel": title}
                | show.columns(show.or_nan(measure, table, method, step))
                for title, measure in ((RATIO, concentration), (CORRELATION, own_activity))
            ]
    return show.dots(
        pd.DataFrame(rows),
        caption="Absolute maps after top-down randomisation, against the sum of squared "
        "activations of the last feature map below the redrawn layers. Left: share of "
        "the map in the most active 10 % of the pixels, over 10 %. Right: rank correlation over "
        "pixels with the activity of the same image, minus that with the activity of other "
        f"images. {show.about(study, TABLE, 'Bars')}",
        xlabels={
            RATIO: "mass share / area share\n(right of 1: dominated by active regions)",
            CORRELATION: "minus correlation with other images\n(right of 0: follows the own)",
        },
        lines={RATIO: 1.0, CORRELATION: 0.0},
        legend="feature map",
    )


@show.shows()
def activation_plate(study: Study, table: str, draw: Draw) -> Plate:
    """A figure about activations; the numbers behind it are means over images."""
    rows = study.table(table)
    keys = [name for name in ("layer_index", "layer", "q_high", "q_low") if name in rows]
    numbers = rows.groupby(keys, as_index=False).mean(numeric_only=True)
    return described(draw, rows, numbers, show.about(study, table))


def _overtaking(study: Study) -> tuple[pd.DataFrame, str]:
    """How often real neurons of redrawn layers are overtaken, and words about the table."""
    table = frequencies(study.table("redrawn-overtaking"))
    if table.empty:
        raise show.NothingToShowError(
            f"{show.model_of(study)} has no convolution or dense layer that an activation module "
            "feeds directly, so there is nothing to redraw here."
        )
    redraws = study.made("redrawn-overtaking")["parameters"]["redraws"]
    return table, f"{show.about(study, 'redrawn-overtaking')}, {redraws} redraws an image"


@show.shows()
def redrawn_plate(study: Study) -> Plate:
    """Overtaking in the real neurons of redrawn layers beside the bound, layer by layer."""
    table, words = _overtaking(study)
    keys = ["q_high", "q_low", "layer_index", "layer"]
    means = table.groupby(keys, as_index=False)[["bound", "simulated"]].mean()
    numbers = _intervals(table, keys, "frequency").merge(means, on=keys)
    chosen = [pair in PAIRS for pair in zip(numbers["q_high"], numbers["q_low"], strict=True)]
    return described(redrawn_layers, numbers[chosen], numbers[chosen], words)


@show.shows()
def measured_overtaking(study: Study) -> Styler:
    """The bound on overtaking beside its frequency in real neurons with redrawn weights."""
    table, words = _overtaking(study)
    rows = []
    for (high, low), part in table.groupby(["q_high", "q_low"], sort=False):
        images = part.groupby("image")[["bound", "simulated", "frequency"]].mean()
        layers = part.groupby("layer_index")
        zeros = layers["value_low"].max() == 0
        above = layers["frequency"].mean() > layers["bound"].mean()
        rows.append(
            {"large: above V(q)": f"{high:g}", "small: below V(q)": f"{low:g}"}
            | {"mean bound": images["bound"].mean()}
            | {"simulated neurons": images["simulated"].mean()}
            | show.bounds(show.shown_mean(images["frequency"]), "real neurons")
            | {"layers": layers.ngroups, "of them with V(q) = 0": int(zeros.sum())}
            | {"real neurons above the bound": int(above.sum())}
        )
    return show.display_table(
        rows,
        "Means over layers and images of the bound of Theorem 2 and of the two frequencies; 95 % "
        "bootstrap intervals over images. The last three columns count layers: all that the "
        "paper's rule covers, those whose small activations are zeros in every image, and those "
        f"whose mean frequency exceeds the mean bound. {words}.",
    )


SIZES = (1, 2, 3, 5, 10, 20, 50, 100)

CONTROLS = (
    Control("ratio", "ratio K", [1, 1.5, 2, 3, 4, 5, 7, 10, 15, 20]),
    Control("n_small", "small ones", SIZES),
    Control("n_large", "large ones", SIZES),
    Control("weights", "law of the weights", ["normal", "uniform", "Laplace", "Student t1"]),
    Control("event", "event", ["conditional", "joint"]),
)

_EQUAL: dict[str, Any] = {
    "ratio": 3, "n_small": 20, "n_large": 20, "weights": "normal", "event": "conditional",
}  # fmt: skip

PRESETS = {
    "as many small as large ones": _EQUAL,
    "large ones are ten times as large": _EQUAL | {"ratio": 10},
    "many small ones against a few large": _EQUAL | {"n_small": 100, "n_large": 1},
    "the joint event, as printed": _EQUAL | {"event": "joint"},
    "weights without a finite variance": _EQUAL | {"n_small": 100, "weights": "Student t1"},
}


def simulator() -> Simulator:
    """Neurons with random weights to play with, and what Theorem 2 says of them."""
    rows = []
    for name, at in PRESETS.items():
        case = Activations.constant(at["n_small"], at["n_large"], at["ratio"])
        values = {
            "arctan tail": claimed_probabilities(case)[at["event"]],
            "exact for normal weights": exact_probabilities(case)[at["event"]],
        }
        rows += [
            {"setting": name, "quantity": key, "estimate": value} for key, value in values.items()
        ]
    return Simulator(
        "theorem-2", CONTROLS, PRESETS, pd.DataFrame(rows),
        "Neurons with random weights and a choice of the ratio K, both set sizes and the law of "
        "the weights: a cloud with the wedge where small activations win, and their frequency "
        "beside the tail.",
        "Each small activation is 1, each large one K. In the cloud a point is a neuron; in the "
        "shaded wedge the small sum S reaches a positive large sum L, marked by a cross. The bars "
        "are the share of such neurons, with its 95 % interval, and the tail of Theorem 2; dotted, "
        "the exact value for normal weights. Conditional: among neurons with L > 0. Joint: among "
        "all. "
        "Nothing here comes from a network.",
    )  # fmt: skip


def random_neurons(table: pd.DataFrame) -> Figure:
    """Neurons with random weights, one point each: the sum over the large activations
    (horizontally) and the sum over as many small ones, both in units of the standard deviation of
    the small sum. The large activations are K times the small ones. A neuron is overtaken, and
    marked by a cross, if its large sum is positive and the small one reaches it (the wedge). As K
    grows the cloud stretches sideways (mind the horizontal scales) and the wedge empties. The tail
    is that of Theorem 2."""
    ratios = distinct(table["ratio"])
    figure, axes = panel_axes(len(ratios), len(ratios), (2.9, 3.4), sharey=True)
    for axis, ratio in zip(axes, ratios, strict=True):
        rows = table[table["ratio"] == ratio]
        reach = float(rows["small_sum"].abs().max()) * 1.1
        axis.fill_between([0, reach], [0, reach], reach, color="0.9", lw=0, zorder=0)
        for overtaken, marker, color in ((False, "o", COLORS[0]), (True, "X", COLORS[3])):
            part = rows[rows["overtaken"] == overtaken]
            axis.plot(part["large_sum"], part["small_sum"], marker, color=color, ms=4, alpha=0.7)
        positive = rows[rows["large_sum"] > 0]["overtaken"].mean()
        axis.set_title(
            f"K = {ratio:g}: {positive:.0%} of the neurons\nwith L > 0, tail "
            f"{rows['claimed'].iloc[0]:.0%}"
        )
        axis.set(xlabel="L, sum over large activations", ylim=(-reach, reach))
    axes[0].set_ylabel("S, sum over small activations")
    return figure


def overtaking(table: pd.DataFrame) -> Figure:
    """Simulated frequency with which small activations overtake large ones, against the Cauchy tail
    that the paper claims; on or below the dashed line the claim holds. Left: signed sums, Theorem 2
    (joint: the event as printed; conditional: given a positive large sum; two-sided: absolute
    values of the sums). Centre: averages. Right: sums and averages of absolute contributions."""
    panels = {
        "sums": ("joint", "conditional", "two-sided"),
        "averages": ("conditional, averages",),
        "absolute contributions": ("absolute sums", "absolute averages"),
    }
    # two-sided frequencies are shown against the tail, like the others
    halves = np.where(table["event"] == "two-sided", 0.5, 1.0)
    rows = table.assign(claimed=table["claimed"] * halves)
    looks = styles(event for events in panels.values() for event in events)
    figure, axes = panel_axes(3, 3, (3, 3.8), sharey=True)
    for axis, (title, events) in zip(axes, panels.items(), strict=True):
        own = {event: looks[event] | {"linestyle": "none"} for event in events}
        lines(axis, rows, "claimed", "event", looks=own)
        axis.plot([0, 0.5], [0, 0.5], **REFERENCE)
        axis.set(xlabel="Cauchy tail P(Z ≥ K)", title=title, ylim=(-0.04, 1.3))
        axis.legend(loc="upper left")
    axes[0].set_ylabel("simulated frequency")
    return figure


def weight_distributions(table: pd.DataFrame) -> Figure:
    """Frequency with which small activations overtake large ones, given a positive large sum, for
    several distributions of the weights (K = 2), with 95 % intervals. Dashed: the Cauchy tail of
    Theorem 2, which assumes normal weights."""
    rows = table.assign(size=[f"{size} + {size} activations" for size in table["n_small"]])
    words = "frequency given a positive large sum"
    return points(rows, "weights", "size", words, table["claimed"].iloc[0])


def random_heads(table: pd.DataFrame) -> Figure:
    """Groups of inputs under random ReLU heads: distance of the two-sided frequency in Gradient ×
    Input from twice the Cauchy tail, with 95 % intervals. The band is the criterion for He
    weights. Convolutional heads share weights between positions, dense ones do not."""
    rows = table[table["event"] == "two-sided"]
    gaps = {name: rows[name] - rows["claimed"] for name in ("estimate", "low", "high")}
    depth, small, large = (rows[name].astype(str) for name in ("depth", "n_small", "n_large"))
    rows = rows.assign(
        **gaps,
        head=rows["kind"] + ", " + rows["weights"] + ", depth " + depth,
        size=small + " + " + large + " inputs",
    )
    figure = points(rows, "head", "size", "frequency - twice the tail", 0)
    figure.axes[0].axvspan(-0.02, 0.02, color="0.88", zorder=0)
    return figure


def overtaking_bounds(table: pd.DataFrame) -> Figure:
    """Upper bound on the probability that small activations overtake large ones, layer by layer:
    mean over images, against the fraction of small activations, for three fractions of large ones.
    Panels are layers in the order of the forward pass; a missing line means that no image has
    quantiles the paper's rule covers."""
    layers = list(table.groupby(["layer_index", "layer"], sort=False))
    looks = {
        name: look | {"markersize": 3, "markevery": 1}
        for name, look in styles(sorted(table["q_high"].unique(), reverse=True)).items()
    }
    figure, axes = panel_axes(len(layers), 6, (1.55, 1.45), sharex=True, sharey=True)
    for axis, ((index, name), rows) in zip(axes, layers, strict=True):
        means = rows.groupby(["q_high", "q_low"])["bound"].mean().reset_index()
        lines(axis, means, "q_low", "q_high", "bound", looks)
        axis.set_title(f"{index}: {short_name(str(name))}", fontsize=7)
    figure.supxlabel("$q_l$: fraction of small activations", fontsize=10)
    figure.supylabel("Cauchy tail", fontsize=10)
    legend_below(figure, axes[:1], "$q_h$, fraction of large activations")
    return figure


def redrawn_layers(numbers: pd.DataFrame) -> Figure:
    """Overtaking in real neurons: for every layer whose inputs are activations, its weights are
    drawn again and its own neurons are counted, means over images with 95 % intervals (dots).
    Squares: neurons whose inputs are drawn from all activations of the layer. Bars: the bound of
    Theorem 2. Where it is zero the small activations are zeros. A pair of quantiles for which
    everything is zero in all layers is left out. Layers in the order of the forward pass."""
    positive = numbers[(numbers[["bound", "simulated", "mean"]] > 0).any(axis=1)]
    drawn = positive if len(positive) else numbers
    pairs = sorted(set(zip(drawn["q_high"], drawn["q_low"], strict=True)), reverse=True)
    places = sorted(set(zip(numbers["layer_index"], numbers["layer"], strict=True)))
    position = {index: place for place, (index, _) in enumerate(places)}
    size = (max(6.5, 0.27 * len(places) + 2), 2.6 + 1.4 / len(pairs))
    figure, axes = panel_axes(len(pairs), 1, size, sharex=True)
    for axis, (high, low) in zip(axes, pairs, strict=True):
        rows = numbers[(numbers["q_high"] == high) & (numbers["q_low"] == low)]
        at = rows["layer_index"].map(position)
        axis.bar(at, rows["bound"], color="0.82", label="bound")
        axis.plot(at, rows["simulated"], "s", color=COLORS[1], ms=4, label="simulated neurons")
        arms = bar_lengths(rows, "mean", "low", "high")
        look = {"color": COLORS[0], "ms": 4, "capsize": 2, "label": "real neurons"}
        axis.errorbar(at, rows["mean"], arms, fmt="o", **look)
        axis.set(title=f"large: above $V({high:g})$, small: below $V({low:g})$", ylabel="frequency")
        axis.set_ylim(0, max(0.05, 1.1 * float(numbers["bound"].max())))
        axis.grid(False, axis="x")
    axes[-1].set_xticks(range(len(places)), [name for _, name in places], rotation=90, fontsize=7)
    axes[0].legend(ncols=3)
    return figure


def short_name(layer: str) -> str:
    """A layer's name without what all activations have in common, cut from the left."""
    name = re.sub(r"[._]activation$", "", layer)
    return name if len(name) <= 21 else f"…{name[-20:]}"


def sparsity(table: pd.DataFrame) -> Figure:
    """Fraction of activations that are not positive, layer by layer in the order of the forward
    pass: mean over images and the range from the 5 % to the 95 % quantile over images. The dashed
    line marks 30 %."""
    layers = table.groupby(["layer_index", "layer"])["non_positive"]
    rows = pd.DataFrame(
        {"mean": layers.mean(), "low": layers.quantile(0.05), "high": layers.quantile(0.95)}
    ).reset_index()
    figure, (axis,) = panel_axes(1, 1, (max(6, 0.28 * len(rows) + 2), 4))
    axis.bar(
        rows.index, rows["mean"], color=COLORS[0], alpha=0.8,
        yerr=bar_lengths(rows, "mean", "low", "high"), ecolor="0.2", capsize=2,
    )  # fmt: skip
    axis.axhline(0.3, **REFERENCE)
    names = [f"{i}: {short_name(n)}" for i, n in rows[["layer_index", "layer"]].to_numpy()]
    axis.set_xticks(rows.index, names, rotation=90, fontsize=7)
    axis.yaxis.set_major_formatter("{x:.0%}")
    axis.set(ylabel="non-positive activations", ylim=(0, 1), xlim=(-0.7, len(rows) - 0.3))
    return figure
