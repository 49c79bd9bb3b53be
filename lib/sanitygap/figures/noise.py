"""Figures about noise in attribution maps."""

from collections.abc import Sequence
from itertools import product

import pandas as pd

from sanitygap.figures.methods import label, label_ends, label_points
from sanitygap.figures.plate import Plate
from sanitygap.show import distinct, draw_curves, draw_points, panel_axes

SCORES = {
    "ssim": "mean SSIM after randomisation\n(down: passes the sanity check)",
    "softmax": "mean softmax under occlusion\n(down: more faithful)",
}


def noise_curves(numbers: pd.DataFrame, caption: str) -> Plate:
    """Both scores against the amount of added noise: a row a run, a column a score.

    Args:
        numbers: columns ``panel``, ``method``, ``amount``, ``score`` (``ssim`` or ``softmax``),
            ``mean``, ``low``, ``high``; rows of the method ``noise`` give its level, whatever
            their amount.
        caption: the figure's caption.
    """
    panels, noise = distinct(numbers["panel"]), numbers["method"] == "noise"
    # evenly spaced: the amounts double, and 0 has no logarithm
    amounts = sorted(set(numbers.loc[~noise, "amount"]))
    methods = numbers[~noise]
    ends = [numbers[noise].assign(place=place) for place in (0, len(amounts) - 1)]
    placed = pd.concat([methods.assign(place=methods["amount"].map(amounts.index)), *ends])
    figure, axes = panel_axes(2 * len(panels), 2, (4.7, 3.6), sharex=True)
    for axis, (title, score) in zip(axes, product(panels, SCORES), strict=True):
        rows = placed[(placed["panel"] == title) & (placed["score"] == score)]
        names = draw_curves(axis, rows, "place")
        axis.set(ylabel=SCORES[score])
        axis.set_title(title, fontsize=10)
        axis.set_xticks(range(len(amounts)), [f"{amount:g}" for amount in amounts])
        label_ends(axis, names)
    for axis in axes[-2:]:
        axis.set_xlabel("λ: added noise, in units of\nthe map's root mean square")
    return Plate(figure, _words(numbers, amounts), caption, numbers)


def _words(numbers: pd.DataFrame, amounts: Sequence[float]) -> str:
    sentences = [
        f"Mean SSIM after randomisation and mean softmax under occlusion, as noise from λ = "
        f"{amounts[0]:g} to {amounts[-1]:g} is added to each map."
    ]
    rows = numbers[numbers["method"] != "noise"]
    for (panel, method), part in rows.groupby(["panel", "method"], sort=False):
        values = {
            score: part[part["score"] == score].sort_values("amount")["mean"] for score in SCORES
        }
        sentences.append(
            f"{panel}, {label(str(method))}: SSIM {values['ssim'].iloc[0]:.2f} to "
            f"{values['ssim'].iloc[-1]:.2f}, softmax {values['softmax'].iloc[0]:.2f} to "
            f"{values['softmax'].iloc[-1]:.2f}."
        )
    return " ".join(sentences)


def smoothness_scatter(numbers: pd.DataFrame, caption: str) -> Plate:
    """Left: autocorrelation against lag. Right: that at lag 1 against the randomisation score.

    Args:
        numbers: columns ``method``, ``lag``, ``mean``, ``low``, ``high`` of the autocorrelation,
            and ``ssim``, the same in all rows of a method, NaN where there is none.
        caption: the figure's caption.
    """
    figure, (lags, scores) = panel_axes(2, 2, (4.8, 4))
    ends = draw_curves(lags, numbers, "lag")
    lags.axhline(0, color="0.6", lw=0.8)
    lags.set(xlabel="lag in pixels", ylabel="autocorrelation of the map")
    label_ends(lags, ends)
    first = numbers[numbers["lag"] == numbers["lag"].min()].dropna(subset="ssim")
    points = draw_points(scores, first, "mean", "ssim")
    scores.set(
        xlabel=f"autocorrelation at lag {int(numbers['lag'].min())}",
        ylabel="mean SSIM after randomisation\n(down: passes the sanity check)",
    )
    label_points(scores, points)
    listed = ", ".join(f"{label(name)} {x:.2f} and {y:.2f}" for name, (x, y) in points.items())
    alt = (
        "Autocorrelation of each method's maps against the lag, and its value at the first lag "
        f"beside the mean SSIM after randomisation: {listed}."
    )
    return Plate(figure, alt, caption, numbers)
