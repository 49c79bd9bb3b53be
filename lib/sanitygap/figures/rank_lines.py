"""How methods change places: one line a method over the orders of several conditions."""

from collections.abc import Mapping, Sequence
from textwrap import fill

import matplotlib.pyplot as plt
import pandas as pd
import torch
from matplotlib.colors import Normalize

from sanitygap.figures.methods import label, label_ends, styles
from sanitygap.figures.plate import Plate
from sanitygap.show import picture_grid


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
