"""Dense networks, Shapley values, Eq. (9), App. F and App. A.2."""

from itertools import permutations

import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq

from sanitygap.chapters.properties import measure as monotonicity
from sanitygap.theory import dense, shapley

WIDTHS = (4, 5, 6, 1)


@pytest.fixture
def networks():
    generator = torch.Generator().manual_seed(0)
    return dense.random_networks(7, WIDTHS, generator, bias_scale=-0.2)


@pytest.fixture
def x():
    return torch.randn(7, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def loop_forward(networks, index, x):
    for layer, (weight, bias) in enumerate(zip(networks.weights, networks.biases, strict=True)):
        x = weight[index] @ x + bias[index]
        if layer < len(networks.weights) - 1:
            x = x.clamp(min=0)
    return x[0]


def test_logits_and_gradients_equal_autograd(networks, x):
    gradient = dense.gradients(networks, x)[0]
    for i in range(7):
        point = x[i].clone().requires_grad_(True)
        logit = loop_forward(networks, i, point)
        (want,) = torch.autograd.grad(logit, point)
        assert networks(x)[i] == pytest.approx(logit.item())
        torch.testing.assert_close(gradient[i], want)


def test_guided_backpropagation_clips_at_relus(networks, x):
    guided = dense.gradients(networks, x, guided=True)
    layers = networks.trace(x)
    for i in range(7):
        signal = networks.weights[2][i, 0]
        for layer in (2, 1):
            signal = (signal * (layers[layer][i] > 0)).clamp(min=0) @ networks.weights[layer - 1][i]
        torch.testing.assert_close(guided[0][i], signal)


@pytest.mark.parametrize("rule", ["0", "epsilon", "gamma", "beta", "z+"])
def test_lrp_equals_a_loop(networks, x, rule):
    got = dense.lrp(networks, x, rule, epsilon=0.1, gamma=0.3, beta=1.5)
    for i in range(7):
        layers = [layer[i] for layer in networks.trace(x)]
        relevance = layers[-1]
        for k in reversed(range(3)):
            below = torch.zeros(len(layers[k]), dtype=torch.float64)
            for j, r in enumerate(relevance):
                weight = networks.weights[k][i, j]
                if rule == "gamma":
                    weight = weight + 0.3 * weight.clamp(min=0)
                c = weight * layers[k]
                if layers[k + 1][j] == 0:
                    continue
                if rule in ("beta", "z+"):
                    b = 1.5 if rule == "beta" else 0.0
                    plus, minus = c.clamp(min=0), c.clamp(max=0)
                    if plus.sum() != 0:
                        below += r * (1 + b) * plus / plus.sum()
                    if minus.sum() != 0:
                        below -= r * b * minus / minus.sum()
                else:
                    total = c.sum()
                    if rule == "epsilon":
                        total = total + (0.1 if total >= 0 else -0.1)
                    below += r * c / total
            torch.testing.assert_close(got[k][i], below)
            relevance = below


@given(st.integers(1, 4), st.integers(0, 2**32))
def test_shapley_values_equal_averages_over_permutations(players, seed):
    values = torch.randn(2**players, generator=torch.Generator().manual_seed(seed))
    want = torch.zeros(players, dtype=torch.float64)
    orders = list(permutations(range(players)))
    for order in orders:
        mask = 0
        for player in order:
            want[player] += values[mask | 1 << player] - values[mask]
            mask |= 1 << player
    torch.testing.assert_close(shapley.shapley_values(values), want / len(orders))


# c_i >= c_j > 0 and a third contribution of any sign


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
