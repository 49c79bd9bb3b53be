"""Figures about the sensitivity S: layers of a network, and small changes."""

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns

from sanitygap.figures.methods import label, label_ends, styles
from sanitygap.figures.plate import Plate


def layer_grid(numbers: pd.DataFrame, caption: str) -> Plate:
    """Mean S of each method and layer as a table of shades.

    Args:
        numbers: columns ``method``, ``stage`` (in the order of drawing), ``sensitivity``.
        caption: the figure's caption.
    """
    methods = list(dict.fromkeys(numbers["method"]))
    layers = list(dict.fromkeys(numbers["stage"]))
    grid = numbers.pivot(index="method", columns="stage", values="sensitivity")
    grid = grid.loc[methods, layers]
    figure, axis = plt.subplots(
        figsize=(min(9.4, 4.2 + 0.55 * len(layers)), 1.6 + 0.34 * len(methods))
    )
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
    kinds = list(dict.fromkeys(numbers["moved"]))
    figure, axes = plt.subplots(len(kinds), 1, figsize=(8.6, 3.7 * len(kinds)), squeeze=False)
    sentences = []
    for axis, kind in zip(axes[:, 0], kinds, strict=True):
        part, ends = numbers[numbers["moved"] == kind], {}
        for method, style in styles(list(dict.fromkeys(part["method"]))).items():
            rows = part[part["method"] == method].sort_values("share")
            shown = rows["mean"].clip(lower=1e-7)
            axis.plot(rows["share"], shown, ms=5, **style)
            axis.fill_between(
                rows["share"], rows["low"].clip(lower=1e-7), rows["high"].clip(lower=1e-7),
                color=style["color"], alpha=0.15, lw=0,
            )  # fmt: skip
            ends[method] = (float(rows["share"].iloc[-1]), float(shown.iloc[-1]))
            first, last = rows.iloc[0], rows.iloc[-1]
            sentences.append(
                f"{kind}, {label(method)}: S {first['mean']:.2g} at {first['share']:g} to "
                f"{last['mean']:.2g} at {last['share']:g}."
            )
        axis.axhline(threshold, color="0.4", lw=0.9, ls=":")
        axis.set(xscale="log", yscale="log", ylabel="S")
        axis.set_xlabel(
            "share of the way to redrawn weights" if kind == "weights" else "noise on the image"
        )
        axis.set_title(f"{kind} moved", fontsize=10)
        label_ends(axis, ends)
    return Plate(figure, " ".join(sentences), caption, numbers)
