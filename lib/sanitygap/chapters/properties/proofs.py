"""Machine proofs for Eq. (9)-(11) and Appendices A.2, F and G, Eq. (51)-(72), of Binder et al.
(2022).

Contributions c_i = w_i x_i enter one neuron. Divisions are removed by naming the quotients. Proofs
are for a fixed small number of inputs.
"""

from collections.abc import Iterator, Mapping
from itertools import combinations
from math import comb

import sympy
from z3 import And, ArithRef, BoolRef, If, Implies, Q, Real, Reals, RealVal, Sum

from sanitygap.theory.prover import Formula, Statement, absolute, positive_part, proof_table

Coalition = frozenset[int]


@proof_table("appendix-f-proofs")
def statements() -> Iterator[Formula]:
    """The monotonicity property for Gradient x Input, Shapley values and LRP-beta."""
    yield from _gradient_x_input()
    for players in (2, 3, 4):
        yield from _shapley(players)
    yield from _pairing()
    yield from _lrp_beta()
    yield from _conservation()


def _gradient_x_input() -> Iterator[Formula]:
    ci, cj, factor = Reals("c_i c_j factor")  # factor = df/dz g', common to both inputs
    ri, rj = absolute(factor * ci), absolute(factor * cj)
    yield Statement("F.1", "|c_i| >= |c_j| implies |R_i| >= |R_j| for Gradient x Input").holds(
        absolute(ci) >= absolute(cj), ri >= rj
    )
    yield Statement(
        "F.1, signed order", "c_i >= c_j implies |R_i| >= |R_j| for Gradient x Input"
    ).mutant(ci >= cj, ri >= rj)
    yield Statement(
        "F.1 strict, as printed",
        "c_i > c_j > 0 implies |R_i| > |R_j| for Gradient x Input, Eq. (55)",
    ).fails(ci > cj, cj > 0, ri > rj)
    yield Statement(
        "F.1 strict, non-zero derivative",
        "c_i > c_j > 0 implies |R_i| > |R_j| if df/dz g' is not zero",
    ).holds(ci > cj, cj > 0, factor != 0, ri > rj)


def _coalitions(players: int) -> list[Coalition]:
    return [frozenset(c) for size in range(players + 1) for c in combinations(range(players), size)]


def _value(values: Mapping[Coalition, ArithRef], player: int, players: int) -> ArithRef:
    """The Shapley value with the weights of Eq. (60), over those coalitions that have a value."""
    terms = [
        (values[coalition | {player}] - values[coalition])
        * Q(1, players * comb(players - 1, len(coalition)))
        for coalition in values
        if player not in coalition
    ]
    return Sum(terms)


def _shapley(players: int) -> Iterator[Formula]:
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

    first, second = (_value(values, i, players) for i in range(2))
    whole, nothing = values[coalitions[-1]], values[coalitions[0]]
    gain = whole > nothing
    neuron = f"for one monotone neuron, d = {players}"
    yield Statement(
        f"F.2, d = {players}", f"c_i >= c_j > 0 implies phi_i >= phi_j >= 0 {neuron}"
    ).holds(*ordered(True), c[0] >= c[1], c[1] > 0, And(first >= second, second >= 0))
    yield Statement(
        f"F.2 without order, d = {players}", f"c_i, c_j > 0 implies phi_i >= phi_j {neuron}"
    ).mutant(*ordered(True), c[0] > 0, c[1] > 0, first >= second)
    yield Statement(
        f"F.2 strict, d = {players}", f"c_i > c_j > 0 implies phi_i > phi_j {neuron}"
    ).fails(*ordered(True), c[0] > c[1], c[1] > 0, gain, first > second)
    yield Statement(
        f"Shapley values are efficient, d = {players}",
        f"the Shapley values sum to v(N) - v(empty set), d = {players}",
    ).holds(Sum([_value(values, i, players) for i in range(players)]) == whole - nothing)
    if players == 2:
        yield Statement(
            "F.2, any function on top of the neuron",
            "c_i > c_j > 0 implies |phi_i| >= |phi_j| for any function of the neuron, d = 2",
        ).mutant(
            *ordered(False), c[0] > c[1], c[1] > 0, bias == 0, gain,
            absolute(first) >= absolute(second),
        )  # fmt: skip


def _pairing() -> Iterator[Formula]:
    """Eq. (58)-(60): which subsets the sums run over."""
    c, bias = Reals("c0 c1 c2"), Real("bias")
    values = {
        coalition: positive_part(Sum([c[i] for i in coalition]) + bias if coalition else bias)
        for coalition in _coalitions(3)
    }
    without_second = {coalition: v for coalition, v in values.items() if 1 not in coalition}
    pairs = sum(
        abs(
            sympy.Rational(1, n * comb(n - 1, k))
            + sympy.Rational(1, n * comb(n - 1, k + 1))
            - sympy.Rational(1, (n - 1) * comb(n - 2, k))
        )
        for n in range(2, 9)
        for k in range(n - 1)
    )
    yield Statement(
        "weights of pairs",
        "c_s + c_(s+1) = 1 / ((d - 1) C(d - 2, s)) with c_s = 1 / (d C(d - 1, s)), d = 2..8",
    ).holds(pairs, 0)
    yield Statement(
        "Eq. (58) over subsets without j",
        "the sum over subsets without i and j is the Shapley value (ReLU, d = 3)",
    ).fails(bias == 0, c[0] == 2, c[1] == 1, _value(without_second, 0, 3) == _value(values, 0, 3))


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


