"""Appendix D.1: quantile variances, the maximum, and their criteria."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from sanitygap.chapters.theorems_3_4 import judge as criteria
from sanitygap.chapters.theorems_3_4 import quantiles
from sanitygap.claims import CriterionContext


@pytest.mark.parametrize("p", [0.5, 0.75])
def test_sample_quantile_has_the_law_of_sorted_samples(p):
    rng = np.random.default_rng(0)
    sorted_way = np.quantile(rng.uniform(size=(4000, 41)), p, axis=1)
    drawn = quantiles.sample_quantile(rng, 4000, 41, p)
    assert stats.ks_2samp(sorted_way, drawn).pvalue > 1e-3


def test_squared_density_is_right_and_printed_is_right_only_on_the_unit_interval(table):
    variances = table("quantile-variance")
    assert variances["squared_ratio"].between(0.93, 1.07).all()
    printed = variances[variances["printed_ratio"].between(0.93, 1.07)]
    assert set(printed["distribution"]) == {"uniform on [0, 1]"}


def test_maximum_is_drawn_with_the_law_of_the_maximum():
    got = pd.DataFrame(quantiles.maximum_dispersion(n=1500, seed=1, sizes=(50,))).set_index(
        "distribution"
    )
    x = np.abs(np.random.default_rng(2).normal(size=(20_000, 50)))
    maximum, rms = x.max(1), np.sqrt((x**2).mean(1))
    assert got.loc["normal", "maximum"] == pytest.approx(maximum.std() / maximum.mean(), rel=0.08)
    assert got.loc["normal", "rms"] == pytest.approx(rms.std() / rms.mean(), rel=0.08)


def test_spreads_of_one_map_are_those_of_a_bootstrap():
    pixels = np.random.default_rng(5).normal(size=64)
    drawn = np.abs(np.random.default_rng(6).choice(pixels, (20_000, 64)))
    got = quantiles.resampled_spreads(torch.from_numpy(pixels).view(1, 8, 8), 20_000, [0])
    for value, statistic in zip(got[0], (drawn.max(1), np.sqrt((drawn**2).mean(1))), strict=True):
        assert value == pytest.approx(statistic.std() / statistic.mean(), rel=0.03)


# --- criteria ---------------------------------------------------------------------------------


CONTEXT = CriterionContext("squeezenet1_1", "photos", 4)


def own_maps(maximum: float = 0.1, swapped: bool = False) -> pd.DataFrame:
    """Two methods on four images; the spread of the maximum, and which ranking the maximum has."""
    rows = [
        {
            "image": image, "method": method, "rms_spread": 0.02,
            "maximum_spread": maximum + 0.01 * image if method == "b" else 0.1,
            "mse_second_moment": place + 0.1 * image,
            "mse_maximum": (1 - place if swapped else place) + 0.1 * image,
        }
        for image in range(4) for place, method in enumerate("ab")
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_maximum_criterion(tables_of):
    name = "maximum-dispersion"
    tables = tables_of(name) | {"map-normalizers": own_maps()}
    verdict = criteria.maximum(tables, CONTEXT)
    assert verdict.value == "direction"
    assert "reversed" in verdict.evidence
    tables[name]["low"] = -1.0
    assert criteria.maximum(tables, CONTEXT).value == "undecided"
    tables[name]["high"] = -0.5
    assert criteria.maximum(tables, CONTEXT).value == "not-reproduced"


@pytest.mark.parametrize(("level", "value"), [(0.005, "undecided"), (-0.05, "not-reproduced")])
def test_one_real_method_can_refute_the_maximum_criterion(tables_of, level, value):
    tables = tables_of("maximum-dispersion") | {"map-normalizers": own_maps(level)}
    verdict = criteria.maximum(tables, CONTEXT)
    assert verdict.value == value
    assert "for 1 of 2 methods" in verdict.evidence


def test_perception_criterion(tables_of):
    name = "normalizer-ranking"
    tables = tables_of(name) | {"map-normalizers": own_maps()}
    assert criteria.perception(tables, CONTEXT).value == "holds"
    order = {method: i for i, method in enumerate(tables[name]["method"].unique())}
    tables[name]["mse"] = tables[name]["method"].map(order).astype(float)
    assert criteria.perception(tables, CONTEXT).value == "false"
    tables["map-normalizers"] = own_maps(swapped=True)
    verdict = criteria.perception(tables, CONTEXT)
    assert verdict.value == "holds"
    assert verdict.numbers["tau_real"] == -1
