"""Machine proofs for the forward-adaptive beta, Eq. (10)-(11) (App. A.2) of Binder et al. (2022).

P and N are the sums of the positive and of the negative contributions of a neuron, N <= 0; the
neuron is active if P + N > 0 (no bias).
"""

from __future__ import annotations

import pandas as pd
import sympy
from z3 import Q, Reals

from sanitygap.theory.proofs.prover import Identity, Implication, decide, positive_part


def statements() -> list[Implication | Identity]:
    """The solution of Eq. (10), Eq. (11) as printed, and what the solved rule is."""
    p, n, beta, c, share_p, share_n = Reals("P N beta c share_P share_N")
    active = [p > 0, n < 0, p + n > 0]
    solved, printed = beta * (p + n) == -n, beta * (p - n) == -n
    equation_10 = beta * p == -n * (1 + beta)
    relevance = ((1 + beta) * share_p - beta * share_n) * (p + n)
    shares = [share_p * p == positive_part(c), share_n * n == -positive_part(-c)]
    return [
        _solution(),
        Implication(
            "solved beta",
            "beta = -N / (P + N) satisfies Eq. (10) for every active neuron",
            [*active, solved],
            equation_10,
        ),
        Implication(
            "printed beta",
            "beta = -N / (P - N), Eq. (11), satisfies Eq. (10) for every active neuron",
            [*active, printed],
            equation_10,
            expected="counterexample",
        ),
        Implication(
            "printed beta never satisfies Eq. (10)",
            "beta = -N / (P - N) violates Eq. (10) for every active neuron with N < 0",
            [*active, printed],
            beta * p != -n * (1 + beta),
        ),
        Implication(
            "printed beta with N as a magnitude",
            "beta = -N / (P - N) violates Eq. (10) also if N > 0 is a magnitude, P > N",
            [p > 0, n > 0, p > n, printed],
            beta * p != -n * (1 + beta),
        ),
        Implication(
            "printed beta below one half",
            "the printed beta is below 1/2, so the cap of 3 never acts",
            [*active, printed],
            beta < Q(1, 2),
        ),
        Implication(
            "solved beta below one half",
            "the solved beta is below 1/2, so the cap of 3 never acts",
            [*active, solved],
            beta < Q(1, 2),
            expected="counterexample",
            kind="mutant",
        ),
        Implication(
            "cap acts above three quarters",
            "the solved beta exceeds 3 if and only if |N| / P > 3/4",
            [*active, solved],
            (beta > 3) == (-4 * n > 3 * p),
        ),
        Implication(
            "solved rule is LRP-0",
            "with the solved beta LRP-beta gives R c / (P + N): it is LRP-0",
            [*active, solved, *shares],
            relevance == c,
        ),
        Implication(
            "printed rule is LRP-0",
            "with the printed beta LRP-beta gives R c / (P + N)",
            [*active, printed, *shares],
            relevance == c,
            expected="counterexample",
            kind="mutant",
        ),
    ]


def _solution() -> Identity:
    p, n, beta = sympy.symbols("P N beta")

    def solve() -> sympy.Expr:
        (solution,) = sympy.solve(sympy.Eq(beta / (1 + beta), -n / p), beta)
        return solution

    return Identity(
        "solution of Eq. (10)",
        "the only solution of beta / (1 + beta) = -N / P is -N / (P + N)",
        solve,
        lambda: -n / (p + n),
    )


def proofs(*, seed: int, timeout_ms: int = 10_000) -> pd.DataFrame:
    """Decide the statements of Appendix A.2."""
    return decide(statements(), seed=seed, timeout_ms=timeout_ms)
