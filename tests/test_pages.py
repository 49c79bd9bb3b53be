"""What pages compute and write: numbers of plates, words, and how methods look."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from sanitygap.attribution import METHODS
from sanitygap.chapters.gap.plots import contradictions
from sanitygap.chapters.theorem_2.show import redrawn_plate
from sanitygap.figures.methods import family, styles
from sanitygap.pages import marked
from sanitygap.show import display_table
from tests.fake_study import FakeStudy


def redrawn() -> pd.DataFrame:
    rows = [
        {
            "image": image, "layer": f"c{layer}", "layer_index": layer, "q_high": high,
            "q_low": low, "value_low": float(layer), "bound": bound, "simulated_positive": 100,
            "simulated_overtaken": 5, "positive": 200, "overtaken": overtaken + image,
        }
        for image in range(3) for high, low in ((0.95, 0.5), (0.85, 0.1), (0.85, 0.5))
        for layer, bound, overtaken in ((0, 0.1, 50), (1, 0.3, 20))
    ]  # fmt: skip
    table = pd.DataFrame(rows)
    table.loc[(table["layer"] == "c1") & (table["image"] > 0), "bound"] = np.nan
    return table


def test_redrawn_plate_shows_the_pairs_of_the_criterion():
    plate = redrawn_plate(FakeStudy(redrawn_overtaking=redrawn()))
    numbers = plate.numbers.set_index(["q_high", "q_low", "layer"])
    assert set(numbers.index.droplevel("layer")) == {(0.95, 0.5), (0.85, 0.1)}
    row = numbers.loc[(0.95, 0.5, "c0")]
    assert row["mean"] == pytest.approx(51 / 200)
    assert 50 / 200 <= row["low"] < row["mean"] < row["high"] <= 52 / 200
    assert (row["bound"], row["simulated"]) == pytest.approx((0.1, 0.05))
    alone = numbers.loc[(0.95, 0.5, "c1")]  # one image with a bound: no interval
    assert alone["mean"] == pytest.approx(20 / 200)
    assert np.isnan(alone["low"])
    assert "4 redraws an image" in plate.caption


def test_marks_of_the_ledger_become_html():
    assert marked("`layer4` has S^I ≥ 0.01") == "<code>layer4</code> has S<sup>I</sup> ≥ 0.01"
    assert marked("of $S^I$, c^2") == "of $S^I$, c<sup>2</sup>"
    assert marked("a<b") == "a&lt;b"
    assert marked("at most 0.0e+00, 0e+00, 10e+00") == "at most 0, 0, 10e+00"


def test_rounded_zero_has_no_sign():
    html = display_table(pd.DataFrame({"x": [-0.0001, -0.25]}), "Numbers.").to_html()
    assert ">0.000<" in html
    assert "-0.000" not in html
    assert ">-0.250<" in html


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_no_two_methods_look_the_same_and_colour_is_never_the_only_difference():
    looks = styles(list(METHODS))
    for one in METHODS:
        for other in METHODS:
            if one < other and family(one) is family(other):
                assert looks[one]["marker"] != looks[other]["marker"], (one, other)
    seen = {(to_rgb(s["color"]), s["marker"], s["linestyle"]) for s in looks.values()}
    assert len(seen) == len(METHODS)


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
