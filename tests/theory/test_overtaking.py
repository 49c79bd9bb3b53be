"""Theorem 2: closed forms, simulations through one neuron and through heads, criteria."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import find, given
from hypothesis import strategies as st
from scipy import stats

from sanitygap.criteria.theory import overtaking as criteria
from sanitygap.theory import overtaking
from sanitygap.theory.overtaking import Activations, claimed_probabilities, exact_probabilities

SIZES = st.integers(1, 30)
RATIOS = st.floats(0.1, 20)


@given(RATIOS, st.floats(0.01, 50))
def test_tail_is_scipys_cauchy_tail(ratio, gamma):
    got = overtaking.cauchy_tail(ratio, gamma)
    assert got == pytest.approx(stats.cauchy.sf(ratio, scale=gamma), rel=1e-9, abs=1e-12)


def test_infinite_ratio_has_no_tail():
    assert overtaking.cauchy_tail(np.inf, 2.0) == 0


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


def test_the_tail_need_not_be_low():
    n_small = find(
        st.integers(1, 10_000),
        lambda n: claimed_probabilities(Activations.constant(n, 1, 2.0))["conditional"] > 0.45,
    )
    assert n_small > 10


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


def test_absolute_averages_approach_their_limit_and_not_the_claim():
    at = Activations.constant(400, 1, 2.0)
    got = overtaking.simulate(at, np.random.default_rng(0), 20_000)["absolute averages"]
    assert got["low"] <= 0.3101 <= got["high"]
    assert got["low"] > 10 * claimed_probabilities(at)["absolute averages"]


def test_single_laplace_weights():
    """P(w_s >= K w_l | w_l > 0) = 1 / (2 (1 + K)) for Laplace weights, from their density."""
    weights = pd.DataFrame(overtaking.weight_distributions(n=40_000, seed=3))
    row = weights[(weights["weights"] == "Laplace") & (weights["n_small"] == 1)].iloc[0]
    assert abs(row["estimate"] - 1 / 6) <= 4 * row["standard_error"]


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


def test_batch_norm_of_the_explained_input_only_uses_reference_statistics():
    head = overtaking.Head(1, batch_norm=True)
    x = torch.tensor([[1.0, 1.0, 3.0]])
    generator = torch.Generator().manual_seed(1)
    out = overtaking._dense(head, x, generator)
    assert out.shape == (1,)
    assert out.isfinite().all()


def test_convolutional_heads_are_independent_of_their_neighbours():
    head = overtaking.Head(1, convolutional=True)
    alone = overtaking._convolutional(
        head, torch.ones(1, *overtaking.GRID), torch.Generator().manual_seed(2)
    )
    assert alone.shape == (1,)
    products, is_large = overtaking._gradient_x_input(
        head, Activations.constant(120, 24, 3.0), 3, seed=2
    )
    assert products.shape == (3, 144)
    assert int(is_large.sum()) == 24
    # each head has its own kernels
    assert not torch.allclose(products[0], products[1])


# --- criteria ---------------------------------------------------------------------------------

NAMES = ("theorem-2-proofs", "theorem-2")


def test_theorem_2_criterion(tables_of, set_outcome):
    assert criteria.theorem_2(tables_of(*NAMES), None).value == "caveat"
    literal = tables_of(*NAMES)
    set_outcome(literal["theorem-2-proofs"], "joint event has the tail, as printed", "proved")
    assert criteria.theorem_2(literal, None).value == "holds"
    beyond = tables_of(*NAMES)
    beyond["theorem-2"]["estimate"] += 0.1
    assert criteria.theorem_2(beyond, None).value == "false"
    refuted = tables_of(*NAMES)
    set_outcome(refuted["theorem-2-proofs"], "conditional event has the tail", "counterexample")
    assert criteria.theorem_2(refuted, None).value == "false"


def test_proof_criterion(tables_of, set_outcome):
    name = "theorem-2-proofs"
    assert criteria.proof(tables_of(name), None).value == "slip"
    right = tables_of(name)
    for printed in criteria.PRINTED:
        set_outcome(right[name], printed, "proved")
    assert criteria.proof(right, None).value == "holds"
    wrong = tables_of(name)
    set_outcome(wrong[name], "Eq. (42) corrected", "counterexample")
    assert criteria.proof(wrong, None).value == "false"
    unknown = tables_of(name)
    set_outcome(unknown[name], "Eq. (31)", "unknown")
    assert criteria.proof(unknown, None).value == "undecided"


def test_title_criterion(tables_of, set_outcome):
    assert criteria.title(tables_of(*NAMES), None).value == "slip"
    tables = tables_of(*NAMES)
    set_outcome(tables["theorem-2-proofs"], "gamma of sums is gamma of averages", "proved")
    assert criteria.title(tables, None).value == "holds"


def test_averages_criterion(tables_of):
    assert criteria.averages(tables_of(*NAMES), None).value == "holds"
    tables = tables_of(*NAMES)
    tables["theorem-2"]["claimed"] /= 2
    assert criteria.averages(tables, None).value == "false"


def test_absolute_criteria(tables_of):
    names = ("theorem-2", "theorem-2-heads")
    for judge in (criteria.footnote_9, criteria.absolute_dominance):
        assert judge(tables_of(*names), None).value == "false"
        tables = tables_of(*names)
        for name in names:
            tables[name]["claimed"] = 1.0
        assert judge(tables, None).value == "holds"
    only_heads = tables_of(*names)
    only_heads["theorem-2"]["claimed"] = 1.0
    assert criteria.absolute_dominance(only_heads, None).value == "false"


def test_any_relu_network_criterion(tables_of):
    names = ("theorem-2-heads", "theorem-2-weights")
    tables = tables_of(*names)
    table = tables["theorem-2-heads"]
    for column in ("estimate", "low", "high"):
        table[column] = table["claimed"]
    assert criteria.any_relu_network(tables, None).value == "reproduced"
    table["high"] = table["claimed"] + 0.03
    assert criteria.any_relu_network(tables, None).value == "undecided"
    table["low"] = table["claimed"] + 0.021
    assert criteria.any_relu_network(tables, None).value == "not-reproduced"


def test_overtaking_less_than_the_bound_is_what_the_paper_says(tables_of):
    tables = tables_of("theorem-2-heads", "theorem-2-weights")
    table = tables["theorem-2-heads"]
    for column in ("estimate", "low", "high"):
        table[column] = table["claimed"]
    shared = (table["kind"] == "convolutional") & table["weights"].str.startswith("He")
    table.loc[shared, ["low", "estimate", "high"]] = 0.1
    verdict = criteria.any_relu_network(tables, None)
    assert verdict.value == "reproduced"
    assert "share weights" in verdict.reason
    assert verdict.numbers["settings_below"] == ((table["event"] == "two-sided") & shared).sum()
