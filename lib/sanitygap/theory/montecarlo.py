"""Monte Carlo: estimates with 95 % intervals as columns of a tidy table, and simulated maps.

The columns of an estimate are ``estimate``, ``standard_error``, ``low``, ``high`` and ``draws``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from sanitygap import similarity
from sanitygap.inference import proportion_interval
from sanitygap.theory import Array

Row = dict[str, Any]

NORMAL_95 = 1.959963984540054


def mean_estimate(samples: ArrayLike) -> Row:
    """Mean of independent draws with a normal-theory 95 % interval.

    Args:
        samples: at least two finite draws, any shape (flattened).
    """
    x = np.asarray(samples, dtype=np.float64).ravel()
    mean, error = float(x.mean()), float(x.std(ddof=1) / np.sqrt(x.size))
    bounds = {"low": mean - NORMAL_95 * error, "high": mean + NORMAL_95 * error}
    return {"estimate": mean, "standard_error": error, **bounds, "draws": x.size}


def proportion(successes: int, draws: int) -> Row:
    """Relative frequency with Wilson's 95 % interval, which stays inside [0, 1].

    The standard error is the plug-in sqrt(p (1 - p) / draws).
    """
    interval = proportion_interval(successes, draws)
    p, bounds = interval.estimate, {"low": interval.low, "high": interval.high}
    error = float(np.sqrt(p * (1 - p) / draws))
    return {"estimate": p, "standard_error": error, **bounds, "draws": draws}


def chunks(draws: int, width: int, budget: int = 4_000_000) -> Iterator[int]:
    """Split draws so that no array, `width` numbers a draw, holds more than about `budget`."""
    size = max(1, budget // width)
    for start in range(0, draws, size):
        yield min(size, draws - start)


SIDE = 35


Noise = Callable[[np.random.Generator, tuple[int, ...]], Array]


NOISE: dict[str, Noise] = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "Laplace": lambda rng, shape: rng.laplace(size=shape),
}


def correlated_maps(
    draw: Noise, correlation: float, *, n: int, seed: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Pairs of maps whose pixels have the given correlation, each of second moment one.

    The same seed gives the same underlying noise for every correlation, so that differences
    between correlations are paired.
    """
    rng = np.random.default_rng(seed)
    a, b = torch.from_numpy(draw(rng, (2, n, SIDE, SIDE)))
    mixed = correlation * a + np.sqrt(1 - correlation**2) * b
    return similarity.second_moment(a), similarity.second_moment(mixed)


def _sparse(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.normal(size=shape) * (rng.uniform(size=shape) < 0.1)


def _heavy(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.standard_t(3, size=shape)


# Stand-ins for attribution methods: a shape of the pixel distribution and a correlation between
# the map before and the map after randomisation.
SIMULATED_METHODS: dict[str, tuple[Noise, float]] = {
    "normal, 0.3": (NOISE["normal"], 0.3),
    "Laplace, 0": (NOISE["Laplace"], 0.0),
    "Laplace, 0.5": (NOISE["Laplace"], 0.5),
    "sparse, 0.2": (_sparse, 0.2),
    "sparse, 0": (_sparse, 0.0),
    "Student t3, 0.25": (_heavy, 0.25),
}
