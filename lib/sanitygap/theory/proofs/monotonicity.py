"""Machine proofs for Eq. (9) and Appendix F, Eq. (51)-(66), of Binder et al. (2022).

Contributions c_i = w_i x_i enter one neuron. Divisions are removed by naming the quotients. Proofs
are for a fixed small number of inputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from math import comb

import pandas as pd
import sympy
from z3 import And, ArithRef, BoolRef, If, Implies, Q, Real, Reals, RealVal, Sum

from sanitygap.theory.proofs.prover import Identity, Implication, absolute, decide

Coalition = frozenset[int]


def statements() -> list[Implication | Identity]:
    """The monotonicity property for Gradient x Input, Shapley values and LRP-beta."""
    shapley = [item for players in (2, 3, 4) for item in _shapley(players)]
    return [*_gradient_x_input(), *shapley, *_pairing(), *_lrp_beta(), *_conservation()]


def _gradient_x_input() -> list[Implication | Identity]:
    ci, cj, factor = Reals("c_i c_j factor")  # factor = df/dz g', common to both inputs
    ri, rj = absolute(factor * ci), absolute(factor * cj)
    return [
        Implication(
            "F.1",
            "|c_i| >= |c_j| implies |R_i| >= |R_j| for Gradient x Input",
            [absolute(ci) >= absolute(cj)],
            ri >= rj,
        ),
        Implication(
            "F.1, signed order",
            "c_i >= c_j implies |R_i| >= |R_j| for Gradient x Input",
            [ci >= cj],
            ri >= rj,
            expected="counterexample",
            kind="mutant",
        ),
        Implication(
            "F.1 strict, as printed",
            "c_i > c_j > 0 implies |R_i| > |R_j| for Gradient x Input, Eq. (55)",
            [ci > cj, cj > 0],
            ri > rj,
            expected="counterexample",
        ),
        Implication(
            "F.1 strict, non-zero derivative",
            "c_i > c_j > 0 implies |R_i| > |R_j| if df/dz g' is not zero",
            [ci > cj, cj > 0, factor != 0],
            ri > rj,
        ),
    ]


def _coalitions(players: int) -> list[Coalition]:
    return [frozenset(c) for size in range(players + 1) for c in combinations(range(players), size)]


def _value(values: Mapping[Coalition, ArithRef], player: int, players: int) -> ArithRef:
    """The Shapley value with the weights of Eq. (60)."""
    terms = [
        (values[coalition | {player}] - values[coalition])
        * Q(1, players * comb(players - 1, len(coalition)))
        for coalition in values
        if player not in coalition
    ]
    return Sum(terms)


def _shapley(players: int) -> list[Implication | Identity]:
    """The neuron's output is a free number for each coalition, ordered like its argument."""
    c, bias = [Real(f"c{i}") for i in range(players)], Real("bias")
    coalitions = _coalitions(players)
    values = {s: Real("v_" + "".join(map(str, sorted(s)))) for s in coalitions}
    argument = {s: Sum([c[i] for i in s]) + bias if s else bias for s in coalitions}

    def ordered(monotone: bool) -> list[BoolRef]:
        return [
            Implies(argument[s] <= argument[t], values[s] <= values[t])
            if monotone
            else Implies(argument[s] == argument[t], values[s] == values[t])
            for s in coalitions
            for t in coalitions
            if s != t
        ]

    first, second = _value(values, 0, players), _value(values, 1, players)
    gain = values[coalitions[-1]] > values[coalitions[0]]
    items: list[Implication | Identity] = [
        Implication(
            f"F.2, d = {players}",
            f"c_i >= c_j > 0 implies phi_i >= phi_j >= 0 for one monotone neuron, d = {players}",
            [*ordered(True), c[0] >= c[1], c[1] > 0],
            And(first >= second, second >= 0),
        ),
        Implication(
            f"F.2 without order, d = {players}",
            f"c_i, c_j > 0 implies phi_i >= phi_j for one monotone neuron, d = {players}",
            [*ordered(True), c[0] > 0, c[1] > 0],
            first >= second,
            expected="counterexample",
            kind="mutant",
        ),
        Implication(
            f"F.2 strict, d = {players}",
            f"c_i > c_j > 0 implies phi_i > phi_j for one monotone neuron, d = {players}",
            [*ordered(True), c[0] > c[1], c[1] > 0, gain],
            first > second,
            expected="counterexample",
        ),
        Implication(
            f"Shapley values are efficient, d = {players}",
            f"the Shapley values sum to v(N) - v(empty set), d = {players}",
            [],
            Sum([_value(values, i, players) for i in range(players)])
            == values[coalitions[-1]] - values[coalitions[0]],
        ),
    ]
    if players == 2:
        items.append(
            Implication(
                "F.2, any function on top of the neuron",
                "c_i > c_j > 0 implies |phi_i| >= |phi_j| for any function of the neuron, d = 2",
                [*ordered(False), c[0] > c[1], c[1] > 0, bias == 0, gain],
                absolute(first) >= absolute(second),
                expected="counterexample",
                kind="mutant",
            )
        )
    return items


