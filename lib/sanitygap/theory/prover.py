"""Decide formal statements by machine: z3 for real arithmetic, sympy for identities.

Every statement, whether we believe it or not, goes through the same decision procedure; what we
expect is recorded beside the outcome but never influences it. A deliberately wrong variant of a
statement (a *mutant*) guards against an encoding that would prove anything.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
import sympy
import z3

from sanitygap.table import table

Outcome = Literal["proved", "counterexample", "vacuous", "unknown"]
Kind = Literal["statement", "mutant"]
COLUMNS = [
    "name", "statement", "kind", "method", "expected", "outcome", "witness", "seconds",
]  # fmt: skip


@dataclass(frozen=True)
class Implication:
    """A statement over the reals, `premises` imply `goal`, decided by z3.

    `expected` says what we believe the outcome to be; tests compare the two.
    """

    name: str
    statement: str
    premises: Sequence[z3.BoolRef]
    goal: z3.BoolRef
    expected: Outcome = "proved"
    kind: Kind = "statement"

    method = "z3"

    def decide(self, *, seed: int, timeout_ms: int) -> tuple[Outcome, str]:
        """Return the outcome and, for a counterexample, a witness checked by substitution.

        `vacuous` means that no values satisfy the premises; `unknown` that z3 gave up.
        """
        premises = _solver(self.premises, seed, timeout_ms).check()
        if premises != z3.sat:
            return ("vacuous" if premises == z3.unsat else "unknown"), ""
        constraints = [*self.premises, z3.Not(self.goal)]
        solver = _solver(constraints, seed, timeout_ms)
        result = solver.check()
        if result == z3.unsat:
            return "proved", ""
        if result == z3.unknown:
            return "unknown", solver.reason_unknown()
        model = solver.model()
        if not all(z3.is_true(model.eval(c, model_completion=True)) for c in constraints):
            return "unknown", "the model found does not satisfy the constraints"
        return "counterexample", _describe(model)


@dataclass(frozen=True)
class Identity:
    """A statement `left == right` for every value of the free symbols, decided by sympy.

    A failed simplification is not a disproof: a counterexample is a point at which the two sides
    differ by more than 1e-9 of their size, evaluated with 50 digits.
    """

    name: str
    statement: str
    left: sympy.Expr
    right: sympy.Expr
    expected: Outcome = "proved"
    kind: Kind = "statement"

    method = "sympy"

    def decide(self, *, seed: int, timeout_ms: int) -> tuple[Outcome, str]:
        left, right = sympy.sympify(self.left), sympy.sympify(self.right)
        if left == right or sympy.simplify(left - right) == 0:
            return "proved", ""
        if left.is_infinite is not None and left.is_infinite is not right.is_infinite:
            return "counterexample", f"{left} != {right}"
        rng = np.random.default_rng(seed)
        for point in _points(left.free_symbols | right.free_symbols, rng):
            sides = [complex(side.evalf(50, subs=point)) for side in (left, right)]
            if abs(sides[0] - sides[1]) > 1e-9 * max(1.0, *map(abs, sides)):
                at = ", ".join(f"{symbol} = {value}" for symbol, value in point.items())
                return "counterexample", f"{sides[0].real:.6g} != {sides[1].real:.6g} at {at}"
        return "unknown", "sympy neither simplified the difference nor found a point"


Formula = Implication | Identity
Statements = Callable[[], Iterator[Formula]]


@dataclass(frozen=True)
class Statement:
    """Name and words of a statement; its methods add the formula and what we expect of it.

    A formula is either premises and the goal that they imply, of z3, or the two sides of an
    identity, of sympy.
    """

    name: str
    words: str

    def holds(self, *formula: Any) -> Formula:
        """The statement is true."""
        *premises, goal = formula
        if isinstance(goal, z3.BoolRef):
            return Implication(self.name, self.words, premises, goal)
        return Identity(self.name, self.words, *formula)

    def fails(self, *formula: Any) -> Formula:
        """The statement, which a paper makes or needs, has a counterexample."""
        return replace(self.holds(*formula), expected="counterexample")

    def mutant(self, *formula: Any) -> Formula:
        """The statement is a wrong variant of a true one and has a counterexample."""
        return replace(self.fails(*formula), kind="mutant")


#: table -> the statements that it decides
STATEMENTS: dict[str, Statements] = {}


def proof_table(name: str) -> Callable[[Statements], Statements]:
    """Register statements: as a table of a run that decides them, and in `STATEMENTS`."""

    def register(statements: Statements) -> Statements:
        def proofs(*, seed: int, timeout_ms: int = 10_000) -> pd.DataFrame:
            return decide(statements(), seed=seed, timeout_ms=timeout_ms)

        # the module whose code, with all that it imports, decides the numbers
        proofs.__module__, proofs.__doc__ = statements.__module__, statements.__doc__
        smoke, quick, full = ({"timeout_ms": limit} for limit in (5_000, 10_000, 60_000))
        table(name, smoke=smoke, quick=quick, full=full)(proofs)
        STATEMENTS[name] = statements
        return statements

    return register


def decide(statements: Iterable[Formula], *, seed: int, timeout_ms: int) -> pd.DataFrame:
    """Decide each statement; one row each, columns as in `COLUMNS`.

    Args:
        statements: what to decide.
        seed: z3's random seed and the seed of sympy's trial points.
        timeout_ms: z3's limit per query in milliseconds; `unknown` beyond it.
    """
    rows = []
    for item in list(statements):  # z3's witnesses depend on what it was told before
        start = time.perf_counter()
        words = item.name, item.statement, item.kind, item.method, item.expected
        outcome = item.decide(seed=seed, timeout_ms=timeout_ms)
        rows.append((*words, *outcome, time.perf_counter() - start))
    return pd.DataFrame(rows, columns=COLUMNS)


def absolute(x: z3.ArithRef) -> z3.ArithRef:
    """|x| in z3."""
    return z3.If(x >= 0, x, -x)


def positive_part(x: z3.ArithRef) -> z3.ArithRef:
    """max(x, 0) in z3: the ReLU."""
    return z3.If(x > 0, x, z3.RealVal(0))


def _solver(constraints: Iterable[z3.BoolRef], seed: int, timeout_ms: int) -> z3.Solver:
    solver = z3.Solver()
    solver.set("timeout", timeout_ms)
    solver.set("random_seed", seed)
    solver.add(*constraints)
    return solver


def _describe(model: z3.ModelRef) -> str:
    def text(value: Any) -> str:
        return value.as_decimal(6) if z3.is_algebraic_value(value) else str(value)

    pairs = sorted((str(d), text(model[d])) for d in model.decls() if d.arity() == 0)
    return ", ".join(f"{name} = {value}" for name, value in pairs)


def _points(
    symbols: set[sympy.Symbol], rng: np.random.Generator, count: int = 20
) -> Iterable[dict[sympy.Symbol, sympy.Rational]]:
    """Random points: integers for integer symbols, positive values for positive ones."""
    ordered = sorted(symbols, key=str)
    for _ in range(count):
        numerators = rng.integers(1, 40, len(ordered))
        signs = rng.choice([-1, 1], len(ordered))
        yield {
            s: sympy.Rational(int(n * (1 if s.is_positive else sign)), 1 if s.is_integer else 8)
            for s, n, sign in zip(ordered, numerators, signs, strict=True)
        }