def _lrp_beta() -> Iterator[Formula]:
    x, p, n, defined = _quotients(3)
    beta, r, r_other = Reals("beta R R_other")
    relevance = [r * ((1 + beta) * p[i] - beta * n[i]) for i in range(3)]
    premises = [*defined, beta >= 0]
    ordered = [*premises, x[0] >= x[1], x[1] > 0]
    larger = absolute(relevance[0]) >= absolute(relevance[1])
    words = "implies |R_i| >= |R_j| for LRP-beta"
    yield Statement("F.3", f"c_i >= c_j > 0 {words} and one common neuron, d = 3").holds(
        *ordered, larger
    )
    yield Statement(
        "F.3, both negative", f"c_i <= c_j < 0 {words} and one common neuron, d = 3"
    ).holds(*premises, x[0] <= x[1], x[1] < 0, larger)
    mixed = [x[0] >= -x[1], x[1] < 0, Sum(x) > 0, r == 1, beta == 2]
    yield Statement("F.3, mixed signs", f"c_i >= -c_j > 0 {words}, d = 3").mutant(
        *premises, *mixed, larger
    )
    yield Statement(
        "F.3, different neurons above",
        f"c_i >= c_j > 0 {words} if the neurons above differ, d = 3",
    ).mutant(
        *ordered, r > 0, r_other > 0, beta == 1,
        absolute(relevance[0]) >= absolute(r_other * (1 + beta) * p[1]),
    )  # fmt: skip


def _conservation() -> Iterator[Formula]:
    _, p, n, defined = _quotients(2)
    beta, r, q0, q1 = Reals("beta R q0 q1")
    y0, y1 = Reals("c0 c1")
    only_positive = [y0 > 0, y1 > 0, q0 * (y0 + y1) == y0, q1 * (y0 + y1) == y1, beta > 0]
    total = r * (1 + beta) * (q0 + q1)
    name, words = "LRP-beta conserves relevance", "the relevances"
    unsigned = f"with 0 / 0 read as 0 and no negative contribution {words} sum to"
    yield Statement(name, f"{words} of LRP-beta sum to R if both signs occur, d = 2").holds(
        *defined, beta >= 0, Sum([r * ((1 + beta) * p[i] - beta * n[i]) for i in range(2)]) == r
    )
    yield Statement("LRP-beta without negative contributions", f"{unsigned} (1 + beta) R").holds(
        *only_positive, total == (1 + beta) * r
    )
    yield Statement(f"{name} without negative contributions", f"{unsigned} R").fails(
        *only_positive, r != 0, total == r
    )


@proof_table("appendix-a2-proofs")
def adaptive_beta() -> Iterator[Formula]:
    """The solution of Eq. (10), Eq. (11) as printed, and what the solved rule is.

    P and N are the sums of the positive and of the negative contributions of a neuron, N <= 0; it
    is active if P + N > 0 (no bias).
    """
    yield _solution()
    p, n, beta, c, share_p, share_n = Reals("P N beta c share_P share_N")
    active = [p > 0, n < 0, p + n > 0]
    solved, printed = beta * (p + n) == -n, beta * (p - n) == -n
    equation_10, misses_it = beta * p == -n * (1 + beta), beta * p != -n * (1 + beta)
    relevance = ((1 + beta) * share_p - beta * share_n) * (p + n)
    shares = [share_p * p == positive_part(c), share_n * n == -positive_part(-c)]
    always = "satisfies Eq. (10) for every active neuron"
    yield Statement("solved beta", f"beta = -N / (P + N) {always}").holds(
        *active, solved, equation_10
    )
    yield Statement("printed beta", f"beta = -N / (P - N), Eq. (11), {always}").fails(
        *active, printed, equation_10
    )
    yield Statement(
        "printed beta never satisfies Eq. (10)",
        "beta = -N / (P - N) violates Eq. (10) for every active neuron with N < 0",
    ).holds(*active, printed, misses_it)
    yield Statement(
        "printed beta with N as a magnitude",
        "beta = -N / (P - N) violates Eq. (10) also if N > 0 is a magnitude, P > N",
    ).holds(p > 0, n > 0, p > n, printed, misses_it)
    below = "beta is below 1/2, so the cap of 3 never acts"
    yield Statement("printed beta below one half", f"the printed {below}").holds(
        *active, printed, beta < Q(1, 2)
    )
    yield Statement("solved beta below one half", f"the solved {below}").mutant(
        *active, solved, beta < Q(1, 2)
    )
    yield Statement(
        "cap acts above three quarters",
        "the solved beta exceeds 3 if and only if |N| / P > 3/4",
    ).holds(*active, solved, (beta > 3) == (-4 * n > 3 * p))
    gives = "beta LRP-beta gives R c / (P + N)"
    yield Statement("solved rule is LRP-0", f"with the solved {gives}: it is LRP-0").holds(
        *active, solved, *shares, relevance == c
    )
    yield Statement("printed rule is LRP-0", f"with the printed {gives}").mutant(
        *active, printed, *shares, relevance == c
    )


