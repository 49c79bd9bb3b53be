"""Eq. (9), App. F and App. A.2: pairs of contributions, and the criteria."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import find, given
from hypothesis import strategies as st
from scipy.optimize import brentq

from sanitygap.criteria.theory import monotonicity as criteria
from sanitygap.theory import monotonicity
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


def test_the_audits_head_gives_the_audits_values():
    assert neuron_shapley([2.0, 1.0], zigzag) == pytest.approx([-0.25, 0.75])


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


def test_lrp_beta_without_negatives_is_not_conservative():
    relevance = monotonicity.lrp_beta(torch.tensor([[1.0, 2.0]], dtype=torch.float64), 1.0)
    assert relevance.sum().item() == pytest.approx(2.0)
    with_negative = torch.tensor([[1.0, 2.0, -1.0]], dtype=torch.float64)
    assert monotonicity.lrp_beta(with_negative, 1.0).sum().item() == pytest.approx(1.0)


def test_violations_are_those_of_a_loop():
    rng = np.random.default_rng(0)
    c, r = torch.from_numpy(rng.normal(size=(2, 20, 3)))
    got = monotonicity.violations(c, r)
    want = {"non-strict": 0, "strong": 0, "non-negative": 0}
    for x, y in zip(c.tolist(), r.tolist(), strict=True):
        for i in range(3):
            for j in range(3):
                if i == j:
                    continue
                smaller = abs(y[i]) < abs(y[j]) - monotonicity.TOLERANCE
                want["non-strict"] += x[i] >= x[j] > 0 and smaller
                want["strong"] += abs(x[i]) >= abs(x[j]) and smaller
                want["non-negative"] += x[i] > 0 and x[j] > 0 and y[j] < 0
    assert {name: int(got[name][0].sum()) for name in want} == want


def test_example_neuron_keeps_the_order_except_below_the_zigzag():
    table = pd.DataFrame(monotonicity.example_neuron(n=1, seed=0))
    for (method, setting), rows in table.groupby(["method", "setting"], sort=False):
        positive = rows[rows["contribution"] > 0].sort_values("contribution")
        rising = positive["relevance"].abs().is_monotonic_increasing
        assert rising == (setting != "any function"), method
    itself = table[(table["method"] == "Shapley") & (table["setting"] == "neuron itself")]
    assert itself["relevance"].sum() == pytest.approx(sum(monotonicity.EXAMPLE))
    assert itself["relevance"].tolist() == pytest.approx(
        neuron_shapley(list(monotonicity.EXAMPLE), torch.relu)
    )
    zigzagged = table[(table["method"] == "Shapley") & (table["setting"] == "any function")]
    at_two = float(np.interp(sum(monotonicity.EXAMPLE), [2, 3], [0, 1]))
    assert zigzagged["relevance"].sum() == pytest.approx(at_two)


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


# --- criteria ---------------------------------------------------------------------------------

NAMES = ("appendix-f-proofs", "appendix-f")
JUDGES = {
    criteria.gradient_x_input: ("F.1", ["F.1 strict, as printed"]),
    criteria.shapley: ("F.2, d = 3", [criteria.ANY_FUNCTION, "F.2 strict, d = 3"]),
    criteria.lrp_beta: (
        "F.3",
        [criteria.OTHER_NEURON, "LRP-beta conserves relevance without negative contributions"],
    ),
    criteria.equation_9: ("F.3", [criteria.ANY_FUNCTION, criteria.OTHER_NEURON]),
}


@pytest.mark.parametrize("judge", JUDGES)
def test_criteria_follow_their_tables(tables_of, set_outcome, judge):
    needed, conditions = JUDGES[judge]
    assert judge(tables_of(*NAMES), None).value == "caveat"

    refuted = tables_of(*NAMES)
    set_outcome(refuted["appendix-f-proofs"], needed, "counterexample")
    assert judge(refuted, None).value == "false"

    violated = tables_of(*NAMES)
    violated["appendix-f"]["violations"] += 1
    assert judge(violated, None).value == "false"

    unconditional = tables_of(*NAMES)
    for name in conditions:
        set_outcome(unconditional["appendix-f-proofs"], name, "proved")
    assert judge(unconditional, None).value == "holds"

    unknown = tables_of(*NAMES)
    set_outcome(unknown["appendix-f-proofs"], needed, "unknown")
    assert judge(unknown, None).value == "undecided"


def test_adaptive_beta_criterion(tables_of, set_outcome):
    names = ("appendix-a2-proofs", "adaptive-beta")
    verdict = criteria.adaptive_beta(tables_of(*names), None)
    assert verdict.value == "slip"
    assert verdict.numbers["residual_solved"] < 1e-9
    wrong = tables_of(*names)
    set_outcome(wrong["appendix-a2-proofs"], "solved beta", "counterexample")
    assert criteria.adaptive_beta(wrong, None).value == "false"
    unknown = tables_of(*names)
    set_outcome(unknown["appendix-a2-proofs"], "printed beta", "unknown")
    assert criteria.adaptive_beta(unknown, None).value == "undecided"
    tables = tables_of(*names)
    set_outcome(tables["appendix-a2-proofs"], "printed beta", "proved")
    tables["adaptive-beta"]["max_residual"] = 0.0
    assert criteria.adaptive_beta(tables, None).value == "holds"
