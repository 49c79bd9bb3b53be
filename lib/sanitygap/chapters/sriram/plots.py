"""Figures about the sensitivity S: layers of a network, and small changes."""

import pandas as pd
import seaborn as sns

from sanitygap.figures.methods import label, label_ends
from sanitygap.figures.plate import Plate
from sanitygap.show import distinct, draw_curves, panel_axes

#: zero has no logarithm
LEAST = 1e-7


def layer_grid(numbers: pd.DataFrame, caption: str) -> Plate:
    """Mean S of each method and layer as a table of shades.

    Args:
        numbers: columns ``method``, ``stage`` (in the order of drawing), ``sensitivity``.
        caption: the figure's caption.
    """
    methods, layers = distinct(numbers["method"]), distinct(numbers["stage"])
    grid = numbers.pivot(index="method", columns="stage", values="sensitivity")
    grid = grid.loc[methods, layers]
    size = (min(9.4, 4.2 + 0.55 * len(layers)), 1.6 + 0.34 * len(methods))
    figure, (axis,) = panel_axes(1, 1, size)
    sns.heatmap(
        grid, ax=axis, cmap="viridis", vmin=0, vmax=max(1.0, float(grid.max().max())),
        annot=len(layers) <= 12, fmt=".2f", annot_kws={"size": 7}, linewidths=0.4,
        cbar_kws={"label": "mean S"},
    )  # fmt: skip
    axis.set_yticklabels([label(str(name)) for name in methods], rotation=0)
    axis.set(xlabel="redrawn layer, from the output to the input", ylabel="")
    axis.tick_params(axis="x", rotation=60)
    sentences = [
        f"{label(str(name))}: {row.min():.2f} ({row.idxmin()}) to {row.max():.2f} ({row.idxmax()})."
        for name, row in grid.iterrows()
        if row.notna().any()
    ]
    alt = f"Mean S of {len(methods)} methods for {len(layers)} layers. {' '.join(sentences)}"
    return Plate(figure, alt, caption, numbers)


def change_lines(numbers: pd.DataFrame, caption: str, threshold: float) -> Plate:
    """S against how far weights or image were moved, on logarithmic axes.

    Args:
        numbers: columns ``moved``, ``method``, ``share``, ``mean``, ``low``, ``high``.
        caption: the figure's caption.
        threshold: of S, drawn as a line.
    """
    kinds = numbers.groupby("moved", sort=False)
    figure, axes = panel_axes(len(kinds), 1, (8.6, 3.7))
    limits = ["mean", "low", "high"]
    sentences = []
    for axis, (kind, part) in zip(axes, kinds, strict=True):
        ends = draw_curves(axis, part.assign(**part[limits].clip(lower=LEAST)), "share")
        for method, rows in part.sort_values("share").groupby("method", sort=False):
            first, last = rows.iloc[0], rows.iloc[-1]
            sentences.append(
                f"{kind}, {label(str(method))}: S {first['mean']:.2g} at {first['share']:g} to "
                f"{last['mean']:.2g} at {last['share']:g}."
            )
        weights = kind == "weights"
        xlabel = "share of the way to redrawn weights" if weights else "noise on the image"
        axis.axhline(threshold, color="0.4", lw=0.9, ls=":")
        axis.set(xscale="log", yscale="log", xlabel=xlabel, ylabel="S")
        axis.set_title(f"{kind} moved", fontsize=10)
        label_ends(axis, ends)
    return Plate(figure, " ".join(sentences), caption, numbers)
