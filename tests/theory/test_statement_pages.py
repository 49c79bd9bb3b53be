"""What pages about statements compute from tables before anything is drawn."""

import numpy as np
import pandas as pd
import pytest

from sanitygap.pages import statements
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
    plate = statements.redrawn_plate(FakeStudy(redrawn_overtaking=redrawn()))
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


def test_measured_overtaking_counts_layers():
    shown = statements.measured_overtaking(FakeStudy(redrawn_overtaking=redrawn())).data
    row = shown.iloc[0]
    assert row["layers"] == 2
    assert row["of them with V(q) = 0"] == 1
    assert row["real neurons above the bound"] == 1


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
    shown = statements.mse_terms(FakeStudy(randomization=pd.DataFrame(rows))).data
    assert len(shown) == 1
    row = shown.iloc[0]
    assert row["means m"].startswith("0.100 ")
    assert row["covariance c"].startswith("0.225 ")
    estimate, low, high = (float(word.strip("[,]")) for word in row["MSE"].split())
    assert estimate == pytest.approx(2 - 2 * (0.1 + 0.225))
    assert low < estimate < high


def own_maps() -> pd.DataFrame:
    rows = [
        {
            "image": image, "method": method, "mean_share": share, "maximum_spread": 0.1,
            "rms_spread": 0.01, "mse_second_moment": place, "mse_deviation": -place,
            "mse_maximum": place,
        }
        for image in range(3)
        for place, (method, share) in enumerate((("sensitivity-l2", 0.5), ("gradient", 1e-5)))
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_shares_of_real_and_random_networks_stand_beside_each_other():
    random = pd.DataFrame(
        {
            "method": ["Sensitivity, l2", "Gradient, mean", "Gradient x Input"],
            "estimate": [0.8, 0.001, 0.002], "low": 0.0, "high": 1.0, "draws": 20,
        }
    )  # fmt: skip
    study = FakeStudy(map_normalizers=own_maps(), second_moment_rationale=random)
    numbers = statements.mean_shares(study).numbers.set_index(["method", "value"])["estimate"]
    assert numbers["sensitivity-l2", "random networks"] == 0.8
    assert numbers["sensitivity-l2", "squeezenet1_1, n = 3"] == 0.5
    assert numbers["gradient", "squeezenet1_1, n = 3"] == pytest.approx(1e-5)
    spreads = statements.map_dispersion(study).numbers
    assert set(spreads["value"]) == {"maximum_spread", "rms_spread"}
    assert list(spreads["method"]) == 2 * ["sensitivity-l2", "gradient"]


def test_rankings_give_the_largest_error_the_first_rank():
    whole = statements.normalizer_rankings(FakeStudy(map_normalizers=own_maps()))
    assert "left out" not in whole.caption
    shown = whole.data
    gradient = shown.set_index("method").loc["gradient"]
    assert gradient["second moment"] == "1.000 (1)"
    assert gradient["standard deviation"] == "-1.000 (2)"

    maps = own_maps()
    maps.loc[0, "mse_maximum"] = np.nan
    table = statements.normalizer_rankings(FakeStudy(map_normalizers=maps))
    assert "1 image left out" in table.caption


def proofs(outcome: str = "proved", expected: str = "proved") -> pd.DataFrame:
    return pd.DataFrame(
        {
            "statement": ["P(0 < L <= S)", "gamma_1^2 >= pi / 2"], "kind": ["statement", "mutant"],
            "method": ["z3", "sympy"], "expected": [expected, "counterexample"],
            "outcome": [outcome, "counterexample"], "witness": ["", "a<b & c at lambda = 3"],
        }
    )  # fmt: skip


def test_proof_table_tells_mutants_and_escapes_signs():
    table = statements.proof_table(FakeStudy(p=proofs()), "p")
    html = table.to_html()
    assert "P(0 &lt; L ≤ S)" in html
    assert "Mutant: γ<sub>1</sub>² ≥ π / 2" in html
    assert "✗ refuted: a&lt;b &amp; c at λ = 3" in html
    assert "1 of 2 rows are mutants" in html
    assert "Every answer is the expected one." in html


def test_proof_table_shows_what_was_not_expected():
    html = statements.proof_table(FakeStudy(p=proofs("unknown")), "p").to_html()
    assert "? unknown (expected: proved)" in html
    assert "Not as expected: 1." in html


def test_answer_without_values_of_symbols_does_not_end_in_at():
    rows = proofs().assign(witness=["", "-0.25 != 0 at "])
    html = statements.proof_table(FakeStudy(p=rows), "p").to_html()
    assert "✗ refuted: -0.25 ≠ 0<" in html


def test_only_whole_words_become_signs():
    assert statements.typeset("pixels of lambda_1 != oo, Gradient x Input") == (
        "pixels of λ_1 ≠ ∞, Gradient × Input"
    )
