"""Theorem 2 of Binder et al. (2022): how likely small activations overtake large ones.

A neuron sums w x over two disjoint sets of activations, X_S and X_L, where every activation of X_L
is at least K times as large as every one of X_S. The weights are random.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sanitygap.theory import Array


def cauchy_tail(ratio: ArrayLike, gamma: ArrayLike) -> Array:
    """P(Z >= K) of a Cauchy variable with scale gamma: arctan(gamma / K) / pi.

    Args:
        ratio: K > 0; infinity gives 0.
        gamma: scale > 0.
    """
    return np.arctan(np.asarray(gamma) / np.asarray(ratio)) / np.pi


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

    gamma is ``sqrt(|X_S| / |X_L|)`` for summed contributions (Eq. 45), its inverse for averaged
    ones (Eq. 50). The two-sided value is ours: twice the tail.
    """
    small, large = len(at.small), len(at.large)
    sums = float(cauchy_tail(at.ratio, np.sqrt(small / large)))
    averages = float(cauchy_tail(at.ratio, np.sqrt(large / small)))
    return {
        "joint": sums,
        "conditional": sums,
        "two-sided": 2 * sums,
        "conditional, averages": averages,
        "absolute sums": sums,
        "absolute averages": averages,
    }
