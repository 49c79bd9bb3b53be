"""Theorem 3: Spearman's correlation and its conditions."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau, rankdata, spearmanr

from sanitygap.chapters.theorems_3_4 import theory as rank

VALUES = st.integers(-20, 20)


def pairs(size: int, unique: bool) -> st.SearchStrategy[tuple[list[int], list[int]]]:
    one = st.lists(VALUES, min_size=size, max_size=size, unique=unique)
    return st.tuples(one, one)


def covariance(a: list[float], b: list[float]) -> float:
    return float(np.cov(a, b)[0, 1])


@given(pairs(2, unique=True))
def test_signs_agree_for_two_pixels(maps):
    a, b = maps
    assert (covariance(a, b) >= 0) == (covariance(rankdata(a), rankdata(b)) >= 0)


def test_tied_process_has_zero_rank_covariance_and_negative_correlation(table):
    sampled = table("theorem-3")
    ties = sampled[sampled["process"].str.startswith("ties")].set_index(["pixels", "functional"])
    for size in ties.index.get_level_values("pixels").unique():
        rank_covariance = ties.loc[(size, "E[rank covariance]")]
        assert abs(rank_covariance["estimate"]) <= 4 * rank_covariance["standard_error"]
        assert ties.loc[(size, "E[Spearman]"), "high"] < -0.7


def test_expected_spearman_of_a_common_envelope(table):
    """Absolute maps with a common envelope: Spearman from Kendall's tau of the same draws."""
    rng = np.random.default_rng(7)
    envelope = rng.lognormal(size=4000)
    a, b = (np.abs(envelope * rng.normal(size=4000)) for _ in range(2))
    sampled = table("theorem-3").set_index(["process", "pixels", "functional"])
    row = sampled.loc[("common envelope, absolute", 784, "E[Spearman]")]
    assert row["estimate"] == pytest.approx(spearmanr(a, b)[0], abs=0.05)
    assert kendalltau(a, b)[0] < row["estimate"]


def test_sign_disagreement_counts_what_a_loop_counts():
    table = pd.DataFrame(rank.sign_disagreement(n=300, seed=5, pixels=9))
    strong = table[table["dependence"] == 2.0]
    weak = table[table["dependence"] == 0.1]
    assert (weak["estimate"].to_numpy() > strong["estimate"].to_numpy()).all()
    examples = weak["example_covariance"] * weak["example_rank_covariance"]
    assert (examples < 0).all()
    normal = strong[strong["noise"] == "normal"].iloc[0]
    assert normal["spearman"] > 0.8 > 0.5 > normal["sorted_index_correlation"]
