"""Figures about where the relevance of LRP goes."""

import numpy as np
import pandas as pd

from sanitygap.figures.methods import label, styles
from sanitygap.figures.plate import Plate
from sanitygap.show import distinct, draw_curves, panel_axes


def relevance_lines(numbers: pd.DataFrame, caption: str) -> Plate:
    """How much relevance no neuron has kept yet, from the output to the input.

    Args:
        numbers: columns ``method``, ``depth``, ``module``, ``kind``, ``median``, ``low`` and
            ``high``: shares of what LRP started with.
        caption: the figure's caption.
    """
    methods = distinct(numbers["method"])
    figure, [axis] = panel_axes(1, 1, (8.6, 3.6))
    last = numbers.sort_values("depth").groupby("method", sort=False)["median"].last()
    looks = {
        method: {"color": style["color"], "ls": "--" if number else "-",
                 "label": f"{label(method)}: {last[method]:.2%} at the pixels"}
        for number, (method, style) in enumerate(styles(methods).items())
    }  # fmt: skip
    draw_curves(axis, numbers, "depth", looks=looks, value="median")
    for number, (method, look) in enumerate(looks.items()):
        marked = numbers[(numbers["method"] == method) & (numbers["kind"] == "depthwise")]
        color = look["color"]
        axis.plot(
            marked["depth"], marked["median"], "o", color=color, ms=5,
            mfc="white" if number else color,
            label="_" if number or marked.empty else "depthwise convolutions",
        )  # fmt: skip
    axis.set(
        xlabel="modules, from the output to the input",
        ylabel="share not yet kept",
        ylim=(-0.03, 1.05),
    )
    axis.legend(frameon=False, loc="upper right" if numbers["median"].min() < 0.5 else "lower left")
    return Plate(figure, _words(numbers), caption, numbers)


def _words(numbers: pd.DataFrame) -> str:
    sentences = ["Lines of the relevance that is not yet kept, from the output to the input."]
    for method, rows in numbers.groupby("method", sort=False):
        rows = rows.sort_values("depth")
        left = rows["median"].to_numpy()
        lost = -np.diff(left, prepend=1.0)
        place = int(lost.argmax())
        sentences.append(
            f"{label(str(method))}: 1 to {left[-1]:.4f}, the largest step {lost[place]:.4f} at "
            f"{rows['module'].iloc[place]}."
        )
    return " ".join(sentences)
