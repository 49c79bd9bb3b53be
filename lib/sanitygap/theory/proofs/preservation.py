"""Machine proofs for Eq. (3)-(6) (Sec. 4.1, 4.2) of Binder et al. (2022).

The example network of Eq. (4) is f = relu(x_1 + x_2) - relu(x_1 + x_2) + relu(x_2): it does not
depend on x_1, although its hidden units do.
"""

from __future__ import annotations

import pandas as pd
import sympy
from z3 import Function, Real, Reals, RealSort

from sanitygap.theory.proofs.prover import Identity, Implication, decide, positive_part


def statements() -> list[Implication | Identity]:
    """Both implications of Eq. (4), and the surrogate of Eq. (5)."""
    return [*_responses(), *_attributions(), *_integrated_gradients(), *_surrogate()]


def _responses() -> list[Implication | Identity]:
    phi, phi_changed = Reals("phi phi_changed")
    g = Function("g", RealSort(), RealSort())
    x1, x1_changed, x2 = Reals("x_1 x_1_changed x_2")

    def f(a: object, b: object) -> object:
        hidden = positive_part(a + b)  # type: ignore[operator]
        return hidden - hidden + positive_part(b)

    return [
        Implication(
            "unresponsive features stay unresponsive",
            "if phi does not change with x_i, no function g of phi does",
            [phi == phi_changed],
            g(phi) == g(phi_changed),
        ),
        Implication(
            "responsive features become unresponsive",
            "if phi changes with x_i, no function g of phi does",
            [phi != phi_changed],
            g(phi) == g(phi_changed),
            expected="counterexample",
            kind="mutant",
        ),
        Implication(
            "the example does not depend on x_1",
            "relu(x_1 + x_2) - relu(x_1 + x_2) + relu(x_2) does not depend on x_1",
            [],
            f(x1, x2) == f(x1_changed, x2),
        ),
    ]


def _attributions() -> list[Implication | Identity]:
    """Relevance of x_1 in the example at positive inputs; output contributions s, -s and x_2."""
    x1, x2, beta, half = Reals("x_1 x_2 beta share")
    s = x1 + x2
    positive = [x1 > 0, x2 > 0, half * s == x1]  # x_1 gets this share of both hidden units
    upper, lower = Reals("R_1 R_2")
    total = s + x2  # positive contributions; the only negative one is -s
    lrp_beta = [beta >= 0, upper * total == (1 + beta) * s * x2, lower == -beta * x2]
    lrp_0 = [upper * x2 == s * x2, lower * x2 == -s * x2]
    relevance = half * (upper + lower)
    return [
        Implication(
            "LRP-beta gives nothing to x_1",
            "LRP-beta gives x_1 no relevance in the example",
            [*positive, *lrp_beta],
            relevance == 0,
            expected="counterexample",
        ),
        Implication(
            "LRP-beta without the cancelling unit",
            "LRP-beta with beta = 0 (z+) gives x_1 no relevance in the example",
            [*positive, *lrp_beta, beta == 0],
            relevance == 0,
            expected="counterexample",
        ),
        Implication(
            "LRP-0 gives nothing to x_1",
            "LRP-0 gives x_1 no relevance in the example",
            [*positive, *lrp_0],
            relevance == 0,
        ),
    ]


def _integrated_gradients() -> list[Implication | Identity]:
    """relu(1 - x_1) x_2 at (2, 1): the unit is off at the input and on near the baseline."""
    t, x1, x2 = sympy.symbols("t x_1 x_2", real=True)

    def attribution() -> sympy.Expr:
        slope = sympy.diff((1 - x1) * x2, x1)  # where the unit is on: x_1 < 1, t < 1/2
        return 2 * sympy.integrate(slope.subs({x1: 2 * t, x2: t}), (t, 0, sympy.Rational(1, 2)))

    return [
        Identity(
            "Integrated Gradients of a locally unresponsive feature",
            "relu(1 - x_1) x_2 has zero gradient in x_1 at (2, 1), and Integrated Gradients give 0",
            attribution,
            lambda: sympy.Integer(0),
            expected="counterexample",
        ),
        Identity(
            "Integrated Gradients of a locally unresponsive feature, value",
            "Integrated Gradients give x_1 the attribution -1/4",
            attribution,
            lambda: -sympy.Rational(1, 4),
        ),
    ]


def _surrogate() -> list[Implication | Identity]:
    """Two logits' worth of algebra in one dimension: top v z + c, input h, branch a or b."""
    v, c, h, a, b = (Real(name) for name in ("v", "c", "h", "a", "b"))
    gate = Real("gate")
    linearised = [gate * (h + a) == positive_part(h + a), gate * (gate - 1) == 0, h + a != 0]
    return [
        Implication(
            "additive surrogate, affine top",
            "with an affine top the logit is A(theta) + B for every draw of theta",
            [],
            v * (h + b) + c == (v * b) + (v * h + c),
        ),
        Implication(
            "additive surrogate, ReLU after the addition",
            "with a ReLU after the addition the surrogate at theta is exact for another draw",
            linearised,
            v * positive_part(h + b) + c == v * gate * b + (v * gate * h + c),
            expected="counterexample",
            kind="mutant",
        ),
        Implication(
            "additive surrogate, ReLU after the addition, same theta",
            "with a ReLU after the addition the surrogate at theta is exact at theta itself",
            linearised,
            v * positive_part(h + a) + c == v * gate * a + (v * gate * h + c),
        ),
    ]


def proofs(*, seed: int, timeout_ms: int = 10_000) -> pd.DataFrame:
    """Decide the statements of Sec. 4.1 and 4.2."""
    return decide(statements(), seed=seed, timeout_ms=timeout_ms)
