"""Figures of the randomisation test, the occlusion test and the gap between them."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from sanitygap.figures.plate import Plate

LABELS = {
    "gradient": "gradient",
    "gradient-x-input": "gradient × input",
    "integrated-gradients": "integrated gradients",
    "smoothgrad": "SmoothGrad",
    "guided-backprop": "guided backpropagation",
    "lrp-epsilon-plus": "LRP ε-plus",
    "lrp-alpha2-beta1": "LRP α2β1",
    "lrp-gamma-box": "LRP γ-box",
    "noise": "noise (control)",
    "edges": "edges (control)",
}

MARKERS = ("o", "s", "D", "^", "v", "P", "X", "*", "<", ">", "h", "8")


def label(method: str) -> str:
    """A method's name as figures write it."""
    return LABELS.get(method, method)


def styles(methods: Sequence[str]) -> dict[str, dict[str, object]]:
    """Colour, marker and line of each method: never told apart by colour alone."""
    colors = sns.color_palette("colorblind", 10)
    made: dict[str, dict[str, object]] = {}
    for number, method in enumerate(methods):
        control = method in ("noise", "edges")
        made[method] = {
            "color": "0.25" if method == "noise" else "0.55" if control else colors[number % 10],
            "marker": MARKERS[number % len(MARKERS)],
            "linestyle": ":" if control else "-",
        }
    return made


def curves(
    numbers: pd.DataFrame,
    x: str,
    *,
    xlabel: str,
    ylabel: str,
    caption: str,
    ticks: dict[float, str] | None = None,
) -> Plate:
    """One line a method with its interval, one panel a run.

    Args:
        numbers: columns ``panel``, ``method``, ``x``, ``mean``, ``low``, ``high``.
        x: column of the horizontal axis.
        xlabel, ylabel: axis labels; the vertical one says which direction is better.
        caption: the figure's caption.
        ticks: positions and labels of the horizontal axis.
    """
    panels = list(dict.fromkeys(numbers["panel"]))
    methods = list(dict.fromkeys(numbers["method"]))
    figure, axes = plt.subplots(
        1, len(panels), figsize=(4.4 + 4.2 * len(panels), 4.6), sharey=True, squeeze=False
    )
    for axis, panel in zip(axes[0], panels, strict=True):
        for method, style in styles(methods).items():
            rows = numbers[(numbers["method"] == method) & (numbers["panel"] == panel)]
            rows = rows.sort_values(x)
            every = max(1, len(rows) // 10)
            axis.plot(rows[x], rows["mean"], label=label(method), markevery=every, ms=5, **style)
            axis.fill_between(
                rows[x], rows["low"], rows["high"], color=style["color"], alpha=0.12, lw=0
            )
        axis.set(xlabel=xlabel)
        if len(panels) > 1:
            axis.set_title(panel)
        if ticks:
            axis.set_xticks(list(ticks), list(ticks.values()), rotation=35, ha="right")
    axes[0][0].set_ylabel(ylabel)
    axes[0][-1].legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return Plate(figure, _ends(numbers, x, xlabel, ylabel), caption, numbers)


def _ends(numbers: pd.DataFrame, x: str, xlabel: str, ylabel: str) -> str:
    """What the curves show, in words: the order of the methods at the right end."""
    sentences = [f"Lines of {_plain(ylabel)} against {_plain(xlabel)}, one a method."]
    for panel, rows in numbers.groupby("panel", sort=False):
        last = rows[rows[x] == rows[x].max()].sort_values("mean")
        values = ", ".join(
            f"{label(method)} {mean:.2f}"
            for method, mean in zip(last["method"], last["mean"], strict=True)
        )
        sentences.append(f"{panel}, right end, from low to high: {values}.")
    return " ".join(sentences)


def _plain(text: str) -> str:
    return " ".join(text.split())


def gap_scatter(numbers: pd.DataFrame, caption: str) -> Plate:
    """Methods by both scores: similarity after randomisation against prediction after occlusion.

    Args:
        numbers: columns ``method``, ``randomization``, ``occlusion`` and their ``_low``/``_high``,
            ``randomization_rank``, ``occlusion_rank``.
        caption: the figure's caption.
    """
    figure, (scores, ranks) = plt.subplots(1, 2, figsize=(11, 4.6), width_ratios=(1.25, 1))
    for method, style in styles(list(numbers["method"])).items():
        row = numbers[numbers["method"] == method].iloc[0]
        scores.errorbar(
            row["randomization"],
            row["occlusion"],
            xerr=[
                [row["randomization"] - row["randomization_low"]],
                [row["randomization_high"] - row["randomization"]],
            ],
            yerr=[
                [row["occlusion"] - row["occlusion_low"]],
                [row["occlusion_high"] - row["occlusion"]],
            ],
            fmt=style["marker"],
            color=style["color"],
            ms=8,
            label=label(method),
        )
        _slope(ranks, row, method, style)
    scores.set(
        xlabel="mean SSIM after randomisation\n(left: passes the sanity check)",
        ylabel="mean softmax under occlusion\n(down: more faithful)",
    )
    scores.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    count = len(numbers)
    ranks.set(xlim=(-0.1, 1.1), ylim=(count + 0.5, 0.5), yticks=range(1, count + 1))
    ranks.set_xticks([0, 1], ["rank by\nrandomisation", "rank by\nocclusion"])
    ranks.set_ylabel("rank (1 = best in that test)")
    ranks.grid(False, axis="x")
    pairs = "; ".join(
        f"{label(row['method'])} rank {row['randomization_rank']:.0f} "
        f"against {row['occlusion_rank']:.0f}"
        for row in numbers.to_dict("records")
    )
    alt = f"Each method by randomisation score and by occlusion score, and its two ranks: {pairs}."
    return Plate(figure, alt, caption, numbers)


def _slope(axis: Axes, row: pd.Series, method: str, style: dict[str, object]) -> None:
    axis.plot(
        [0, 1],
        [row["randomization_rank"], row["occlusion_rank"]],
        color=style["color"],
        marker=style["marker"],
        linestyle=style["linestyle"],
    )
