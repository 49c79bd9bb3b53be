"""Figures of Eq. (3) to (6), and of what changes where kept layers do not respond."""

import pandas as pd
from matplotlib.figure import Figure

from sanitygap.figures.methods import label
from sanitygap.figures.plate import Plate
from sanitygap.figures.theory import REFERENCE, lines, log_axis, points, shades
from sanitygap.show import draw_points, panel_axes


def ignored_features(table: pd.DataFrame) -> Figure:
    """Mean share of the absolute attribution that goes to inputs to which the kept layers do not
    respond, under random layers on top. The layers ignore these inputs because their weights are
    zero, because two paths cancel, or only near the input (locally dead units). The paper says that
    the share should be small."""
    rows = table[table["head"] == "random"]
    wide = rows.pivot_table(index="method", columns="case", values="share", sort=False)
    figure, (axis,) = panel_axes(1, 1, (6.5, 3.8))
    top = max(0.3, wide.to_numpy().max())
    shades(axis, wide, ".2f", cmap="Blues", vmax=top, cbar_kws={"label": "share of attribution"})
    return figure


def additive_surrogate(table: pd.DataFrame) -> Figure:
    """A block with a skip connection whose branch is drawn again. Left: error of the additive form
    of Eq. (5) relative to the change, with 95 % intervals; the criterion is below 0.2, dashed.
    Right: correlation of the logits before and after the draw."""
    figure, axes = panel_axes(2, 2, (4.5, 3.5))
    panels = {
        "estimate": "relative error of the surrogate",
        "logit_correlation": "correlation of the logits",
    }
    for axis, (column, words) in zip(axes, panels.items(), strict=True):
        lines(axis, table, "branch_scale", "top", column)
        log_axis(axis, table["branch_scale"])
        axis.set(xlabel="scale of the branch", ylabel=words)
    axes[0].axhline(0.2, **REFERENCE)
    axes[1].set_ylim(0, 1)
    axes[0].legend(title="top of the network")
    return figure


def linearity(table: pd.DataFrame) -> Figure:
    """Largest distance between the explanation of a combined network and the combination of the
    explanations of its parts, relative to the largest attribution. The dashed line is the criterion
    for methods that are linear in the function."""
    rows = table.rename(columns={"largest": "estimate"})[["method", "combination", "estimate"]]
    figure = points(rows, "method", "combination", "relative error", 1e-10)
    figure.axes[0].set(xscale="log")
    return figure


def change_scatter(numbers: pd.DataFrame, attainable: pd.Series, caption: str) -> Plate:
    """Methods by their error against the truth and by how much their maps change.

    Args:
        numbers: columns ``method``, ``error``, ``ssim`` and their ``_low`` and ``_high``.
        attainable: ``mean``, ``low`` and ``high`` of the SSIM of the true contributions.
        caption: the figure's caption.
    """
    figure, [axis] = panel_axes(1, 1, (8.6, 4.6))
    axis.axhspan(attainable["low"], attainable["high"], color="0.88", zorder=0)
    axis.axhline(attainable["mean"], color="0.35", ls="--", lw=1.1, label="attainable: the truth")
    draw_points(axis, numbers, "error", "ssim")
    axis.set(
        xlabel="error against the true contributions\n(left: faithful)",
        ylabel="SSIM before and after the redraw\n(down: passes the sanity check)",
    )
    axis.set_xscale("symlog", linthresh=0.01)
    axis.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5))
    listed = "; ".join(
        f"{label(str(row['method']))} error {row['error']:.2f}, SSIM {row['ssim']:.2f}"
        for row in numbers.to_dict("records")
    )
    alt = f"The truth itself has an SSIM of {attainable['mean']:.2f}. {listed}."
    return Plate(figure, alt, caption, numbers)
