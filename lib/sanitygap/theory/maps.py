"""Simulated attribution maps: correlated noise, and made-up methods."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from sanitygap import similarity
from sanitygap.theory.montecarlo import Array

SIDE = 35


Noise = Callable[[np.random.Generator, tuple[int, ...]], Array]


NOISE: dict[str, Noise] = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "Laplace": lambda rng, shape: rng.laplace(size=shape),
}


def correlated_maps(
    draw: Noise, correlation: float, *, n: int, seed: int, side: int = SIDE
) -> tuple[torch.Tensor, torch.Tensor]:
    """Pairs of maps whose pixels have the given correlation, each of second moment one.

    The same seed gives the same underlying noise for every correlation, so that differences
    between correlations are paired.
    """
    rng = np.random.default_rng(seed)
    a, b = torch.from_numpy(draw(rng, (2, n, side, side)))
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
