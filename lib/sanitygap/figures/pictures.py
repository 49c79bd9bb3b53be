"""Photographs side by side."""

from collections.abc import Mapping, Sequence
from textwrap import fill

import matplotlib.pyplot as plt
import pandas as pd
import torch
from matplotlib.colors import Normalize

from sanitygap.figures.plate import Plate
from sanitygap.show import picture_grid


def picture_row(
    pictures: Mapping[str, torch.Tensor],
    notes: Sequence[str],
    caption: str,
    numbers: pd.DataFrame,
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
