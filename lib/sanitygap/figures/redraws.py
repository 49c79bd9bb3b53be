"""Figure of the randomisation test under several draws of the random weights."""

from dataclasses import replace

import pandas as pd

from sanitygap.figures.methods import label
from sanitygap.figures.plate import Plate
from sanitygap.show import dots


def seed_dots(numbers: pd.DataFrame, caption: str) -> Plate:
    """One row a method: a mark for each draw, a bar for the interval over images.

    Args:
        numbers: columns ``method``, ``seed``, ``ssim`` (mean of that draw) and ``mean``, ``low``,
            ``high`` (over images, seeds averaged first; the same in all rows of a method).
        caption: the figure's caption.
    """
    ordered = numbers.sort_values("mean", kind="stable")
    bars = ordered.rename(columns={"low": "null_low", "high": "null_high"}).drop(columns="mean")
    plate = dots(
        bars, row="method", series="seed", value="ssim", caption=caption, legend="seed",
        xlabels="mean SSIM after randomisation (left: passes the sanity check)",
        null="interval over images",
    )  # fmt: skip
    sentences = [
        f"{label(str(method))}: draws from {rows['ssim'].min():.3f} to {rows['ssim'].max():.3f}, "
        f"interval over images {rows['low'].iloc[0]:.3f} to {rows['high'].iloc[0]:.3f}"
        for method, rows in ordered.groupby("method", sort=False)
    ]
    alt = f"Marks for {numbers['seed'].nunique()} draws of the weights. {'; '.join(sentences)}."
    return replace(plate, alt=alt, numbers=numbers)