def _solution() -> Formula:
    p, n, beta = sympy.symbols("P N beta")
    (solution,) = sympy.solve(sympy.Eq(beta / (1 + beta), -n / p), beta)
    return Statement(
        "solution of Eq. (10)", "the only solution of beta / (1 + beta) = -N / P is -N / (P + N)"
    ).holds(solution, -n / (p + n))


@proof_table("appendix-g-proofs")
def dominance() -> Iterator[Formula]:
    """Sums of relevance under different treatments of the bias.

    The network of the counterexample is f = w_1 x_1 - relu(W_2 x_2 + b_2) with positive x_1, x_2;
    the unit on the right is active. Relevance goes to x_1 and x_2.
    """
    yield from _two_units()
    r1, r2, a1, a2, b1, b2 = Reals("R_1 R_2 share_11 share_21 share_12 share_22")
    lower = Sum([r1 * a1, r2 * b1, r1 * a2, r2 * b2])
    yield Statement(
        "conservative rules keep the sum",
        "if each unit passes on exactly its relevance, the layer below has the same sum "
        "(2 units, 2 inputs), whatever the biases",
    ).holds(a1 + a2 == 1, b1 + b2 == 1, lower == r1 + r2)
    yield Statement(
        "rules that lose relevance keep the sum",
        "if a unit passes on 0.9 of its relevance, the layer below has the same sum",
    ).mutant(a1 + a2 == 1, 10 * (b1 + b2) == 9, lower == r1 + r2)
    yield from _completeness()
    z, b = Reals("z b")
    yield Statement(
        "Eq. (70)-(71) as printed", "an active unit relu(z + b) equals z: the bias is dropped"
    ).fails(z + b > 0, b <= 0, positive_part(z + b) == z)
    yield Statement("Eq. (70)-(71) with the bias", "an active unit relu(z + b) equals z + b").holds(
        z + b > 0, b <= 0, positive_part(z + b) == z + b
    )


def _two_units() -> Iterator[Formula]:
    x1, x2, w1, w2, b2, share = Reals("x_1 x_2 w_1 W_2 b_2 share")
    contribution = w2 * x2
    unit = contribution + b2
    f = w1 * x1 - positive_part(unit)
    premises: list[BoolRef] = [x1 > 0, x2 > 0, w1 > 0, w2 > 0, b2 <= 0, unit > 0, f > 0]
    gradient_x_input = w1 * x1 - contribution  # the unit has relevance -unit
    yield Statement(
        "Gradient x Input sums to something positive",
        "if f > 0 and the biases are not positive, Gradient x Input sums to a positive number",
    ).fails(*premises, gradient_x_input > 0)
    yield Statement(
        "Gradient x Input without biases", "without biases Gradient x Input sums to f"
    ).holds(*premises, b2 == 0, gradient_x_input == f)
    yield Statement(
        "LRP-0 with the bias in the denominator",
        "if f > 0 and the biases are not positive, LRP-0 with bias in the denominator sums to "
        "a positive number",
    ).fails(*premises, share * unit == contribution, w1 * x1 - unit * share > 0)
    name = "LRP-0 without the bias in the denominator"
    words = "LRP-0 with contributions alone in the denominator sums to"
    yield Statement(name, f"if f > 0, {words} f").holds(
        *premises, share * contribution == contribution, w1 * x1 - unit * share == f
    )
    yield Statement(f"{name}, f <= 0", f"{words} a positive number for any f").mutant(
        *premises[:-1], share * contribution == contribution, w1 * x1 - unit * share > 0
    )


def _completeness() -> Iterator[Formula]:
    h1, h2, u1, u2, out, fx, total = Reals("b_1 b_2 u_1 u_2 b_out f_x total")
    at_zero = u1 * positive_part(h1) + u2 * positive_part(h2) + out
    biases, complete = [h1 <= 0, h2 <= 0, out <= 0], [fx > 0, total == fx - at_zero]
    yield Statement(
        "non-positive biases give f(0) <= 0",
        "f(0) <= 0 if no bias is positive (two hidden units)",
    ).holds(*biases, at_zero <= 0)
    name = "complete methods with baseline zero"
    words = "attributions that sum to f(x) - f(0) sum to at least f(x)"
    yield Statement(name, f"{words} > 0 if no bias is positive").holds(
        *biases, *complete, total >= fx
    )
    yield Statement(f"{name}, any biases", f"{words} for any biases").mutant(*complete, total >= fx)
