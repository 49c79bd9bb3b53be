"""Pictures of generated features: how they grow, and what methods make of them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes

from sanitygap.figures.maps import draw_map
from sanitygap.figures.methods import label
from sanitygap.figures.plate import Plate

#: a patch's name -> as it is set in a figure
SYMBOLS = {"f_a": "$f_a$", "f_b": "$f_b$", "f_null": r"$f_\mathrm{null}$"}


#: most maps beside each other
BAND = 5


def _bare(axis: Axes) -> None:
    axis.set(xticks=[], yticks=[])
    axis.grid(False)


def patch_rows(
    patches: Mapping[str, Mapping[int, torch.Tensor]],
    notes: Mapping[str, Mapping[int, str]],
    caption: str,
    numbers: pd.DataFrame,
) -> Plate:
    """Patches over the steps of their optimisation: a row a patch, a column a step.

    Args:
        patches: name of the patch -> step -> RGB values ``(3, H, W)`` in [0, 1].
        notes: likewise -> what stands below the picture.
        caption: the figure's caption.
        numbers: the table behind the notes.
    """
    steps = list(next(iter(patches.values())))
    shape = (len(patches), len(steps))
    figure, axes = plt.subplots(
        *shape, figsize=(1.15 * shape[1] + 0.6, 1.65 * shape[0]), squeeze=False
    )
    for row, (name, pictures) in zip(axes, patches.items(), strict=True):
        for axis, step in zip(row, steps, strict=True):
            axis.imshow(pictures[step].permute(1, 2, 0).numpy())
            axis.set_xlabel(notes[name][step], fontsize=8)
            _bare(axis)
        row[0].set_ylabel(SYMBOLS.get(name, name), fontsize=11)
    for axis, step in zip(axes[0], steps, strict=True):
        axis.set_title(f"step {step}", fontsize=9)
    ends = "; ".join(f"{name}: {notes[name][steps[-1]]}" for name in patches)
    alt = f"Patches at steps {', '.join(map(str, steps))} of their optimisation. At the end {ends}."
    return Plate(figure, alt, caption, numbers, pixels=True)


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
    shape = (len(rows) * len(bands), across + 1)
    figure, axes = plt.subplots(
        *shape, figsize=(1.35 * shape[1] + 0.3, 1.4 * shape[0] + 0.45 * len(bands)), squeeze=False,
        gridspec_kw={"wspace": 0.04, "hspace": 0.04},
    )  # fmt: skip
    for place, band in enumerate(bands):
        lines = axes[place * len(rows) : (place + 1) * len(rows)]
        for line, row in zip(lines, rows, strict=True):
            line[0].imshow(row.picture.permute(1, 2, 0).numpy())
            line[0].set_ylabel(row.name, fontsize=10)
            _bare(line[0])
            for axis, name in zip(line[1:], band, strict=False):
                draw_map(axis, row.maps[name])
            for axis in line[1 + len(band) :]:
                axis.set_axis_off()
        heads = ["input", *(titles[name] for name in band)]
        for axis, title in zip(lines[0], heads, strict=False):
            axis.set_title(title, fontsize=10)
    alt = (
        f"Generated inputs and the attribution maps of "
        f"{', '.join(titles[name].replace(chr(10), ' ') for name in methods)} for "
        f"{', '.join(dict.fromkeys(row.name for row in rows))}; red pixels speak for the output, "
        "blue ones against it."
    )
    return Plate(figure, alt, caption, numbers, pixels=True)


def bars(numbers: pd.DataFrame, panels: Sequence[str], caption: str, xlabel: str) -> Plate:
    """Values with intervals: a panel a quantity, a bar a method, the paper's value as a diamond.

    Args:
        numbers: columns ``panel``, ``method``, ``value``, ``low``, ``high`` and ``printed``.
        panels: their order.
        caption: the figure's caption.
        xlabel: what the values are.
    """
    methods = list(dict.fromkeys(numbers["method"]))
    figure, axes = plt.subplots(
        1, len(panels), figsize=(min(3.1 * len(panels), 7.4) + 1.8, 0.34 * len(methods) + 1.2),
        squeeze=False, sharey=True,
    )  # fmt: skip
    places = {name: place for place, name in enumerate(methods)}
    for axis, panel in zip(axes[0], panels, strict=True):
        rows = numbers[numbers["panel"] == panel]
        y = [places[name] for name in rows["method"]]
        axis.barh(y, rows["value"], color="#2a93d1", height=0.62)
        known = rows.dropna(subset=["low", "high"])
        axis.hlines([places[n] for n in known["method"]], known["low"], known["high"], color="0.2")
        axis.plot(rows["printed"], y, ls="", marker="D", ms=5, color="#b34a00")
        axis.set_title(panel, fontsize=10)
        axis.set_xlabel(xlabel)
        axis.locator_params(axis="x", nbins=4)
    axes[0][0].set_yticks(range(len(methods)), [label(name) for name in methods])
    axes[0][0].invert_yaxis()
    sentences = [
        f"{panel}: "
        + ", ".join(
            f"{label(str(row.method))} {row.value:.2f}"
            for row in numbers[numbers["panel"] == panel].itertuples()
        )
        for panel in panels
    ]
    return Plate(figure, ". ".join(sentences) + ".", caption, numbers)
