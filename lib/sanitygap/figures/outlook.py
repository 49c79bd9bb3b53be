"""Figures about other orders of randomisation and about the two proposed repairs."""

import matplotlib.pyplot as plt
import pandas as pd

from sanitygap.figures.methods import label, styles
from sanitygap.figures.plate import Plate

ORDER_LINES = {"top-down": "-", "bottom-up": "--"}


def order_curves(numbers: pd.DataFrame, start: float, caption: str) -> Plate:
    """Similarity against the share of random parameters, for both cumulative orders.

    Args:
        numbers: columns ``what`` (the panel), ``order``, ``method``, ``share``, ``mean``, ``low``,
            ``high``.
        start: lowest share at which both orders are compared.
        caption: the figure's caption.
    """
    panels = list(dict.fromkeys(numbers["what"]))
    wide = min(2, len(panels))
    tall = -(-len(panels) // wide)
    figure, axes = plt.subplots(
        tall, wide, figsize=(4.4 * wide, 3.6 * tall), squeeze=False, sharey=True
    )
    for axis in axes.flat[len(panels) :]:
        axis.set_axis_off()
    for axis, what in zip(axes.flat, panels, strict=False):
        rows = numbers[numbers["what"] == what]
        for method, style in styles(list(dict.fromkeys(rows["method"]))).items():
            for order, line in ORDER_LINES.items():
                part = rows[(rows["order"] == order) & (rows["method"] == method)]
                part = part.sort_values("share")
                look = style | {"linestyle": line, "marker": "o" if order == "top-down" else "s"}
                axis.plot(100 * part["share"], part["mean"], ms=4, label=order, **look)
                axis.fill_between(
                    100 * part["share"], part["low"], part["high"], color=style["color"],
                    alpha=0.12, lw=0,
                )  # fmt: skip
        axis.axvspan(0, 100 * start, color="0.94", zorder=0)
        axis.set_title(what, fontsize=10)
        axis.set(xlabel="random parameters, % of all", xlim=(-2, 102))
    for axis in axes[:, 0]:
        axis.set_ylabel("similarity to the trained network")
    axes.flat[len(panels) - 1].legend(frameon=False)
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
    figure, (taus, gains) = plt.subplots(
        1, 2, figsize=(9.2, 1.3 + 0.42 * len(numbers)), sharey=True
    )
    places = range(len(numbers))
    for axis, name, low, high in (
        (taus, "tau", "low", "high"),
        (gains, "gain", "gain_low", "gain_high"),
    ):
        axis.axvline(0, color="0.5", lw=0.9)
        axis.errorbar(
            numbers[name],
            list(places),
            xerr=[numbers[name] - numbers[low], numbers[high] - numbers[name]],
            fmt="o",
            color="#003f66",
            capsize=3,
        )
    taus.set_yticks(list(places), list(numbers["variant"]))
    taus.set(
        xlim=(-1.05, 1.05),
        xticks=(-1, -0.5, 0, 0.5, 1),
        ylim=(len(numbers) - 0.5, -0.5),
        xlabel="Kendall's τ with the occlusion ranking\n(right: the tests agree)",
    )
    gains.set(xlabel="change of τ\n(right: the repair helps)")
    sentences = [
        f"{row['variant']}: tau {row['tau']:+.2f}"
        + ("" if pd.isna(row["gain"]) else f", change {row['gain']:+.2f}")
        for row in numbers.to_dict("records")
    ]
    alt = f"Agreement with the occlusion ranking: {'; '.join(sentences)}."
    return Plate(figure, alt, caption, numbers)


def component_dots(numbers: pd.DataFrame, caption: str) -> Plate:
    """Similarity of whole maps and of what does not go through the skip, method by method.

    Args:
        numbers: columns ``method``, ``component`` (``total``, ``residual``), ``mean``, ``low``,
            ``high``.
        caption: the figure's caption.
    """
    methods = list(dict.fromkeys(numbers["method"]))
    figure, axis = plt.subplots(figsize=(8.4, 1.1 + 0.45 * len(methods)))
    for place, method in enumerate(methods):
        rows = numbers[numbers["method"] == method].set_index("component")
        color = styles([method])[method]["color"]
        axis.annotate(
            "",
            (rows.loc["residual", "mean"], place),
            (rows.loc["total", "mean"], place),
            arrowprops={"arrowstyle": "->", "color": "0.55", "lw": 1},
        )
        for component, marker, filled in (("total", "o", True), ("residual", "D", False)):
            row = rows.loc[component]
            axis.errorbar(
                row["mean"], place, xerr=[[row["mean"] - row["low"]], [row["high"] - row["mean"]]],
                fmt=marker, color=color, mfc=color if filled else "white", ms=7,
                label=component if place == 0 else None,
            )  # fmt: skip
    axis.set_yticks(range(len(methods)), [label(method) for method in methods])
    axis.set(xlabel="mean SSIM after redrawing one branch", ylim=(len(methods) - 0.5, -0.5))
    axis.grid(False, axis="y")
    axis.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    means = numbers.pivot_table(index="method", columns="component", values="mean", sort=False)
    listed = "; ".join(
        f"{label(str(method))} {row['total']:.2f} to {row['residual']:.2f}"
        for method, row in means.iterrows()
    )
    alt = f"Mean SSIM of the whole map and of the residual part: {listed}."
    return Plate(figure, alt, caption, numbers)
