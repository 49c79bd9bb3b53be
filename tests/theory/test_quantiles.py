"""Appendix D.1: quantile variances, the maximum, and their criteria."""

import numpy as np
import pytest
import torch
from scipy import stats

from sanitygap.criteria.theory import quantiles as criteria
from sanitygap.theory import quantiles


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
    got = quantiles.maximum_dispersion(n=1500, seed=1, sizes=(50,)).set_index("distribution")
    x = np.abs(np.random.default_rng(2).normal(size=(20_000, 50)))
    maximum, rms = x.max(1), np.sqrt((x**2).mean(1))
    assert got.loc["normal", "maximum"] == pytest.approx(maximum.std() / maximum.mean(), rel=0.08)
    assert got.loc["normal", "rms"] == pytest.approx(rms.std() / rms.mean(), rel=0.08)


def test_resampling_bounded_and_heavy_tailed_maps():
    rng = np.random.default_rng(3)
    bounded = torch.from_numpy(rng.choice([-1.0, 1.0, 0.5], (4, 16, 16)))
    heavy = torch.from_numpy(rng.standard_t(3, (4, 16, 16)))
    dispersion = quantiles.resampled_dispersion(bounded, n=100, seed=0)
    assert dispersion["maximum"] == 0
    assert dispersion["high"] < 0
    assert quantiles.resampled_dispersion(heavy, n=100, seed=0)["low"] > 0


# --- criteria ---------------------------------------------------------------------------------


def test_equation_29_criterion(tables_of):
    name = "quantile-variance"
    assert criteria.equation_29(tables_of(name), None).value == "false"
    tables = tables_of(name)
    tables[name]["printed_ratio"] = tables[name]["squared_ratio"]
    assert criteria.equation_29(tables, None).value == "holds"


def test_divergence_criterion(tables_of, set_outcome):
    names = ("appendix-d1-proofs", "quantile-tail")
    assert criteria.divergence(tables_of(*names), None).value == "false"
    tables = tables_of(*names)
    for law in ("exponential", "normal"):
        set_outcome(tables["appendix-d1-proofs"], f"printed (29) diverges, {law}", "proved")
    assert criteria.divergence(tables, None).value == "holds"
    set_outcome(tables["appendix-d1-proofs"], "squared (29) diverges, normal", "unknown")
    assert criteria.divergence(tables, None).value == "undecided"


def test_maximum_criterion(tables_of):
    name = "maximum-dispersion"
    verdict = criteria.maximum(tables_of(name), None)
    assert verdict.value == "direction"
    assert "reversed" in verdict.evidence
    tables = tables_of(name)
    tables[name]["low"] = -1.0
    assert criteria.maximum(tables, None).value == "undecided"
    tables[name]["high"] = -0.5
    assert criteria.maximum(tables, None).value == "not-reproduced"


def test_perception_criterion(tables_of):
    name = "normalizer-ranking"
    assert criteria.perception(tables_of(name), None).value == "holds"
    tables = tables_of(name)
    order = {method: i for i, method in enumerate(tables[name]["method"].unique())}
    tables[name]["mse"] = tables[name]["method"].map(order).astype(float)
    assert criteria.perception(tables, None).value == "false"
