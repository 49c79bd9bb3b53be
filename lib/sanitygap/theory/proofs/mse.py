"""Machine proofs for Theorem 4, Eq. (20)-(28) (App. D) of Binder et al. (2022)."""

from __future__ import annotations

import pandas as pd
import sympy
from z3 import And, Or, Reals

from sanitygap.theory.proofs.prover import Identity, Implication, decide


def statements() -> list[Implication | Identity]:
    """Theorem 4, its conditions and its range; the unnormalised MSE; Eq. (20)."""
    return [*_identities(), *_maximum(), *_range(), *_cause()]


def _expectation(expression: sympy.Expr) -> sympy.Expr:
    """E of a quadratic in A and B, in means, variances and covariance."""
    a, b = sympy.symbols("A B")
    ma, mb, cov = sympy.symbols("mean_a mean_b cov", real=True)
    va, vb = sympy.symbols("var_a var_b", positive=True)
    moments = {
        (2, 0): va + ma**2, (0, 2): vb + mb**2, (1, 1): cov + ma * mb,
        (1, 0): ma, (0, 1): mb, (0, 0): sympy.Integer(1),
    }  # fmt: skip
    polynomial = sympy.Poly(sympy.expand(expression), a, b)
    return sum(coefficient * moments[powers] for powers, coefficient in polynomial.terms())


def _identities() -> list[Implication | Identity]:
    a, b = sympy.symbols("A B")
    ma, mb, cov = sympy.symbols("mean_a mean_b cov", real=True)
    va, vb = sympy.symbols("var_a var_b", positive=True)
    ra, rb = sympy.sqrt(va + ma**2), sympy.sqrt(vb + mb**2)
    x, y, h, k = sympy.symbols("A_1 A_2 h_1 h_2", positive=True)

    def mean_square(p: sympy.Expr, q: sympy.Expr) -> sympy.Expr:
        return (p**2 + q**2) / 2

    return [
        Identity(
            "Eq. (21)-(23)",
            "E[(A/a - B/b)^2] = 2 - 2 cov/(ab) - 2 mean_a mean_b/(ab), a^2 = E[A^2], b^2 = E[B^2]",
            lambda: _expectation((a / ra - b / rb) ** 2),
            lambda: 2 - 2 * cov / (ra * rb) - 2 * ma * mb / (ra * rb),
        ),
        Identity(
            "Eq. (21)-(23) without the means",
            "E[(A/a - B/b)^2] = 2 - 2 cov/(ab)",
            lambda: _expectation((a / ra - b / rb) ** 2),
            lambda: 2 - 2 * cov / (ra * rb),
            expected="counterexample",
            kind="mutant",
        ),
        Identity(
            "Eq. (25)-(27)",
            "E[(A - B)^2] = var_a + var_b + (mean_a - mean_b)^2 - 2 cov",
            lambda: _expectation((a - b) ** 2),
            lambda: va + vb + (ma - mb) ** 2 - 2 * cov,
        ),
        Identity(
            "Eq. (25)-(27), sum of means",
            "E[(A - B)^2] = var_a + var_b + (mean_a + mean_b)^2 - 2 cov",
            lambda: _expectation((a - b) ** 2),
            lambda: va + vb + (ma + mb) ** 2 - 2 * cov,
            expected="counterexample",
            kind="mutant",
        ),
        Identity(
            "Eq. (20), denominator of A",
            "the mean square of A / sqrt(mean A^2) is 1 (two pixels)",
            lambda: mean_square(x, y) / mean_square(x, y),
            lambda: 1,
        ),
        Identity(
            "Eq. (20) as printed",
            "the mean square of A / sqrt(mean h^2) is 1 (two pixels)",
            lambda: mean_square(x, y) / mean_square(h, k),
            lambda: 1,
            expected="counterexample",
        ),
    ]


