"""Every pair of methods under both tests, in one matrix a test."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from sanitygap.figures.methods import label
from sanitygap.figures.plate import Plate

#: side of the largest triangle, as a share of a cell; the area is proportional to the difference
LARGEST = 0.95

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
    figure.legend(handles=_key(), loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    return Plate(figure, _words(numbers, tests, against), caption, numbers)


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
    place = {method: number for number, method in enumerate(methods)}
    largest = rows["difference"].abs().max() or 1.0
    for row in rows.to_dict("records"):
        low, high = sorted((place[row["first"]], place[row["second"]]))
        # the row is the later method, whichever of the two the difference starts from
        sign = 1.0 if place[row["first"]] == high else -1.0
        difference = sign * row["difference"]
        if frozenset((row["first"], row["second"])) in against:
            axis.add_patch(Rectangle((low - 0.5, high - 0.5), 1, 1, color="0.88", lw=0))
        if not np.isfinite(difference) or difference == 0:
            continue
        half = LARGEST * np.sqrt(abs(difference) / largest) / 2
        tip = -half if difference > 0 else half  # the vertical axis points down
        color = WORSE if difference > 0 else BETTER
        axis.add_patch(
            plt.Polygon(
                [(low - half, high - tip), (low + half, high - tip), (low, high + tip)],
                facecolor=color if row["p"] < LEVEL else "white",
                edgecolor=color,
                lw=0.9,
            )
        )
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


def _key() -> list[Line2D]:
    def mark(marker: str, color: str, filled: bool, words: str) -> Line2D:
        return Line2D(
            [], [], linestyle="", marker=marker, color=color, label=words, ms=9,
            markerfacecolor=color if filled else "white",
        )  # fmt: skip

    return [
        mark("^", WORSE, True, "row higher: worse, significant"),
        mark("^", WORSE, False, "not significant"),
        mark("v", BETTER, True, "row lower: better, significant"),
        mark("v", BETTER, False, "not significant"),
        mark("s", "0.88", True, "the tests contradict each other"),
    ]


def _words(numbers: pd.DataFrame, tests: list[str], against: set[frozenset[str]]) -> str:
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
