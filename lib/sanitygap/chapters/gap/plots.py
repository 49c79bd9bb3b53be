"""The specification curve, the matrix of pairs, and both scores of each method."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from sanitygap.figures.methods import label, number_points, spread, styles
from sanitygap.figures.plate import Plate
from sanitygap.show import draw_points

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
    marks = [_mark(outcome, *look) for outcome, look in OUTCOMES.items()]
    nearest = Line2D([], [], ls=":", marker="*", color="0.1", ms=9, label="nearest to the paper")
    figure.legend(
        handles=[*marks, nearest], loc="outside upper center", ncols=len(marks) + 1, frameon=False
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


#: side of the largest triangle, as a share of a cell; the area is proportional to the difference
LARGEST = 0.95

#: side of a cell in points
CELL = 18.0

#: adjusted p-values below this are filled
LEVEL = 0.05

WORSE, BETTER = "#b34a00", "#00639c"


def pair_matrix(numbers: pd.DataFrame, caption: str) -> Plate:
    """Two lower triangles of cells: the row's method against the column's, in either test.

    A triangle points up where the row scores higher, which is worse in both tests, and down where
    it scores lower. Its area is the size of the difference, relative to the largest in that test;
    it is filled where the difference is significant. A grey cell marks a pair that both tests tell
    apart significantly and put into opposite orders.

    Args:
        numbers: columns ``test`` (two of them), ``first``, ``second``, ``difference`` (first minus
            second) and ``p`` (adjusted). The methods come in the order of appearance.
        caption: the figure's caption.
    """
    methods = list(dict.fromkeys([*numbers["first"], *numbers["second"]]))
    tests = list(dict.fromkeys(numbers["test"]))
    against = contradictions(numbers)
    side = 1.7 + 0.26 * len(methods)
    figure, axes = plt.subplots(len(tests), 1, figsize=(side + 1.4, 2 * side), squeeze=False)
    for axis, test in zip(axes[:, 0], tests, strict=True):
        _panel(axis, numbers[numbers["test"] == test], methods, against)
        axis.set_title(test)
    key = [
        _mark("row higher: worse, significant", WORSE, "^", True),
        _mark("not significant", WORSE, "^", False),
        _mark("row lower: better, significant", BETTER, "v", True),
        _mark("not significant", BETTER, "v", False),
        _mark("the tests contradict each other", "0.88", "s", True),
    ]
    figure.legend(handles=key, loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    return Plate(figure, _pair_words(numbers, tests, against), caption, numbers)


def contradictions(numbers: pd.DataFrame) -> set[frozenset[str]]:
    """Pairs that both tests tell apart significantly, in opposite orders."""
    significant = numbers[numbers["p"] < LEVEL]
    signs: dict[frozenset[str], set[float]] = {}
    for row in significant.to_dict("records"):
        # the sign for one order of the two names, whichever order a row has
        turned = 1.0 if row["first"] < row["second"] else -1.0
        pair = frozenset((row["first"], row["second"]))
        signs.setdefault(pair, set()).add(turned * float(np.sign(row["difference"])))
    return {pair for pair, found in signs.items() if {-1.0, 1.0} <= found}


def _panel(
    axis: Axes, rows: pd.DataFrame, methods: list[str], against: set[frozenset[str]]
) -> None:
    places = rows[["first", "second"]].map(methods.index)
    low, high = places.min(axis=1), places.max(axis=1)
    # the row is the later method, whichever of the two the difference starts from
    difference = rows["difference"].where(places["first"] == high, -rows["difference"])
    for pair in against:
        left, down = sorted(map(methods.index, pair))
        axis.add_patch(Rectangle((left - 0.5, down - 0.5), 1, 1, color="0.88", lw=0))
    sizes = (CELL * LARGEST) ** 2 * difference.abs() / (difference.abs().max() or 1.0)
    for marker, color, chosen in (("^", WORSE, difference > 0), ("v", BETTER, difference < 0)):
        axis.scatter(
            low[chosen], high[chosen], sizes[chosen], marker=marker, edgecolor=color, lw=0.9,
            facecolor=np.where(rows["p"] < LEVEL, color, "white")[chosen],
        )  # fmt: skip
    count = len(methods)
    axis.set(xlim=(-0.5, count - 1.5), ylim=(count - 0.5, 0.5), aspect="equal")
    axis.set_xticks(range(count - 1), map(label, methods[:-1]), rotation=90, fontsize=8)
    axis.set_yticks(range(1, count), map(label, methods[1:]), fontsize=8)
    axis.set_xticks(np.arange(count - 1) - 0.5, minor=True)
    axis.set_yticks(np.arange(1, count) - 0.5, minor=True)
    axis.grid(False, which="major")
    axis.grid(True, which="minor", color="0.92", lw=0.5)
    axis.tick_params(which="both", length=0)
    for spine in axis.spines.values():
        spine.set_visible(False)


def _mark(words: str, color: str, marker: str, filled: bool) -> Line2D:
    """A mark with its meaning, for a legend."""
    face = color if filled else "white"
    return Line2D([], [], ls="", marker=marker, color=color, mfc=face, ms=7, label=words)


def _pair_words(numbers: pd.DataFrame, tests: list[str], against: set[frozenset[str]]) -> str:
    counts = "; ".join(
        f"{test}: {int((rows['p'] < LEVEL).sum())} of {len(rows)} pairs differ significantly"
        for test, rows in ((test, numbers[numbers["test"] == test]) for test in tests)
    )
    named = ", ".join(sorted(" and ".join(sorted(map(label, pair))) for pair in against))
    tail = f": {named}" if against else ""
    return (
        f"One matrix of method pairs for each test. {counts}. {len(against)} pairs are put into "
        f"opposite orders by the two tests, both significantly{tail}."
    )


def gap_scatter(numbers: pd.DataFrame, caption: str) -> Plate:
    """Methods by both scores: similarity after randomisation against prediction after occlusion.

    A point carries its method's number on the left of the ranks, where the name stands beside it.

    Args:
        numbers: columns ``method``, ``randomization``, ``occlusion`` and their ``_low``/``_high``,
            ``randomization_rank``, ``occlusion_rank``.
        caption: the figure's caption.
    """
    numbers = numbers.sort_values("randomization").reset_index(drop=True)
    figure, (scores, ranks) = plt.subplots(
        2, 1, figsize=(8, 5.4 + 0.26 * len(numbers)), height_ratios=(4.2, 1.2 + 0.26 * len(numbers))
    )
    draw_points(scores, numbers, "randomization", "occlusion")
    for style, ends in zip(
        styles(list(numbers["method"])).values(),
        numbers[["randomization_rank", "occlusion_rank"]].to_numpy(),
        strict=True,
    ):
        ranks.plot([0, 1], ends, ms=6, lw=1.4, **style)
    scores.set(
        xlabel="mean SSIM after randomisation\n(left: passes the sanity check)",
        ylabel="mean softmax under occlusion\n(down: more faithful)",
    )
    number_points(scores, numbers[["randomization", "occlusion"]].to_numpy())
    _name_ranks(ranks, numbers)
    pairs = "; ".join(
        f"{label(row['method'])} rank {row['randomization_rank']:.0f} "
        f"against {row['occlusion_rank']:.0f}"
        for row in numbers.to_dict("records")
    )
    alt = f"Each method by randomisation score and by occlusion score, and its two ranks: {pairs}."
    return Plate(figure, alt, caption, numbers)


def _name_ranks(axis: Axes, numbers: pd.DataFrame) -> None:
    """Names on both sides of the ranks, numbered on the left as the points are."""
    count = len(numbers)
    axis.set(xlim=(-0.04, 1.04), ylim=(count + 0.5, 0.5))
    axis.set_yticks(
        spread(numbers["randomization_rank"], 1.0),
        [f"{label(method)}  {place + 1}" for place, method in enumerate(numbers["method"])],
        fontsize=8,
    )
    other = axis.twinx()
    other.set(ylim=axis.get_ylim())
    other.set_yticks(
        spread(numbers["occlusion_rank"], 1.0), map(label, numbers["method"]), fontsize=8
    )
    other.spines["right"].set_visible(False)
    for side in (axis, other):
        side.grid(False)
        side.tick_params(length=0)
    axis.set_xticks([0, 1], ["rank by\nrandomisation", "rank by\nocclusion"])
    axis.set_title("1 at the top: best in that test", fontsize=9)
