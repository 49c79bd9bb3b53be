"""Figures of the formal statements about networks: tidy table in, figure out.

The descriptions are written for readers; pages show them as captions. Callers set the theme.
"""

from __future__ import annotations

import re

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from sanitygap.figures.theory import (
    REFERENCE,
    errorbars,
    horizontal_points,
    legend_beside,
    log_axis,
    styles,
)

# --- Sec. 4.1 and 4.2 ---------------------------------------------------------------------------


def ignored_features(table: pd.DataFrame) -> Figure:
    """Mean share of the absolute attribution that goes to inputs to which the kept layers do not
    respond, under random layers on top. The layers ignore these inputs because their weights are
    zero, because two paths cancel, or only near the input (locally dead units). The paper says that
    the share should be small."""
    rows = table[table["head"] == "random"]
    wide = rows.pivot_table(index="method", columns="case", values="share", sort=False)
    figure, axis = plt.subplots(figsize=(6.5, 3.8))
    sns.heatmap(
        wide, annot=True, fmt=".2f", cmap="Blues", vmin=0, vmax=max(0.3, wide.to_numpy().max()),
        linewidths=1, cbar_kws={"label": "share of attribution"}, ax=axis,
    )  # fmt: skip
    axis.set(xlabel="", ylabel="")
    axis.tick_params(left=False, bottom=False)
    return figure


