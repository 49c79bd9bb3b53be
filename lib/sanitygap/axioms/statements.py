"""What can be decided about the framework without a network: games, metrics and keys.

Every check yields rows of one shape: the claim it is about, the case, the quantity and its value.
The criteria read the values; nothing here knows what is expected.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from math import comb

import numpy as np
import pandas as pd
import torch
import z3

from sanitygap.axioms.balance import moving_average
from sanitygap.axioms.metrics import METRICS, Metric
from sanitygap.axioms.scenarios import relative_change
from sanitygap.theory.prover import Implication
from sanitygap.theory.shapley import coalitions, shapley_values

Row = tuple[str, str, str, float]
Game = Callable[[torch.Tensor], torch.Tensor]

#: points of the path on which integrated gradients are computed; exact to rounding for polynomials
POINTS = 64

SEED, SAMPLES = 0, 4000


def values_of(game: Game, players: int) -> torch.Tensor:
    """Values of a game at all corners of the unit cube, by bit mask of the coalition."""
    return game(coalitions(players).double())


def path_integral(game: Game, players: int) -> torch.Tensor:
    """Integrated gradients from 0 to (1, ..., 1) by Gauss-Legendre quadrature, ``(players,)``."""
    nodes, weights = np.polynomial.legendre.leggauss(POINTS)
    points = torch.from_numpy((nodes + 1) / 2)[:, None].expand(-1, players).clone()
    leaf = points.requires_grad_()
    slopes = torch.autograd.grad(game(leaf).sum(), leaf)[0]
    return (slopes * torch.from_numpy(weights / 2)[:, None]).sum(0)


def ambiguity() -> Iterator[Row]:
    """Two features, each of which is enough: importance by removal and by Shapley values."""
    game = values_of(lambda x: x.amax(1), 2)
    for player in range(2):
        removed = float(game[3] - game[3 ^ (1 << player)])
        yield "khakzar-ambiguity", f"feature {player + 1}", "removal", removed
        share = float(shapley_values(game)[player])
        yield "khakzar-ambiguity", f"feature {player + 1}", "Shapley value", share


def background() -> Iterator[Row]:
    """Integrated gradients against Shapley values, for products and for a square."""
    for factors in range(1, 6):

        def product(x: torch.Tensor) -> torch.Tensor:
            return x.prod(1)

        gap = path_integral(product, factors) - 1 / factors
        yield "khakzar-background", f"{factors} factors", "IG - 1/T", float(gap.abs().max())
        gap = shapley_values(values_of(product, factors)) - 1 / factors
        yield "khakzar-background", f"{factors} factors", "Shapley - 1/T", float(gap.abs().max())

    def squared(x: torch.Tensor) -> torch.Tensor:
        return x[:, 0].square() * x[:, 1]

    gap = path_integral(squared, 2) - shapley_values(values_of(squared, 2))
    yield "khakzar-background", "x1^2 x2", "IG - Shapley", float(gap[0])


def null_definition() -> Iterator[Row]:
    """How many coalitions there are, and whether a null player's Shapley value is always 0."""
    for players in range(1, 7):
        others = range(players - 1)
        subsets = [s for k in range(players) for s in itertools.combinations(others, k)]
        yield "khakzar-null-def", f"N = {players}", "coalitions", float(len(subsets))
        yield "khakzar-null-def", f"N = {players}", "2^(N-1)", float(2 ** (players - 1))
    for players in range(1, 5):
        yield "khakzar-null-def", f"N = {players}", "null proved 0", float(null_proved(players))
        mutant = null_proved(players, skip=True)
        yield "khakzar-null-def", f"N = {players}", "proved without one coalition", float(mutant)


def null_proved(players: int, skip: bool = False) -> bool:
    """Whether z3 proves that player 0 has a Shapley value of 0 if it is null.

    Args:
        players: of the game.
        skip: leave the condition out for the largest coalition: then it must not be provable.
    """
    value = [z3.Real(f"v{mask}") for mask in range(2**players)]
    others = [mask for mask in range(2**players) if not mask & 1]
    used = others[:-1] if skip else others
    premises = [value[mask | 1] == value[mask] for mask in used]
    total: z3.ArithRef = z3.RealVal(0)
    for mask in others:
        weight = z3.Q(1, players * comb(players - 1, mask.bit_count()))
        total = total + weight * (value[mask | 1] - value[mask])
    statement = Implication("null", "", premises, total == 0)
    return statement.decide(seed=SEED, timeout_ms=10_000)[0] == "proved"


