"""Figures about other orders of randomisation and about the two proposed repairs."""

from dataclasses import replace

import pandas as pd

from sanitygap.figures.methods import styles
from sanitygap.figures.plate import Plate
from sanitygap.show import distinct, dots, draw_curves, panel_axes

ORDERS = {
    "top-down": {"linestyle": "-", "marker": "o"},
    "bottom-up": {"linestyle": "--", "marker": "s"},
}


def order_curves(numbers: pd.DataFrame, start: float, caption: str) -> Plate:
    """Similarity against the share of random parameters, for both cumulative orders.

    Args:
        numbers: columns ``what`` (the panel), ``order``, ``method``, ``share``, ``mean``, ``low``,
            ``high``.
        start: lowest share at which both orders are compared.
        caption: the figure's caption.
    """
    panels = distinct(numbers["what"])
    percent = numbers.assign(share=100 * numbers["share"])
    figure, axes = panel_axes(len(panels), 2, (4.4, 3.6), sharey=True)
    for axis, what in zip(axes, panels, strict=True):
        rows = percent[percent["what"] == what]
        [style] = styles(distinct(rows["method"])).values()
        looks = {
            order: {"color": style["color"], "ms": 4, **look} for order, look in ORDERS.items()
        }
        draw_curves(axis, rows, "share", series="order", looks=looks)
        axis.axvspan(0, 100 * start, color="0.94", zorder=0)
        axis.set_title(what, fontsize=10)
        axis.set(xlabel="random parameters, % of all", xlim=(-2, 102))
        if axis in axes[::2]:
            axis.set_ylabel("similarity to the trained network")
    axes[-1].legend(frameon=False)
    sentences = []
    for (name, way), rows in numbers.groupby(["what", "order"], sort=False):
        first, last = (rows.sort_values("share").iloc[place] for place in (0, -1))
        sentences.append(
            f"{name}, {way}: from {first['mean']:.2f} at {first['share']:.0%} to "
            f"{last['mean']:.2f} at {last['share']:.0%} of the parameters."
        )
    return Plate(figure, " ".join(sentences), caption, numbers)


def tau_dots(numbers: pd.DataFrame, caption: str) -> Plate:
    """Kendall's tau with the occlusion ranking, one row a variant of the randomisation score.

    Args:
        numbers: columns ``variant``, ``tau``, ``low``, ``high``, and ``gain``, ``gain_low``,
            ``gain_high`` over the variant it repairs (NaN for that one).
        caption: the figure's caption.
    """
    names = {
        "Kendall's τ with the occlusion ranking\n(right: the tests agree)": ("tau", "low", "high"),
        "change of τ\n(right: the repair helps)": ("gain", "gain_low", "gain_high"),
    }
    panels = [
        numbers[["variant", *own]]
        .set_axis(["row", "mean", "low", "high"], axis=1)
        .assign(panel=words)
        for words, own in names.items()
    ]
    plate = dots(pd.concat(panels), caption=caption, lines=dict.fromkeys(names, 0.0))
    plate.figure.axes[0].set(xlim=(-1.05, 1.05), xticks=(-1, -0.5, 0, 0.5, 1))
    sentences = [
        f"{row['variant']}: tau {row['tau']:+.2f}"
        + ("" if pd.isna(row["gain"]) else f", change {row['gain']:+.2f}")
        for row in numbers.to_dict("records")
    ]
    alt = f"Agreement with the occlusion ranking: {'; '.join(sentences)}."
    return replace(plate, alt=alt, numbers=numbers)
