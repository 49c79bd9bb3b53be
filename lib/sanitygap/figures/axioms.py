"""Pictures of generated features: how they grow, and what methods make of them."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes

from sanitygap.figures.maps import draw_map
from sanitygap.figures.methods import label
from sanitygap.figures.plate import Plate


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
        *shape, figsize=(1.5 * shape[1] + 0.8, 1.85 * shape[0]), squeeze=False
    )
    for row, (name, pictures) in zip(axes, patches.items(), strict=True):
        for axis, step in zip(row, steps, strict=True):
            axis.imshow(pictures[step].permute(1, 2, 0).numpy())
            axis.set_xlabel(notes[name][step], fontsize=8)
            _bare(axis)
        row[0].set_ylabel(name, fontsize=9)
    for axis, step in zip(axes[0], steps, strict=True):
        axis.set_title(f"step {step}", fontsize=9)
    ends = "; ".join(f"{name}: {notes[name][steps[-1]]}" for name in patches)
    alt = f"Patches at steps {', '.join(map(str, steps))} of their optimisation. At the end {ends}."
    return Plate(figure, alt, caption, numbers, pixels=True)


def map_rows(
    picture: torch.Tensor,
    maps: Mapping[str, Mapping[str, np.ndarray]],
    caption: str,
    numbers: pd.DataFrame,
) -> Plate:
    """A generated input and its maps: a row an explained output, columns are methods.

    Args:
        picture: RGB values ``(3, H, W)`` in [0, 1].
        maps: explained output -> method -> signed map.
        caption: the figure's caption.
        numbers: one row a method, with the metrics of this input.
    """
    methods = list(next(iter(maps.values())))
    shape = (len(maps), len(methods) + 1)
    figure, axes = plt.subplots(*shape, figsize=(1.35 * shape[1], 1.75 * shape[0]), squeeze=False)
    for row, (output, found) in zip(axes, maps.items(), strict=True):
        row[0].imshow(picture.permute(1, 2, 0).numpy())
        row[0].set_ylabel(output, fontsize=8)
        _bare(row[0])
        for axis, name in zip(row[1:], methods, strict=True):
            draw_map(axis, found[name])
    for axis, name in zip(axes[0], ["input", *methods], strict=True):
        axis.set_title(label(name).replace(" ", "\n", 1), fontsize=8)
    alt = (
        f"A generated input and the attribution maps of {', '.join(map(label, methods))} for "
        f"{' and '.join(maps)}; red pixels speak for the output, blue ones against it."
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
        1, len(panels), figsize=(3.1 * len(panels) + 1.2, 0.34 * len(methods) + 1.2),
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