def sensitivity() -> Iterator[Row]:
    """The sensitivity axiom with one changed player, and with two."""
    game = torch.tensor([0.0, 1.0])
    claim = "khakzar-sensitivity-axiom"
    yield claim, "one changed patch", "least contribution", float(shapley_values(game)[0].abs())
    # both pixels change and the output with them, but neither pixel alone changes it
    pixels = torch.tensor([0.0, 0.0, 0.0, 1.0])
    alone = max(abs(float(pixels[1] - pixels[0])), abs(float(pixels[2] - pixels[0])))
    yield claim, "two changed pixels", "change by both", float(pixels[3] - pixels[0])
    yield claim, "two changed pixels", "largest change by one", alone


def granularity() -> Iterator[Row]:
    """Pixel-level contributions of a patch that is null as a whole; players: a, and two pixels."""
    claim = "khakzar-null-granularity"

    def interacting(x: torch.Tensor) -> torch.Tensor:
        return x[:, 0] * x[:, 1] - x[:, 0] * x[:, 1] * x[:, 2]

    def linear(x: torch.Tensor) -> torch.Tensor:
        return x[:, 0] + 2 * (x[:, 1] - x[:, 2])

    for name, game in (("interacting", interacting), ("linear", linear)):
        corners = values_of(game, 3)
        residual = max(abs(float(corners[6 | a] - corners[a])) for a in (0, 1))
        yield claim, name, "change by the patch", residual
        for method, shares in (
            ("Shapley", shapley_values(corners)),
            ("IG", path_integral(game, 3)),
        ):
            yield claim, name, f"{method}, sum over the patch", float(shares[1:].sum())
            mass = float(shares[1:].abs().sum() / shares.abs().sum())
            yield claim, name, f"{method}, share of absolute mass", mass


def variants_of(name: str) -> list[Metric]:
    """The variants of a metric."""
    return [metric for metric in METRICS if metric.name == name]


def null_metric() -> Iterator[Row]:
    """Eq. (10) for explainers that are right, blind and wrong; and under indifference."""
    claim = "khakzar-eq10"
    explainers = {
        "perfect": (1.0, 0.0, 0.0),
        "uniform": (1.0, 1.0, 4.0),
        "reversed": (0.0, 1.0, 0.0),
    }
    for name, sums in explainers.items():
        for metric in variants_of("null"):
            values = np.array([sums] * 2)[:, : len(metric.columns)]
            with np.errstate(divide="ignore", invalid="ignore"):
                yield claim, name, metric.variant, metric.statistic(values)
    drawn = np.random.default_rng(SEED).lognormal(size=(SAMPLES * 50, 2))
    coded = next(metric for metric in variants_of("null") if metric.variant == "coded")
    yield claim, "indifferent, lognormal", "coded", coded.statistic(drawn)


def double_metric() -> Iterator[Row]:
    """Eq. (11): bounds by z3, its extremes, its scale and its level for noise."""
    claim = "khakzar-eq11"
    a, b = ([z3.Real(f"{name}{i}") for i in range(2)] for name in "ab")
    smaller = sum(z3.If(x < y, x, y) for x, y in zip(a, b, strict=True))
    positive = [x >= 0 for x in (*a, *b)]
    for name, premises, goal in (
        ("at least 0", positive, smaller >= 0),
        ("at most 1", positive, smaller <= a[0] + b[1]),
        ("at most 1, signed maps", [a[0] + b[1] < 0], smaller >= a[0] + b[1]),
    ):
        found = Implication(name, "", premises, goal).decide(seed=SEED, timeout_ms=10_000)[0]
        yield claim, name, "proved", float(found == "proved")
    rng = np.random.default_rng(SEED)
    size = (2, 200_000)  # rows: patches
    base = rng.exponential(size=size)
    right = np.stack([base[0], np.zeros(size[1])]), np.stack([np.zeros(size[1]), base[1]])
    cases = {
        "indifferent": (base, base),
        "switching": right,
        "both at the first patch": (right[0], right[0]),
        "indifferent, b a hundredth": (base, base / 100),
        "noise, exponential": (base, rng.exponential(size=size)),
        "noise, half-normal": (np.abs(rng.normal(size=size)), np.abs(rng.normal(size=size))),
    }
    for name, (one, other) in cases.items():
        share = np.minimum(one, other).sum() / (one[0].sum() + other[1].sum())
        yield claim, name, "metric", float(share)


