"""Machine proofs for Theorem 2, Eq. (7)-(8) and (30)-(50) (App. E) of Binder et al. (2022).

The two sums S and L over X_S and X_L are zero-mean normals. Scaled to equal variance they have a
uniform angle t, with L proportional to cos t and S to gamma sin t.
"""

from collections.abc import Iterator

import sympy
from sympy import Rational, atan, sqrt
from z3 import Q, Real, Reals, Sum

from sanitygap.theory.prover import Formula, Statement, proof_table

GAMMA, K = sympy.symbols("gamma K", positive=True)
SMALL, LARGE = sympy.symbols("n_S n_L", positive=True)
PI = sympy.pi


@proof_table("theorem-2-proofs")
def statements() -> Iterator[Formula]:
    """Events of Theorem 2, the steps of its proof, and the version for averages."""
    yield from _events()
    yield from _density()
    yield from _variances()
    yield from _chain()
    yield from _tail()
    yield from _averages()


def _wedge(start: sympy.Expr, end: sympy.Expr) -> sympy.Expr:
    """Probability that the angle lies between start and end."""
    t = sympy.Symbol("t", real=True)
    return sympy.integrate(1 / (2 * PI), (t, start, end))


def _events() -> Iterator[Formula]:
    joint = _wedge(atan(1 / GAMMA), PI / 2)
    tail = Rational(1, 2) - atan(1 / GAMMA) / PI  # P(Z >= 1) with scale gamma
    slope = sympy.Symbol("slope", positive=True)
    rho = slope / sqrt(1 + slope**2)  # any correlation in (0, 1)
    shared = (1 / GAMMA - rho) / sqrt(1 - rho**2)
    scale = "with scale gamma"
    yield Statement(
        "joint event has half the tail", f"P(0 < L <= S) = P(Z >= 1) / 2 {scale}"
    ).holds(joint, tail / 2)
    yield Statement(
        "joint event has the tail, as printed", f"P(0 < L <= S) = P(Z >= 1) {scale}"
    ).fails(joint, tail)
    yield Statement(
        "conditional event has the tail", f"P(S >= L | L > 0) = P(Z >= 1) {scale}"
    ).holds(joint / Rational(1, 2), tail)
    yield Statement(
        "two-sided event has twice the tail", f"P(|S| >= |L|) = 2 P(Z >= 1) {scale}"
    ).holds(4 * joint, 2 * tail)
    yield Statement(
        "conditional event, correlated sums",
        "P(S >= L | L > 0) = P(Z >= 1) even if the sums share weights (correlation rho)",
    ).mutant(2 * _wedge(atan(shared), PI / 2), tail)


def _density() -> Iterator[Formula]:
    x, z = sympy.symbols("x z", positive=True)
    normal = sympy.exp(-(x**2) / 2) / sqrt(2 * PI)
    scaled = sympy.exp(-((z * x / GAMMA) ** 2) / 2) / (sqrt(2 * PI) * GAMMA)
    density = 2 * sympy.integrate(x * normal * scaled, (x, 0, sympy.oo))
    words = "the ratio of two zero-mean normals has density"
    yield Statement("Eq. (31)", f"{words} 1 / (pi gamma (z^2/gamma^2 + 1))").holds(
        density, 1 / (PI * GAMMA * (z**2 / GAMMA**2 + 1))
    )
    yield Statement("Eq. (31), inverted gamma", f"{words} gamma / (pi (z^2 gamma^2 + 1))").mutant(
        density, GAMMA / (PI * (z**2 * GAMMA**2 + 1))
    )


def _variances() -> Iterator[Formula]:
    sigma, x1, x2, x3 = sympy.symbols("sigma x_1 x_2 x_3", positive=True)
    weights = sympy.symbols("w_1 w_2 w_3")
    # expectation of (w x)^2 for independent weights of variance sigma^2
    total = sum(w * x for w, x in zip(weights, (x1, x2, x3), strict=True))
    terms = sympy.Poly(sympy.expand(total**2), *weights).terms()
    variance = sum(c * sigma**2 for powers, c in terms if max(powers) == 2)
    squares = x1**2 + x2**2 + x3**2
    words = "Var(w_1 x_1 + w_2 x_2 + w_3 x_3) ="
    yield Statement("variance of a sum", f"{words} sigma^2 (x_1^2 + x_2^2 + x_3^2)").holds(
        variance, sigma**2 * squares
    )
    yield Statement("Eq. (35) as printed", f"{words} x_1^2 + x_2^2 + x_3^2").fails(
        variance, squares
    )
    yield Statement(
        "sigma cancels in Eq. (37)", "sqrt(sigma^2 a / (sigma^2 b)) = sqrt(a / b)"
    ).holds(sqrt(sigma**2 * x1 / (sigma**2 * x2)), sqrt(x1 / x2))