def _maximum() -> list[Implication | Identity]:
    # q = sqrt(E[A^2] E[B^2]); MSE * q = 2 q - 2 cov - 2 mean_a mean_b
    a2, b2, ma, mb, cov, q = Reals("second_a second_b mean_a mean_b cov scale")
    moments = [a2 > 0, b2 > 0, q > 0, q * q == a2 * b2, a2 >= ma * ma, b2 >= mb * mb]
    ma2, mb2, cov2 = Reals("mean_a2 mean_b2 cov2")
    value, at_zero = 2 * q - 2 * cov - 2 * ma * mb, 2 * q - 2 * ma * mb
    return [
        Implication(
            "maximum at zero covariance",
            "with means and second moments fixed and cov >= 0, MSE(cov) <= MSE(0), Eq. (24)",
            [*moments, cov >= 0],
            value <= at_zero,
        ),
        Implication(
            "maximum at zero covariance, any sign",
            "with means and second moments fixed, MSE(cov) <= MSE(0) for every cov",
            moments,
            value <= at_zero,
            expected="counterexample",
            kind="mutant",
        ),
        Implication(
            "maximum with free means",
            "with second moments fixed and means free, cov > 0 never exceeds the MSE at cov = 0",
            # |cov| is at most the product of the standard deviations
            [*moments, a2 >= ma2 * ma2, b2 >= mb2 * mb2, cov2 > 0]
            + [cov2 * cov2 <= (a2 - ma2 * ma2) * (b2 - mb2 * mb2)],
            2 * q - 2 * cov2 - 2 * ma2 * mb2 <= at_zero,
            expected="counterexample",
            kind="mutant",
        ),
        Implication(
            "Eq. (28)",
            "the unnormalised MSE with cov >= 0 is at most its value at cov = 0",
            [cov >= 0],
            (a2 - ma * ma) + (b2 - mb * mb) + (ma - mb) * (ma - mb) - 2 * cov
            <= (a2 - ma * ma) + (b2 - mb * mb) + (ma - mb) * (ma - mb),
        ),
    ]


def _range() -> list[Implication | Identity]:
    a2, b2, ma, mb, cov, q = Reals("second_a second_b mean_a mean_b cov scale")
    va, vb = a2 - ma * ma, b2 - mb * mb
    moments = [a2 > 0, b2 > 0, q > 0, q * q == a2 * b2, va >= 0, vb >= 0, cov * cov <= va * vb]
    value = 2 * q - 2 * cov - 2 * ma * mb
    return [
        Implication(
            "MSE in [0, 4]",
            "the normalised MSE lies in [0, 4]",
            moments,
            And(value >= 0, value <= 4 * q),
        ),
        Implication(
            "MSE at most 3.9",
            "the normalised MSE is at most 3.9",
            moments,
            10 * value <= 39 * q,
            expected="counterexample",
            kind="mutant",
        ),
        Implication(
            "MSE at most 2",
            "with cov >= 0 the normalised MSE is at most 2",
            [*moments, cov >= 0],
            value <= 2 * q,
            expected="counterexample",
        ),
        Implication(
            "MSE at most 2, non-negative product of means",
            "with cov >= 0 and mean_a mean_b >= 0 the normalised MSE is at most 2",
            [*moments, cov >= 0, ma * mb >= 0],
            value <= 2 * q,
        ),
    ]


def _cause() -> list[Implication | Identity]:
    """What a value of exactly 2 says about covariance and means."""
    ma, mb, cov, q = Reals("mean_a mean_b cov scale")
    is_two = [q > 0, 2 * q - 2 * cov - 2 * ma * mb == 2 * q, cov >= 0]
    return [
        Implication(
            "MSE of 2 means no covariance",
            "if the normalised MSE is 2 and cov >= 0, then cov = 0",
            is_two,
            cov == 0,
            expected="counterexample",
        ),
        Implication(
            "MSE of 2 means no covariance, non-negative product of means",
            "if the normalised MSE is 2, cov >= 0 and mean_a mean_b >= 0, then cov = 0 and one "
            "mean is 0",
            [*is_two, ma * mb >= 0],
            And(cov == 0, Or(ma == 0, mb == 0)),
        ),
    ]


def proofs(*, seed: int, timeout_ms: int = 10_000) -> pd.DataFrame:
    """Decide the statements of Theorem 4."""
    return decide(statements(), seed=seed, timeout_ms=timeout_ms)
