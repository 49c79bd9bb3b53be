"""Machine proofs for Theorem 2, Eq. (7)-(8) and (30)-(50) (App. E) of Binder et al. (2022).

The two sums S and L over X_S and X_L are zero-mean normals. Scaled to equal variance they have a
uniform angle t, with L proportional to cos t and S to gamma sin t.
"""

from __future__ import annotations

import pandas as pd
import sympy
from z3 import Q, Real, Sum

from sanitygap.theory.proofs.prover import Identity, Implication, decide

GAMMA, K = sympy.symbols("gamma K", positive=True)
SMALL, LARGE = sympy.symbols("n_S n_L", positive=True)
PI = sympy.pi


def statements() -> list[Implication | Identity]:
    """Events of Theorem 2, the steps of its proof, and the version for averages."""
    return [*_events(), *_density(), *_variances(), *_chain(), *_tail(), *_averages()]


def _wedge(start: sympy.Expr, end: sympy.Expr) -> sympy.Expr:
    """Probability that the angle lies between start and end."""
    t = sympy.Symbol("t", real=True)
    return sympy.integrate(1 / (2 * PI), (t, start, end))


def _events() -> list[Implication | Identity]:
    joint = _wedge(sympy.atan(1 / GAMMA), PI / 2)
    tail = sympy.Rational(1, 2) - sympy.atan(1 / GAMMA) / PI  # P(Z >= 1) with scale gamma
    slope = sympy.Symbol("slope", positive=True)
    rho = slope / sympy.sqrt(1 + slope**2)  # any correlation in (0, 1)
    shared = (1 / GAMMA - rho) / sympy.sqrt(1 - rho**2)
    return [
        Identity(
            "joint event has half the tail",
            "P(0 < L <= S) = P(Z >= 1) / 2 with scale gamma",
            lambda: joint,
            lambda: tail / 2,
        ),
        Identity(
            "joint event has the tail, as printed",
            "P(0 < L <= S) = P(Z >= 1) with scale gamma",
            lambda: joint,
            lambda: tail,
            expected="counterexample",
        ),
        Identity(
            "conditional event has the tail",
            "P(S >= L | L > 0) = P(Z >= 1) with scale gamma",
            lambda: joint / sympy.Rational(1, 2),
            lambda: tail,
        ),
        Identity(
            "two-sided event has twice the tail",
            "P(|S| >= |L|) = 2 P(Z >= 1) with scale gamma",
            lambda: 4 * joint,
            lambda: 2 * tail,
        ),
        Identity(
            "conditional event, correlated sums",
            "P(S >= L | L > 0) = P(Z >= 1) even if the sums share weights (correlation rho)",
            lambda: 2 * _wedge(sympy.atan(shared), PI / 2),
            lambda: tail,
            expected="counterexample",
            kind="mutant",
        ),
    ]


def _density() -> list[Implication | Identity]:
    x, z = sympy.symbols("x z", positive=True)

    def ratio_density() -> sympy.Expr:
        normal = sympy.exp(-(x**2) / 2) / sympy.sqrt(2 * PI)
        scaled = sympy.exp(-((z * x / GAMMA) ** 2) / 2) / (sympy.sqrt(2 * PI) * GAMMA)
        return 2 * sympy.integrate(x * normal * scaled, (x, 0, sympy.oo))

    return [
        Identity(
            "Eq. (31)",
            "the ratio of two zero-mean normals has density 1 / (pi gamma (z^2/gamma^2 + 1))",
            ratio_density,
            lambda: 1 / (PI * GAMMA * (z**2 / GAMMA**2 + 1)),
        ),
        Identity(
            "Eq. (31), inverted gamma",
            "the ratio of two zero-mean normals has density gamma / (pi (z^2 gamma^2 + 1))",
            ratio_density,
            lambda: GAMMA / (PI * (z**2 * GAMMA**2 + 1)),
            expected="counterexample",
            kind="mutant",
        ),
    ]


