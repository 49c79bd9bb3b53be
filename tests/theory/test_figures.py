"""A figure of a formal statement shows the numbers of its table."""

import matplotlib.pyplot as plt
import pytest

from sanitygap.chapters.theorem_2 import show
from sanitygap.figures.plate import theme


@pytest.fixture(autouse=True)
def _themed():
    theme()
    yield
    plt.close("all")


def test_two_sided_frequencies_are_shown_against_the_tail(table):
    rows = table("theorem-2")
    axis = show.overtaking(rows).axes[0]
    two_sided = rows[rows["event"] == "two-sided"]
    (line,) = [line for line in axis.lines if set(two_sided["estimate"]) <= set(line.get_ydata())]
    shown = dict(zip(line.get_ydata(), line.get_xdata(), strict=True))
    for _, row in two_sided.iterrows():
        assert shown[row["estimate"]] == pytest.approx(row["claimed"] / 2)
