"""How methods look in figures, and which pairs contradict each other."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from scipy.optimize import minimize

from sanitygap.attribution import METHODS
from sanitygap.chapters.gap.plots import contradictions
from sanitygap.figures.methods import family, label_ends, spread, styles


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def look(style: dict) -> tuple:
    return tuple(np.round(to_rgb(style["color"]), 3)), style["marker"], style["linestyle"]


def test_a_methods_look_does_not_depend_on_its_company():
    names = list(METHODS)
    together = styles(names)
    for name in names:
        assert look(styles([name])[name]) == look(together[name])
        assert look(styles(names[::-1])[name]) == look(together[name])


def test_no_two_methods_look_the_same_and_colour_is_never_the_only_difference():
    looks = styles(list(METHODS))
    for one in METHODS:
        for other in METHODS:
            if one < other and family(one) is family(other):
                assert looks[one]["marker"] != looks[other]["marker"], (one, other)
    assert len({look(style) for style in looks.values()}) == len(METHODS)


def test_spread_moves_as_little_as_possible():
    heights = [0.5, 0.1, 0.52, 0.9, 0.51]
    moved = spread(heights, 0.1)
    ordered = np.sort(moved)
    assert (np.diff(ordered) >= 0.1 - 1e-9).all()
    assert list(np.argsort(moved)) == list(np.argsort(heights))
    order = np.argsort(heights)
    best = minimize(
        lambda x: float(((x - np.array(heights)) ** 2).sum()),
        np.array(heights),
        constraints=[
            {"type": "ineq", "fun": lambda x, a=a, b=b: x[b] - x[a] - 0.1}
            for a, b in zip(order[:-1], order[1:], strict=True)
        ],
    )
    np.testing.assert_allclose(moved, best.x, atol=1e-4)
    assert spread([0.0, 1.0], 0.1).tolist() == [0.0, 1.0]


def test_labels_at_line_ends_do_not_overlap():
    names = list(METHODS)
    figure, axis = plt.subplots(figsize=(7, 2 + 0.2 * len(names)))
    ends = {name: (1.0, 0.5 + 0.001 * place) for place, name in enumerate(names)}
    for x, y in ends.values():
        axis.plot([0, x], [y, y])
    label_ends(axis, ends)
    figure.canvas.draw()
    boxes = sorted(
        (text.get_window_extent().y0, text.get_window_extent().y1) for text in axis.texts
    )
    assert len(boxes) == len(names)
    assert all(low >= high for (_, high), (low, _) in zip(boxes[:-1], boxes[1:], strict=True))
    # the leaders start at the line ends
    starts = [axis.transAxes.transform(text.xy) for text in axis.texts]
    np.testing.assert_allclose(starts, axis.transData.transform(list(ends.values())), atol=1e-6)


PAIRS = pd.DataFrame(
    {
        "test": ["SSIM"] * 3 + ["softmax"] * 3,
        "first": ["gradient", "gradient", "lrp-zero"] * 2,
        "second": ["lrp-zero", "vargrad", "vargrad"] * 2,
        "difference": [-0.4, 0.1, 0.2, 0.3, 0.2, 0.1],
        "p": [0.001, 0.2, 0.01, 0.02, 0.001, 0.03],
    }
)


def test_contradictions_need_both_tests_and_opposite_signs():
    assert contradictions(PAIRS) == {frozenset({"gradient", "lrp-zero"})}
    weak = PAIRS.assign(p=[0.001, 0.2, 0.01, 0.06, 0.001, 0.03])
    assert contradictions(weak) == set()
    # the same pair, named the other way round in one test
    turned = PAIRS.copy()
    turned.loc[3, ["first", "second", "difference"]] = ["lrp-zero", "gradient", -0.3]
    assert contradictions(turned) == contradictions(PAIRS)
