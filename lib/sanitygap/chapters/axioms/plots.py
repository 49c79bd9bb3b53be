"""Pictures of generated features: how they grow, and what methods make of them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from sanitygap.figures.maps import map_colors
from sanitygap.figures.methods import label
from sanitygap.figures.plate import Plate
from sanitygap.show import bar_lengths, distinct, panel_axes, picture_grid

#: a patch's name -> as it is set in a figure
SYMBOLS = {"f_a": "$f_a$", "f_b": "$f_b$", "f_null": r"$f_\mathrm{null}$"}

#: most maps beside each other
BAND = 5


@dataclass(frozen=True)
class MapRow:
    """A row of a figure of maps.

    Attributes:
        name: what stands on its left.
        picture: RGB values ``(3, H, W)`` in [0, 1].
        maps: method -> signed map ``(h, w)``.
    """

    name: str
    picture: torch.Tensor
    maps: Mapping[str, np.ndarray]


def map_rows(
    rows: Sequence[MapRow],
    caption: str,
    numbers: pd.DataFrame,
    titles: Mapping[str, str] | None = None,
) -> Plate:
    """Generated inputs and their maps: a row an input or an explained output, columns are methods.

    Maps of many methods stand in several bands, one below the other, so that they can be read.

    Args:
        rows: all with the same methods.
        caption: the figure's caption.
        numbers: the table behind it.
        titles: method -> what stands above its column; its label by default.
    """
    methods = list(rows[0].maps)
    titles = titles or {name: label(name).replace(" ", "\n", 1) for name in methods}
    across = math.ceil(len(methods) / math.ceil(len(methods) / BAND))
    bands = [methods[start : start + across] for start in range(0, len(methods), across)]
    grid: list[list[np.ndarray | None]] = []
    heads: list[list[str]] = []
    for band in bands:
        gap = across - len(band)
        heads.append(["input", *(titles[name] for name in band), *[""] * gap])
        heads += [[""] * (across + 1)] * (len(rows) - 1)
        for row in rows:
            maps = [map_colors(row.maps[name], len(row.maps[name])) for name in band]
            grid.append([row.picture.permute(1, 2, 0).numpy(), *maps, *[None] * gap])
    figure = picture_grid(
        grid, labels=[row.name for row in rows] * len(bands), titles=heads, size=(1.35, 1.5)
    )
    alt = (
        f"Generated inputs and the attribution maps of "
        f"{', '.join(titles[name].replace(chr(10), ' ') for name in methods)} for "
        f"{', '.join(distinct(row.name for row in rows))}; red pixels speak for the output, "
        "blue ones against it."
    )
    return Plate(figure, alt, caption, numbers, pixels=True)


def bars(numbers: pd.DataFrame, caption: str, xlabel: str) -> Plate:
    """Values with intervals: a panel a quantity, a bar a method, the paper's value as a diamond.

    Args:
        numbers: columns ``panel``, ``method``, ``value``, ``low``, ``high`` and ``printed``.
        caption: the figure's caption.
        xlabel: what the values are.
    """
    methods, panels = distinct(numbers["method"]), numbers.groupby("panel", sort=False)
    size = (min(3.1, 7.4 / len(panels)) + 1.8 / len(panels), 0.34 * len(methods) + 1.2)
    figure, axes = panel_axes(len(panels), len(panels), size, sharey=True)
    for axis, (panel, rows) in zip(axes, panels, strict=True):
        places = rows["method"].map(methods.index)
        axis.barh(
            places, rows["value"], xerr=bar_lengths(rows, "value", "low", "high"),
            color="#2a93d1", ecolor="0.2", height=0.62,
        )  # fmt: skip
        axis.plot(rows["printed"], places, ls="", marker="D", ms=5, color="#b34a00")
        axis.set_title(str(panel), fontsize=10)
        axis.set_xlabel(xlabel)
        axis.locator_params(axis="x", nbins=4)
    axes[0].set_yticks(range(len(methods)), map(label, methods))
    axes[0].invert_yaxis()
    named = numbers["method"].map(label) + numbers["value"].map(" {:.2f}".format)
    sentences = [f"{panel}: {', '.join(named[rows.index])}" for panel, rows in panels]
    return Plate(figure, ". ".join(sentences) + ".", caption, numbers)
