"""Figures about irrelevance that is preserved (Binder et al. 2022, Sec. 4.1)."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns

from sanitygap.figures.methods import label, styles
from sanitygap.figures.plate import Plate

MARKERS = ("o", "D", "s", "^")


def interval_dots(
    numbers: pd.DataFrame,
    caption: str,
    *,
    reference: dict[str, float] | None = None,
    null: str = "",
) -> Plate:
    """Means with intervals: a row a quantity, a mark a series, a panel a measure.

    Args:
        numbers: columns ``panel``, ``row``, ``series``, ``mean``, ``low``, ``high``, and, where
            there is a null distribution, ``null_low`` and ``null_high``, its 5th and 95th
            percentile.
        caption: the figure's caption.
        reference: panel -> where a dashed line stands.
        null: what the null distribution is of, for the legend.
    """
    panels, rows, series = (
        list(dict.fromkeys(numbers[column])) for column in ("panel", "row", "series")
    )
    height = 1.5 + 0.34 * len(rows) * max(1.0, 0.6 * len(series))
    figure, axes = plt.subplots(
        1,
        len(panels),
        figsize=(2.7 + min(2.9 * len(panels), 6.3), height),
        sharey=True,
        squeeze=False,
    )
    colors = sns.color_palette("colorblind", len(series))
    shifts = np.linspace(-0.22, 0.22, len(series)) if len(series) > 1 else [0.0]
    for axis, panel in zip(axes[0], panels, strict=True):
        for name, color, marker, shift in zip(series, colors, MARKERS, shifts, strict=False):
            part = numbers[(numbers["panel"] == panel) & (numbers["series"] == name)]
            places = [rows.index(row) + shift for row in part["row"]]
            if "null_low" in part:
                axis.barh(
                    places, part["null_high"] - part["null_low"], left=part["null_low"],
                    height=0.3 if len(series) > 1 else 0.5, color="0.86",
                    label=null if name == series[0] and part["null_low"].notna().any() else None,
                )  # fmt: skip
            axis.errorbar(
                part["mean"], places,
                xerr=np.maximum([part["mean"] - part["low"], part["high"] - part["mean"]], 0),
                fmt=marker, color=color, capsize=2, ms=6, label=name,
            )  # fmt: skip
        if reference and panel in reference:
            axis.axvline(reference[panel], color="0.35", ls="--", lw=1.1)
        else:
            axis.axvline(0, color="0.7", lw=0.8)
        axis.set_title(panel)
        axis.locator_params(axis="x", nbins=5)
        axis.grid(False, axis="y")
    axes[0][0].set_yticks(range(len(rows)), rows)
    axes[0][0].set_ylim(len(rows) - 0.5, -0.5)
    handles = dict(zip(*reversed(axes[0][0].get_legend_handles_labels()), strict=True))
    figure.legend(
        handles.values(), handles.keys(), loc="outside lower center", ncols=3, frameon=False
    )
    return Plate(figure, _dots_in_words(numbers), caption, numbers)


def _dots_in_words(numbers: pd.DataFrame) -> str:
    sentences = []
    for panel, part in numbers.groupby("panel", sort=False):
        listed = ", ".join(
            f"{row['row']} ({row['series']}) {row['mean']:.2f}" for row in part.to_dict("records")
        )
        sentences.append(f"{panel}: {listed}.")
    return " ".join(sentences).replace("\n", " ")


def change_scatter(numbers: pd.DataFrame, attainable: pd.Series, caption: str) -> Plate:
    """Methods by their error against the truth and by how much their maps change.

    Args:
        numbers: columns ``method``, ``error``, ``ssim`` and their ``_low`` and ``_high``.
        attainable: ``mean``, ``low`` and ``high`` of the SSIM of the true contributions.
        caption: the figure's caption.
    """
    figure, axis = plt.subplots(figsize=(8.6, 4.6))
    axis.axhspan(attainable["low"], attainable["high"], color="0.88", zorder=0)
    axis.axhline(attainable["mean"], color="0.35", ls="--", lw=1.1, label="attainable: the truth")
    for row in numbers.to_dict("records"):
        method = str(row["method"])
        look = styles([method])[method]
        axis.errorbar(
            row["error"], row["ssim"],
            xerr=[[row["error"] - row["error_low"]], [row["error_high"] - row["error"]]],
            yerr=[[row["ssim"] - row["ssim_low"]], [row["ssim_high"] - row["ssim"]]],
            fmt=str(look["marker"]), color=look["color"], ms=7, label=label(method),
        )  # fmt: skip
    axis.set(
        xlabel="error against the true contributions\n(left: faithful)",
        ylabel="SSIM before and after the redraw\n(down: passes the sanity check)",
        xscale="symlog",
    )
    axis.set_xscale("symlog", linthresh=0.01)
    axis.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5))
    listed = "; ".join(
        f"{label(str(row['method']))} error {row['error']:.2f}, SSIM {row['ssim']:.2f}"
        for row in numbers.to_dict("records")
    )
    alt = f"The truth itself has an SSIM of {attainable['mean']:.2f}. {listed}."
    return Plate(figure, alt, caption, numbers)
