"""What pages about statements compute from tables before anything is drawn."""

import numpy as np
import pandas as pd
import pytest

from sanitygap.chapters.theorem_2 import show as activations
from sanitygap.chapters.theorems_3_4 import show
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
    plate = activations.redrawn_plate(FakeStudy(redrawn_overtaking=redrawn()))
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


def test_terms_of_the_mse_add_up():
    rng = np.random.default_rng(0)
    rows = [
        {
            "image": image, "method": "gradient", "step": step, "order": "top-down",
            "sign": sign, "means": 0.1, "product": product, "mse": 2 - 2 * product,
        }
        for image in range(6) for step in (1, 4) for sign in ("signed", "absolute")
        for product in [rng.uniform() if (step, sign) != (4, "signed") else 0.3 + 0.01 * image]
    ]  # fmt: skip
    shown = show.mse_terms(FakeStudy(randomization=pd.DataFrame(rows))).data
    assert len(shown) == 1
    row = shown.iloc[0]
    assert row["means m"].startswith("0.100 ")
    assert row["covariance c"].startswith("0.225 ")
    estimate, low, high = (float(word.strip("[,]")) for word in row["MSE"].split())
    assert estimate == pytest.approx(2 - 2 * (0.1 + 0.225))
    assert low < estimate < high
