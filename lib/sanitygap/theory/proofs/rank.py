"""Machine proofs for Theorem 3, Eq. (17)-(19) and the equivalence after it (App. C).

Equation numbers are those of Binder et al. (2022).
"""

from collections.abc import Iterator, Sequence

import sympy
from z3 import And, ArithRef, If, Real, Reals, RealVal, Sum

from sanitygap.theory.proofs.prover import Formula, Statement, proof_table


@proof_table("theorem-3-proofs")
def statements() -> Iterator[Formula]:
    """Theorem 3, its conditions, and the equivalence of covariance and rank covariance."""
    cov, sa, sb, rho = Reals("rank_cov sd_a sd_b rho")
    defined = [sa > 0, sb > 0, rho * sa * sb == cov]
    yield Statement(
        "minimum at zero rank covariance",
        "if rank_cov >= 0 then rho >= 0, and rho = 0 if and only if rank_cov = 0",
    ).holds(*defined, cov >= 0, And(rho >= 0, (rho == 0) == (cov == 0)))
    yield Statement(
        "minimum at zero rank covariance, any sign", "rho >= 0 for every rank_cov"
    ).mutant(*defined, cov * cov <= sa * sa * sb * sb, rho >= 0)
    yield from _expectations()
    yield from _equivalence()
    n, k = sympy.symbols("n k", positive=True, integer=True)
    mean = sympy.summation(k, (k, 1, n)) / n
    variance = sympy.summation(k**2, (k, 1, n)) / n - mean**2
    name, words = "variance of ranks without ties", "the ranks 1, ..., n have variance"
    yield Statement(name, f"{words} (n^2 - 1) / 12").holds(variance, (n**2 - 1) / 12)
    yield Statement(f"{name}, shifted", f"{words} (n^2 + 1) / 12").mutant(variance, (n**2 + 1) / 12)


def _expectations() -> Iterator[Formula]:
    """Two equally structured outcomes with chances p and 1 - p: expectation of the ratio."""
    p, r1, r2, c1, c2, s1, s2 = Reals("p rho_1 rho_2 cov_1 cov_2 scale_1 scale_2")
    mixture = [p > 0, p < 1, s1 > 0, s2 > 0, r1 * s1 == c1, r2 * s2 == c2]
    attainable = [r1 >= -1, r1 <= 1, r2 >= -1, r2 <= 1]
    nonnegative = p * c1 + (1 - p) * c2 >= 0
    expected = p * r1 + (1 - p) * r2 >= 0
    yield Statement(
        "expected Spearman, ranks without ties",
        "if all outcomes have the same rank variances, E[rank_cov] >= 0 implies E[rho] >= 0",
    ).holds(*mixture, *attainable, s1 == s2, nonnegative, expected)
    yield Statement(
        "expected Spearman, ranks with ties",
        "E[rank_cov] >= 0 implies E[rho] >= 0, whatever the rank variances",
    ).mutant(*mixture, *attainable, nonnegative, expected)


def _ranks(values: Sequence[ArithRef]) -> list[ArithRef]:
    return [
        Sum([If(other < value, RealVal(1), RealVal(0)) for other in values]) for value in values
    ]


def _covariance(a: Sequence[ArithRef], b: Sequence[ArithRef]) -> ArithRef:
    """n^2 times the covariance, free of divisions."""
    return len(a) * Sum([x * y for x, y in zip(a, b, strict=True)]) - Sum(list(a)) * Sum(list(b))


def _equivalence() -> Iterator[Formula]:
    name, words = "rank covariance >= 0 iff covariance >=", "pixels without ties: rank_cov >= 0"
    for n in (2, 3):
        a, b = ([Real(f"{letter}{i}") for i in range(n)] for letter in "ab")
        distinct = [x != y for v in (a, b) for i, x in enumerate(v) for y in v[:i]]
        goal = (_covariance(_ranks(a), _ranks(b)) >= 0) == (_covariance(a, b) >= 0)
        statement = Statement(f"{name} 0, {n} pixels", f"for {n} {words} if and only if cov >= 0")
        expect = statement.holds if n == 2 else statement.fails
        yield expect(*distinct, goal)
    a, b = a[:2], b[:2]
    yield Statement(f"{name} 1, 2 pixels", f"for 2 {words} if and only if cov >= 1").mutant(
        a[0] != a[1],
        b[0] != b[1],
        (_covariance(_ranks(a), _ranks(b)) >= 0) == (_covariance(a, b) >= 1),
    )
