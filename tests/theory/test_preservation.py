"""Eq. (3)-(6), App. G and the entanglement of change and noise; their criteria."""

import pandas as pd
import pytest
import torch

from sanitygap.criteria.theory import monotonicity as dominance_criteria
from sanitygap.criteria.theory import preservation as criteria
from sanitygap.criteria.theory import ssim as entanglement_criteria
from sanitygap.theory import dense, irrelevance, monotonicity, ssim


@pytest.mark.parametrize("case", irrelevance.CASES)
def test_phi_ignores_what_it_should(case):
    networks = irrelevance._networks(case, 3, torch.Generator().manual_seed(0))
    x = 1 + torch.rand(3, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    hidden = networks.trace(x)
    far = x.clone()
    far[:, irrelevance.IGNORED] = 0
    unchanged = torch.equal(hidden[2], networks.trace(far)[2])
    assert unchanged == (case != "locally dead")
    assert (hidden[2] > 0).any()
    reached = torch.equal(hidden[1], networks.trace(far)[1])
    assert reached == (case == "zero weights")


def test_first_head_is_fitted_and_the_others_are_not():
    generator = torch.Generator().manual_seed(0)
    networks = irrelevance._networks("zero weights", 3, generator)
    x = 2 * torch.rand(3, 500, 6, generator=generator, dtype=torch.float64)
    target = irrelevance.target_function(x)
    error = (networks(x) - target).square().mean(1) / target.var(1)
    assert error[0] < 0.5
    assert (error[1:] > 1).all()


def test_shares_are_those_of_the_attributions():
    table = pd.DataFrame(irrelevance.ignored_features(n=3, seed=0))
    table = table.set_index(["case", "method", "head"]).sort_index()
    assert (table.loc["zero weights", "largest"] <= 1e-12).all()
    assert table.loc[("cancellation", "LRP-beta", "random"), "share"] > 0.01
    assert table.loc[("cancellation", "LRP-0", "random"), "largest"] <= 1e-12
    assert table.loc[("locally dead", "Gradient", "random"), "largest"] == 0
    assert table.loc[("locally dead", "Integrated Gradients", "random"), "share"] > 0.01
    assert table.loc[("locally dead", "Gradient", "random"), "local_response"] == 0
    assert table.loc[("locally dead", "Gradient", "random"), "global_response"] > 0


def test_side_by_side_networks_add_up():
    generator = torch.Generator().manual_seed(2)
    first, second = (
        dense.random_networks(4, (3, 5, 6, 1), generator, bias_scale=-0.1) for _ in range(2)
    )
    x = torch.randn(4, 3, generator=generator, dtype=torch.float64)
    for sign in (1.0, -1.0):
        both = irrelevance.side_by_side(first, second, sign)
        torch.testing.assert_close(both(x), first(x) + sign * second(x))


def test_surrogate_is_exact_only_for_an_affine_top(table):
    rows = table("equation-5")
    affine = rows["top"] == "affine"
    assert (rows.loc[affine, "largest"] <= 1e-12).all()
    assert (rows.loc[~affine, "low"] > 0.2).all()


def test_training_keeps_biases_non_positive_and_lowers_the_loss():
    generator = torch.Generator().manual_seed(3)
    networks = dense.random_networks(6, monotonicity.WIDTHS, generator, bias_scale=-0.3)
    trained = monotonicity.train(networks, torch.Generator().manual_seed(4), steps=60)
    assert all((bias <= 0).all() for bias in trained.biases)
    generator = torch.Generator().manual_seed(4)  # the same data as in training
    x = torch.randn(6, 16, 8, generator=generator, dtype=torch.float64).abs()
    teacher = torch.randn(6, 8, generator=generator, dtype=torch.float64)
    label = torch.einsum("nsi,ni->ns", x, teacher) > 0
    before, after = (((net(x) > 0) == label).double().mean() for net in (networks, trained))
    assert after > max(before, 0.8)


def test_conservative_rules_keep_the_logit(table):
    rows = table("appendix-g").set_index("method")
    for method in ("LRP-0", "LRP-gamma"):
        assert (rows.loc[method, "conservation_error"] < 1e-8).all()
        assert (rows.loc[method, "estimate"] == 0).all()
    assert (rows.loc["Gradient x Input", "estimate"] > 0).any()


def test_second_explainer_differs_by_noise_only(table):
    rows = table("noise-entanglement").set_index(["explainer", "comparison", "similarity"])
    first, second = ssim.EXPLAINERS
    assert rows.loc[(first, "noiseless part", "Pearson"), "estimate"] == pytest.approx(
        0.4, abs=0.02
    )
    assert rows.loc[(second, "noiseless part", "Pearson"), "estimate"] == pytest.approx(1)
    for explainer in (first, second):
        got = rows.loc[(explainer, "randomised", "MSE"), "estimate"]
        assert got == pytest.approx(2 - 2 * 0.4, abs=0.03)


# --- criteria ---------------------------------------------------------------------------------


def test_irrelevance_criterion(tables_of, set_outcome):
    names = ("equations-3-6-proofs", "equation-4")
    judge = criteria.irrelevance
    assert judge(tables_of(*names), None).value == "caveat"
    respected = tables_of(*names)
    respected["equation-4"][["share", "largest"]] = 0.0
    assert judge(respected, None).value == "holds"
    violated = tables_of(*names)
    violated["equation-4"].loc[violated["equation-4"]["method"] == "Shapley", "largest"] = 0.2
    assert judge(violated, None).value == "false"
    refuted = tables_of(*names)
    set_outcome(
        refuted["equations-3-6-proofs"], "unresponsive features stay unresponsive", "counterexample"
    )
    assert judge(refuted, None).value == "false"


def test_surrogate_criterion(tables_of, set_outcome):
    names = ("equations-3-6-proofs", "equation-5")
    assert criteria.surrogate(tables_of(*names), None).value == "caveat"
    accurate = tables_of(*names)
    accurate["equation-5"]["low"] = 0.0
    assert criteria.surrogate(accurate, None).value == "holds"
    inexact = tables_of(*names)
    inexact["equation-5"]["largest"] = 0.1
    assert criteria.surrogate(inexact, None).value == "false"


def test_linearity_criterion(tables_of):
    assert criteria.equation_6(tables_of("equation-6"), None).value == "holds"
    tables = tables_of("equation-6")
    tables["equation-6"]["largest"] += 1e-9
    assert criteria.equation_6(tables, None).value == "false"


def test_dominance_criterion(tables_of, set_outcome):
    names = ("appendix-g-proofs", "appendix-g")
    judge = dominance_criteria.dominance
    verdict = judge(tables_of(*names), None)
    assert verdict.value == "caveat"  # methods that lack the assumption do not decide
    assert "Gradient x Input" in verdict.evidence
    tables = tables_of(*names)
    tables["appendix-g"]["estimate"] = 0.0
    assert judge(tables, None).value == "caveat"
    for name in dominance_criteria.PREMISES:
        set_outcome(tables["appendix-g-proofs"], name, "proved")
    assert judge(tables, None).value == "holds"


@pytest.mark.parametrize(("column", "value"), [("estimate", 0.01), ("conservation_error", 1e-3)])
def test_an_additive_rule_can_refute_dominance(tables_of, column, value):
    tables = tables_of("appendix-g-proofs", "appendix-g")
    table = tables["appendix-g"]
    table.loc[table.index[table["method"] == "LRP-gamma"][0], column] = value
    assert dominance_criteria.dominance(tables, None).value == "false"


@pytest.mark.parametrize(
    ("outcome", "value"), [("counterexample", "false"), ("unknown", "undecided")]
)
def test_dominance_needs_its_proof(tables_of, set_outcome, outcome, value):
    tables = tables_of("appendix-g-proofs", "appendix-g")
    set_outcome(tables["appendix-g-proofs"], dominance_criteria.CONSERVATIVE, outcome)
    assert dominance_criteria.dominance(tables, None).value == value


def test_entanglement_criterion(tables_of):
    name = "noise-entanglement"
    judge = entanglement_criteria.entanglement
    assert judge(tables_of(name), None).value == "direction"
    apart = tables_of(name)
    rows = apart[name]
    rows.loc[
        (rows["comparison"] == "randomised") & (rows["explainer"] == "noise, no change"), "estimate"
    ] += 0.2
    assert judge(apart, None).value == "not-reproduced"
    blind = tables_of(name)
    rows = blind[name]
    rows.loc[rows["comparison"] == "retest", "estimate"] = 1.0
    assert judge(blind, None).value == "not-reproduced"
