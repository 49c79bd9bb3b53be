"""Intervals, tests, rankings and scores against scipy, closed forms and naive loops."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.stats import kendalltau

from sanitygap import inference
from sanitygap.inference import UndefinedStatisticError
from sanitygap.rankings import agreement_gain, pairwise_tests
from sanitygap.scores import over_seeds, randomization_scores, scores_at_equal_shares
from tests.cases import cases

METHODS = ["gradient", "ig", "gbp", "lrp"]


def scores(n: int = 40, seed: int = 0, spread: float = 1.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n, len(METHODS))) + spread * np.arange(len(METHODS))
    return pd.DataFrame(values, index=[f"image-{i}" for i in range(n)], columns=METHODS)


def test_bootstrap_mean_agrees_with_scipy():
    values = np.random.default_rng(1).gamma(2.0, size=60)
    ours = inference.bootstrap_mean(values, resamples=20_000, seed=3)
    theirs = stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=20_000, random_state=5
    ).confidence_interval
    step = values.std() / np.sqrt(len(values))
    assert ours.estimate == pytest.approx(values.mean(), rel=1e-15)
    assert ours.low == pytest.approx(theirs.low, abs=0.05 * step)
    assert ours.high == pytest.approx(theirs.high, abs=0.05 * step)
    assert (ours.n, ours.level) == (60, 0.95)


def test_bootstrap_refuses_an_undefined_statistic():
    with pytest.raises(UndefinedStatisticError, match="undefined"):
        inference.bootstrap(scores(5), lambda rows: np.nan)


def test_kendall_tau_agrees_with_scipy():
    rng = np.random.default_rng(8)
    a, b = rng.integers(4, size=(2, 50, 7)).astype(float)  # many ties
    ours = inference.kendall_tau(a, b)
    assert ours.shape == (50,)
    for value, x, y in zip(ours, a, b, strict=True):
        assert value == pytest.approx(stats.kendalltau(x, y).statistic, abs=1e-12)
    assert np.isnan(inference.kendall_tau([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]))


def test_rank_agreement_equals_a_loop_over_resamples():
    rng = np.random.default_rng(10)
    r, f = (pd.DataFrame(rng.normal(size=(25, 8)) + 0.15 * np.arange(8)) for _ in range(2))
    ours = inference.rank_agreement(r, f, seed=9)
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
    assert inference.rank_agreement(r, shuffled) == inference.rank_agreement(r, f)
    for bad in (f.drop(columns="lrp"), f.iloc[1:], f.rename(columns={"lrp": "lime"})):
        with pytest.raises(ValueError, match="same images and the same methods"):
            inference.rank_agreement(r, bad)
    with pytest.raises(ValueError, match="NaN"):
        inference.rank_agreement(r.mask(r > 2), f)
    with pytest.raises(UndefinedStatisticError, match="undefined"):
        inference.rank_agreement(r, f * 0)


def test_permutation_test_is_exact_for_few_images():
    a = np.array([1.0, 2.5, 0.5, 3.0, 1.2])
    b = np.array([0.2, 1.0, 0.9, 1.1, 0.3])
    difference = a - b
    flips = [
        np.mean(difference * signs) for signs in itertools.product([1, -1], repeat=len(difference))
    ]
    two_sided = np.mean([abs(flip) >= abs(difference.mean()) - 1e-12 for flip in flips])
    greater = np.mean([flip >= difference.mean() - 1e-12 for flip in flips])
    assert inference.paired_permutation_test(a, b) == pytest.approx(two_sided)
    assert inference.paired_permutation_test(a, b, "greater") == pytest.approx(greater)
    assert inference.paired_permutation_test(b, a, "less") == pytest.approx(greater)


def test_holm_by_hand():
    adjusted = inference.holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.5})
    assert adjusted == pytest.approx({"a": 0.04, "b": 0.09, "c": 0.09, "d": 0.5})
    assert inference.holm({"only": 0.04}) == {"only": pytest.approx(0.04)}
    for bad in ({}, {"a": np.nan}, {"a": 1.2}):
        with pytest.raises(ValueError, match="p-values"):
            inference.holm(bad)


@pytest.mark.parametrize(("method", "theirs"), [("wilson", "wilson"), ("clopper-pearson", "exact")])
def test_proportion_interval_agrees_with_scipy(method, theirs):
    ours = inference.proportion_interval(17, 60, level=0.9, method=method)
    reference = stats.binomtest(17, 60).proportion_ci(0.9, method=theirs)
    assert (ours.low, ours.high) == pytest.approx((reference.low, reference.high), abs=1e-9)
    assert (ours.estimate, ours.n, ours.level) == (17 / 60, 60, 0.9)


@pytest.mark.parametrize("images", [2, 7, 13])
def test_few_images_are_tested_exactly_as_one_pair_at_a_time(images):
    table = scores(images, spread=0.3)
    found = pairwise_tests(table)
    assert list(zip(found["first"], found["second"], strict=True)) == list(
        itertools.combinations(METHODS, 2)
    )
    for row in found.itertuples():
        one, other = table[row.first], table[row.second]
        assert row.difference == pytest.approx((one - other).mean())
        assert row.p == pytest.approx(inference.paired_permutation_test(one, other), abs=1e-12)


@pytest.mark.parametrize(
    "bad",
    [scores(1), scores(5)[METHODS[:1]], scores(5).mask(scores(5) > 1)],
    ids=["one image", "one method", "missing score"],
)
def test_unusable_scores_are_refused(bad):
    with pytest.raises(ValueError, match="at least two images and two methods"):
        pairwise_tests(bad)


def test_gain_is_a_difference_of_two_taus_over_the_same_resamples():
    new, old, reference = (scores(30, seed, 0.3) for seed in (1, 2, 3))
    found = agreement_gain(new, old[METHODS[::-1]].sample(frac=1, random_state=0), reference)
    means = [table.mean() for table in (new, old, reference)]
    naive = kendalltau(means[0], means[2]).statistic - kendalltau(means[1], means[2]).statistic
    assert found.estimate == pytest.approx(naive)
    assert found.n == 30
    assert found.low <= found.estimate <= found.high


def randomization_table(
    images: int = 4, steps: int = 3, methods=("gradient", "noise"), seeds=(0,), orders=("top-down",)
) -> pd.DataFrame:
    """A table with random similarities."""
    rng = np.random.default_rng(0)
    rows = [
        {"image": f"i{i}", "method": m, "order": o, "step": s, "seed": seed, "sign": sign}
        for o in orders
        for m in methods
        for seed in seeds
        for s in range(1, steps + 1)
        for i in range(images)
        for sign in ("signed", "absolute")
    ]
    values = {name: rng.random(len(rows)) for name in ("ssim", "spearman")}
    return pd.DataFrame(rows).assign(**values)


@pytest.mark.parametrize("similarity", ["ssim", "spearman"])
@pytest.mark.parametrize("sign", ["signed", "absolute"])
def test_randomization_scores_are_means_over_steps_and_seeds(similarity, sign):
    table = randomization_table(seeds=(0, 1), orders=("top-down", "bottom-up"))
    scores = randomization_scores(table, similarity, sign)
    assert list(scores) == ["gradient", "noise"]
    assert list(scores.index) == ["i0", "i1", "i2", "i3"]
    for image in scores.index:
        for method in scores:
            values = [
                row[similarity]
                for _, row in table.iterrows()
                if (row["image"], row["method"], row["sign"], row["order"])
                == (image, method, sign, "top-down")
            ]
            assert len(values) == 6
            assert scores.loc[image, method] == pytest.approx(sum(values) / 6)


def test_a_missing_step_does_not_make_a_score_look_better():
    table = randomization_table()
    lost = (table["image"] == "i1") & (table["method"] == "noise") & (table["step"] == 2)
    table.loc[lost, "ssim"] = np.nan
    scores = randomization_scores(table)
    assert np.isnan(scores.loc["i1", "noise"])
    assert scores.isna().sum().sum() == 1


def test_seeds_that_all_methods_share_are_averaged_image_by_image():
    own = randomization_table(images=3)
    others = randomization_table(images=2, seeds=(1, 2)).assign(ssim=lambda rows: rows["ssim"] + 1)
    rows, counts = over_seeds(own, others)
    assert counts.to_dict() == {"i0": 3, "i1": 3, "i2": 1}
    scores = randomization_scores(rows)
    both = pd.concat([own, others])
    for image, seeds in counts.items():
        for method in scores:
            values = [
                row["ssim"]
                for _, row in both.iterrows()
                if (row["image"], row["method"], row["sign"]) == (image, method, "signed")
            ]
            assert len(values) == 3 * seeds
            assert scores.loc[image, method] == pytest.approx(np.mean(values))


def test_a_seed_counts_only_where_no_method_and_no_step_is_missing():
    own = randomization_table(methods=("gradient", "noise", "smoothgrad"))
    others = randomization_table(methods=("gradient", "noise"), seeds=(1, 2))
    lost = (others["seed"] == 2) & (others["image"] == "i1") & (others["step"] == 3)
    others = others[~(lost & (others["method"] == "noise"))]
    everything, alone = over_seeds(own, others)
    assert set(alone) == {1}  # no other seed has SmoothGrad
    assert randomization_scores(everything).equals(randomization_scores(own))
    rows, counts = over_seeds(own, others, ["gradient", "noise"])
    assert counts.to_dict() == {"i0": 3, "i1": 2, "i2": 3, "i3": 3}
    assert set(rows["method"]) == {"gradient", "noise"}
    gradient, several = over_seeds(own, others, ["gradient"])
    assert set(several) == {3}
    assert len(gradient) == 3 * 4 * 3 * 2


def test_seeds_of_other_steps_and_the_same_seed_twice_are_not_averaged_in():
    own = randomization_table(steps=3)
    fewer = randomization_table(steps=2, seeds=(1,))
    assert set(over_seeds(own, fewer)[1]) == {1}
    more = randomization_table(steps=5, seeds=(0, 1))  # seed 0 again, with other numbers
    rows, counts = over_seeds(own, more)
    assert set(counts) == {2}
    assert set(rows["step"]) == {1, 2, 3}
    first = rows[rows["seed"] == 0].reset_index(drop=True)
    pd.testing.assert_frame_equal(first, own)


def rows(points: dict[float, float], image: str = "i", method: str | None = "m", seed: int = 0):
    made = [
        {"image": image, "seed": seed, "random_parameters": share, "ssim": value}
        | ({"method": method} if method else {})
        for share, value in points.items()
    ]
    return pd.DataFrame(made)


@pytest.mark.parametrize(("points", "start", "expected"), cases("shares"))
def test_mean_over_shares_by_hand(points, start, expected):
    scores = scores_at_equal_shares(rows(points), "ssim", start)
    assert scores.loc["i", "m"] == pytest.approx(expected)
