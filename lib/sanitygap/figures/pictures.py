"""Photographs side by side."""

from collections.abc import Mapping, Sequence
from textwrap import fill

import matplotlib.pyplot as plt
import pandas as pd
import torch

from sanitygap.figures.plate import Plate


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
    count = len(pictures)
    figure, axes = plt.subplots(1, count, figsize=(1.4 * count, 2.0), squeeze=False)
    for axis, (title, values), note in zip(axes[0], pictures.items(), notes, strict=True):
        if values.ndim == 3:
            axis.imshow(values.permute(1, 2, 0).numpy())
        else:
            axis.imshow(values.numpy(), cmap="magma")
        axis.set(xticks=[], yticks=[])
        axis.set_xlabel(note, fontsize=9)
        axis.set_title(fill(title, 14), fontsize=9)
        axis.grid(False)
    alt = "Pictures, from left to right: " + "; ".join(
        f"{title} ({note})" for title, note in zip(pictures, notes, strict=True)
    )
    return Plate(figure, f"{alt}.", caption, numbers, pixels=True)
