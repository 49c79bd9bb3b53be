"""Eq. (3)-(6), App. G and the entanglement of change and noise; their criteria."""

import pytest
import torch

from sanitygap.criteria.theory import dominance as dominance_criteria
from sanitygap.criteria.theory import entanglement as entanglement_criteria
from sanitygap.criteria.theory import preservation as criteria
from sanitygap.theory import irrelevance


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


def test_surrogate_is_exact_only_for_an_affine_top(table):
    rows = table("equation-5")
    affine = rows["top"] == "affine"
    assert (rows.loc[affine, "largest"] <= 1e-12).all()
    assert (rows.loc[~affine, "low"] > 0.2).all()


def test_conservative_rules_keep_the_logit(table):
    rows = table("appendix-g").set_index("method")
    for method in ("LRP-0", "LRP-gamma"):
        assert (rows.loc[method, "conservation_error"] < 1e-8).all()
        assert (rows.loc[method, "estimate"] == 0).all()
    assert (rows.loc["Gradient x Input", "estimate"] > 0).any()


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


@pytest.mark.parametrize("judge", [criteria.equation_5, criteria.figure_6])
def test_surrogate_criterion(tables_of, set_outcome, judge):
    names = ("equations-3-6-proofs", "equation-5")
    assert judge(tables_of(*names), None).value == "caveat"
    accurate = tables_of(*names)
    accurate["equation-5"]["low"] = 0.0
    assert judge(accurate, None).value == "holds"
    inexact = tables_of(*names)
    inexact["equation-5"]["largest"] = 0.1
    assert judge(inexact, None).value == "false"


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
