"""Theorem 3: Spearman's correlation, its conditions, its criteria."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import find, given
from hypothesis import strategies as st
from scipy.stats import kendalltau, rankdata, spearmanr

from sanitygap.criteria.theory import rank as criteria
from sanitygap.theory import rank

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


def test_signs_disagree_for_more_pixels():
    a, b = find(
        pairs(4, unique=True),
        lambda maps: covariance(*maps) > 1e-9 and covariance(*(rankdata(x) for x in maps)) < -1e-9,
    )
    assert spearmanr(a, b)[0] < 0


@given(pairs(6, unique=True))
def test_rank_variance_without_ties_is_fixed(maps):
    for values in maps:
        assert rankdata(values).var() == pytest.approx((6**2 - 1) / 12)


def test_rank_variance_with_ties_is_not():
    tied = find(pairs(4, unique=False), lambda maps: rankdata(maps[0]).var() < 1)[0]
    assert len(set(tied)) < 4


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


def test_ties_alone_leave_the_line():
    pairs = pd.concat(rank.random_pairs(n=40, seed=2, pixels=25))
    slope = 12 * 25**2 / (25**2 - 1)  # ranks 1 to n have variance (n^2 - 1) / 12
    distance = (pairs["spearman"] - slope * pairs["rank_covariance"]).abs()
    tied = pairs["values"] == "ties"
    assert (distance[~tied] < 1e-12).all()
    assert (distance[tied] > 0.01).mean() > 0.5
    assert (pairs["spearman"].abs() <= 1 + 1e-12).all()


# --- criteria ---------------------------------------------------------------------------------


def test_equation_17_criterion(tables_of):
    tables = tables_of("equation-17")
    assert criteria.equation_17(tables, None).value == "holds"
    tables["equation-17"]["max_difference"] += 1e-11
    assert criteria.equation_17(tables, None).value == "false"


def test_theorem_3_criterion(tables_of, set_outcome):
    names = ("theorem-3-proofs", "theorem-3")
    assert criteria.theorem_3(tables_of(*names), None).value == "caveat"
    for name, outcome, value in (
        ("expected Spearman, ranks with ties", "proved", "holds"),
        ("minimum at zero rank covariance", "counterexample", "false"),
        ("minimum at zero rank covariance", "unknown", "undecided"),
    ):
        tables = tables_of(*names)
        set_outcome(tables["theorem-3-proofs"], name, outcome)
        assert criteria.theorem_3(tables, None).value == value
    biased = tables_of(*names)
    biased["theorem-3"]["estimate"] += 0.3
    assert criteria.theorem_3(biased, None).value == "false"


def test_equivalence_criterion(tables_of, set_outcome):
    names = ("theorem-3-proofs", "theorem-3-equivalence")
    assert criteria.equivalence(tables_of(*names), None).value == "false"
    tables = tables_of(*names)
    set_outcome(
        tables["theorem-3-proofs"], "rank covariance >= 0 iff covariance >= 0, 3 pixels", "proved"
    )
    assert criteria.equivalence(tables, None).value == "false"
    tables["theorem-3-equivalence"]["estimate"] = 0.0
    assert criteria.equivalence(tables, None).value == "holds"
