"""Rankings of methods: every pair tested, and which of two rankings is closer to a third.

Scores are frames with one row an image and one column a method, as in :mod:`sanitygap.inference`;
images are the sampling unit.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sanitygap.inference import RESAMPLES, Interval, UndefinedStatisticError, bootstrap, kendall_tau

Array = NDArray[np.float64]

#: sign patterns drawn where there are too many to try them all; fine enough for a thousand
#: comparisons corrected by Holm's method
PATTERNS = 49_999

#: sign patterns multiplied at once
BLOCK = 5_000


def pairwise_tests(scores: pd.DataFrame, patterns: int = PATTERNS, seed: int = 0) -> pd.DataFrame:
    """Mean difference and permutation p-value of every pair of methods.

    Under the null hypothesis the two scores of an image can be exchanged, which flips the sign of
    their difference. All pairs share the same sign patterns. They are tried exhaustively where
    there are at most ``patterns`` of them, as :func:`sanitygap.inference.paired_permutation_test`
    does, and drawn otherwise.

    Args:
        scores: images x methods.
        patterns: sign patterns drawn.
        seed: of the drawing.

    Returns:
        One row a pair, in the order of the columns: ``first``, ``second``, ``difference`` (mean
        of first minus second) and ``p`` (two-sided).

    Raises:
        ValueError: a NaN, or fewer than two images or methods.
    """
    values = scores.to_numpy(dtype=np.float64)
    if values.shape[0] < 2 or values.shape[1] < 2 or not np.isfinite(values).all():
        raise UndefinedStatisticError(
            "pairs need at least two images and two methods, and no missing score; these scores "
            f"have the shape {values.shape}"
        )
    pairs = list(itertools.combinations(range(values.shape[1]), 2))
    first, second = (list(side) for side in zip(*pairs, strict=True))
    differences = values[:, first] - values[:, second]
    observed = np.abs(differences.mean(axis=0))
    # equal up to rounding counts as equal: the identity pattern has to count itself
    enough = observed * (1 - 1e-12)
    exact = 2 ** len(values) <= patterns
    drawn, extreme = 0, np.zeros(len(pairs))
    for signs in _all_signs(len(values)) if exact else _random_signs(len(values), patterns, seed):
        drawn += len(signs)
        extreme += (np.abs(signs @ differences) / len(values) >= enough).sum(axis=0)
    p = extreme / drawn if exact else (extreme + 1) / (drawn + 1)
    names = list(map(str, scores))
    return pd.DataFrame(
        {
            "first": [names[one] for one in first],
            "second": [names[other] for other in second],
            "difference": differences.mean(axis=0),
            "p": p,
        }
    )


def _all_signs(images: int) -> Iterator[Array]:
    """Every pattern of signs, ``(block, images)``, each once."""
    for start in range(0, 2**images, BLOCK):
        numbers = np.arange(start, min(start + BLOCK, 2**images))
        yield np.where((numbers[:, None] >> np.arange(images)) & 1, -1.0, 1.0)


def _random_signs(images: int, count: int, seed: int) -> Iterator[Array]:
    rng = np.random.default_rng(seed)
    for start in range(0, count, BLOCK):
        size = (min(BLOCK, count - start), images)
        yield np.where(rng.integers(2, size=size), -1.0, 1.0)


def agreement_gain(
    new: pd.DataFrame,
    old: pd.DataFrame,
    reference: pd.DataFrame,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """How much closer one ranking of methods is to a reference than another ranking is.

    Args:
        new, old, reference: scores, images x methods, with the same images and methods.
        resamples: bootstrap samples of images, the same for all three.
        seed: of the resampling.

    Returns:
        Kendall's tau-b between ``new`` and ``reference`` minus that between ``old`` and
        ``reference``, with a 95 % percentile interval.

    Raises:
        ValueError: other images or methods, a NaN, or too few of either.
    """
    for other in (old, reference):
        if set(new.index) != set(other.index) or set(new) != set(other):
            raise ValueError("the three rankings need the same images and the same methods")
    parts = [table.loc[new.index, list(new.columns)].to_numpy() for table in (new, old, reference)]

    def gain(rows: Array) -> float:
        one, other, ideal = np.split(rows.mean(axis=0), 3)
        return float(kendall_tau(one, ideal) - kendall_tau(other, ideal))

    return bootstrap(np.concatenate(parts, axis=1), gain, resamples=resamples, seed=seed)
