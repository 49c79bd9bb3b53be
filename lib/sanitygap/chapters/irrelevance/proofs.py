"""Machine proofs for Eq. (3)-(6) (Sec. 4.1, 4.2) of Binder et al. (2022).

The example network of Eq. (4) is f = relu(x_1 + x_2) - relu(x_1 + x_2) + relu(x_2): it does not
depend on x_1, although its hidden units do.
"""

from collections.abc import Iterator

import sympy
from z3 import ArithRef, Function, Reals, RealSort

from sanitygap.theory.prover import Formula, Statement, positive_part, proof_table


@proof_table("equations-3-6-proofs")
def statements() -> Iterator[Formula]:
    """Both implications of Eq. (4), and the surrogate of Eq. (5)."""
    yield from _responses()
    yield from _attributions()
    yield from _integrated_gradients()
    yield from _surrogate()


def _responses() -> Iterator[Formula]:
    phi, phi_changed = Reals("phi phi_changed")
    g = Function("g", RealSort(), RealSort())
    x1, x1_changed, x2 = Reals("x_1 x_1_changed x_2")

    def f(a: ArithRef, b: ArithRef) -> ArithRef:
        hidden = positive_part(a + b)
        return hidden - hidden + positive_part(b)

    yield Statement(
        "unresponsive features stay unresponsive",
        "if phi does not change with x_i, no function g of phi does",
    ).holds(phi == phi_changed, g(phi) == g(phi_changed))
    yield Statement(
        "responsive features become unresponsive",
        "if phi changes with x_i, no function g of phi does",
    ).mutant(phi != phi_changed, g(phi) == g(phi_changed))
    yield Statement(
        "the example does not depend on x_1",
        "relu(x_1 + x_2) - relu(x_1 + x_2) + relu(x_2) does not depend on x_1",
    ).holds(f(x1, x2) == f(x1_changed, x2))


def _attributions() -> Iterator[Formula]:
    """Relevance of x_1 in the example at positive inputs; output contributions s, -s and x_2."""
    x1, x2, beta, half = Reals("x_1 x_2 beta share")
    s = x1 + x2
    positive = [x1 > 0, x2 > 0, half * s == x1]  # x_1 gets this share of both hidden units
    upper, lower = Reals("R_1 R_2")
    total = s + x2  # positive contributions; the only negative one is -s
    lrp_beta = [beta >= 0, upper * total == (1 + beta) * s * x2, lower == -beta * x2]
    lrp_0 = [upper * x2 == s * x2, lower * x2 == -s * x2]
    nothing = half * (upper + lower) == 0
    words = "gives x_1 no relevance in the example"
    yield Statement("LRP-beta gives nothing to x_1", f"LRP-beta {words}").fails(
        *positive, *lrp_beta, nothing
    )
    yield Statement(
        "LRP-beta without the cancelling unit", f"LRP-beta with beta = 0 (z+) {words}"
    ).fails(*positive, *lrp_beta, beta == 0, nothing)
    yield Statement("LRP-0 gives nothing to x_1", f"LRP-0 {words}").holds(
        *positive, *lrp_0, nothing
    )


def _integrated_gradients() -> Iterator[Formula]:
    """relu(1 - x_1) x_2 at (2, 1): the unit is off at the input and on near the baseline."""
    t, x1, x2 = sympy.symbols("t x_1 x_2", real=True)
    slope = sympy.diff((1 - x1) * x2, x1)  # where the unit is on: x_1 < 1, t < 1/2
    attribution = 2 * sympy.integrate(slope.subs({x1: 2 * t, x2: t}), (t, 0, sympy.Rational(1, 2)))
    name = "Integrated Gradients of a locally unresponsive feature"
    yield Statement(
        name,
        "relu(1 - x_1) x_2 has zero gradient in x_1 at (2, 1), and Integrated Gradients give 0",
    ).fails(attribution, 0)
    yield Statement(f"{name}, value", "Integrated Gradients give x_1 the attribution -1/4").holds(
        attribution, -sympy.Rational(1, 4)
    )


def _surrogate() -> Iterator[Formula]:
    """Two logits' worth of algebra in one dimension: top v z + c, input h, branch a or b."""
    v, c, h, a, b, gate = Reals("v c h a b gate")
    linearised = [gate * (h + a) == positive_part(h + a), gate * (gate - 1) == 0, h + a != 0]
    yield Statement(
        "additive surrogate, affine top",
        "with an affine top the logit is A(theta) + B for every draw of theta",
    ).holds(v * (h + b) + c == (v * b) + (v * h + c))
    name = "additive surrogate, ReLU after the addition"
    words = "with a ReLU after the addition the surrogate at theta is exact"
    yield Statement(name, f"{words} for another draw").mutant(
        *linearised, v * positive_part(h + b) + c == v * gate * b + (v * gate * h + c)
    )
    yield Statement(f"{name}, same theta", f"{words} at theta itself").holds(
        *linearised, v * positive_part(h + a) + c == v * gate * a + (v * gate * h + c)
    )
