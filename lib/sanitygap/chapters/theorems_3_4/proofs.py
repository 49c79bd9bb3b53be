"""Machine proofs for Theorem 3, Eq. (17)-(19) and the equivalence after it (App. C).

Equation numbers are those of Binder et al. (2022).
"""

from collections.abc import Iterator, Sequence

import sympy
from z3 import And, ArithRef, If, Or, Real, Reals, RealVal, Sum

from sanitygap.theory.prover import Formula, Statement, proof_table


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


@proof_table("theorem-4-proofs")
def mse_statements() -> Iterator[Formula]:
    """Theorem 4, its conditions and its range; the unnormalised MSE; Eq. (20)."""
    yield from _identities()
    yield from _maximum()
    yield from _range()
    yield from _cause()


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


def _identities() -> Iterator[Formula]:
    a, b = sympy.symbols("A B")
    ma, mb, cov = sympy.symbols("mean_a mean_b cov", real=True)
    va, vb = sympy.symbols("var_a var_b", positive=True)
    ra, rb = sympy.sqrt(va + ma**2), sympy.sqrt(vb + mb**2)
    normalised, plain = _expectation((a / ra - b / rb) ** 2), _expectation((a - b) ** 2)
    yield Statement(
        "Eq. (21)-(23)",
        "E[(A/a - B/b)^2] = 2 - 2 cov/(ab) - 2 mean_a mean_b/(ab), a^2 = E[A^2], b^2 = E[B^2]",
    ).holds(normalised, 2 - 2 * cov / (ra * rb) - 2 * ma * mb / (ra * rb))
    yield Statement("Eq. (21)-(23) without the means", "E[(A/a - B/b)^2] = 2 - 2 cov/(ab)").mutant(
        normalised, 2 - 2 * cov / (ra * rb)
    )
    yield Statement(
        "Eq. (25)-(27)", "E[(A - B)^2] = var_a + var_b + (mean_a - mean_b)^2 - 2 cov"
    ).holds(plain, va + vb + (ma - mb) ** 2 - 2 * cov)
    yield Statement(
        "Eq. (25)-(27), sum of means", "E[(A - B)^2] = var_a + var_b + (mean_a + mean_b)^2 - 2 cov"
    ).mutant(plain, va + vb + (ma + mb) ** 2 - 2 * cov)
    x, y, h, k = sympy.symbols("A_1 A_2 h_1 h_2", positive=True)
    own, other = (x**2 + y**2) / 2, (h**2 + k**2) / 2
    yield Statement(
        "Eq. (20), denominator of A", "the mean square of A / sqrt(mean A^2) is 1 (two pixels)"
    ).holds(own / own, 1)
    yield Statement(
        "Eq. (20) as printed", "the mean square of A / sqrt(mean h^2) is 1 (two pixels)"
    ).fails(own / other, 1)


def _maximum() -> Iterator[Formula]:
    # q = sqrt(E[A^2] E[B^2]); MSE * q = 2 q - 2 cov - 2 mean_a mean_b
    a2, b2, ma, mb, cov, q = Reals("second_a second_b mean_a mean_b cov scale")
    moments = [a2 > 0, b2 > 0, q > 0, q * q == a2 * b2, a2 >= ma * ma, b2 >= mb * mb]
    ma2, mb2, cov2 = Reals("mean_a2 mean_b2 cov2")
    value, at_zero = 2 * q - 2 * cov - 2 * ma * mb, 2 * q - 2 * ma * mb
    yield Statement(
        "maximum at zero covariance",
        "with means and second moments fixed and cov >= 0, MSE(cov) <= MSE(0), Eq. (24)",
    ).holds(*moments, cov >= 0, value <= at_zero)
    yield Statement(
        "maximum at zero covariance, any sign",
        "with means and second moments fixed, MSE(cov) <= MSE(0) for every cov",
    ).mutant(*moments, value <= at_zero)
    # |cov| is at most the product of the standard deviations
    free = [a2 >= ma2 * ma2, b2 >= mb2 * mb2, cov2 > 0]
    free += [cov2 * cov2 <= (a2 - ma2 * ma2) * (b2 - mb2 * mb2)]
    yield Statement(
        "maximum with free means",
        "with second moments fixed and means free, cov > 0 never exceeds the MSE at cov = 0",
    ).mutant(*moments, *free, 2 * q - 2 * cov2 - 2 * ma2 * mb2 <= at_zero)
    unnormalised = (a2 - ma * ma) + (b2 - mb * mb) + (ma - mb) * (ma - mb)
    yield Statement(
        "Eq. (28)", "the unnormalised MSE with cov >= 0 is at most its value at cov = 0"
    ).holds(cov >= 0, unnormalised - 2 * cov <= unnormalised)


