"""Theorem 2: closed forms, and simulations through one neuron and through overtaking."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sanitygap.chapters.theorem_2 import theory as overtaking
from sanitygap.theory.theorem_2 import (
    Activations,
    cauchy_tail,
    claimed_probabilities,
    exact_probabilities,
)

SIZES = st.integers(1, 30)
RATIOS = st.floats(0.1, 20)


@given(RATIOS, st.floats(0.01, 50))
def test_tail_is_scipys_cauchy_tail(ratio, gamma):
    got = cauchy_tail(ratio, gamma)
    assert got == pytest.approx(stats.cauchy.sf(ratio, scale=gamma), rel=1e-9, abs=1e-12)


@given(SIZES, SIZES, st.integers(0, 2**32))
def test_conditional_probability_is_at_most_the_tail(n_small, n_large, seed):
    at = Activations.random(n_small, n_large, seed)
    exact, claimed = exact_probabilities(at), claimed_probabilities(at)
    assert exact["conditional"] <= claimed["conditional"] + 1e-12
    assert exact["conditional, averages"] <= claimed["conditional, averages"] + 1e-12
    assert exact["joint"] == pytest.approx(exact["conditional"] / 2)
    assert exact["two-sided"] == pytest.approx(2 * exact["conditional"])


@given(SIZES, SIZES, RATIOS)
def test_equality_for_constant_activations(n_small, n_large, ratio):
    at = Activations.constant(n_small, n_large, ratio)
    exact, claimed = exact_probabilities(at), claimed_probabilities(at)
    assert exact["conditional"] == pytest.approx(claimed["conditional"])
    assert exact["conditional, averages"] == pytest.approx(claimed["conditional, averages"])


def test_exact_probabilities_agree_with_bivariate_normal_orthants():
    at = Activations(np.array([1.0, 0.5]), np.array([3.0]))
    # 0 < L <= S is the orthant L > 0, S - L > 0
    variance_s, variance_l = (at.small**2).sum(), (at.large**2).sum()
    covariance = [[variance_l, -variance_l], [-variance_l, variance_s + variance_l]]
    orthant = stats.multivariate_normal([0, 0], covariance).cdf([0, 0])
    assert exact_probabilities(at)["joint"] == pytest.approx(orthant, abs=1e-6)


def test_simulation_agrees_with_the_closed_forms(table):
    sampled = table("theorem-2")
    known = sampled[sampled["exact"].notna()]
    distance = (known["estimate"] - known["exact"]).abs()
    assert (distance <= 4.5 * known["standard_error"] + 1e-9).all()


def test_random_neurons_are_overtaken_in_the_wedge():
    neurons = pd.concat(overtaking.random_neurons(n=4_000, seed=0))
    for ratio, rows in neurons.groupby("ratio"):
        large, small = rows["large_sum"], rows["small_sum"]
        assert small.std() == pytest.approx(1, abs=0.05)
        assert large.std() == pytest.approx(ratio, rel=0.05)
        angle = np.arctan2(small, large)
        assert (rows["overtaken"] == ((angle >= np.pi / 4) & (angle < np.pi / 2))).all()
        tail = stats.cauchy.sf(ratio)
        assert rows["claimed"].iloc[0] == pytest.approx(tail)
        positive = rows[large > 0]
        error = np.sqrt(tail * (1 - tail) / len(positive))
        assert abs(positive["overtaken"].mean() - tail) < 4 * error


@pytest.mark.parametrize("head", [overtaking.Head(2), overtaking.Head(2, bias=True)])
def test_dense_head_gradients_are_those_of_a_loop(head):
    at = Activations.constant(3, 2, 3.0)
    products, is_large = overtaking._gradient_x_input(head, at, 4, seed=5)
    assert is_large.tolist() == [False] * 3 + [True] * 2
    x = torch.tensor([1.0, 1.0, 1.0, 3.0, 3.0])
    delta = 1e-3
    for i in range(5):
        shifted = [x.clone(), x.clone()]
        shifted[0][i] += delta
        shifted[1][i] -= delta
        high, low = (
            overtaking._dense(head, z.expand(4, 5), torch.Generator().manual_seed(5))
            for z in shifted
        )
        slope = (high - low) / (2 * delta)
        torch.testing.assert_close(products[:, i], slope * x[i], rtol=2e-2, atol=2e-3)
