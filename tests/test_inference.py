"""Intervals, tests and rankings against scipy, closed forms and naive loops."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sanitygap.inference import (
    UndefinedStatisticError,
    bootstrap,
    bootstrap_mean,
    holm,
    kendall_tau,
    paired_difference,
    paired_permutation_test,
    proportion_interval,
    rank_agreement,
)

METHODS = ["gradient", "ig", "gbp", "lrp"]


def scores(n: int = 40, seed: int = 0, spread: float = 1.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n, len(METHODS))) + spread * np.arange(len(METHODS))
    return pd.DataFrame(values, index=[f"image-{i}" for i in range(n)], columns=METHODS)


def test_bootstrap_mean_agrees_with_scipy():
    values = np.random.default_rng(1).gamma(2.0, size=60)
    ours = bootstrap_mean(values, resamples=20_000, seed=3)
    theirs = stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=20_000, random_state=5
    ).confidence_interval
    step = values.std() / np.sqrt(len(values))
    assert ours.estimate == pytest.approx(values.mean(), rel=1e-15)
    assert ours.low == pytest.approx(theirs.low, abs=0.05 * step)
    assert ours.high == pytest.approx(theirs.high, abs=0.05 * step)
    assert (ours.n, ours.level) == (60, 0.95)


def test_bootstrap_mean_covers():
    """Over 300 samples the 90 % interval contains the true mean about 90 % of the time."""
    rng = np.random.default_rng(4)
    hits = 0
    for trial in range(300):
        interval = bootstrap_mean(rng.normal(1.0, size=50), level=0.9, resamples=400, seed=trial)
        hits += not interval.excludes(1.0)
    assert 0.83 <= hits / 300 <= 0.95


def test_paired_series_are_matched_by_image():
    table = scores()
    straight = paired_difference(table["gradient"], table["lrp"])
    assert paired_difference(table["gradient"], table["lrp"][::-1]) == straight
    with pytest.raises(ValueError, match="same images"):
        paired_difference(table["gradient"], table["lrp"].iloc[1:])
    with pytest.raises(ValueError, match="not paired"):
        paired_difference([1.0, 2.0, 3.0], [1.0, 2.0])


def test_bootstrap_refuses_an_undefined_statistic():
    with pytest.raises(UndefinedStatisticError, match="undefined"):
        bootstrap(scores(5), lambda rows: np.nan)


def test_kendall_tau_agrees_with_scipy():
    rng = np.random.default_rng(8)
    a, b = rng.integers(4, size=(2, 50, 7)).astype(float)  # many ties
    ours = kendall_tau(a, b)
    assert ours.shape == (50,)
    for value, x, y in zip(ours, a, b, strict=True):
        assert value == pytest.approx(stats.kendalltau(x, y).statistic, abs=1e-12)
    assert np.isnan(kendall_tau([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]))


def test_rank_agreement_equals_a_loop_over_resamples():
    rng = np.random.default_rng(10)
    r, f = (pd.DataFrame(rng.normal(size=(25, 8)) + 0.15 * np.arange(8)) for _ in range(2))
    ours = rank_agreement(r, f, seed=9)
    taus = []
    for _ in range(1500):
        draw = rng.integers(25, size=25)
        mean_r = r.to_numpy()[draw].mean(axis=0)
        mean_f = f.to_numpy()[draw].mean(axis=0)
        taus.append(stats.kendalltau(mean_r, mean_f).statistic)
    one_swap = 2 / 28
    assert ours.estimate == pytest.approx(stats.kendalltau(r.mean(), f.mean()).statistic)
    assert ours.low == pytest.approx(np.quantile(taus, 0.025), abs=1.1 * one_swap)
    assert ours.high == pytest.approx(np.quantile(taus, 0.975), abs=1.1 * one_swap)
    assert ours.high - ours.low > 4 * one_swap


def test_rank_agreement_matches_images_and_methods_by_name():
    r, f = scores(seed=1, spread=0.3), scores(seed=2, spread=0.3)
    shuffled = f[METHODS[::-1]].sample(frac=1, random_state=0)
    assert rank_agreement(r, shuffled) == rank_agreement(r, f)
    for bad in (f.drop(columns="lrp"), f.iloc[1:], f.rename(columns={"lrp": "lime"})):
        with pytest.raises(ValueError, match="same images and the same methods"):
            rank_agreement(r, bad)
    with pytest.raises(ValueError, match="NaN"):
        rank_agreement(r.mask(r > 2), f)
    with pytest.raises(UndefinedStatisticError, match="undefined"):
        rank_agreement(r, f * 0)


def test_permutation_test_is_exact_for_few_images():
    a = np.array([1.0, 2.5, 0.5, 3.0, 1.2])
    b = np.array([0.2, 1.0, 0.9, 1.1, 0.3])
    difference = a - b
    flips = [
        np.mean(difference * signs) for signs in itertools.product([1, -1], repeat=len(difference))
    ]
    two_sided = np.mean([abs(flip) >= abs(difference.mean()) - 1e-12 for flip in flips])
    greater = np.mean([flip >= difference.mean() - 1e-12 for flip in flips])
    assert paired_permutation_test(a, b) == pytest.approx(two_sided)
    assert paired_permutation_test(a, b, "greater") == pytest.approx(greater)
    assert paired_permutation_test(b, a, "less") == pytest.approx(greater)


def test_permutation_test_on_many_images():
    rng = np.random.default_rng(11)
    a = rng.normal(size=400)
    noise = rng.normal(size=400)
    assert paired_permutation_test(a, a + 0.3 + noise, "less", resamples=999) == pytest.approx(
        0.001
    )
    assert paired_permutation_test(a, a + noise - noise.mean(), resamples=999) > 0.9
    t_test = stats.ttest_rel(a, a + 0.08 + noise).pvalue
    ours = paired_permutation_test(a, a + 0.08 + noise, resamples=4999)
    assert ours == pytest.approx(t_test, abs=0.03)


def test_holm_by_hand():
    adjusted = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.5})
    assert adjusted == pytest.approx({"a": 0.04, "b": 0.09, "c": 0.09, "d": 0.5})
    assert holm({"only": 0.04}) == {"only": pytest.approx(0.04)}
    for bad in ({}, {"a": np.nan}, {"a": 1.2}):
        with pytest.raises(ValueError, match="p-values"):
            holm(bad)


@pytest.mark.parametrize(("method", "theirs"), [("wilson", "wilson"), ("clopper-pearson", "exact")])
def test_proportion_interval_agrees_with_scipy(method, theirs):
    ours = proportion_interval(17, 60, level=0.9, method=method)
    reference = stats.binomtest(17, 60).proportion_ci(0.9, method=theirs)
    assert (ours.low, ours.high) == pytest.approx((reference.low, reference.high), abs=1e-9)
    assert (ours.estimate, ours.n, ours.level) == (17 / 60, 60, 0.9)
