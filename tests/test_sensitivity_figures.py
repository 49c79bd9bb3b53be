"""Figures about the sensitivity S: what they draw, and what they say to those who cannot see."""

import pandas as pd
import pytest

from sanitygap.figures import theme
from sanitygap.figures.sensitivity import change_lines, layer_grid


@pytest.fixture(autouse=True)
def _theme():
    theme()


def test_layers_are_drawn_in_the_order_given_with_their_values():
    numbers = pd.DataFrame(
        [
            {"method": method, "stage": stage, "sensitivity": value}
            for method, values in {"noise": (0.97, 0.98), "edges": (0.0, 0.0)}.items()
            for stage, value in zip(("fc", "conv1"), values, strict=True)
        ]
    )
    plate = layer_grid(numbers, "caption")
    axis = plate.figure.axes[0]
    assert [tick.get_text() for tick in axis.get_xticklabels()] == ["fc", "conv1"]
    assert [tick.get_text() for tick in axis.get_yticklabels()] == [
        "noise (control)",
        "edges (control)",
    ]
    assert [text.get_text() for text in axis.texts] == ["0.97", "0.98", "0.00", "0.00"]
    assert "noise (control): 0.97 (fc) to 0.98 (conv1)" in plate.alt
    assert plate.numbers is numbers


def test_changes_are_drawn_with_the_threshold():
    rows = [
        {"moved": moved, "method": method, "share": share, "mean": mean, "low": mean, "high": mean}
        for moved in ("weights", "image")
        for method, means in {"gradient": (0.0, 0.1), "noise": (0.97, 0.98)}.items()
        for share, mean in zip((1e-4, 0.1), means, strict=True)
    ]
    plate = change_lines(pd.DataFrame(rows), "caption", 0.01)
    assert len(plate.figure.axes) == 2
    for axis in plate.figure.axes:
        assert {text.get_text() for text in axis.texts} == {"gradient", "noise (control)"}
        assert any(list(line.get_ydata()) == [0.01, 0.01] for line in axis.lines)
        assert min(min(line.get_ydata()) for line in axis.lines) == 1e-7  # zero has no logarithm
    assert "weights, gradient: S 0 at 0.0001 to 0.1 at 0.1." in plate.alt