def _variances() -> list[Implication | Identity]:
    sigma, x1, x2, x3 = sympy.symbols("sigma x_1 x_2 x_3", positive=True)
    weights = sympy.symbols("w_1 w_2 w_3")

    def variance() -> sympy.Expr:
        """Expectation of (w x)^2 for independent weights of variance sigma^2."""
        total = sum(w * x for w, x in zip(weights, (x1, x2, x3), strict=True))
        terms = sympy.Poly(sympy.expand(total**2), *weights).terms()
        return sum(c * sigma**2 for powers, c in terms if max(powers) == 2)

    squares = x1**2 + x2**2 + x3**2
    return [
        Identity(
            "variance of a sum",
            "Var(w_1 x_1 + w_2 x_2 + w_3 x_3) = sigma^2 (x_1^2 + x_2^2 + x_3^2)",
            variance,
            lambda: sigma**2 * squares,
        ),
        Identity(
            "Eq. (35) as printed",
            "Var(w_1 x_1 + w_2 x_2 + w_3 x_3) = x_1^2 + x_2^2 + x_3^2",
            variance,
            lambda: squares,
            expected="counterexample",
        ),
        Identity(
            "sigma cancels in Eq. (37)",
            "sqrt(sigma^2 a / (sigma^2 b)) = sqrt(a / b)",
            lambda: sympy.sqrt(sigma**2 * x1 / (sigma**2 * x2)),
            lambda: sympy.sqrt(x1 / x2),
        ),
    ]


def _chain() -> list[Implication | Identity]:
    """Eq. (38)-(42): the bound on gamma_1 from the ratio of the activations."""
    items: list[Implication | Identity] = []
    ratio = Real("K")
    for n_small, n_large in ((1, 1), (1, 2), (2, 1), (2, 2), (3, 2)):
        small = [Real(f"s{i}") for i in range(n_small)]
        large = [Real(f"l{i}") for i in range(n_large)]
        premises = [ratio >= 0, *(x >= 0 for x in (*small, *large))]
        premises += [y >= ratio * x for y in large for x in small]
        left = ratio * ratio * n_large * Sum([x * x for x in small])
        right = n_small * Sum([y * y for y in large])
        sizes = f"|X_S| = {n_small}, |X_L| = {n_large}"
        items.append(
            Implication(
                f"Eq. (39)-(41), {sizes}",
                f"gamma_1 <= sqrt(|X_S| / |X_L|) / K for {sizes}",
                premises,
                left <= right,
            )
        )
    s, l, k = (Real(name) for name in ("s", "l", "K"))  # noqa: E741
    one = [k > 0, s > 0, l >= k * s]
    items += [
        Implication(
            "Eq. (39)-(41), one per cent lower",
            "gamma_1 <= 0.99 sqrt(|X_S| / |X_L|) / K for single activations",
            one,
            k * k * s * s <= Q(98, 100) * l * l,
            expected="counterexample",
            kind="mutant",
        ),
        Implication(
            "Eq. (42) as printed",
            "gamma_1 <= sqrt(|X_S| / (|X_L| K)) for single activations",
            one,
            k * s * s <= l * l,
            expected="counterexample",
        ),
        Implication(
            "Eq. (42) as printed, K >= 1",
            "gamma_1 <= sqrt(|X_S| / (|X_L| K)) for single activations and K >= 1",
            [*one, k >= 1],
            k * s * s <= l * l,
        ),
        Implication(
            "equality of the bound",
            "gamma_1 = sqrt(|X_S| / |X_L|) / K whenever Eq. (7) holds",
            one,
            k * k * s * s == l * l,
            expected="counterexample",
        ),
        Implication(
            "equality for constant activations",
            "gamma_1 = sqrt(|X_S| / |X_L|) / K if all ratios are exactly K",
            [k > 0, s > 0, l == k * s],
            k * k * s * s == l * l,
        ),
        Identity(
            "Eq. (42) corrected",
            "sqrt((|X_S| / |X_L|) / K^2) = sqrt(|X_S| / |X_L|) / K",
            lambda: sympy.sqrt(SMALL / (LARGE * K**2)),
            lambda: sympy.sqrt(SMALL / LARGE) / K,
        ),
        Identity(
            "Eq. (41) to (42) as printed",
            "sqrt((|X_S| / |X_L|) / K^2) = sqrt((|X_S| / |X_L|) / K)",
            lambda: sympy.sqrt(SMALL / (LARGE * K**2)),
            lambda: sympy.sqrt(SMALL / LARGE / K),
            expected="counterexample",
        ),
    ]
    return items


