"""Figures about skips that preserve a baseline (Binder et al. 2022, Sec. 4.2)."""

from collections.abc import Mapping, Sequence
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
import torch

from sanitygap.figures.maps import QUANTILE
from sanitygap.figures.plate import Plate

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
    layers = list(dict.fromkeys(numbers.sort_values("depth")["layer"]))
    figure, axis = plt.subplots(figsize=(min(9.2, max(6.0, 0.21 * len(layers) + 2.5)), 4.4))
    shown = numbers[numbers["measure"] == "pearson"]
    for path, (words, color, marker) in PATHS.items():
        part = shown[shown["path"] == path]
        if part.empty:
            continue
        axis.errorbar(
            [layers.index(layer) for layer in part["layer"]], part["median"],
            yerr=np.maximum([part["median"] - part["low"], part["high"] - part["median"]], 0),
            fmt=marker, color=color, ms=5, capsize=2, label=words,
        )  # fmt: skip
    axis.axhline(0, color="0.5", lw=0.9)
    axis.set_xticks(range(len(layers)), layers, rotation=90, fontsize=7)
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
    figure, axes = plt.subplots(
        len(rows), len(columns) + 1,
        figsize=(1.5 * (len(columns) + 1), 1.65 * len(rows) + 0.3), squeeze=False,
    )  # fmt: skip
    records = []
    for index, line in enumerate(axes):
        line[0].imshow(pictures[index])
        line[0].set_ylabel(rows[index], fontsize=8)
        for axis, (network, part) in zip(line[1:], columns, strict=True):
            values = maps[network][part][index].numpy()
            whole = next(iter(maps[network].values()))[index].numpy()
            limit = float(np.quantile(np.abs(whole), QUANTILE)) or 1.0
            axis.imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit)
            mass = float(np.abs(values).sum() / np.abs(whole).sum())
            axis.set_xlabel(f"{mass:.0%} of the mass", fontsize=7, labelpad=2)
            records.append({"image": rows[index], "network": network, "part": part, "mass": mass})
            if index == 0:
                axis.set_title(f"{network}\n{part}", fontsize=8)
        for axis in line:
            axis.set(xticks=[], yticks=[])
            axis.grid(False)
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
    figure, axes = plt.subplots(1, len(panels), figsize=(9.4, 3.7))
    blocks = list(dict.fromkeys(numbers["block"]))
    looks = list(zip(blocks, sns.color_palette("colorblind", len(blocks)), "oDs^", strict=False))
    for axis, (value, title) in zip(axes, panels.items(), strict=True):
        rows = numbers[numbers["value"] == value]
        for block, color, marker in looks:
            part = rows[rows["block"] == block].copy()
            part["place"] = [
                len(sizes) if change == "redraw" else sizes.index(size)
                for change, size in part[["change", "size"]].to_numpy()
            ]
            part = part.sort_values("place")
            axis.errorbar(
                part["place"], part["mean"],
                yerr=np.maximum([part["mean"] - part["low"], part["high"] - part["mean"]], 0),
                fmt=f"{marker}-", color=color, ms=5, lw=1, capsize=2, label=block,
            )  # fmt: skip
        axis.set_xticks(range(len(ticks)), ticks, rotation=25, ha="right")
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
    methods = list(dict.fromkeys(numbers["method"]))
    layers = list(dict.fromkeys(numbers["layer"]))
    figure, axes = plt.subplots(1, len(methods), figsize=(4.8 * len(methods), 3.9), sharey=True,
                                squeeze=False)  # fmt: skip
    looks = zip(dict.fromkeys(numbers["series"]), ("#00639c", "#e8772e", "0.35"), "oDs",
                strict=False)  # fmt: skip
    for series, color, marker in looks:
        for axis, method in zip(axes[0], methods, strict=True):
            part = numbers[(numbers["method"] == method) & (numbers["series"] == series)]
            axis.errorbar(
                [layers.index(layer) for layer in part["layer"]], part["mean"],
                yerr=np.maximum([part["mean"] - part["low"], part["high"] - part["mean"]], 0),
                fmt=f"{marker}-", color=color, ms=5, lw=1.2, capsize=2, label=series,
            )  # fmt: skip
            axis.set_title(method)
            axis.set_xticks(range(len(layers)), layers, rotation=45, ha="right", fontsize=8)
    axes[0][0].set_ylabel("SSIM before and after\n(down: passes the sanity check)")
    axes[0][-1].legend(frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5))
    listed = "; ".join(
        f"{method}, {series}: {part['mean'].mean():.2f}"
        for (method, series), part in numbers.groupby(["method", "series"], sort=False)
    )
    return Plate(figure, f"Mean SSIM over the redrawn layers. {listed}.", caption, numbers)