def _range() -> Iterator[Formula]:
    a2, b2, ma, mb, cov, q = Reals("second_a second_b mean_a mean_b cov scale")
    va, vb = a2 - ma * ma, b2 - mb * mb
    moments = [a2 > 0, b2 > 0, q > 0, q * q == a2 * b2, va >= 0, vb >= 0, cov * cov <= va * vb]
    value = 2 * q - 2 * cov - 2 * ma * mb
    yield Statement("MSE in [0, 4]", "the normalised MSE lies in [0, 4]").holds(
        *moments, And(value >= 0, value <= 4 * q)
    )
    yield Statement("MSE at most 3.9", "the normalised MSE is at most 3.9").mutant(
        *moments, 10 * value <= 39 * q
    )
    yield Statement("MSE at most 2", "with cov >= 0 the normalised MSE is at most 2").fails(
        *moments, cov >= 0, value <= 2 * q
    )
    yield Statement(
        "MSE at most 2, non-negative product of means",
        "with cov >= 0 and mean_a mean_b >= 0 the normalised MSE is at most 2",
    ).holds(*moments, cov >= 0, ma * mb >= 0, value <= 2 * q)


def _cause() -> Iterator[Formula]:
    """What a value of exactly 2 says about covariance and means."""
    ma, mb, cov, q = Reals("mean_a mean_b cov scale")
    is_two = [q > 0, 2 * q - 2 * cov - 2 * ma * mb == 2 * q, cov >= 0]
    yield Statement(
        "MSE of 2 means no covariance", "if the normalised MSE is 2 and cov >= 0, then cov = 0"
    ).fails(*is_two, cov == 0)
    yield Statement(
        "MSE of 2 means no covariance, non-negative product of means",
        "if the normalised MSE is 2, cov >= 0 and mean_a mean_b >= 0, then cov = 0 and one "
        "mean is 0",
    ).holds(*is_two, ma * mb >= 0, And(cov == 0, Or(ma == 0, mb == 0)))


# --- Eq. (29): a quantity diverges if and only if the limit of its reciprocal is zero -------------

Law = tuple[sympy.Expr, sympy.Expr, sympy.Symbol, sympy.Expr]

_TAIL = sympy.Symbol("e", positive=True)  # tail probability 1 - p
_X = sympy.Symbol("x", positive=True)  # quantile F^-1(p)
_N, _RATE = sympy.symbols("n lambda", positive=True)


def _laws() -> dict[str, Law]:
    """Law -> tail probability, density at the quantile, and the symbol that runs to its end."""
    e, x = _TAIL, _X
    ratio = x / sympy.sqrt(x**2 + 4)  # from the closed form of the t4 distribution function
    t4 = sympy.Rational(3, 8) * (1 + x**2 / 4) ** sympy.Rational(-5, 2)
    t4_tail = sympy.Rational(1, 2) - ratio * (3 - ratio**2) / 4
    normal = sympy.exp(-(x**2) / 2) / sympy.sqrt(2 * sympy.pi)
    return {
        "uniform": (e, sympy.Integer(1), e, sympy.Integer(0)),
        "exponential": (e, _RATE * e, e, sympy.Integer(0)),
        "normal": (sympy.erfc(x / sympy.sqrt(2)) / 2, normal, x, sympy.oo),
        "Pareto 3": (e, 3 * e ** sympy.Rational(4, 3), e, sympy.Integer(0)),
        "Cauchy": (e, sympy.sin(sympy.pi * e) ** 2 / sympy.pi, e, sympy.Integer(0)),
        "Student t4": (t4_tail, t4, x, sympy.oo),
    }


def _variance(density: sympy.Expr, power: int, tail: sympy.Expr) -> sympy.Expr:
    """Eq. (29), with the density to some power: p (1 - p) / (n f^power)."""
    return tail * (1 - tail) / (_N * density**power)


@proof_table("appendix-d1-proofs")
def quantiles() -> Iterator[Formula]:
    """Which of the two expressions diverge, and how they scale with the unit of the data."""
    bounded = {1: ("uniform", "exponential", "normal"), 2: ("uniform",)}
    for name, (tail, density, symbol, end) in _laws().items():
        for formula, power, symbols in (("printed", 1, "f"), ("squared", 2, "f^2")):
            statement = Statement(
                f"{formula} (29) diverges, {name}",
                f"p (1 - p) / (n {symbols}) diverges as p approaches 1: {name}",
            )
            wrong = statement.fails if power == 1 else statement.mutant
            expect = wrong if name in bounded[power] else statement.holds
            reciprocal = sympy.simplify(1 / _variance(density, power, tail))
            yield expect(sympy.limit(reciprocal, symbol, end), 0)
    f, c, p = sympy.symbols("f c p", positive=True)
    e = _TAIL
    yield Statement(
        "condition for the squared density",
        "p (1 - p) / (n f^2) = (p / n) (sqrt(1 - p) / f)^2: it diverges as p approaches 1 if "
        "and only if f / sqrt(1 - p) vanishes",
    ).holds((1 - e) * e / (_N * f**2), (1 - e) / _N * (sympy.sqrt(e) / f) ** 2)
    yield Statement(
        "uniform density meets the printed condition",
        "a constant density vanishes against 1 / (1 - p), the printed order",
    ).holds(sympy.limit(e, e, 0), 0)
    yield Statement(
        "unit of (29) with squared density",
        "if the data are multiplied by c, p (1 - p) / (n f^2) is multiplied by c^2",
    ).holds(_variance(f / c, 2, p), c**2 * _variance(f, 2, p))
    yield Statement(
        "unit of (29) as printed",
        "if the data are multiplied by c, p (1 - p) / (n f) is multiplied by c^2",
    ).fails(_variance(f / c, 1, p), c**2 * _variance(f, 1, p))