def _tail() -> list[Implication | Identity]:
    def cdf(scale: sympy.Expr, x: sympy.Expr) -> sympy.Expr:
        return sympy.Rational(1, 2) + sympy.atan(x / scale) / PI

    root = sympy.sqrt(SMALL / LARGE)
    return [
        Identity(
            "Eq. (43)-(45)",
            "the distribution function with scale gamma / K at 1 is that with scale gamma at K",
            lambda: cdf(root / K, sympy.Integer(1)),
            lambda: cdf(root, K),
        ),
        Identity(
            "arctan(x) + arctan(1 / x) is constant",
            "the derivative of arctan(x) + arctan(1 / x) vanishes for x > 0; so the tail is "
            "arctan(gamma / K) / pi",
            lambda: sympy.diff(sympy.atan(GAMMA) + sympy.atan(1 / GAMMA), GAMMA),
            lambda: sympy.Integer(0),
        ),
        Identity(
            "arctan(x) + arctan(1 / x) at 1",
            "arctan(1) + arctan(1) = pi / 2",
            lambda: 2 * sympy.atan(1),
            lambda: PI / 2,
        ),
        Identity(
            "tail increases with gamma",
            "the derivative of the tail by gamma is K / (pi (gamma^2 + K^2)), which is positive",
            lambda: sympy.diff(1 - cdf(GAMMA, K), GAMMA),
            lambda: K / (PI * (GAMMA**2 + K**2)),
        ),
        Identity(
            "tail tends to one half",
            "the tail tends to 1/2 as |X_S| / |X_L| grows: it is not low in general",
            lambda: sympy.limit(1 - cdf(GAMMA, K), GAMMA, sympy.oo),
            lambda: sympy.Rational(1, 2),
        ),
    ]


def _averages() -> list[Implication | Identity]:
    return [
        Identity(
            "Eq. (49)",
            "sqrt((1 / |X_S|^2) / (1 / |X_L|^2)) = |X_L| / |X_S|",
            lambda: sympy.sqrt((1 / SMALL**2) / (1 / LARGE**2)),
            lambda: LARGE / SMALL,
        ),
        Identity(
            "Eq. (50)",
            "(|X_L| / |X_S|) sqrt(|X_S| / |X_L|) = sqrt(|X_L| / |X_S|)",
            lambda: LARGE / SMALL * sympy.sqrt(SMALL / LARGE),
            lambda: sympy.sqrt(LARGE / SMALL),
        ),
        Identity(
            "gamma of sums is gamma of averages",
            "sqrt(|X_S| / |X_L|) = sqrt(|X_L| / |X_S|), as title and statement would need",
            lambda: sympy.sqrt(SMALL / LARGE),
            lambda: sympy.sqrt(LARGE / SMALL),
            expected="counterexample",
        ),
        Identity(
            "limit of averaged absolute scores",
            "P(K |w| <= E|w|) = erf(1 / (K sqrt(pi))) for a standard normal w",
            lambda: _absolute_below(sympy.sqrt(2 / PI) / K),
            lambda: sympy.erf(1 / (K * sympy.sqrt(PI))),
        ),
        Identity(
            "limit of averaged absolute scores, as in footnote 9",
            "P(K |w| <= E|w|) = 0, the limit of the tail of footnote 9",
            lambda: _absolute_below(sympy.sqrt(2 / PI) / K),
            lambda: sympy.Integer(0),
            expected="counterexample",
        ),
    ]


def _absolute_below(level: sympy.Expr) -> sympy.Expr:
    """P(|w| <= level) of a standard normal."""
    x = sympy.Symbol("x", positive=True)
    density = sympy.sqrt(2 / PI) * sympy.exp(-(x**2) / 2)
    return sympy.integrate(density, (x, 0, level))


def proofs(*, seed: int, timeout_ms: int = 10_000) -> pd.DataFrame:
    """Decide the statements of Theorem 2."""
    return decide(statements(), seed=seed, timeout_ms=timeout_ms)
