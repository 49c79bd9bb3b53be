"""Figures of the randomisation test, the occlusion test and the gap between them."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes

from sanitygap.figures.methods import label, label_ends, number_points, spread, styles
from sanitygap.figures.plate import Plate


def curves(
    numbers: pd.DataFrame,
    x: str,
    *,
    xlabel: str,
    ylabel: str,
    caption: str,
    ticks: dict[float, str] | None = None,
) -> Plate:
    """One line a method with its interval, one panel a run, below each other.

    Args:
        numbers: columns ``panel``, ``method``, ``x``, ``mean``, ``low``, ``high``.
        x: column of the horizontal axis.
        xlabel, ylabel: axis labels; the vertical one says which direction is better.
        caption: the figure's caption.
        ticks: positions and labels of the horizontal axis.
    """
    panels = list(dict.fromkeys(numbers["panel"]))
    methods = list(dict.fromkeys(numbers["method"]))
    height = max(4.6, 1.6 + 0.17 * len(methods))
    figure, axes = plt.subplots(
        len(panels), 1, figsize=(8.6, height * len(panels)), sharey=True, squeeze=False
    )
    drawn = []
    for axis, panel in zip(axes[:, 0], panels, strict=True):
        ends = {}
        for method, style in styles(methods).items():
            rows = numbers[(numbers["method"] == method) & (numbers["panel"] == panel)]
            rows = rows.sort_values(x)
            if rows.empty:
                continue
            ends[method] = (rows[x].iloc[-1], rows["mean"].iloc[-1])
            every = max(1, len(rows) // 10)
            axis.plot(rows[x], rows["mean"], markevery=every, ms=5, **style)
            axis.fill_between(
                rows[x], rows["low"], rows["high"], color=style["color"], alpha=0.12, lw=0
            )
        axis.set(xlabel=xlabel, ylabel=ylabel)
        if len(panels) > 1:
            axis.set_title(panel)
        if ticks:
            axis.set_xticks(list(ticks), list(ticks.values()), rotation=35, ha="right")
        drawn.append((axis, ends))
    for axis, ends in drawn:  # the shared limits are final only now
        label_ends(axis, ends)
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

    A point carries its method's number on the left of the ranks, where the name stands beside it.

    Args:
        numbers: columns ``method``, ``randomization``, ``occlusion`` and their ``_low``/``_high``,
            ``randomization_rank``, ``occlusion_rank``.
        caption: the figure's caption.
    """
    numbers = numbers.sort_values("randomization").reset_index(drop=True)
    figure, (scores, ranks) = plt.subplots(
        2, 1, figsize=(8, 5.4 + 0.26 * len(numbers)), height_ratios=(4.2, 1.2 + 0.26 * len(numbers))
    )
    for place, style in enumerate(styles(list(numbers["method"])).values()):
        row = numbers.iloc[place]
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
            ms=7,
            elinewidth=0.8,
        )
        ends = (row["randomization_rank"], row["occlusion_rank"])
        ranks.plot([0, 1], ends, ms=6, lw=1.4, **style)
    scores.set(
        xlabel="mean SSIM after randomisation\n(left: passes the sanity check)",
        ylabel="mean softmax under occlusion\n(down: more faithful)",
    )
    number_points(scores, numbers[["randomization", "occlusion"]].to_numpy())
    _name_ranks(ranks, numbers)
    pairs = "; ".join(
        f"{label(row['method'])} rank {row['randomization_rank']:.0f} "
        f"against {row['occlusion_rank']:.0f}"
        for row in numbers.to_dict("records")
    )
    alt = f"Each method by randomisation score and by occlusion score, and its two ranks: {pairs}."
    return Plate(figure, alt, caption, numbers)


def _name_ranks(axis: Axes, numbers: pd.DataFrame) -> None:
    """Names on both sides of the ranks, numbered on the left as the points are."""
    count = len(numbers)
    axis.set(xlim=(-0.04, 1.04), ylim=(count + 0.5, 0.5))
    axis.set_yticks(
        spread(numbers["randomization_rank"], 1.0),
        [f"{label(method)}  {place + 1}" for place, method in enumerate(numbers["method"])],
        fontsize=8,
    )
    other = axis.twinx()
    other.set(ylim=axis.get_ylim())
    other.set_yticks(
        spread(numbers["occlusion_rank"], 1.0), map(label, numbers["method"]), fontsize=8
    )
    other.spines["right"].set_visible(False)
    for side in (axis, other):
        side.grid(False)
        side.tick_params(length=0)
    axis.set_xticks([0, 1], ["rank by\nrandomisation", "rank by\nocclusion"])
    axis.set_title("1 at the top: best in that test", fontsize=9)
