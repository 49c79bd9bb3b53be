"""Eq. (9), App. F and App. A.2: pairs of contributions."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import find, given
from hypothesis import strategies as st
from scipy.optimize import brentq

from sanitygap.chapters.properties import measure as monotonicity
from sanitygap.theory.shapley import coalitions, shapley_values

ANY = st.lists(st.integers(-3, 3), min_size=3, max_size=3)
# c_i >= c_j > 0 and a third contribution of any sign
ORDERED = st.tuples(st.floats(1e-3, 3), st.floats(0, 3), st.floats(-3, 3)).map(
    lambda t: [t[0] + t[1], t[0], t[2]]
)


def neuron_shapley(c, function) -> list[float]:
    z = coalitions(len(c)).double() @ torch.tensor(c, dtype=torch.float64)
    return shapley_values(function(z)).tolist()


@given(ORDERED, st.sampled_from([torch.relu, torch.tanh, torch.exp]))
def test_shapley_is_monotone_for_one_monotone_neuron(c, function):
    phi = neuron_shapley(c, function)
    assert phi[0] >= phi[1] - 1e-9
    assert phi[1] >= -1e-9


def zigzag(z: torch.Tensor) -> torch.Tensor:
    """0, 1, 0, 1/2 at 0, 1, 2, 3, linear in between."""
    return torch.from_numpy(np.interp(z.clamp(min=0).numpy(), [0, 1, 2, 3], [0, 1, 0, 0.5]))


def test_shapley_is_not_monotone_below_other_functions():
    def larger_but_less_relevant(c: list[int]) -> bool:
        phi = neuron_shapley(c, zigzag)
        return c[0] > c[1] > 0 and abs(phi[0]) < abs(phi[1]) - 0.1

    c = find(ANY, larger_but_less_relevant)
    assert c[0] > c[1]


@given(ORDERED, st.floats(0, 3))
def test_lrp_beta_is_monotone_for_a_common_neuron(c, beta):
    relevance = monotonicity.lrp_beta(torch.tensor([c], dtype=torch.float64), beta)[0]
    assert relevance[0].abs() >= relevance[1].abs() - 1e-9


def test_lrp_beta_is_not_monotone_for_mixed_signs():
    def larger_but_less_relevant(c: list[int]) -> bool:
        relevance = monotonicity.lrp_beta(torch.tensor([c], dtype=torch.float64), 2.0)[0]
        return c[0] > -c[1] > 0 and bool(relevance[0].abs() < relevance[1].abs() - 0.1)

    c = find(ANY, larger_but_less_relevant)
    assert abs(c[0]) > abs(c[1])


def test_beta_curve_solves_equation_10_up_to_the_cap():
    curve = pd.concat(monotonicity.beta_curve(n=50, seed=0)).set_index(["formula", "balance"])
    for balance in curve.loc["solved"].index:
        wanted = brentq(lambda b, at=balance: b / (1 + b) - at, 0, 1e6)
        assert curve.loc[("solved", balance), "beta"] == pytest.approx(wanted, abs=1e-6)
        capped = curve.loc[("solved, capped", balance)]
        assert capped["beta"] == pytest.approx(min(wanted, 3.0), abs=1e-6)
        assert (abs(capped["residual"]) < 1e-9) == (balance <= 0.75)
    assert (curve.loc["printed", "beta"] < 0.5).all()
    assert (curve.loc["printed", "residual"].iloc[1:] < -1e-4).all()
    assert curve["share"].between(0, 1).all()
    assert curve.loc["solved", "share"].is_monotonic_increasing
