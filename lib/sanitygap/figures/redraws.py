"""Figure of the randomisation test under several draws of the random weights."""

import matplotlib.pyplot as plt
import pandas as pd

from sanitygap.figures.plate import Plate
from sanitygap.figures.tests_of_maps import label, styles


def seed_dots(numbers: pd.DataFrame, caption: str) -> Plate:
    """One row a method: a mark for each draw, a bar for the interval over images.

    Args:
        numbers: columns ``method``, ``seed``, ``ssim`` (mean of that draw) and ``mean``, ``low``,
            ``high`` (over images, seeds averaged first; the same in all rows of a method).
        caption: the figure's caption.
    """
    methods = list(dict.fromkeys(numbers.sort_values("mean")["method"]))
    figure, axis = plt.subplots(figsize=(8.4, 0.9 + 0.5 * len(methods)))
    sentences = []
    for place, method in enumerate(methods):
        rows = numbers[numbers["method"] == method]
        style, first = styles(methods)[method], rows.iloc[0]
        axis.plot([first["low"], first["high"]], [place, place], color="0.75", lw=9, zorder=1)
        axis.plot(
            rows["ssim"], [place] * len(rows), linestyle="", zorder=2,
            marker=style["marker"], color=style["color"], ms=7, markeredgecolor="white",
        )  # fmt: skip
        sentences.append(
            f"{label(method)}: draws from {rows['ssim'].min():.3f} to {rows['ssim'].max():.3f}, "
            f"interval over images {first['low']:.3f} to {first['high']:.3f}"
        )
    axis.set_yticks(range(len(methods)), [label(method) for method in methods])
    axis.set(
        xlabel="mean SSIM after randomisation (left: passes the sanity check)",
        ylim=(-0.6, len(methods) - 0.4),
    )
    axis.grid(False, axis="y")
    alt = f"Marks for {numbers['seed'].nunique()} draws of the weights. {'; '.join(sentences)}."
    return Plate(figure, alt, caption, numbers)
