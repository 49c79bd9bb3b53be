"""Theorem 2: the probability that small activations overtake large ones (Sec. 4.3, App. E).

A neuron sums w x over two disjoint sets of activations, X_S and X_L, where every activation of X_L
is at least K times as large as every one of X_S. The weights are random. Equation numbers are those
of Binder et al. (2022).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import erf

from sanitygap.seeds import stable_seed
from sanitygap.theory.montecarlo import Estimate, proportion

Array = NDArray[np.float64]


def cauchy_tail(ratio: ArrayLike, gamma: ArrayLike) -> Array:
    """P(Z >= K) of a Cauchy variable with scale gamma: arctan(gamma / K) / pi.

    Args:
        ratio: K > 0; infinity gives 0.
        gamma: scale > 0.
    """
    return np.arctan(np.asarray(gamma) / np.asarray(ratio)) / np.pi


def gamma_of_sums(small: ArrayLike, large: ArrayLike) -> Array:
    """gamma of Theorem 2 for summed contributions, from the sizes |X_S| and |X_L| (Eq. 45)."""
    return np.sqrt(np.asarray(small) / np.asarray(large))


def gamma_of_averages(small: ArrayLike, large: ArrayLike) -> Array:
    """gamma for averaged contributions, from the sizes |X_S| and |X_L| (Eq. 50)."""
    return np.sqrt(np.asarray(large) / np.asarray(small))


@dataclass(frozen=True)
class Activations:
    """Two disjoint sets of non-negative activations."""

    small: Array
    large: Array
    kind: str = "constant"

    @classmethod
    def constant(cls, n_small: int, n_large: int, ratio: float) -> Activations:
        """Ones in X_S and K in X_L."""
        return cls(np.ones(n_small), np.full(n_large, ratio))

    @classmethod
    def random(cls, n_small: int, n_large: int, seed: int) -> Activations:
        """Uniform on [0, 1] in X_S and on [2, 4] in X_L."""
        rng = np.random.default_rng(seed)
        return cls(rng.uniform(0, 1, n_small), rng.uniform(2, 4, n_large), "random")

    @property
    def ratio(self) -> float:
        """K of Eq. (7): the smallest large activation over the largest small one."""
        return float(self.large.min() / self.small.max())

    @property
    def gamma_1(self) -> float:
        """Eq. (37): the ratio of the standard deviations of the two sums."""
        return float(np.sqrt((self.small**2).sum() / (self.large**2).sum()))


def exact_probabilities(at: Activations) -> dict[str, float]:
    """Closed forms for independent zero-mean normal weights of equal variance.

    The two sums S and L are independent normals, so (L, S) has a uniform angle after scaling.
    """
    angle = float(np.arctan(at.gamma_1))
    averages = float(np.arctan(at.gamma_1 * len(at.large) / len(at.small)))
    return {
        "joint": angle / (2 * np.pi),
        "conditional": angle / np.pi,
        "unconditional": 0.5,
        "two-sided": 2 * angle / np.pi,
        "conditional, averages": averages / np.pi,
    }


def claimed_probabilities(at: Activations) -> dict[str, float]:
    """What the paper states for each event: Theorem 2, Eq. (46)-(50), Sec. 4.3 and footnote 9.

    The two-sided value is ours: twice the tail.
    """
    sizes = len(at.small), len(at.large)
    sums = float(cauchy_tail(at.ratio, gamma_of_sums(*sizes)))
    averages = float(cauchy_tail(at.ratio, gamma_of_averages(*sizes)))
    return {
        "joint": sums,
        "conditional": sums,
        "two-sided": 2 * sums,
        "conditional, averages": averages,
        "absolute sums": sums,
        "absolute averages": averages,
    }


def random_neurons(*, n: int, seed: int, size: int = 20) -> pd.DataFrame:
    """Single neurons with random weights: their two sums, for three ratios K.

    Args:
        n: number of neurons for each ratio.
        seed: seed of the weights, which all ratios share.
        size: activations in each of X_S and X_L; small ones are 1, large ones K.

    Returns:
        One row a (ratio, neuron): small_sum and large_sum, the two sums in units of the standard
        deviation of the small one, whether small ones overtake a positive large_sum (overtaken),
        and the tail claimed for that ratio.
    """
    rng = np.random.default_rng(stable_seed(seed, "random-neurons", size))
    weights = rng.standard_normal((n, 2 * size))
    rows = []
    for ratio in (1.0, 3.0, 10.0):
        at = Activations.constant(size, size, ratio)
        small = weights[:, :size] @ at.small / np.sqrt(size)
        large = weights[:, size:] @ at.large / np.sqrt(size)
        rows.append(
            pd.DataFrame(
                {
                    "ratio": ratio,
                    "small_sum": small,
                    "large_sum": large,
                    "overtaken": (large > 0) & (small >= large),
                    "claimed": claimed_probabilities(at)["conditional"],
                }
            )
        )
    return pd.concat(rows, ignore_index=True)


SETTINGS = (
    (1, 1, 1.0), (1, 1, 2.0), (5, 5, 2.0), (10, 2, 2.0), (2, 10, 3.0), (5, 50, 2.0),
    (50, 5, 3.0), (200, 20, 2.0), (10, 1, 2.0), (100, 1, 2.0), (500, 1, 2.0), (1000, 100, 2.0),
)  # fmt: skip


def overtaking(*, n: int, seed: int, budget: int) -> pd.DataFrame:
    """Monte Carlo of Theorem 2 and of its variants, with normal weights.

    Events, with S and L the two sums: `joint` 0 < L <= S (Eq. 8); `conditional` S >= L given
    L > 0; `unconditional` S >= L; `two-sided` |S| >= |L|; `conditional, averages` the averages
    instead of the sums (Eq. 46); `absolute sums` and `absolute averages`: the sums or averages of
    |w x| (Sec. 4.3 and footnote 9).

    Args:
        n: number of draws of the weights for each setting.
        seed: seed of the draws.
        budget: largest number of weights drawn for one setting; larger sets get fewer draws.

    Returns:
        One row a (setting, event): n_small, n_large, ratio, activations, the frequency with its
        interval, `exact` and `claimed` probability, and for |X_L| = 1 the `limit` of the absolute
        averages as |X_S| grows.
    """
    cases = [Activations.constant(*setting) for setting in SETTINGS]
    cases += [
        Activations.random(*sizes, seed=stable_seed(seed, "activations", *sizes))
        for sizes in ((10, 5), (40, 10))
    ]
    rows = []
    for at in cases:
        sizes = len(at.small), len(at.large)
        key = stable_seed(seed, "theorem-2", *sizes, at.ratio)
        draws = max(1, min(n, budget // sum(sizes)))
        exact, claimed = exact_probabilities(at), claimed_probabilities(at)
        for event, estimate in simulate(at, np.random.default_rng(key), draws).items():
            limit = np.nan
            if event == "absolute averages" and sizes[1] == 1:
                limit = float(erf(1 / (at.ratio * np.sqrt(np.pi))))
            rows.append(
                {
                    "n_small": sizes[0],
                    "n_large": sizes[1],
                    "ratio": at.ratio,
                    "activations": at.kind,
                    "event": event,
                    **estimate,
                    "exact": exact.get(event, np.nan),
                    "claimed": claimed.get(event, np.nan),
                    "limit": limit,
                }
            )
    return pd.DataFrame(rows)


Weights = Callable[[np.random.Generator, tuple[int, int]], NDArray[np.float32]]


def _normal(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float32]:
    return rng.standard_normal(shape, dtype=np.float32)


def simulate(
    at: Activations, rng: np.random.Generator, draws: int, weights: Weights = _normal
) -> dict[str, Estimate]:
    """Frequencies of the events of :func:`overtaking`; conditional ones among draws with L > 0."""
    counts = dict.fromkeys(
        ("joint", "conditional, averages", "unconditional", "two-sided", "absolute sums",
         "absolute averages"), 0,
    )  # fmt: skip
    positive = 0
    sizes = len(at.small), len(at.large)
    for size in _chunks(draws, sum(sizes)):
        w = weights(rng, (size, sum(sizes)))
        parts = w[:, : sizes[0]], w[:, sizes[0] :]
        values = at.small.astype(np.float32), at.large.astype(np.float32)
        s, l = (part @ x for part, x in zip(parts, values, strict=True))  # noqa: E741
        abs_s, abs_l = (np.abs(part) @ x for part, x in zip(parts, values, strict=True))
        positive += int((l > 0).sum())
        counts["joint"] += int(((l > 0) & (l <= s)).sum())
        counts["conditional, averages"] += int(((l > 0) & (l / sizes[1] <= s / sizes[0])).sum())
        counts["unconditional"] += int((s >= l).sum())
        counts["two-sided"] += int((np.abs(s) >= np.abs(l)).sum())
        counts["absolute sums"] += int((abs_s >= abs_l).sum())
        counts["absolute averages"] += int((abs_s / sizes[0] >= abs_l / sizes[1]).sum())
    among_positive = {"conditional": counts["joint"]}
    among_positive["conditional, averages"] = counts.pop("conditional, averages")
    return {event: proportion(count, draws) for event, count in counts.items()} | {
        event: proportion(count, positive) for event, count in among_positive.items()
    }


def _chunks(draws: int, width: int, budget: int = 4_000_000) -> Iterator[int]:
    size = max(1, budget // width)
    for start in range(0, draws, size):
        yield min(size, draws - start)


WEIGHTS: dict[str, Weights] = {
    "normal": _normal,
    "uniform": lambda rng, shape: rng.random(shape, dtype=np.float32) * 2 - 1,
    "Laplace": lambda rng, shape: rng.laplace(size=shape).astype(np.float32),
    "Student t1": lambda rng, shape: rng.standard_cauchy(shape).astype(np.float32),
}


def weight_distributions(*, n: int, seed: int) -> pd.DataFrame:
    """Theorem 2 for weights that are not normal: K = 2, sets of one and of ten activations.

    Args:
        n: number of draws of the weights for each setting.
        seed: seed of the draws.

    Returns:
        One row a (weights, size): the conditional frequency with its interval and the Cauchy tail
        `claimed` for normal weights.
    """
    rows = []
    for name, weights in WEIGHTS.items():
        for size in (1, 10):
            at = Activations.constant(size, size, 2.0)
            rng = np.random.default_rng(stable_seed(seed, "weights", name, size))
            rows.append(
                {
                    "weights": name,
                    "n_small": size,
                    "n_large": size,
                    "ratio": 2.0,
                    **simulate(at, rng, n, weights)["conditional"],
                    "claimed": claimed_probabilities(at)["conditional"],
                }
            )
    return pd.DataFrame(rows)
