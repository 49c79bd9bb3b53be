"""The prover decides by the same procedure whatever is expected, and every proof has a mutant."""

from dataclasses import replace

import pytest
import sympy
from z3 import Not, Reals

from sanitygap import tables  # noqa: F401  (it registers them)
from sanitygap.theory.prover import COLUMNS, STATEMENTS, Identity, Implication, absolute, decide


@pytest.mark.parametrize("name", STATEMENTS)
def test_every_statement_has_the_expected_outcome(table, name):
    proofs = table(name)
    assert list(proofs.columns) == COLUMNS
    wrong = proofs[proofs["outcome"] != proofs["expected"]]
    assert wrong.empty, wrong[["name", "expected", "outcome", "witness"]].to_string()


@pytest.mark.parametrize("name", STATEMENTS)
def test_mutants_are_refuted_with_a_witness(table, name):
    proofs = table(name)
    mutants = proofs[proofs["kind"] == "mutant"]
    assert len(mutants) > 0
    assert (mutants["outcome"] == "counterexample").all()
    assert (proofs.loc[proofs["outcome"] == "counterexample", "witness"] != "").all()
    assert proofs["name"].is_unique


def proved_statements(name: str, kind: type) -> list:
    """The statements of a table that are expected to be proved."""
    return [
        item
        for item in STATEMENTS[name]()
        if isinstance(item, kind) and item.expected == "proved" and item.kind == "statement"
    ]


@pytest.mark.parametrize("name", STATEMENTS)
def test_the_opposite_of_each_proved_implication_is_refuted(name):
    for item in proved_statements(name, Implication):
        opposite = replace(item, goal=Not(item.goal))
        outcome, witness = opposite.decide(seed=0, timeout_ms=5_000)
        assert outcome == "counterexample", item.name
        assert witness, item.name


#: true with either premise missing; its false variant stands in the table
TRUE_WITH_TIES = "rank covariance >= 0 iff covariance >= 0, 2 pixels"


@pytest.mark.parametrize("name", STATEMENTS)
def test_each_proved_implication_is_refuted_without_one_of_its_premises(name):
    for item in proved_statements(name, Implication):
        without = (
            replace(item, premises=[*item.premises[:i], *item.premises[i + 1 :]])
            for i in range(len(item.premises))
        )
        outcomes = (variant.decide(seed=0, timeout_ms=1_000)[0] for variant in without)
        needs_one = "counterexample" in outcomes
        assert needs_one or not item.premises or item.name == TRUE_WITH_TIES, item.name


@pytest.mark.parametrize("name", STATEMENTS)
def test_each_proved_identity_is_refuted_with_another_right_side(name):
    for item in proved_statements(name, Identity):
        right = sympy.sympify(item.right)
        for wrong in (right * sympy.Rational(101, 100) + sympy.Rational(1, 100), right + 1):
            variant = replace(item, right=wrong)
            assert variant.decide(seed=0, timeout_ms=0)[0] == "counterexample", item.name


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
            Identity("log", "", sympy.log(x**2), 2 * sympy.log(x)),
            Identity("square", "", x**2, 2 * x),
            Identity("hard", "", sympy.Max(x, -x), sympy.sqrt(x) ** 2),
        ],
        seed=0,
        timeout_ms=2_000,
    )
    assert list(rows["outcome"])[:2] == ["proved", "counterexample"]
    assert rows["outcome"].iloc[2] in ("proved", "unknown")
