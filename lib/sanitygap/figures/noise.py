"""Figures about noise in attribution maps."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes

from sanitygap.figures.methods import label, label_ends, label_points, styles
from sanitygap.figures.plate import Plate

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
    panels = list(dict.fromkeys(numbers["panel"]))
    figure, axes = plt.subplots(
        len(panels), 2, figsize=(9.4, 3.6 * len(panels)), squeeze=False, sharex=True
    )
    amounts = sorted(set(numbers.loc[numbers["method"] != "noise", "amount"]))
    for row, panel in zip(axes, panels, strict=True):
        for axis, (score, ylabel) in zip(row, SCORES.items(), strict=True):
            chosen = (numbers["panel"] == panel) & (numbers["score"] == score)
            _curves(axis, numbers[chosen], amounts)
            axis.set(ylabel=ylabel)
            axis.set_title(panel, fontsize=10)
    for axis in axes[-1]:
        axis.set_xlabel("λ: added noise, in units of\nthe map's root mean square")
    return Plate(figure, _words(numbers, amounts), caption, numbers)


def _curves(axis: Axes, numbers: pd.DataFrame, amounts: Sequence[float]) -> None:
    # evenly spaced: the amounts double, and 0 has no logarithm
    place = {amount: number for number, amount in enumerate(amounts)}
    ends = {}
    for method, style in styles(list(dict.fromkeys(numbers["method"]))).items():
        rows = numbers[numbers["method"] == method].sort_values("amount")
        if method == "noise":
            x = [0.0, float(len(amounts) - 1)]
            rows = pd.concat([rows.iloc[:1]] * 2)
        else:
            x = [float(place[amount]) for amount in rows["amount"]]
        axis.plot(x, rows["mean"], ms=5, **style)
        axis.fill_between(x, rows["low"], rows["high"], color=style["color"], alpha=0.15, lw=0)
        ends[method] = (x[-1], float(rows["mean"].iloc[-1]))
    axis.set_xticks(range(len(amounts)), [f"{amount:g}" for amount in amounts])
    label_ends(axis, ends)


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
    figure, (lags, scores) = plt.subplots(1, 2, figsize=(9.6, 4))
    ends, points = {}, {}
    for method, style in styles(list(dict.fromkeys(numbers["method"]))).items():
        rows = numbers[numbers["method"] == method].sort_values("lag")
        lags.plot(rows["lag"], rows["mean"], ms=5, **style)
        lags.fill_between(
            rows["lag"], rows["low"], rows["high"], color=style["color"], alpha=0.15, lw=0
        )
        ends[method] = (float(rows["lag"].iloc[-1]), float(rows["mean"].iloc[-1]))
        first = rows.iloc[0]
        if pd.notna(first["ssim"]):
            points[method] = (float(first["mean"]), float(first["ssim"]))
            scores.plot(*points[method], ms=8, **{**style, "linestyle": ""})
    lags.axhline(0, color="0.6", lw=0.8)
    lags.set(xlabel="lag in pixels", ylabel="autocorrelation of the map")
    scores.set(
        xlabel=f"autocorrelation at lag {int(numbers['lag'].min())}",
        ylabel="mean SSIM after randomisation\n(down: passes the sanity check)",
    )
    label_ends(lags, ends)
    label_points(scores, points)
    listed = ", ".join(f"{label(name)} {x:.2f} and {y:.2f}" for name, (x, y) in points.items())
    alt = (
        "Autocorrelation of each method's maps against the lag, and its value at the first lag "
        f"beside the mean SSIM after randomisation: {listed}."
    )
    return Plate(figure, alt, caption, numbers)