def additive_surrogate(table: pd.DataFrame) -> Figure:
    """A block with a skip connection whose branch is drawn again. Left: error of the additive form
    of Eq. (5) relative to the change, with 95 % intervals; the criterion is below 0.2, dashed.
    Right: correlation of the logits before and after the draw."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.5))
    for top, style in styles(table["top"]).items():
        rows = table[table["top"] == top].sort_values("branch_scale")
        errorbars(axes[0], rows, "branch_scale", top, **style)
        axes[1].plot(rows["branch_scale"], rows["logit_correlation"], label=top, **style)
    axes[0].axhline(0.2, **REFERENCE)
    axes[0].set_ylabel("relative error of the surrogate")
    axes[1].set_ylabel("correlation of the logits")
    for axis in axes:
        log_axis(axis, table["branch_scale"])
        axis.set_xlabel("scale of the branch")
    axes[1].set_ylim(0, 1)
    axes[0].legend(title="top of the network")
    return figure


def linearity(table: pd.DataFrame) -> Figure:
    """Largest distance between the explanation of a combined network and the combination of the
    explanations of its parts, relative to the largest attribution. The dashed line is the criterion
    for methods that are linear in the function."""
    figure, axis = plt.subplots(figsize=(7.5, 3.4))
    names = list(dict.fromkeys(table["method"]))
    for combination, style in styles(table["combination"]).items():
        rows = table[table["combination"] == combination].set_index("method").loc[names]
        axis.plot(rows["largest"], range(len(names)), label=combination, **style, linestyle="none")
    axis.axvline(1e-10, **REFERENCE)
    axis.set_yticks(range(len(names)), names)
    axis.set(xscale="log", xlabel="relative error", ylim=(len(names) - 0.5, -0.5))
    legend_beside(axis)
    return figure


# --- Theorem 2 ----------------------------------------------------------------------------------


def random_neurons(table: pd.DataFrame) -> Figure:
    """Neurons with random weights, one point each: the sum over the large activations
    (horizontally) and the sum over as many small ones, both in units of the standard deviation of
    the small sum. The large activations are K times the small ones. A neuron is overtaken, and
    marked by a cross, if its large sum is positive and the small one reaches it (the wedge). As K
    grows the cloud stretches sideways (mind the horizontal scales) and the wedge empties. The tail
    is that of Theorem 2."""
    ratios = list(dict.fromkeys(table["ratio"]))
    figure, axes = plt.subplots(1, len(ratios), figsize=(2.9 * len(ratios), 3.4), sharey=True)
    colors = sns.color_palette("colorblind")
    for axis, ratio in zip(axes, ratios, strict=True):
        rows = table[table["ratio"] == ratio]
        reach = float(rows["small_sum"].abs().max()) * 1.1
        axis.fill_between([0, reach], [0, reach], reach, color="0.9", lw=0, zorder=0)
        for overtaken, marker, color in ((False, "o", colors[0]), (True, "X", colors[3])):
            part = rows[rows["overtaken"] == overtaken]
            axis.plot(
                part["large_sum"], part["small_sum"], marker, color=color, markersize=4, alpha=0.7
            )
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
    figure, axes = plt.subplots(1, 3, figsize=(9, 3.8), sharey=True)
    look = styles(event for events in panels.values() for event in events)
    for axis, (title, events) in zip(axes, panels.items(), strict=True):
        for event in events:
            rows = table[table["event"] == event].copy()
            if event == "two-sided":
                rows["claimed"] /= 2  # shown against the tail, like the others
            errorbars(axis, rows, "claimed", event, **look[event] | {"linestyle": "none"})
        axis.plot([0, 0.5], [0, 0.5], **REFERENCE)
        axis.set(xlabel="Cauchy tail P(Z ≥ K)", title=title, ylim=(-0.04, 1.3))
        axis.legend(loc="upper left")
    axes[0].set_ylabel("simulated frequency")
    return figure


def weight_distributions(table: pd.DataFrame) -> Figure:
    """Frequency with which small activations overtake large ones, given a positive large sum, for
    several distributions of the weights (K = 2), with 95 % intervals. Dashed: the Cauchy tail of
    Theorem 2, which assumes normal weights."""
    figure, axis = plt.subplots(figsize=(7, 2.8))
    names = list(dict.fromkeys(table["weights"]))
    for shift, (size, style) in zip((-0.1, 0.1), styles(table["n_small"]).items(), strict=True):
        rows = table[table["n_small"] == int(size)].set_index("weights").loc[names]
        horizontal_points(axis, rows, names, f"{size} + {size} activations", shift, **style)
    axis.axvline(table["claimed"].iloc[0], **REFERENCE)
    axis.set_xlabel("frequency given a positive large sum")
    legend_beside(axis)
    return figure


def random_heads(table: pd.DataFrame) -> Figure:
    """Groups of inputs under random ReLU heads: distance of the two-sided frequency in Gradient ×
    Input from twice the Cauchy tail, with 95 % intervals. The band is the criterion for He
    weights. Convolutional heads share weights between positions, dense ones do not."""
    rows = table[table["event"] == "two-sided"].copy()
    names = [
        f"{kind}, {weights}, depth {depth}"
        for kind, weights, depth in rows[["kind", "weights", "depth"]].to_numpy()
    ]
    rows["head"] = names
    for column in ("estimate", "low", "high"):
        rows[column] -= rows["claimed"]
    order = list(dict.fromkeys(names))
    sizes = rows["n_small"].astype(str) + " + " + rows["n_large"].astype(str)
    figure, axis = plt.subplots(figsize=(8.5, 4.6))
    axis.axvspan(-0.02, 0.02, color="0.88", zorder=0)
    for shift, (size, style) in zip((-0.2, 0, 0.2), styles(sizes).items(), strict=True):
        part = rows[sizes == size].set_index("head").reindex(order)
        horizontal_points(axis, part, order, f"{size} inputs", shift, **style)
    axis.axvline(0, **REFERENCE)
    axis.set_xlabel("frequency - twice the tail")
    legend_beside(axis)
    return figure


# --- Appendices A.2, F and G --------------------------------------------------------------------


def example_neuron(table: pd.DataFrame) -> Figure:
    """Size of what each method gives the six inputs of one neuron, against their contributions.
    Filled: positive contributions, to which Eq. (9) applies; they must rise from left to right.
    Hollow: negative ones. Last panel: with a zigzag on top of the neuron, which rises and falls,
    the largest contribution gets the smallest Shapley value."""
    cases = list(dict.fromkeys(zip(table["method"], table["setting"], strict=True)))
    figure, axes = plt.subplots(1, len(cases), figsize=(2.25 * len(cases), 2.9))
    for axis, (method, setting) in zip(axes, cases, strict=True):
        rows = table[(table["method"] == method) & (table["setting"] == setting)]
        rows = rows.sort_values("contribution")
        for sign, face in ((1, None), (-1, "white")):
            part = rows[np.sign(rows["contribution"]) == sign]
            size = part["relevance"].abs()
            axis.plot(part["contribution"], size, "o-", color="C0", mfc=face or "C0")
        axis.axvline(0, **REFERENCE)
        axis.set(xlabel="contribution w x", title=f"{method},\n{setting}", ylim=(0, None))
    axes[0].set_ylabel("|R(x)|")
    return figure


def adaptive_beta(table: pd.DataFrame) -> Figure:
    """Left: β of a neuron against the balance of its contributions, |N| / P, as Eq. (10) demands
    and as Eq. (11) prints it; dashed, the cap of 3. The grey curve is the share of random neurons
    of at most that balance. Right: by how much each choice misses Eq. (10)."""
    figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.6))
    cap = float(table.loc[table["formula"] == "solved, capped", "beta"].max())
    for formula, style in styles(table["formula"]).items():
        rows = table[table["formula"] == formula]
        every = max(1, len(rows) // 8)
        for axis, column in zip(axes, ("beta", "residual"), strict=True):
            axis.plot(rows["balance"], rows[column], label=formula, markevery=every, **style)
    share = axes[0].twinx()
    one = table[table["formula"] == "printed"]
    share.fill_between(one["balance"], one["share"], color="0.85", lw=0, zorder=0)
    share.set(ylim=(0, 1), yticks=(0, 0.5, 1), ylabel="share of random neurons")
    share.grid(False)
    axes[0].set_zorder(share.get_zorder() + 1)
    axes[0].patch.set_visible(False)
    axes[0].axhline(cap, **REFERENCE)
    axes[0].set(ylim=(0, 5), ylabel="β")
    axes[1].set(ylabel="β / (1 + β) - |N| / P")
    for axis in axes:
        axis.set_xlabel("balance |N| / P")
    axes[0].legend()
    return figure


def monotonicity(table: pd.DataFrame) -> Figure:
    """Share of pairs of inputs of one neuron in which the larger positive contribution gets the
    smaller explanation, with 95 % intervals, by what lies on top of the neuron and, for LRP-β, by
    whether the inputs feed a common neuron. Eq. (9) says that there are none."""
    rows = table[table["version"] == "non-strict"].sort_values("method", kind="stable")
    names = [f"{method}: {setting}" for method, setting in rows[["method", "setting"]].to_numpy()]
    figure, axis = plt.subplots(figsize=(8, 6))
    look = styles(rows["method"])
    for method, style in look.items():
        horizontal_points(axis, rows.where(rows["method"] == method), names, method, **style)
    axis.axvline(0, **REFERENCE)
    axis.xaxis.set_major_formatter("{x:.0%}")
    axis.set_xlabel("violating pairs")
    axis.legend()
    return figure


def layer_sums(table: pd.DataFrame) -> Figure:
    """Share of networks with a positive logit in which the relevance of some layer does not sum to
    something positive, by method and by the scale of the non-positive biases. Appendix G says that
    there are none. Absorbed: the bias takes its share of the denominator of the rule."""
    trainings = list(dict.fromkeys(table["training"]))
    top = max(0.05, float(table["estimate"].max()))
    figure, axes = plt.subplots(1, len(trainings), figsize=(9, 4.0), sharey=True)
    for axis, training in zip(axes, trainings, strict=True):
        wide = table[table["training"] == training].pivot_table(
            index="method", columns="bias_scale", values="estimate", sort=False
        )
        sns.heatmap(
            wide, annot=True, fmt=".1%", cmap="Oranges", vmin=0, vmax=top, linewidths=1,
            cbar=False, ax=axis,
        )  # fmt: skip
        axis.set(xlabel="scale of the biases", ylabel="", title=f"{training} networks")
        axis.tick_params(left=False, bottom=False)
    return figure


# --- Appendices I and J -------------------------------------------------------------------------


def overtaking_bounds(table: pd.DataFrame) -> Figure:
    """Upper bound on the probability that small activations overtake large ones, layer by layer:
    mean over images, against the fraction of small activations, for three fractions of large ones.
    Panels are layers in the order of the forward pass; a missing line means that no image has
    quantiles the paper's rule covers."""
    layers = list(dict.fromkeys(zip(table["layer_index"], table["layer"], strict=True)))
    columns = min(6, len(layers))
    lines = -(-len(layers) // columns)
    figure, axes = plt.subplots(
        lines, columns, figsize=(1.55 * columns, 1.35 * lines + 0.6), sharex=True, sharey=True,
        squeeze=False,
    )  # fmt: skip
    means = table.groupby(["layer_index", "q_high", "q_low"])["bound"].mean()
    look = styles(sorted(table["q_high"].unique(), reverse=True))
    for axis, (index, name) in zip(axes.flat, layers, strict=False):
        for high, style in look.items():
            line = means.loc[index, float(high)]
            axis.plot(line.index, line, label=f"$q_h$ = {high}", **style | {"markersize": 3})
        axis.set_title(f"{index}: {short_name(name)}", fontsize=7)
    for axis in axes.flat[len(layers) :]:
        axis.set_visible(False)
    figure.supxlabel("$q_l$: fraction of small activations", fontsize=10)
    figure.supylabel("Cauchy tail", fontsize=10)
    figure.legend(
        *axes.flat[0].get_legend_handles_labels(), loc="outside upper right", ncols=3,
        frameon=False,
    )  # fmt: skip
    return figure


def redrawn_layers(numbers: pd.DataFrame) -> Figure:
    """Overtaking in real neurons: for every layer whose inputs are activations, its weights are
    drawn again and its own neurons are counted, means over images with 95 % intervals (dots).
    Squares: neurons whose inputs are drawn from all activations of the layer. Bars: the bound of
    Theorem 2. Where it is zero the small activations are zeros. A pair of quantiles for which
    everything is zero in all layers is left out. Layers in the order of the forward pass."""
    shown = numbers[(numbers[["bound", "simulated", "mean"]] > 0).any(axis=1)]
    shown = shown if len(shown) else numbers
    pairs = sorted(set(zip(shown["q_high"], shown["q_low"], strict=True)), reverse=True)
    places = sorted(set(zip(numbers["layer_index"], numbers["layer"], strict=True)))
    position = {index: place for place, (index, _) in enumerate(places)}
    figure, axes = plt.subplots(
        len(pairs), 1, figsize=(max(6.5, 0.27 * len(places) + 2), 2.6 * len(pairs) + 1.4),
        sharex=True, squeeze=False,
    )  # fmt: skip
    colors = sns.color_palette("colorblind")
    for axis, (high, low) in zip(axes[:, 0], pairs, strict=True):
        rows = numbers[(numbers["q_high"] == high) & (numbers["q_low"] == low)]
        at = rows["layer_index"].map(position)
        axis.bar(at, rows["bound"], color="0.82", label="bound")
        axis.plot(at, rows["simulated"], "s", color=colors[1], ms=4, label="simulated neurons")
        errors = np.maximum([rows["mean"] - rows["low"], rows["high"] - rows["mean"]], 0)
        axis.errorbar(
            at, rows["mean"], yerr=errors, fmt="o", color=colors[0], ms=4, capsize=2,
            label="real neurons",
        )  # fmt: skip
        axis.set(title=f"large: above $V({high:g})$, small: below $V({low:g})$", ylabel="frequency")
        axis.set_ylim(0, max(0.05, 1.1 * float(numbers["bound"].max())))
        axis.grid(False, axis="x")
    axes[-1, 0].set_xticks(range(len(places)), [name for _, name in places], rotation=90)
    axes[-1, 0].tick_params(axis="x", labelsize=7)
    axes[0, 0].legend(ncols=3)
    return figure


def short_name(layer: str) -> str:
    """A layer's name without what all activations have in common, cut from the left."""
    name = re.sub(r"[._]activation$", "", layer)
    return name if len(name) <= 21 else f"…{name[-20:]}"


def sparsity(table: pd.DataFrame) -> Figure:
    """Fraction of activations that are not positive, layer by layer in the order of the forward
    pass: mean over images and the range from the 5 % to the 95 % quantile over images. The dashed
    line marks 30 %."""
    grouped = table.groupby("layer_index")["non_positive"]
    mean, low, high = grouped.mean(), grouped.quantile(0.05), grouped.quantile(0.95)
    names = table.groupby("layer_index")["layer"].first()
    figure, axis = plt.subplots(figsize=(max(6, 0.28 * len(mean) + 2), 4))
    axis.bar(mean.index, mean, color=sns.color_palette("colorblind")[0], alpha=0.8)
    axis.errorbar(
        mean.index, mean, yerr=np.maximum([mean - low, high - mean], 0), fmt="none", color="0.2",
        capsize=2, linewidth=1,
    )  # fmt: skip
    axis.axhline(0.3, **REFERENCE)
    axis.set_xticks(mean.index, [f"{i}: {short_name(n)}" for i, n in names.items()], rotation=90)
    axis.tick_params(axis="x", labelsize=7)
    axis.yaxis.set_major_formatter("{x:.0%}")
    axis.set(ylabel="non-positive activations", ylim=(0, 1), xlim=(-0.7, len(mean) - 0.3))
    return figure
