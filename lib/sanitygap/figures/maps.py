"""Pictures of attribution maps, rows of pictures, and methods that change their places."""

from collections.abc import Mapping, Sequence
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.colors import Normalize
from PIL import Image

from sanitygap.figures.methods import label, label_ends, styles
from sanitygap.figures.plate import Plate
from sanitygap.show import Picture, picture_grid

#: a few extreme pixels must not turn the rest of a map white
QUANTILE = 0.995

COLORS = "RdBu_r"

MAPS_IN_A_ROW = 6


def map_colors(
    values: np.ndarray, height: int | None = None, limit: float | None = None
) -> np.ndarray:
    """The colours of a signed map: red in favour of the target, blue against, white is zero.

    Args:
        values: a signed map ``(H, W)``.
        height: of the picture in pixels, at most ``H``, which is the default; each is the mean of
            those that it covers.
        limit: value of the strongest colours; by default all but a few extreme pixels are below.

    Returns:
        RGB ``(height, width, 3)`` in ``[0, 1]``.
    """
    if height is not None and height < len(values):
        width = max(1, round(height * values.shape[1] / len(values)))
        small = Image.fromarray(values.astype(np.float32))
        values = np.asarray(small.resize((width, height), Image.Resampling.BOX))
    limit = limit or _limit(values)
    return plt.get_cmap(COLORS)(np.clip(values / (2 * limit) + 0.5, 0, 1))[..., :3]


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
    wide = -(-len(maps) // -(-len(maps) // MAPS_IN_A_ROW))
    rows: list[list[Picture]] = []
    labels, titles = [], []
    for number, (picture, name) in enumerate(zip(pictures, row_labels, strict=True)):
        for start in range(0, len(maps), wide):
            methods = list(maps)[start : start + wide]
            empty = [""] * (wide - len(methods))
            shown = [map_colors(maps[method][number].numpy()) for method in methods]
            rows.append([None if start else picture, *shown, *(None for _ in empty)])
            titles.append(
                ["", *(label(method).replace(" ", "\n", 1) for method in methods), *empty]
            )
            labels.append("" if start else name)
    figure = picture_grid(rows, labels=labels, titles=titles, size=(1.2, 1.42))
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
    scores = similarity.set_index(["method", "step"])["ssim"].to_dict()
    notes = {place: f"SSIM {value:.2f}" for place, value in scores.items()}
    figure = picture_grid(
        [[picture, *(map_colors(row[step].numpy()) for step in steps)] for row in maps.values()],
        labels=[label(method) for method in maps],
        titles=["photograph", *(step.replace("down to ", "down to\n") for step in steps)],
        notes=[["", *(notes.get((method, step), "") for step in steps)] for method in maps],
        size=(1.3, 1.4),
    )
    ends = ", ".join(
        f"{label(m)} {scores[m, steps[-1]]:.2f}" for m in maps if (m, steps[-1]) in scores
    )
    alt = f"Maps of one photograph as stages are redrawn from the top. SSIM at the end: {ends}."
    return Plate(figure, alt, caption, similarity, pixels=True)


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


def ranked(scores: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Ranks of methods by their mean scores, the lowest first, in long form.

    Args:
        scores: condition -> images x methods.

    Returns:
        Columns ``method``, ``condition``, ``score``, ``rank``.
    """
    means = pd.DataFrame({name: table.mean() for name, table in scores.items()})
    long = means.rename_axis("method").reset_index()
    long = long.melt("method", var_name="condition", value_name="score")
    return long.assign(rank=long.groupby("condition", sort=False)["score"].rank())


def rank_lines(numbers: pd.DataFrame, *, ylabel: str, caption: str) -> Plate:
    """Ranks of methods under several conditions, side by side.

    Args:
        numbers: columns ``condition`` (in the order of appearance), ``method``, ``score`` and
            ``rank`` (1 is drawn on top).
        ylabel: what rank 1 means.
        caption: the figure's caption.
    """
    conditions = list(dict.fromkeys(numbers["condition"]))
    methods = list(dict.fromkeys(numbers["method"]))
    figure, axis = plt.subplots(
        figsize=(min(9.4, 3.2 + 1.35 * len(conditions)), 1.6 + 0.32 * len(methods))
    )
    ranks = numbers.pivot(index="condition", columns="method", values="rank").loc[conditions]
    places = range(len(conditions))
    for method, style in styles(methods).items():
        axis.plot(places, ranks[method], ms=8, **style)
    axis.set(
        xlim=(-0.2, len(conditions) - 0.8),
        ylim=(len(methods) + 0.5, 0.5),
        yticks=range(1, len(methods) + 1),
        ylabel=ylabel,
    )
    wrapped = [condition.replace(" on ", " on\n").replace(", ", ",\n") for condition in conditions]
    axis.set_xticks(list(places), wrapped)
    axis.grid(False, axis="x")
    figure.canvas.draw()  # the layout has to be final before labels are moved apart
    last = ranks.iloc[-1]
    label_ends(axis, {str(name): (len(conditions) - 1, last[name]) for name in methods})
    sentences = []
    for condition in conditions:
        row = ranks.loc[condition].sort_values(kind="stable")
        sentences.append(f"{condition}: {', '.join(label(str(name)) for name in row.index)}.")
    alt = f"Order of {len(methods)} methods, from rank 1. {' '.join(sentences)}"
    return Plate(figure, alt, caption, numbers)


def picture_row(
    pictures: Mapping[str, torch.Tensor], notes: Sequence[str], caption: str, numbers: pd.DataFrame
) -> Plate:
    """Pictures with a title above and a note below each.

    Args:
        pictures: title -> RGB values ``(3, H, W)`` in ``[0, 1]``, or one value a pixel ``(H, W)``,
            shown from dark (low) to light.
        notes: one a picture.
        caption: the figure's caption.
        numbers: the table behind the notes.
    """
    figure = picture_grid(
        [
            [
                values.permute(1, 2, 0).numpy()
                if values.ndim == 3
                else plt.get_cmap("magma")(Normalize()(values.numpy()))
                for values in pictures.values()
            ]
        ],
        titles=[fill(title, 14) for title in pictures],
        notes=[notes],
        size=(1.4, 2.0),
    )
    alt = "Pictures, from left to right: " + "; ".join(
        f"{title} ({note})" for title, note in zip(pictures, notes, strict=True)
    )
    return Plate(figure, f"{alt}.", caption, numbers, pixels=True)
