"""Machine proofs for Theorem 1 and Eq. (1)-(2), (12)-(16) of Binder et al. (2022).

Divisions are removed by multiplying with denominators, which are positive because C1, C2 > 0.
"""

from collections.abc import Iterator

import sympy
from z3 import And, ArithRef, Q, Reals

from sanitygap.theory.prover import Formula, Statement, absolute, proof_table


@proof_table("theorem-1-proofs")
def statements() -> Iterator[Formula]:
    """What Theorem 1 says, step by step, each with a wrong variant that must be refuted."""
    a, b, cov, va, vb, c1, c2 = Reals("mean_a mean_b cov var_a var_b C1 C2")
    va2, vb2 = Reals("var_a2 var_b2")
    positive = [c1 > 0, c2 > 0, va >= 0, vb >= 0]
    cauchy_schwarz = cov * cov <= va * vb
    standard = [c1 == Q(1, 10000), c2 == Q(9, 10000)]  # data range 1
    attainable = [*standard, va > 0, vb > 0, cauchy_schwarz]
    spread, luminance = va + vb + c2, a * a + b * b + c1

    def numerator(covariance: ArithRef) -> ArithRef:
        return absolute((2 * a * b + c1) * (2 * covariance + c2))

    at_zero = absolute((2 * a * b + c1) * c2)
    yield Statement(
        "minimum at zero covariance",
        "with means and variances fixed and cov >= 0, |SSIM(cov)| >= |SSIM(0)|",
    ).holds(*positive, cov >= 0, numerator(cov) >= at_zero)
    yield Statement(
        "minimum at zero covariance, cov >= -1",
        "with means and variances fixed and cov >= -1, |SSIM(cov)| >= |SSIM(0)|",
    ).mutant(*positive, cov >= -1, numerator(cov) >= at_zero)
    fixed = [*standard, a > 0, b > 0, va == 1, vb == 1, va2 == 1]
    yield Statement(
        "minimum with free variances",
        "with means fixed, variances free and cov > 0, |SSIM(cov)| >= |SSIM(0)|",
    ).mutant(
        *fixed, vb2 > 0, cov > 0, cov * cov <= va2 * vb2,
        numerator(cov) * spread >= at_zero * (va2 + vb2 + c2),
    )  # fmt: skip
    yield Statement(
        "luminance at most one",
        "|2 mean_a mean_b + C1| <= mean_a^2 + mean_b^2 + C1, Eq. (14)-(16)",
    ).holds(c1 > 0, absolute(2 * a * b + c1) <= luminance)
    yield Statement(
        "luminance at most one, factor 3", "|3 mean_a mean_b + C1| <= mean_a^2 + mean_b^2 + C1"
    ).mutant(c1 > 0, absolute(3 * a * b + c1) <= luminance)
    yield Statement("bound (2)", "|SSIM(0)| <= C2 / (var_a + var_b + C2), Eq. (2)").holds(
        *positive, at_zero * spread <= c2 * luminance * spread
    )
    yield Statement(
        "bound (2), one per cent lower", "|SSIM(0)| <= 0.99 C2 / (var_a + var_b + C2)"
    ).mutant(*positive, at_zero * spread <= Q(99, 100) * c2 * luminance * spread)
    yield Statement("unique minimiser", "if cov > 0 then |SSIM(cov)| > |SSIM(0)|").fails(
        *standard, va > 0, vb > 0, cov > 0, cauchy_schwarz, numerator(cov) > at_zero
    )
    yield Statement(
        "unique minimiser, 2 mean_a mean_b != -C1",
        "if cov > 0 and 2 mean_a mean_b != -C1 then |SSIM(cov)| > |SSIM(0)|",
    ).holds(*positive, 2 * a * b != -c1, cov > 0, numerator(cov) > at_zero)
    yield Statement(
        "zero covariance optimal among all covariances",
        "|SSIM(cov)| >= |SSIM(0)| for every cov with cov^2 <= var_a var_b",
    ).fails(*attainable, numerator(cov) >= at_zero)
    yield Statement("exact zero at cov = -C2 / 2", "SSIM vanishes at cov = -C2 / 2").holds(
        *positive, cov == -c2 / 2, numerator(cov) == 0
    )
    inside = And(2 * cov + c2 <= spread, 2 * cov + c2 >= -spread)
    yield Statement(
        "SSIM in [-1, 1]", "|2 cov + C2| <= var_a + var_b + C2 if cov^2 <= var_a var_b"
    ).holds(c2 > 0, va >= 0, vb >= 0, cauchy_schwarz, inside)
    yield Statement(
        "SSIM in [-1, 1] without Cauchy-Schwarz", "|2 cov + C2| <= var_a + var_b + C2 for any cov"
    ).mutant(c2 > 0, va >= 0, vb >= 0, inside)
    yield Statement("SSIM is non-negative", "SSIM >= 0 for attainable moments").fails(
        *attainable, (2 * a * b + c1) * (2 * cov + c2) >= 0
    )
    yield from _three_factors()


def _three_factors() -> Iterator[Formula]:
    """Eq. (1) from luminance, contrast and structure of Wang et al. (2004)."""
    sa, sb, c2 = sympy.symbols("sd_a sd_b C2", positive=True)
    cov = sympy.Symbol("cov", real=True)

    def product(c3: sympy.Expr) -> sympy.Expr:
        contrast = (2 * sa * sb + c2) / (sa**2 + sb**2 + c2)
        return contrast * (cov + c3) / (sa * sb + c3)

    merged = (2 * cov + c2) / (sa**2 + sb**2 + c2)
    words = "contrast * structure = (2 cov + C2) / (var_a + var_b + C2) if C3 = "
    yield Statement("Eq. (1) from three factors", f"{words}C2 / 2").holds(product(c2 / 2), merged)
    yield Statement("Eq. (1) from three factors, C3 = C2", f"{words}C2").mutant(product(c2), merged)
