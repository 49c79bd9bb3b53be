"""Theorem 4: the normalised MSE, its conditions, its criteria."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sanitygap.chapters.gap import judge as gap
from sanitygap.chapters.theorems_3_4 import judge as criteria
from sanitygap.chapters.theorems_3_4 import theory as mse
from sanitygap.claims import CriterionContext

MEANS = st.floats(-3, 3)
SPREADS = st.floats(0.05, 3)


def moments(mean_a, mean_b, sd_a, sd_b, correlation) -> mse.PixelMoments:
    return mse.PixelMoments(
        mean_a, mean_b, mean_a**2 + sd_a**2, mean_b**2 + sd_b**2, correlation * sd_a * sd_b
    )


@given(MEANS, MEANS, SPREADS, SPREADS, st.floats(0, 1))
def test_theorem_4_within_its_conditions(mean_a, mean_b, sd_a, sd_b, correlation):
    at = moments(mean_a, mean_b, sd_a, sd_b, correlation)
    assert at.mse <= at.bound + 1e-12
    assert -1e-9 <= at.mse <= 4 + 1e-9
    if mean_a * mean_b >= 0:
        assert at.mse <= 2 + 1e-12


def test_sampled_mse_agrees_with_the_formula(table):
    sampled = table("theorem-4")
    light = sampled[sampled["process"] != "absolute, heavy-tailed"]
    distance = (light["estimate"] - light["formula"]).abs()
    assert (distance <= 4 * light["standard_error"] + 5e-3).all()


# --- criteria ---------------------------------------------------------------------------------


CONTEXT = CriterionContext("squeezenet1_1", "photos", 4)


def own_maps(norm: float = 0.45, gradient: float = 1e-5, ratio: float = 1.0) -> pd.DataFrame:
    """Shares of the mean in the maps of two methods on four images."""
    shares = {"sensitivity-l2": (norm, 1.3), "gradient": (gradient, ratio)}
    rows = [
        {
            "image": image, "method": method, "mean_share": share * (1 + 0.1 * image),
            "rms_over_sd": other, "mse_deviation": place + 0.1 * image,
            "mse_second_moment": place + 0.1 * image,
        }
        for image in range(4) for place, (method, (share, other)) in enumerate(shares.items())
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_second_moment_criterion(tables_of):
    name = "second-moment-rationale"
    tables = tables_of(name) | {"map-normalizers": own_maps()}
    assert criteria.second_moment(tables, CONTEXT).value == "direction"
    tables[name]["low"], tables[name]["high"] = 0.1, 0.2
    assert criteria.second_moment(tables, CONTEXT).value == "not-reproduced"
    tables[name]["low"], tables[name]["high"] = 0.0, 1.0
    assert criteria.second_moment(tables, CONTEXT).value == "undecided"


@pytest.mark.parametrize(
    ("maps", "value"),
    [
        ({"norm": 0.1}, "not-reproduced"),
        ({"norm": 0.27}, "undecided"),
        ({"gradient": 0.05}, "not-reproduced"),
        ({"gradient": 0.0087}, "undecided"),
        ({"ratio": 1.2}, "not-reproduced"),
    ],
)
def test_real_maps_can_refute_the_second_moment_criterion(tables_of, maps, value):
    tables = tables_of("second-moment-rationale") | {"map-normalizers": own_maps(**maps)}
    assert criteria.second_moment(tables, CONTEXT).value == value


def last_maps(means: float = 0.001, covariance: float = 0.01, spread: float = 0.0) -> pd.DataFrame:
    """Terms of the MSE at two steps; at the first one both are large."""
    rng = np.random.default_rng(3)
    rows = [
        {
            "image": image, "method": method, "step": step, "sign": "signed", "order": "top-down",
            "means": means if step == 5 else 0.5,
            "product": means + covariance + spread * rng.normal() if step == 5 else 0.9,
        }
        for image in range(20) for method in ("gradient", "integrated-gradients")
        for step in (1, 5)
    ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("terms", "value"),
    [
        ({}, "direction"),
        ({"means": 0.03}, "not-reproduced"),
        ({"means": -0.03}, "not-reproduced"),
        ({"covariance": 0.2}, "not-reproduced"),
        ({"covariance": -0.2}, "not-reproduced"),
        ({"covariance": 0.09, "spread": 0.1}, "not-reproduced"),  # the interval reaches 0.1
        ({"means": 0.3, "covariance": -0.3}, "not-reproduced"),  # an MSE of 2 is not enough
    ],
)
def test_value_of_two_criterion(terms, value):
    tables = {"randomization": last_maps(**terms)}
    assert gap.theorem_4_two(tables, CONTEXT).value == value
