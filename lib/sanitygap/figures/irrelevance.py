"""Figures about irrelevance that is preserved (Binder et al. 2022, Sec. 4.1)."""

import pandas as pd

from sanitygap.figures.methods import label
from sanitygap.figures.plate import Plate
from sanitygap.show import draw_points, panel_axes


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
