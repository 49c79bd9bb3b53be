"""All pairs tested at once, and gains in agreement, against one pair and one tau at a time."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kendalltau

from sanitygap.inference import paired_permutation_test
from sanitygap.rankings import agreement_gain, pairwise_tests


def scores(images: int, methods: str = "abcd", seed: int = 0, shift: float = 0.3) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(images, len(methods))) + shift * np.arange(len(methods))
    return pd.DataFrame(values, [f"i{i}" for i in range(images)], list(methods))


@pytest.mark.parametrize("images", [2, 7, 13])
def test_few_images_are_tested_exactly_as_one_pair_at_a_time(images):
    table = scores(images)
    found = pairwise_tests(table)
    assert list(zip(found["first"], found["second"], strict=True)) == list(
        itertools.combinations("abcd", 2)
    )
    for row in found.itertuples():
        one, other = table[row.first], table[row.second]
        assert row.difference == pytest.approx((one - other).mean())
        assert row.p == pytest.approx(paired_permutation_test(one, other), abs=1e-12)


def test_p_values_are_uniform_if_methods_are_exchangeable():
    p = [pairwise_tests(scores(10, "ab", seed, 0.0))["p"].item() for seed in range(300)]
    assert 0.02 < np.mean(np.array(p) < 0.05) < 0.085
    assert 0.4 < np.mean(np.array(p) < 0.5) < 0.6


@pytest.mark.parametrize(
    "bad",
    [scores(1), scores(5, "a"), scores(5).mask(scores(5) > 1)],
    ids=["one image", "one method", "missing score"],
)
def test_unusable_scores_are_refused(bad):
    with pytest.raises(ValueError, match="at least two images and two methods"):
        pairwise_tests(bad)


def test_gain_is_a_difference_of_two_taus_over_the_same_resamples():
    new, old, reference = (scores(30, seed=seed) for seed in (1, 2, 3))
    found = agreement_gain(new, old[list("dcba")].sample(frac=1, random_state=0), reference)
    means = [table.mean() for table in (new, old, reference)]
    naive = kendalltau(means[0], means[2]).statistic - kendalltau(means[1], means[2]).statistic
    assert found.estimate == pytest.approx(naive)
    assert found.n == 30
    assert found.low <= found.estimate <= found.high
