"""Theorems 3 and 4 and normalisation: closed forms, conditions and criteria."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sanitygap.attribution.gradient import input_gradient
from sanitygap.chapters.gap import judge as gap
from sanitygap.chapters.theorems_3_4 import judge as criteria
from sanitygap.chapters.theorems_3_4 import quantiles
from sanitygap.chapters.theorems_3_4.theory import PixelMoments
from sanitygap.claims import CriterionContext
from sanitygap.similarity import Reference
from tests.cases import cases
from tests.tables import measure, tiny_context

MEANS = st.floats(-3, 3)
SPREADS = st.floats(0.05, 3)


def moments(mean_a, mean_b, sd_a, sd_b, correlation) -> PixelMoments:
    return PixelMoments(
        mean_a, mean_b, mean_a**2 + sd_a**2, mean_b**2 + sd_b**2, correlation * sd_a * sd_b
    )


@given(MEANS, MEANS, SPREADS, SPREADS, st.floats(0, 1))
def test_theorem_4_within_its_conditions(mean_a, mean_b, sd_a, sd_b, correlation):
    at = moments(mean_a, mean_b, sd_a, sd_b, correlation)
    assert at.mse <= at.bound + 1e-12
    assert -1e-9 <= at.mse <= 4 + 1e-9
    if mean_a * mean_b >= 0:
        assert at.mse <= 2 + 1e-12


def test_terms_add_up_and_match_numpy():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.4, 1, (2, 3, 8, 9))
    got = Reference(torch.from_numpy(a)).compare(torch.from_numpy(b))
    for i in range(3):
        x, y = (m[i] / np.sqrt((m[i] ** 2).mean()) for m in (a, b))
        assert got["mse"][i] == pytest.approx(((x - y) ** 2).mean())
        assert got["means"][i] == pytest.approx(x.mean() * y.mean())
        covariance = np.cov(x.ravel(), y.ravel(), bias=True)[0, 1]
        assert (got["product"] - got["means"])[i] == pytest.approx(covariance)


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


@pytest.mark.parametrize(("maps", "value"), cases("second moments"))
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


@pytest.mark.parametrize(("terms", "value"), cases("values of two"))
def test_value_of_two_criterion(terms, value):
    tables = {"randomization": last_maps(**terms)}
    assert gap.theorem_4_two(tables, CONTEXT).value == value


def test_tied_process_has_zero_rank_covariance_and_negative_correlation(table):
    sampled = table("theorem-3")
    ties = sampled[sampled["process"].str.startswith("ties")].set_index(["pixels", "functional"])
    for size in ties.index.get_level_values("pixels").unique():
        rank_covariance = ties.loc[(size, "E[rank covariance]")]
        assert abs(rank_covariance["estimate"]) <= 4 * rank_covariance["standard_error"]
        assert ties.loc[(size, "E[Spearman]"), "high"] < -0.7


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
    got = quantiles.resampled_spreads(torch.from_numpy(pixels).view(1, 8, 8), n=20_000, seeds=[0])
    for value, statistic in zip(got[0], (drawn.max(1), np.sqrt((drawn**2).mean(1))), strict=True):
        assert value == pytest.approx(statistic.std() / statistic.mean(), rel=0.03)


# --- criteria ---------------------------------------------------------------------------------


def spread_maps(maximum: float = 0.1, swapped: bool = False) -> pd.DataFrame:
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
    tables = tables_of(name) | {"map-normalizers": spread_maps()}
    verdict = criteria.maximum(tables, CONTEXT)
    assert verdict.value == "direction"
    assert "reversed" in verdict.evidence
    tables[name]["low"] = -1.0
    assert criteria.maximum(tables, CONTEXT).value == "undecided"
    tables[name]["high"] = -0.5
    assert criteria.maximum(tables, CONTEXT).value == "not-reproduced"


@pytest.mark.parametrize(("level", "value"), [(0.005, "undecided"), (-0.05, "not-reproduced")])
def test_one_real_method_can_refute_the_maximum_criterion(tables_of, level, value):
    tables = tables_of("maximum-dispersion") | {"map-normalizers": spread_maps(level)}
    verdict = criteria.maximum(tables, CONTEXT)
    assert verdict.value == value
    assert "for 1 of 2 methods" in verdict.evidence


def test_perception_criterion(tables_of):
    name = "normalizer-ranking"
    tables = tables_of(name) | {"map-normalizers": spread_maps()}
    assert criteria.perception(tables, CONTEXT).value == "holds"
    order = {method: i for i, method in enumerate(tables[name]["method"].unique())}
    tables[name]["mse"] = tables[name]["method"].map(order).astype(float)
    assert criteria.perception(tables, CONTEXT).value == "false"
    tables["map-normalizers"] = spread_maps(swapped=True)
    verdict = criteria.perception(tables, CONTEXT)
    assert verdict.value == "holds"
    assert verdict.numbers["tau_real"] == -1


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    return rng.normal(0.5, 1, (3, 6, 7)), rng.laplace(-0.2, 2, (3, 6, 7))


def test_share_of_the_mean_equals_numpy(pair):
    for maps in pair:
        got = quantiles.share_of_mean(torch.from_numpy(maps))
        for i, one in enumerate(maps):
            assert got["mean_share"][i] == pytest.approx(one.mean() ** 2 / (one**2).mean())
            assert got["rms_over_sd"][i] == pytest.approx(np.sqrt((one**2).mean()) / one.std())


def test_differences_equal_numpy(pair):
    got = quantiles.normalized_differences(*map(torch.from_numpy, pair))
    scales = {
        "mse_second_moment": lambda x: np.sqrt((x**2).mean()),
        "mse_deviation": np.std,
        "mse_maximum": lambda x: np.abs(x).max(),
    }
    assert set(got) == set(scales)
    for name, scale in scales.items():
        for i, (a, b) in enumerate(zip(*pair, strict=True)):
            want = ((a / scale(a) - b / scale(b)) ** 2).mean()
            assert got[name][i] == pytest.approx(want)


def test_sensitivity_is_the_norm_of_the_gradient_over_colours(folder):
    context = tiny_context(folder, 2)
    batch = context.batch([0, 1])
    gradient = input_gradient(context.model.module, batch.inputs, batch.targets).numpy()
    norm = np.sqrt((gradient**2).sum(1))
    want = [one.mean() ** 2 / (one**2).mean() for one in norm]
    settings = {"path_steps": 2, "resamples": 5, "methods": ("gradient",)}
    found = measure("map-normalizers", context, **settings).set_index("method")
    assert found.loc[quantiles.SENSITIVITY, "mean_share"].tolist() == pytest.approx(want, rel=1e-4)
    assert set(found.index) == {quantiles.SENSITIVITY, "gradient"}