def _pairing() -> list[Implication | Identity]:
    """Eq. (58)-(60): which subsets the sums run over."""
    s, d = sympy.symbols("s d", positive=True, integer=True)
    c1, c2, c3, bias = Reals("c0 c1 c2 bias")

    def relu(x: ArithRef) -> ArithRef:
        return If(x > 0, x, RealVal(0))

    contributions = (c1, c2, c3)
    values = {
        coalition: relu(Sum([contributions[i] for i in coalition]) + bias if coalition else bias)
        for coalition in _coalitions(3)
    }
    without_second = {s_: v for s_, v in values.items() if not (s_ - {0}) & {1}}
    restricted = Sum(
        [
            (values[s_ | {0}] - values[s_]) * Q(1, 3 * comb(2, len(s_)))
            for s_ in without_second
            if 0 not in s_
        ]
    )
    return [
        Identity(
            "weights of pairs",
            "c_s + c_(s+1) = 1 / ((d - 1) C(d - 2, s)) with c_s = 1 / (d C(d - 1, s)), d = 2..8",
            lambda: sum(
                abs(
                    sympy.Rational(1, n * comb(n - 1, k))
                    + sympy.Rational(1, n * comb(n - 1, k + 1))
                    - sympy.Rational(1, (n - 1) * comb(n - 2, k))
                )
                for n in range(2, 9)
                for k in range(n - 1)
            ),
            lambda: sympy.Integer(0),
        ),
        Implication(
            "Eq. (58) over subsets without j",
            "the sum over subsets without i and j is the Shapley value (ReLU, d = 3)",
            [bias == 0, c1 == 2, c2 == 1],
            restricted == _value(values, 0, 3),
            expected="counterexample",
        ),
    ]


def _quotients(count: int) -> tuple[list[ArithRef], list[ArithRef], list[ArithRef], list[BoolRef]]:
    """Contributions x, shares p and n of their positive and negative parts, and definitions."""
    x = [Real(f"c{i}") for i in range(count)]
    p, n = ([Real(f"{letter}{i}") for i in range(count)] for letter in "pn")
    positive = [If(c > 0, c, RealVal(0)) for c in x]
    negative = [If(c < 0, c, RealVal(0)) for c in x]
    total_p, total_n = Sum(positive), Sum(negative)
    defined = [total_p > 0, total_n < 0]
    defined += [share * total_p == part for share, part in zip(p, positive, strict=True)]
    defined += [share * total_n == part for share, part in zip(n, negative, strict=True)]
    return x, p, n, defined


def _lrp_beta() -> list[Implication | Identity]:
    x, p, n, defined = _quotients(3)
    beta, r, r_other = Reals("beta R R_other")
    relevance = [r * ((1 + beta) * p[i] - beta * n[i]) for i in range(3)]
    premises = [*defined, beta >= 0]
    larger = absolute(relevance[0]) >= absolute(relevance[1])
    return [
        Implication(
            "F.3",
            "c_i >= c_j > 0 implies |R_i| >= |R_j| for LRP-beta and one common neuron, d = 3",
            [*premises, x[0] >= x[1], x[1] > 0],
            larger,
        ),
        Implication(
            "F.3, both negative",
            "c_i <= c_j < 0 implies |R_i| >= |R_j| for LRP-beta and one common neuron, d = 3",
            [*premises, x[0] <= x[1], x[1] < 0],
            larger,
        ),
        Implication(
            "F.3, mixed signs",
            "c_i >= -c_j > 0 implies |R_i| >= |R_j| for LRP-beta, d = 3",
            [*premises, x[0] >= -x[1], x[1] < 0, Sum(x) > 0, r == 1, beta == 2],
            larger,
            expected="counterexample",
            kind="mutant",
        ),
        Implication(
            "F.3, different neurons above",
            "c_i >= c_j > 0 implies |R_i| >= |R_j| for LRP-beta if the neurons above differ, d = 3",
            [*premises, x[0] >= x[1], x[1] > 0, r > 0, r_other > 0, beta == 1],
            absolute(relevance[0]) >= absolute(r_other * (1 + beta) * p[1]),
            expected="counterexample",
            kind="mutant",
        ),
    ]


def _conservation() -> list[Implication | Identity]:
    _, p, n, defined = _quotients(2)
    beta, r, q0, q1 = Reals("beta R q0 q1")
    y0, y1 = Reals("c0 c1")
    only_positive = [y0 > 0, y1 > 0, q0 * (y0 + y1) == y0, q1 * (y0 + y1) == y1, beta > 0]
    total = r * (1 + beta) * (q0 + q1)
    return [
        Implication(
            "LRP-beta conserves relevance",
            "the relevances of LRP-beta sum to R if both signs occur, d = 2",
            [*defined, beta >= 0],
            Sum([r * ((1 + beta) * p[i] - beta * n[i]) for i in range(2)]) == r,
        ),
        Implication(
            "LRP-beta without negative contributions",
            "with 0 / 0 read as 0 and no negative contribution the relevances sum to (1 + beta) R",
            only_positive,
            total == (1 + beta) * r,
        ),
        Implication(
            "LRP-beta conserves relevance without negative contributions",
            "with 0 / 0 read as 0 and no negative contribution the relevances sum to R",
            [*only_positive, r != 0],
            total == r,
            expected="counterexample",
        ),
    ]


def proofs(*, seed: int, timeout_ms: int = 10_000) -> pd.DataFrame:
    """Decide the statements of Appendix F."""
    return decide(statements(), seed=seed, timeout_ms=timeout_ms)
