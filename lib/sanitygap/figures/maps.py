"""Pictures of attribution maps."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from PIL import Image

from sanitygap.figures.plate import Plate
from sanitygap.figures.tests_of_maps import label

#: a few extreme pixels must not turn the rest of a map white
QUANTILE = 0.995

COLORS = "RdBu_r"

MAPS_IN_A_ROW = 6


def draw_map(axis: Axes, values: np.ndarray) -> None:
    """One signed map ``(H, W)``: red in favour of the target, blue against, white is zero."""
    limit = _limit(values)
    axis.imshow(values, cmap=COLORS, vmin=-limit, vmax=limit, interpolation="antialiased")
    axis.set(xticks=[], yticks=[])
    axis.grid(False)


def map_colors(values: np.ndarray, height: int) -> np.ndarray:
    """The colours of :func:`draw_map` for a map that is made smaller.

    Args:
        values: a signed map ``(H, W)``.
        height: of the picture in pixels, at most ``H``; each is the mean of those that it covers.

    Returns:
        RGB ``(height, width, 3)`` in ``[0, 1]``.
    """
    height = min(height, len(values))
    width = max(1, round(height * values.shape[1] / len(values)))
    small = np.asarray(
        Image.fromarray(values.astype(np.float32)).resize((width, height), Image.Resampling.BOX)
    )
    return plt.get_cmap(COLORS)(np.clip(small / (2 * _limit(small)) + 0.5, 0, 1))[..., :3]


def _limit(values: np.ndarray) -> float:
    return float(np.quantile(np.abs(values), QUANTILE)) or 1.0


def map_grid(
    pictures: Sequence[np.ndarray],
    maps: Mapping[str, torch.Tensor],
    row_labels: Sequence[str],
    caption: str,
) -> Plate:
    """A band a photograph: the photograph on the left, its maps beside it, row by row.

    Args:
        pictures: RGB images ``(H, W, 3)`` in ``[0, 1]``.
        maps: method -> signed maps ``(N, H, W)``.
        row_labels: one a photograph.
        caption: the figure's caption.
    """
    lines = -(-len(maps) // MAPS_IN_A_ROW)
    wide = -(-len(maps) // lines)
    figure, axes = plt.subplots(
        lines * len(pictures), wide + 1, figsize=(1.2 * (wide + 1), 1.42 * lines * len(pictures)),
        squeeze=False, layout="constrained",
    )  # fmt: skip
    for axis in axes.flat:
        axis.set_axis_off()
    for number, (picture, name) in enumerate(zip(pictures, row_labels, strict=True)):
        band = axes[lines * number : lines * (number + 1)]
        band[0, 0].set_axis_on()
        _photograph(band[0, 0], picture)
        band[0, 0].set_ylabel(name, fontsize=9)
        for axis, (method, values) in zip(band[:, 1:].flat, maps.items(), strict=False):
            axis.set_axis_on()
            draw_map(axis, values[number].numpy())
            axis.set_title(label(method).replace(" ", "\n", 1), fontsize=8)
    alt = (
        f"Attribution maps of {', '.join(label(name) for name in maps)} for the photographs "
        f"{', '.join(row_labels)}; red pixels speak for the class, blue ones against it."
    )
    return Plate(figure, alt, caption, _strengths(maps, row_labels), pixels=True)


def stage_grid(
    picture: np.ndarray,
    maps: Mapping[str, Mapping[str, torch.Tensor]],
    caption: str,
    similarity: pd.DataFrame,
) -> Plate:
    """How maps of one photograph change: a row a method, a column a step.

    Args:
        picture: RGB image ``(H, W, 3)``.
        maps: method -> step -> map ``(H, W)``; the first step is the trained model.
        caption: the figure's caption.
        similarity: columns ``method``, ``step``, ``ssim``; printed on the maps and offered as
            numbers.
    """
    steps = list(next(iter(maps.values())))
    scores = {
        (str(row["method"]), str(row["step"])): float(row["ssim"])
        for row in similarity.to_dict("records")
    }
    figure, axes = plt.subplots(
        len(maps), len(steps) + 1, figsize=(1.2 * (len(steps) + 1) + 1.2, 1.4 * len(maps)),
        squeeze=False, layout="constrained",
    )  # fmt: skip
    for line, (method, row) in zip(axes, maps.items(), strict=True):
        _photograph(line[0], picture)
        line[0].set_ylabel(label(method), rotation=0, ha="right", va="center", fontsize=9)
        for axis, (step, values) in zip(line[1:], row.items(), strict=True):
            draw_map(axis, values.numpy())
            if (method, step) in scores:
                axis.set_xlabel(f"SSIM {scores[method, step]:.2f}", fontsize=8, labelpad=2)
    for axis, title in zip(axes[0], ["photograph", *steps], strict=True):
        axis.set_title(title.replace("down to ", "down to\n"), fontsize=9)
    ends = ", ".join(
        f"{label(m)} {scores[m, steps[-1]]:.2f}" for m in maps if (m, steps[-1]) in scores
    )
    alt = f"Maps of one photograph as stages are redrawn from the top. SSIM at the end: {ends}."
    return Plate(figure, alt, caption, similarity, pixels=True)


def _photograph(axis: Axes, picture: np.ndarray) -> None:
    axis.imshow(picture)
    axis.set(xticks=[], yticks=[])
    axis.grid(False)


def _strengths(maps: Mapping[str, torch.Tensor], rows: Sequence[str]) -> pd.DataFrame:
    """Mean, spread and share of positive attribution of every map shown."""
    return pd.DataFrame(
        {
            "photograph": name,
            "method": method,
            "mean": float(values[i].mean()),
            "standard_deviation": float(values[i].std()),
            "positive_share": float(values[i].clamp_min(0).sum() / values[i].abs().sum()),
        }
        for method, values in maps.items()
        for i, name in enumerate(rows)
    )