def single_metric() -> Iterator[Row]:
    """Eq. (12) for explainers whose levels are known."""
    rng = np.random.default_rng(SEED)
    level = rng.lognormal(size=SAMPLES)
    other = rng.lognormal(size=SAMPLES)
    explainers = {
        "sensitive: unrelated levels": (level, other),
        "sensitive: b at a hundredth": (level, 0.01 * level),
        "insensitive: the same levels": (level, level),
        "insensitive: high everywhere": (10 + 0.1 * other, 10 + 0.1 * rng.lognormal(size=SAMPLES)),
    }
    ones = np.ones(SAMPLES)
    for name, (a, b) in explainers.items():
        for metric in variants_of("single"):
            columns = [a, ones, b, ones, ones, ones][: len(metric.columns)]
            yield "khakzar-eq12", name, metric.variant, metric.statistic(np.stack(columns, 1))


def saturation_metric() -> Iterator[Row]:
    """Eq. (13) for explainers that split a total in known ways."""
    rng = np.random.default_rng(SEED)
    total, share = rng.lognormal(size=SAMPLES), rng.random(SAMPLES)
    winner = rng.integers(2, size=SAMPLES)
    explainers = {
        "equal split": (total / 2, total / 2),
        "random single winner": (winner * total, (1 - winner) * total),
        "fixed total, random split": (share, 1 - share),
        "always ten to one": (total * 10 / 11, total / 11),
    }
    for name, (one, other) in explainers.items():
        for metric in variants_of("saturation"):
            columns = [one, other, np.ones(SAMPLES)][: len(metric.columns)]
            yield "khakzar-eq13", name, metric.variant, metric.statistic(np.stack(columns, 1))


def balance_keys() -> Iterator[Row]:
    """Eq. (14) and (15): the range of the keys, and the average in closed form."""
    grid = torch.cat([-torch.logspace(-6, 3, 40), torch.logspace(-6, 3, 40)]).double()
    keys = relative_change(grid[:, None], grid[None])
    yield "khakzar-eq14", "logits other than 0", "least key", float(keys.min())
    yield "khakzar-eq14", "logits other than 0", "largest key", float(keys.max())
    zero = torch.zeros(1, dtype=torch.float64)
    for name, x in (("one logit 0", torch.ones(1).double()), ("both logits 0", zero)):
        printed = ((x - zero).abs() / torch.minimum(x.abs(), zero.abs())).tanh()
        undefined = not bool(torch.isfinite((x - zero).abs() / zero))
        yield "khakzar-eq14", name, "quotient undefined", float(undefined)
        yield "khakzar-eq14", name, "key is NaN", float(torch.isnan(printed).item())
    average = torch.tensor(0.5, dtype=torch.float64)
    gap, low, high = 0.0, 1.0, 0.0
    for key in (0.0, 0.3, 1.0):
        current = average
        for step in range(1, 200):
            current = moving_average(current, torch.tensor(key, dtype=torch.float64))
            closed = key + (0.5 - key) * 0.9**step
            gap = max(gap, abs(float(current) - closed))
            low, high = min(low, float(current)), max(high, float(current))
    yield "khakzar-eq15", "constant key", "distance from the closed form", gap
    yield "khakzar-eq15", "constant key", "least average", low
    yield "khakzar-eq15", "constant key", "largest average", high


def coalition_terms() -> Iterator[Row]:
    """How many terms a null feature among n features needs."""
    for features in range(2, 8):
        counted = sum(1 for mask in range(2**features) if not mask & 1)
        yield "khakzar-limits", f"{features} features", "terms counted", float(counted)
        yield "khakzar-limits", f"{features} features", "2^(n-1)", float(2 ** (features - 1))


CHECKS: tuple[Callable[[], Iterator[Row]], ...] = (
    ambiguity,
    background,
    null_definition,
    sensitivity,
    granularity,
    null_metric,
    double_metric,
    single_metric,
    saturation_metric,
    balance_keys,
    coalition_terms,
)


def statements() -> pd.DataFrame:
    """All checks: columns ``claim``, ``case``, ``quantity`` and ``value``."""
    rows = [row for check in CHECKS for row in check()]
    return pd.DataFrame(rows, columns=["claim", "case", "quantity", "value"])
