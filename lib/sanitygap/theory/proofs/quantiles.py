"""Machine checks of Eq. (29) and of the condition below it (App. D.1), Binder et al. (2022).

A quantity diverges if and only if the limit of its reciprocal is zero.
"""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import sympy

from sanitygap.theory.proofs.prover import Identity, Outcome, decide

Pair = tuple[sympy.Expr, sympy.Expr]

_E = sympy.Symbol("e", positive=True)  # tail probability 1 - p
_X = sympy.Symbol("x", positive=True)  # quantile F^-1(p)
_N, _RATE = sympy.symbols("n lambda", positive=True)


def _student_t4() -> Pair:
    ratio = _X / sympy.sqrt(_X**2 + 4)  # from the closed form of the t4 distribution function
    tail = sympy.Rational(1, 2) - ratio * (3 - ratio**2) / 4
    return tail, sympy.Rational(3, 8) * (1 + _X**2 / 4) ** sympy.Rational(-5, 2)


def _normal() -> Pair:
    root = sympy.sqrt(2)
    return sympy.erfc(_X / root) / 2, sympy.exp(-(_X**2) / 2) / sympy.sqrt(2 * sympy.pi)


# distribution -> (tail probability, density at the quantile), and the symbol that runs to its end
LAWS: dict[str, tuple[Callable[[], Pair], sympy.Symbol, sympy.Expr]] = {
    "uniform": (lambda: (_E, sympy.Integer(1)), _E, sympy.Integer(0)),
    "exponential": (lambda: (_E, _RATE * _E), _E, sympy.Integer(0)),
    "Pareto 3": (lambda: (_E, 3 * _E ** sympy.Rational(4, 3)), _E, sympy.Integer(0)),
    "Cauchy": (lambda: (_E, sympy.sin(sympy.pi * _E) ** 2 / sympy.pi), _E, sympy.Integer(0)),
    "Student t4": (_student_t4, _X, sympy.oo),
    "normal": (_normal, _X, sympy.oo),
}

PRINTED: dict[str, Outcome] = {
    "uniform": "counterexample",
    "exponential": "counterexample",
    "normal": "counterexample",
    "Pareto 3": "proved",
    "Cauchy": "proved",
    "Student t4": "proved",
}


def statements() -> list[Identity]:
    """Which of the two expressions diverge, and how they scale with the unit of the data."""
    items = []
    for name, expected in PRINTED.items():
        items.append(
            Identity(
                f"printed (29) diverges, {name}",
                f"p (1 - p) / (n f) diverges as p approaches 1: {name}",
                lambda name=name: _reciprocal_limit(name, 1),  # type: ignore[misc]
                lambda: sympy.Integer(0),
                expected=expected,
            )
        )
        uniform = name == "uniform"
        items.append(
            Identity(
                f"squared (29) diverges, {name}",
                f"p (1 - p) / (n f^2) diverges as p approaches 1: {name}",
                lambda name=name: _reciprocal_limit(name, 2),  # type: ignore[misc]
                lambda: sympy.Integer(0),
                expected="counterexample" if uniform else "proved",
                kind="mutant" if uniform else "statement",
            )
        )
    return [*items, *_condition(), *_units()]


def _reciprocal_limit(name: str, power: int) -> sympy.Expr:
    law, symbol, end = LAWS[name]
    tail, density = law()
    reciprocal = _N * density**power / (tail * (1 - tail))
    return sympy.limit(sympy.simplify(reciprocal), symbol, end)


def _condition() -> list[Identity]:
    f = sympy.Symbol("f", positive=True)
    return [
        Identity(
            "condition for the squared density",
            "p (1 - p) / (n f^2) = (p / n) (sqrt(1 - p) / f)^2: it diverges as p approaches 1 if "
            "and only if f / sqrt(1 - p) vanishes",
            lambda: (1 - _E) * _E / (_N * f**2),
            lambda: (1 - _E) / _N * (sympy.sqrt(_E) / f) ** 2,
        ),
        Identity(
            "uniform density meets the printed condition",
            "a constant density vanishes against 1 / (1 - p), the printed order",
            lambda: sympy.limit(_E, _E, 0),
            lambda: sympy.Integer(0),
        ),
    ]


def _units() -> list[Identity]:
    f, c, p = sympy.symbols("f c p", positive=True)

    def value(density: sympy.Expr, power: int) -> sympy.Expr:
        return p * (1 - p) / (_N * density**power)

    return [
        Identity(
            "unit of (29) with squared density",
            "if the data are multiplied by c, p (1 - p) / (n f^2) is multiplied by c^2",
            lambda: value(f / c, 2),
            lambda: c**2 * value(f, 2),
        ),
        Identity(
            "unit of (29) as printed",
            "if the data are multiplied by c, p (1 - p) / (n f) is multiplied by c^2",
            lambda: value(f / c, 1),
            lambda: c**2 * value(f, 1),
            expected="counterexample",
        ),
    ]


def proofs(*, seed: int, timeout_ms: int = 10_000) -> pd.DataFrame:
    """Decide the statements of Appendix D.1."""
    return decide(statements(), seed=seed, timeout_ms=timeout_ms)
