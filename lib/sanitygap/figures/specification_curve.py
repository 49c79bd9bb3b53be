"""The specification curve: every set of choices in the order of what it finds, and what it is."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.lines import Line2D

from sanitygap.figures.plate import Plate

#: outcome -> colour, marker and filling: never told apart by colour alone
OUTCOMES = {
    "holds": ("#0072b2", "^", True),
    "open": ("0.55", "o", False),
    "contradicted": ("#d55e00", "v", True),
}

Levels = Mapping[str, Mapping[object, str]]
"""Choice -> level -> its words, in the order of the rows."""


def specification_curve(
    numbers: pd.DataFrame, levels: Levels, *, ylabel: str, caption: str, test: str
) -> Plate:
    """Margins in rising order with their intervals, and below which specification has which level.

    Args:
        numbers: a row for each panel and specification: ``panel``, the choices, ``margin``,
            ``margin_low``, ``margin_high``, ``outcome`` and ``nearest`` (the paper's reading).
        levels: the rows of the dashboard; choices with one level have none.
        ylabel: of the margins; says which direction is which.
        caption: the figure's caption.
        test: its name, for the alternative text.
    """
    panels = list(dict.fromkeys(numbers["panel"]))
    rows = [(choice, level) for choice, known in levels.items() for level in known]
    figure, axes = plt.subplots(
        2, len(panels), figsize=(9.2, 3.4 + 0.19 * len(rows)), sharex="col", sharey="row",
        squeeze=False, height_ratios=(3.0, 0.19 * max(len(rows), 1)),
    )  # fmt: skip
    ordered = {
        # equal margins in the order of their choices, so that rows of the dashboard stay whole
        panel: numbers[numbers["panel"] == panel].sort_values(
            ["margin", *levels], ignore_index=True
        )
        for panel in panels
    }
    for (curve, board), (panel, table) in zip(axes.T, ordered.items(), strict=True):
        _curve(curve, table)
        curve.set_title(panel)
        _dashboard(board, table, levels)
        for place in np.flatnonzero(table["nearest"]):
            for axis in (curve, board):
                axis.axvline(place, color="0.1", lw=0.9, ls=":", zorder=3)
        board.set_xlabel(f"{len(table)} specifications, by margin")
    axes[0, 0].set_ylabel(ylabel)
    names = [words for known in levels.values() for words in known.values()]
    axes[1, 0].set_yticks(range(len(names)), names)
    axes[1, 0].tick_params("y", labelsize=8)
    figure.legend(
        handles=_legend(), loc="outside upper center", ncols=len(OUTCOMES) + 1, frameon=False
    )
    shown = pd.concat(list(ordered.values()), ignore_index=True)
    return Plate(figure, _words(ordered, test), caption, shown)


def _curve(axis: Axes, table: pd.DataFrame) -> None:
    axis.axhline(0, color="0.3", lw=0.9, zorder=1)
    axis.grid(visible=False, axis="x")
    for outcome, (color, marker, filled) in OUTCOMES.items():
        part = table[table["outcome"] == outcome]
        axis.vlines(
            part.index, part["margin_low"], part["margin_high"], color=color, lw=0.6, alpha=0.45
        )
        axis.scatter(
            part.index, part["margin"], s=11, marker=marker, lw=0.6, zorder=2,
            facecolor=color if filled else "white", edgecolor=color,
        )  # fmt: skip
    star = table[table["nearest"]]
    axis.scatter(
        star.index,
        star["margin"],
        s=95,
        marker="*",
        color="0.1",
        edgecolor="white",
        lw=0.6,
        zorder=4,
    )


def _dashboard(axis: Axes, table: pd.DataFrame, levels: Levels) -> None:
    """A row a level, marked where a specification has it, in the colour of the outcome."""
    codes = table["outcome"].map({name: number for number, name in enumerate(OUTCOMES, start=1)})
    rows = [
        np.where(table[choice] == level, codes, 0)
        for choice, known in levels.items()
        for level in known
    ]
    picture = np.array(rows).reshape(-1, len(table))
    colors = ListedColormap(["white", *(color for color, _, _ in OUTCOMES.values())])
    axis.grid(visible=False)
    if rows:
        axis.imshow(
            picture, aspect="auto", interpolation="nearest", cmap=colors, vmin=0,
            vmax=len(OUTCOMES),
            extent=(-0.5, len(table) - 0.5, len(rows) - 0.5, -0.5),
        )  # fmt: skip
    edge = -0.5
    for row in range(1, len(rows)):
        axis.axhline(row - 0.5, color="white", lw=1.5)
    for known in levels.values():
        edge += len(known)
        axis.axhline(edge, color="0.6", lw=0.7)


def _legend() -> list[Line2D]:
    made = [
        Line2D([], [], ls="", marker=marker, color=color, mfc=color if filled else "white", ms=6,
               label=outcome)
        for outcome, (color, marker, filled) in OUTCOMES.items()
    ]  # fmt: skip
    nearest = Line2D([], [], ls=":", marker="*", color="0.1", ms=9, label="nearest to the paper")
    return [*made, nearest]


def _words(ordered: Mapping[str, pd.DataFrame], test: str) -> str:
    sentences = []
    for panel, table in ordered.items():
        counts = table["outcome"].value_counts()
        listed = ", ".join(f"{counts.get(name, 0)} {name}" for name in OUTCOMES)
        sentences.append(
            f"{panel}, {test}: margins of {len(table)} specifications from "
            f"{table['margin'].min():+.3f} to {table['margin'].max():+.3f}; {listed}."
        )
        for margin in table.loc[table["nearest"], "margin"]:
            sentences.append(f"Nearest to the paper: {margin:+.3f}.")
    return " ".join(sentences)