def _chain() -> Iterator[Formula]:
    """Eq. (38)-(42): the bound on gamma_1 from the ratio of the activations."""
    s, l, k = Reals("s l K")  # noqa: E741
    for n_small, n_large in ((1, 1), (1, 2), (2, 1), (2, 2), (3, 2)):
        small = [Real(f"s{i}") for i in range(n_small)]
        large = [Real(f"l{i}") for i in range(n_large)]
        premises = [k >= 0, *(x >= 0 for x in (*small, *large))]
        premises += [y >= k * x for y in large for x in small]
        left = k * k * n_large * Sum([x * x for x in small])
        sizes = f"|X_S| = {n_small}, |X_L| = {n_large}"
        yield Statement(
            f"Eq. (39)-(41), {sizes}", f"gamma_1 <= sqrt(|X_S| / |X_L|) / K for {sizes}"
        ).holds(*premises, left <= n_small * Sum([y * y for y in large]))
    ratio = [k > 0, s > 0, l >= k * s]
    yield Statement(
        "Eq. (39)-(41), one per cent lower",
        "gamma_1 <= 0.99 sqrt(|X_S| / |X_L|) / K for single activations",
    ).mutant(*ratio, k * k * s * s <= Q(98, 100) * l * l)
    words = "gamma_1 <= sqrt(|X_S| / (|X_L| K)) for single activations"
    yield Statement("Eq. (42) as printed", words).fails(*ratio, k * s * s <= l * l)
    yield Statement("Eq. (42) as printed, K >= 1", f"{words} and K >= 1").holds(
        *ratio, k >= 1, k * s * s <= l * l
    )
    equal, words = k * k * s * s == l * l, "gamma_1 = sqrt(|X_S| / |X_L|) / K"
    yield Statement("equality of the bound", f"{words} whenever Eq. (7) holds").fails(*ratio, equal)
    yield Statement(
        "equality for constant activations", f"{words} if all ratios are exactly K"
    ).holds(k > 0, s > 0, l == k * s, equal)
    root = sqrt(SMALL / (LARGE * K**2))
    yield Statement(
        "Eq. (42) corrected", "sqrt((|X_S| / |X_L|) / K^2) = sqrt(|X_S| / |X_L|) / K"
    ).holds(root, sqrt(SMALL / LARGE) / K)
    yield Statement(
        "Eq. (41) to (42) as printed", "sqrt((|X_S| / |X_L|) / K^2) = sqrt((|X_S| / |X_L|) / K)"
    ).fails(root, sqrt(SMALL / LARGE / K))


def _tail() -> Iterator[Formula]:
    def cdf(scale: sympy.Expr, x: sympy.Expr) -> sympy.Expr:
        return Rational(1, 2) + atan(x / scale) / PI

    root = sqrt(SMALL / LARGE)
    yield Statement(
        "Eq. (43)-(45)",
        "the distribution function with scale gamma / K at 1 is that with scale gamma at K",
    ).holds(cdf(root / K, sympy.Integer(1)), cdf(root, K))
    yield Statement(
        "arctan(x) + arctan(1 / x) is constant",
        "the derivative of arctan(x) + arctan(1 / x) vanishes for x > 0; so the tail is "
        "arctan(gamma / K) / pi",
    ).holds(sympy.diff(atan(GAMMA) + atan(1 / GAMMA), GAMMA), 0)
    yield Statement("arctan(x) + arctan(1 / x) at 1", "arctan(1) + arctan(1) = pi / 2").holds(
        2 * atan(1), PI / 2
    )
    yield Statement(
        "tail increases with gamma",
        "the derivative of the tail by gamma is K / (pi (gamma^2 + K^2)), which is positive",
    ).holds(sympy.diff(1 - cdf(GAMMA, K), GAMMA), K / (PI * (GAMMA**2 + K**2)))
    yield Statement(
        "tail tends to one half",
        "the tail tends to 1/2 as |X_S| / |X_L| grows: it is not low in general",
    ).holds(sympy.limit(1 - cdf(GAMMA, K), GAMMA, sympy.oo), Rational(1, 2))


def _averages() -> Iterator[Formula]:
    sums, averages = sqrt(SMALL / LARGE), sqrt(LARGE / SMALL)
    yield Statement("Eq. (49)", "sqrt((1 / |X_S|^2) / (1 / |X_L|^2)) = |X_L| / |X_S|").holds(
        sqrt((1 / SMALL**2) / (1 / LARGE**2)), LARGE / SMALL
    )
    yield Statement("Eq. (50)", "(|X_L| / |X_S|) sqrt(|X_S| / |X_L|) = sqrt(|X_L| / |X_S|)").holds(
        LARGE / SMALL * sums, averages
    )
    yield Statement(
        "gamma of sums is gamma of averages",
        "sqrt(|X_S| / |X_L|) = sqrt(|X_L| / |X_S|), as title and statement would need",
    ).fails(sums, averages)
    x = sympy.Symbol("x", positive=True)
    density = sqrt(2 / PI) * sympy.exp(-(x**2) / 2)  # of |w|
    below = sympy.integrate(density, (x, 0, sqrt(2 / PI) / K))
    name, words = "limit of averaged absolute scores", "P(K |w| <= E|w|) ="
    yield Statement(name, f"{words} erf(1 / (K sqrt(pi))) for a standard normal w").holds(
        below, sympy.erf(1 / (K * sqrt(PI)))
    )
    yield Statement(
        f"{name}, as in footnote 9", f"{words} 0, the limit of the tail of footnote 9"
    ).fails(below, 0)
