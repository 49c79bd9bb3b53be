"""The prover decides by the same procedure whatever is expected, and every proof has a mutant."""

import pytest
import sympy
from z3 import Reals

from sanitygap.theory import TABLES
from sanitygap.theory.proofs.prover import COLUMNS, Identity, Implication, absolute, decide

PROOF_TABLES = [name for name in TABLES if name.endswith("-proofs")]


@pytest.mark.parametrize("name", PROOF_TABLES)
def test_every_statement_has_the_expected_outcome(table, name):
    proofs = table(name)
    assert list(proofs.columns) == COLUMNS
    wrong = proofs[proofs["outcome"] != proofs["expected"]]
    assert wrong.empty, wrong[["name", "expected", "outcome", "witness"]].to_string()


@pytest.mark.parametrize("name", PROOF_TABLES)
def test_mutants_are_refuted_with_a_witness(table, name):
    proofs = table(name)
    mutants = proofs[proofs["kind"] == "mutant"]
    assert len(mutants) > 0
    assert (mutants["outcome"] == "counterexample").all()
    assert (proofs.loc[proofs["outcome"] == "counterexample", "witness"] != "").all()
    assert proofs["name"].is_unique


def test_expectation_does_not_influence_the_outcome():
    x, y = Reals("x y")
    rows = decide(
        [
            Implication(f"{goal} {expected}", "", [x > 0, y > 0], goal, expected=expected)
            for goal in (x + y > x, x + y > 1)
            for expected in ("proved", "counterexample")
        ],
        seed=0,
        timeout_ms=2_000,
    )
    assert list(rows["outcome"]) == ["proved", "proved", "counterexample", "counterexample"]


def test_contradictory_premises_are_vacuous_not_proved():
    x, _ = Reals("x y")
    rows = decide([Implication("v", "", [x > 1, x < 0], x == 7)], seed=0, timeout_ms=2_000)
    assert rows["outcome"].item() == "vacuous"


def test_giving_up_is_unknown_not_proved():
    x, y = Reals("x y")
    hard = Implication("h", "", [x > 0, y > 0, x**y == 2], absolute(x**x - y**y) >= y**-x)
    assert decide([hard], seed=0, timeout_ms=200)["outcome"].item() == "unknown"


def test_identity_is_refuted_at_a_point_and_never_by_failed_simplification():
    x = sympy.Symbol("x", positive=True)
    rows = decide(
        [
            Identity("log", "", lambda: sympy.log(x**2), lambda: 2 * sympy.log(x)),
            Identity("square", "", lambda: x**2, lambda: 2 * x),
            Identity("hard", "", lambda: sympy.Max(x, -x), lambda: sympy.sqrt(x) ** 2),
        ],
        seed=0,
        timeout_ms=2_000,
    )
    assert list(rows["outcome"])[:2] == ["proved", "counterexample"]
    assert rows["outcome"].iloc[2] in ("proved", "unknown")
