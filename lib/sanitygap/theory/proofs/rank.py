"""Machine proofs for Theorem 3, Eq. (17)-(19) and the equivalence after it (App. C).

Equation numbers are those of Binder et al. (2022).
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import sympy
from z3 import And, ArithRef, If, Real, Reals, RealVal, Sum

from sanitygap.theory.proofs.prover import Identity, Implication, Outcome, decide


def statements() -> list[Implication | Identity]:
    """Theorem 3, its conditions, and the equivalence of covariance and rank covariance."""
    return [*_ratio(), *_expectations(), *_equivalence(), *_rank_variance()]


def _ratio() -> list[Implication | Identity]:
    cov, sa, sb, rho = Reals("rank_cov sd_a sd_b rho")
    defined = [sa > 0, sb > 0, rho * sa * sb == cov]
    return [
        Implication(
            "minimum at zero rank covariance",
            "if rank_cov >= 0 then rho >= 0, and rho = 0 if and only if rank_cov = 0",
            [*defined, cov >= 0],
            And(rho >= 0, (rho == 0) == (cov == 0)),
        ),
        Implication(
            "minimum at zero rank covariance, any sign",
            "rho >= 0 for every rank_cov",
            [*defined, cov * cov <= sa * sa * sb * sb],
            rho >= 0,
            expected="counterexample",
            kind="mutant",
        ),
    ]


def _expectations() -> list[Implication | Identity]:
    """Two equally structured outcomes with chances p and 1 - p: expectation of the ratio."""
    p, r1, r2, c1, c2, s1, s2 = Reals("p rho_1 rho_2 cov_1 cov_2 scale_1 scale_2")
    mixture = [p > 0, p < 1, s1 > 0, s2 > 0, r1 * s1 == c1, r2 * s2 == c2]
    attainable = [r1 >= -1, r1 <= 1, r2 >= -1, r2 <= 1]
    nonnegative = p * c1 + (1 - p) * c2 >= 0
    return [
        Implication(
            "expected Spearman, ranks without ties",
            "if all outcomes have the same rank variances, E[rank_cov] >= 0 implies E[rho] >= 0",
            [*mixture, *attainable, s1 == s2, nonnegative],
            p * r1 + (1 - p) * r2 >= 0,
        ),
        Implication(
            "expected Spearman, ranks with ties",
            "E[rank_cov] >= 0 implies E[rho] >= 0, whatever the rank variances",
            [*mixture, *attainable, nonnegative],
            p * r1 + (1 - p) * r2 >= 0,
            expected="counterexample",
            kind="mutant",
        ),
    ]


def _ranks(values: Sequence[ArithRef]) -> list[ArithRef]:
    return [
        Sum([If(other < value, RealVal(1), RealVal(0)) for other in values]) for value in values
    ]


def _covariance(a: Sequence[ArithRef], b: Sequence[ArithRef]) -> ArithRef:
    """n^2 times the covariance, free of divisions."""
    return len(a) * Sum([x * y for x, y in zip(a, b, strict=True)]) - Sum(list(a)) * Sum(list(b))


def _equivalence() -> list[Implication | Identity]:
    items: list[Implication | Identity] = []
    outcomes: dict[int, Outcome] = {2: "proved", 3: "counterexample"}
    for n, expected in outcomes.items():
        a, b = ([Real(f"{letter}{i}") for i in range(n)] for letter in "ab")
        distinct = [x != y for v in (a, b) for i, x in enumerate(v) for y in v[:i]]
        items.append(
            Implication(
                f"rank covariance >= 0 iff covariance >= 0, {n} pixels",
                f"for {n} pixels without ties: rank_cov >= 0 if and only if cov >= 0",
                distinct,
                (_covariance(_ranks(a), _ranks(b)) >= 0) == (_covariance(a, b) >= 0),
                expected=expected,
            )
        )
    a, b = ([Real(f"{letter}{i}") for i in range(2)] for letter in "ab")
    items.append(
        Implication(
            "rank covariance >= 0 iff covariance >= 1, 2 pixels",
            "for 2 pixels without ties: rank_cov >= 0 if and only if cov >= 1",
            [a[0] != a[1], b[0] != b[1]],
            (_covariance(_ranks(a), _ranks(b)) >= 0) == (_covariance(a, b) >= 1),
            expected="counterexample",
            kind="mutant",
        )
    )
    return items


def _rank_variance() -> list[Implication | Identity]:
    n, k = sympy.symbols("n k", positive=True, integer=True)

    def variance() -> sympy.Expr:
        mean = sympy.summation(k, (k, 1, n)) / n
        return sympy.summation(k**2, (k, 1, n)) / n - mean**2

    return [
        Identity(
            "variance of ranks without ties",
            "the ranks 1, ..., n have variance (n^2 - 1) / 12",
            variance,
            lambda: (n**2 - 1) / sympy.Integer(12),
        ),
        Identity(
            "variance of ranks without ties, shifted",
            "the ranks 1, ..., n have variance (n^2 + 1) / 12",
            variance,
            lambda: (n**2 + 1) / sympy.Integer(12),
            expected="counterexample",
            kind="mutant",
        ),
    ]


def proofs(*, seed: int, timeout_ms: int = 10_000) -> pd.DataFrame:
    """Decide the statements of Theorem 3."""
    return decide(statements(), seed=seed, timeout_ms=timeout_ms)
