"""Figures about skips that preserve a baseline (Binder et al. 2022, Sec. 4.2)."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
import torch

from sanitygap.figures.maps import QUANTILE, map_colors
from sanitygap.figures.plate import Plate
from sanitygap.show import distinct, intervals_along, legend_below, panel_axes, picture_grid

#: where a layer lies -> what the figure calls it, its colour and its marker
PATHS = {
    "residual branch": ("beside a skip", "#00639c", "o"),
    "skip": ("on a skip (projection)", "#00543d", "D"),
    "neither": ("no skip around it", "#b34a00", "s"),
}


def logit_scatter(
    before: torch.Tensor,
    after: Mapping[str, torch.Tensor],
    rows: Sequence[str],
    caption: str,
) -> Plate:
    """Logits before and after redrawing a layer: a row an image, a column a layer (Fig. 5).

    Args:
        before: logits of the trained network, ``(N, classes)``.
        after: layer -> logits with it redrawn, ``(N, classes)``.
        rows: one name an image.
        caption: the figure's caption.
    """
    figure, axes = plt.subplots(
        len(rows), len(after), figsize=(1.26 * len(after) + 0.6, 1.4 * len(rows) + 0.4),
        sharex="row", squeeze=False,
    )  # fmt: skip
    records = []
    for index, (line, old, name) in enumerate(zip(axes, before, rows, strict=True)):
        for axis, (layer, values) in zip(line, after.items(), strict=True):
            new = values[index]
            correlation = float(np.corrcoef(old.numpy(), new.numpy())[0, 1])
            axis.plot(old, new, ".", ms=1.5, color="#00639c", alpha=0.5, rasterized=True)
            heading = f"{layer}\n" if index == 0 else ""
            axis.set_title(f"{heading}r = {correlation:.2f}", fontsize=7.5)
            axis.tick_params(labelsize=7)
            axis.locator_params(nbins=3)
            records += [
                {"image": name, "layer": layer, "before": a, "after": b}
                for a, b in zip(old.tolist(), new.tolist(), strict=True)
            ]
        line[0].set_ylabel(name, fontsize=8)
    figure.supxlabel("logit before", fontsize=9)
    figure.supylabel("logit after", fontsize=9)
    numbers = pd.DataFrame(records)
    listed = "; ".join(
        f"{layer}, {name}: {part['before'].corr(part['after']):.2f}"
        for (layer, name), part in numbers.groupby(["layer", "image"], sort=False)
    )
    alt = f"Scatter plots of logits before and after redrawing one layer. Correlations: {listed}."
    return Plate(figure, alt, caption, numbers, pixels=True)


def layer_intervals(numbers: pd.DataFrame, caption: str) -> Plate:
    """Correlation of the logits before and after, layer by layer in the order of the forward pass.

    Args:
        numbers: columns ``layer``, ``depth``, ``path``, ``measure``, ``median``, ``low``, ``high``.
        caption: the figure's caption.
    """
    layers = distinct(numbers.sort_values("depth")["layer"])
    figure, [axis] = panel_axes(1, 1, (min(9.2, max(6.0, 0.21 * len(layers) + 2.5)), 4.4))
    shown = numbers[numbers["measure"] == "pearson"]
    named = shown.assign(path=[PATHS[path][0] for path in shown["path"]])
    looks = {words: (color, marker) for words, color, marker in PATHS.values()}
    intervals_along(axis, named, "layer", layers, "path", looks, "median")
    axis.axhline(0, color="0.5", lw=0.9)
    axis.tick_params(axis="x", rotation=90, labelsize=7)
    axis.set(ylabel="correlation of the logits\nbefore and after", xlim=(-0.8, len(layers) - 0.2))
    axis.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    sentences = [
        f"Layers {PATHS[str(path)][0]}: median correlations from {part['median'].min():.2f} to "
        f"{part['median'].max():.2f}."
        for path, part in shown.groupby("path", sort=False)
    ]
    return Plate(figure, " ".join(sentences), caption, numbers)


def split_grid(
    pictures: Sequence[np.ndarray],
    maps: Mapping[str, Mapping[str, torch.Tensor]],
    rows: Sequence[str],
    caption: str,
) -> Plate:
    """Maps split at a skip, before and after redrawing the layer beside it (Fig. 7).

    All maps of one row and network share one scale, so that a weak part looks weak.

    Args:
        pictures: RGB images ``(H, W, 3)`` in ``[0, 1]``.
        maps: network -> part -> signed maps ``(N, H, W)``; the first part is the whole.
        rows: one name a picture.
        caption: the figure's caption.
    """
    columns = [(network, part) for network, parts in maps.items() for part in parts]
    whole = {network: np.abs(next(iter(parts.values())).numpy()) for network, parts in maps.items()}
    shown, records = [], []
    for index, name in enumerate(rows):
        line = [pictures[index]]
        for network, part in columns:
            values, total = maps[network][part][index].numpy(), whole[network][index]
            line.append(map_colors(values, limit=float(np.quantile(total, QUANTILE))))
            mass = float(np.abs(values).sum() / total.sum())
            records.append({"image": name, "network": network, "part": part, "mass": mass})
        shown.append(line)
    notes = [[""] for _ in rows]
    for number, record in enumerate(records):
        notes[number // len(columns)].append(f"{record['mass']:.0%} of the mass")
    figure = picture_grid(
        shown, labels=rows, titles=["", *("\n".join(names) for names in columns)], notes=notes,
        size=(1.5, 1.75),
    )  # fmt: skip
    numbers = pd.DataFrame(records)
    listed = "; ".join(
        f"{network}, {part}: {rows_['mass'].mean():.0%}"
        for (network, part), rows_ in numbers.groupby(["network", "part"], sort=False)
    )
    alt = f"Maps split at a skip connection. Share of the whole map's absolute values: {listed}."
    return Plate(figure, alt, caption, numbers, pixels=True)


def surrogate_lines(numbers: pd.DataFrame, limit: float, caption: str) -> Plate:
    """Error of the additive surrogate, under noise on the input and under redraws.

    Args:
        numbers: columns ``block``, ``change``, ``size``, ``value`` (``error``, ``correlation`` or
            ``constant``), ``mean``, ``low``, ``high``.
        limit: the criterion's bound on the error.
        caption: the figure's caption.
    """
    sizes = sorted(set(numbers.loc[numbers["change"] == "noise", "size"]))
    ticks = [f"noise {size:g}" for size in sizes] + ["redraw"]
    panels = {
        "error": "error of the surrogate, relative to the change",
        "correlation": "correlation of the logits before and after",
        "constant": "correlation of B(x) with the logits after",
    }
    redrawn = numbers["change"] == "redraw"
    named = numbers.assign(
        change=numbers["change"].where(redrawn, "noise " + numbers["size"].map("{:g}".format))
    )
    figure, axes = panel_axes(3, 3, (3.13, 3.7))
    blocks = distinct(numbers["block"])
    colors = sns.color_palette("colorblind", len(blocks)).as_hex()
    looks = dict(
        zip(blocks, zip(colors, cycle(["o-", "D-", "s-", "^-"]), strict=False), strict=True)
    )
    for axis, (value, title) in zip(axes, panels.items(), strict=True):
        rows = named[named["value"] == value]
        intervals_along(axis, rows, "change", ticks, "block", looks)
        axis.set_title(fill(title, 30), fontsize=10)
        axis.set_ylim(bottom=min(0.0, float(rows["low"].min())))
    axes[0].axhline(limit, color="0.35", ls="--", lw=1.1)
    axes[0].legend(frameon=False, title="split at")
    listed = "; ".join(
        f"{block}, {change}{f' {size:g}' if size else ''}: {mean:.2f}"
        for block, change, size, mean in numbers.loc[
            numbers["value"] == "error", ["block", "change", "size", "mean"]
        ].to_numpy()
    )
    return Plate(figure, f"Relative error of the surrogate. {listed}.", caption, numbers)


def network_lines(numbers: pd.DataFrame, caption: str) -> Plate:
    """SSIM after redrawing one layer, in networks with and without skips.

    Args:
        numbers: columns ``method``, ``layer``, ``series``, ``mean``, ``low``, ``high``.
        caption: the figure's caption.
    """
    methods, layers = distinct(numbers["method"]), distinct(numbers["layer"])
    shapes = (("#00639c", "o-"), ("#e8772e", "D-"), ("0.35", "s-"))
    looks = dict(zip(distinct(numbers["series"]), shapes, strict=False))
    figure, axes = panel_axes(len(methods), len(methods), (4.8, 3.9), sharey=True)
    for axis, method in zip(axes, methods, strict=True):
        part = numbers[numbers["method"] == method]
        intervals_along(axis, part, "layer", layers, "series", looks)
        axis.set_title(method)
    axes[0].set_ylabel("SSIM before and after\n(down: passes the sanity check)")
    legend_below(figure, axes)
    listed = "; ".join(
        f"{method}, {series}: {part['mean'].mean():.2f}"
        for (method, series), part in numbers.groupby(["method", "series"], sort=False)
    )
    return Plate(figure, f"Mean SSIM over the redrawn layers. {listed}.", caption, numbers)
