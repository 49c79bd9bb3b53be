"""Figure of the gap between the randomisation test and the occlusion test."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes

from sanitygap.figures.methods import label, number_points, spread, styles
from sanitygap.figures.plate import Plate
from sanitygap.show import curves, draw_points  # noqa: F401  (other pages still take curves from here)


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
    draw_points(scores, numbers, "randomization", "occlusion")
    for style, ends in zip(
        styles(list(numbers["method"])).values(),
        numbers[["randomization_rank", "occlusion_rank"]].to_numpy(),
        strict=True,
    ):
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
