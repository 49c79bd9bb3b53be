"""How methods are named, coloured and labelled in figures, and the matrix of their pairs."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.patches import Polygon, Rectangle
from scipy.optimize import minimize

from sanitygap.attribution import METHODS
from sanitygap.figures.methods import FAMILIES, LABELS, family, label, label_ends, spread, styles
from sanitygap.figures.noise import noise_curves, smoothness_scatter
from sanitygap.figures.outlook import order_curves, tau_dots
from sanitygap.figures.pairs import contradictions, pair_matrix
from sanitygap.figures.plate import Plate
from sanitygap.figures.tests_of_maps import gap_scatter
from sanitygap.show import along, curves, dots


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


def test_families_share_a_hue_and_controls_are_grey():
    for name, style in styles(list(METHODS)).items():
        red, green, blue = to_rgb(style["color"])
        if name in FAMILIES[0].members:
            assert red == pytest.approx(green, abs=0.02)
            assert green == pytest.approx(blue, abs=0.02)
        elif name.startswith("lrp"):
            assert green > max(red, blue)


@pytest.mark.parametrize(
    ("name", "like"),
    [
        ("lrp-something-new", "lrp-epsilon-plus"),
        ("layer-cam", "grad-cam"),
        ("expected-gradients", "gradient"),
        ("guided-something", "guided-backprop"),
        ("occlusion-map", "deeplift"),
    ],
)
def test_new_methods_join_a_family(name, like):
    assert family(name) is family(like)
    assert label(name) == name
    assert set(styles([name])[name]) == {"color", "marker", "linestyle"}


def test_every_method_of_the_families_is_labelled_once():
    members = [name for one in FAMILIES for name in one.members]
    assert len(members) == len(set(members))
    assert len(set(LABELS.values())) == len(LABELS)


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


def triangles(axis) -> dict[tuple[int, int], tuple[bool, bool, float]]:
    """Cell -> points up, filled, width."""
    found = {}
    for patch in axis.patches:
        if isinstance(patch, Polygon):
            left, right, tip = patch.get_xy()[:3]
            cell = (round(tip[0]), round((left[1] + tip[1]) / 2))
            filled = patch.get_facecolor() == patch.get_edgecolor()
            found[cell] = (bool(tip[1] < left[1]), filled, float(right[0] - left[0]))
    return found


def test_triangles_show_sign_size_and_significance():
    plate = pair_matrix(PAIRS, "caption")
    left, right = plate.figure.axes[:2]
    # columns gradient, LRP-0; rows LRP-0, VarGrad; the row's method minus the column's
    shown = triangles(left)
    assert {cell: mark[:2] for cell, mark in shown.items()} == {
        (0, 1): (True, True), (0, 2): (False, False), (1, 2): (False, True),
    }  # fmt: skip
    widths = np.array([shown[cell][2] for cell in ((0, 1), (0, 2), (1, 2))])
    np.testing.assert_allclose(widths**2 / widths[0] ** 2, [1, 0.25, 0.5])
    assert {cell: mark[:2] for cell, mark in triangles(right).items()} == {
        (0, 1): (False, True), (0, 2): (False, True), (1, 2): (False, True),
    }  # fmt: skip
    for axis in (left, right):
        [cell] = [patch for patch in axis.patches if isinstance(patch, Rectangle)]
        assert cell.get_xy() == (-0.5, 0.5)
    assert "1 pairs are put into opposite orders" in plate.alt
    assert "LRP-0 and gradient" in plate.alt
    assert "SSIM: 2 of 3 pairs" in plate.alt


def curve_rows(methods: list[str]) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = [
        {"panel": panel, "method": method, "step": step, "mean": rng.random()}
        for panel in ("one", "two") for method in methods for step in range(3)
    ]  # fmt: skip
    frame = pd.DataFrame(rows)
    return frame.assign(low=frame["mean"] - 0.05, high=frame["mean"] + 0.05)


def test_curves_name_every_line_in_every_panel():
    methods = list(METHODS)
    plate = curves(curve_rows(methods), "step", xlabel="x", ylabel="y", caption="c")
    for axis in plate.figure.axes:
        assert {text.get_text() for text in axis.texts} == set(map(label, methods))
        assert axis.get_legend() is None


def test_points_of_the_gap_are_numbered_as_the_ranks_are():
    methods = ["lrp-zero", "noise", "gradient"]
    values = [0.7, 0.1, 0.4]
    numbers = pd.DataFrame({"method": methods, "randomization": values, "occlusion": values[::-1]})
    for name in ("randomization", "occlusion"):
        numbers[f"{name}_low"] = numbers[name] - 0.01
        numbers[f"{name}_high"] = numbers[name] + 0.01
        numbers[f"{name}_rank"] = numbers[name].rank()
    plate = gap_scatter(numbers, "caption")
    scores, ranks = plate.figure.axes[:2]
    assert [text.get_text() for text in scores.texts] == ["1", "2", "3"]
    assert [text.xy[0] for text in scores.texts] == [0.1, 0.4, 0.7]
    assert [tick.get_text() for tick in ranks.get_yticklabels()] == [
        "noise (control)  1", "gradient  2", "LRP-0  3",
    ]  # fmt: skip
    assert "LRP-0 rank 3 against 2" in plate.alt


def test_alt_texts_of_the_other_figures_hold_their_numbers():
    noise = pd.DataFrame(
        {"panel": "net", "method": ["gradient"] * 4, "amount": [0.0, 4.0] * 2,
         "score": ["ssim"] * 2 + ["softmax"] * 2, "mean": [0.9, 0.1, 0.3, 0.5],
         "low": 0.0, "high": 1.0}
    )  # fmt: skip
    assert "SSIM 0.90 to 0.10, softmax 0.30 to 0.50" in noise_curves(noise, "c").alt
    smooth = pd.DataFrame(
        {"method": ["gradient"] * 2 + ["noise"] * 2, "lag": [1, 2] * 2, "mean": [0.25, 0.1, 0, 0],
         "low": 0.0, "high": 0.5, "ssim": [0.5, 0.5, np.nan, np.nan]}
    )  # fmt: skip
    alt = smoothness_scatter(smooth, "c").alt
    assert "gradient 0.25 and 0.50" in alt
    assert "noise" not in alt
    orders = pd.DataFrame(
        {"what": "map", "order": ["top-down"] * 2 + ["bottom-up"] * 2, "method": "gradient",
         "share": [0.3, 1.0, 0.1, 1.0], "mean": [0.9, 0.2, 0.5, 0.2], "low": 0.0, "high": 1.0}
    )  # fmt: skip
    assert "map, bottom-up: from 0.50 at 10% to 0.20" in order_curves(orders, 0.3, "c").alt
    taus = pd.DataFrame(
        {"variant": ["all", "some"], "tau": [-0.4, 0.2], "low": -0.5, "high": 0.5,
         "gain": [np.nan, 0.6], "gain_low": [np.nan, 0.1], "gain_high": [np.nan, 0.9]}
    )  # fmt: skip
    alt = tau_dots(taus, "c").alt
    assert "all: tau -0.40; some: tau +0.20, change +0.60" in alt
    parts = pd.DataFrame(
        {"method": ["gradient"] * 2, "component": ["total", "residual"], "mean": [0.7, 0.3],
         "low": 0.2, "high": 0.8}
    )  # fmt: skip
    plate = dots(parts, row="method", series="component", caption="c")
    assert isinstance(plate, Plate)
    assert plate.alt == "total: gradient 0.7. residual: gradient 0.3."
    [legend] = plate.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["total", "residual"]
    along_steps = parts.rename(columns={"component": "stage"})
    plate = along(along_steps, "stage", series="method", ylabel="y", caption="c")
    assert plate.alt == "gradient: total 0.70, residual 0.30."
