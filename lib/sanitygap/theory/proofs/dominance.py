"""Machine proofs for Appendix G, Eq. (67)-(72), of Binder et al. (2022).

The network of the counterexample is f = w_1 x_1 - relu(W_2 x_2 + b_2) with positive x_1, x_2; the
unit on the right is active. Relevance goes to x_1 and x_2.
"""

from __future__ import annotations

import pandas as pd
from z3 import BoolRef, Reals, Sum

from sanitygap.theory.proofs.prover import Identity, Implication, decide, positive_part


def statements() -> list[Implication | Identity]:
    """Sums of relevance under different treatments of the bias."""
    return [*_two_units(), *_conservative(), *_completeness(), *_printed()]


def _two_units() -> list[Implication | Identity]:
    x1, x2, w1, w2, b2, share = Reals("x_1 x_2 w_1 W_2 b_2 share")
    contribution = w2 * x2
    unit = contribution + b2
    f = w1 * x1 - positive_part(unit)
    premises: list[BoolRef] = [x1 > 0, x2 > 0, w1 > 0, w2 > 0, b2 <= 0, unit > 0, f > 0]
    gradient_x_input = w1 * x1 - contribution
    return [
        Implication(
            "Gradient x Input sums to something positive",
            "if f > 0 and the biases are not positive, Gradient x Input sums to a positive number",
            premises,
            gradient_x_input > 0,
            expected="counterexample",
        ),
        Implication(
            "Gradient x Input without biases",
            "without biases Gradient x Input sums to f",
            [*premises, b2 == 0],
            gradient_x_input == f,
        ),
        Implication(
            "LRP-0 with the bias in the denominator",
            "if f > 0 and the biases are not positive, LRP-0 with bias in the denominator sums to "
            "a positive number",
            [*premises, share * unit == contribution],  # the unit has relevance -unit
            w1 * x1 - unit * share > 0,
            expected="counterexample",
        ),
        Implication(
            "LRP-0 without the bias in the denominator",
            "if f > 0, LRP-0 with contributions alone in the denominator sums to f",
            [*premises, share * contribution == contribution],
            w1 * x1 - unit * share == f,
        ),
        Implication(
            "LRP-0 without the bias in the denominator, f <= 0",
            "LRP-0 with contributions alone in the denominator sums to a positive number for any f",
            [*premises[:-1], share * contribution == contribution],
            w1 * x1 - unit * share > 0,
            expected="counterexample",
            kind="mutant",
        ),
    ]


def _conservative() -> list[Implication | Identity]:
    r1, r2, a1, a2, b1, b2 = Reals("R_1 R_2 share_11 share_21 share_12 share_22")
    lower = Sum([r1 * a1, r2 * b1, r1 * a2, r2 * b2])
    return [
        Implication(
            "conservative rules keep the sum",
            "if each unit passes on exactly its relevance, the layer below has the same sum "
            "(2 units, 2 inputs), whatever the biases",
            [a1 + a2 == 1, b1 + b2 == 1],
            lower == r1 + r2,
        ),
        Implication(
            "rules that lose relevance keep the sum",
            "if a unit passes on 0.9 of its relevance, the layer below has the same sum",
            [a1 + a2 == 1, 10 * (b1 + b2) == 9],
            lower == r1 + r2,
            expected="counterexample",
            kind="mutant",
        ),
    ]


def _completeness() -> list[Implication | Identity]:
    h1, h2, u1, u2, out, fx, total = Reals("b_1 b_2 u_1 u_2 b_out f_x total")
    at_zero = u1 * positive_part(h1) + u2 * positive_part(h2) + out
    return [
        Implication(
            "non-positive biases give f(0) <= 0",
            "f(0) <= 0 if no bias is positive (two hidden units)",
            [h1 <= 0, h2 <= 0, out <= 0],
            at_zero <= 0,
        ),
        Implication(
            "complete methods with baseline zero",
            "attributions that sum to f(x) - f(0) sum to at least f(x) > 0 if no bias is positive",
            [h1 <= 0, h2 <= 0, out <= 0, fx > 0, total == fx - at_zero],
            total >= fx,
        ),
        Implication(
            "complete methods with baseline zero, any biases",
            "attributions that sum to f(x) - f(0) sum to at least f(x) for any biases",
            [fx > 0, total == fx - at_zero],
            total >= fx,
            expected="counterexample",
            kind="mutant",
        ),
    ]


def _printed() -> list[Implication | Identity]:
    z, b = Reals("z b")
    return [
        Implication(
            "Eq. (70)-(71) as printed",
            "an active unit relu(z + b) equals z: the bias is dropped",
            [z + b > 0, b <= 0],
            positive_part(z + b) == z,
            expected="counterexample",
        ),
        Implication(
            "Eq. (70)-(71) with the bias",
            "an active unit relu(z + b) equals z + b",
            [z + b > 0, b <= 0],
            positive_part(z + b) == z + b,
        ),
    ]


def proofs(*, seed: int, timeout_ms: int = 10_000) -> pd.DataFrame:
    """Decide the statements of Appendix G."""
    return decide(statements(), seed=seed, timeout_ms=timeout_ms)
