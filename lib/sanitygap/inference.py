"""Intervals, tests and agreement of rankings, with images as the sampling unit.

Scores come as arrays or frames with one row an image and one column a method. Nothing here drops
or replaces a missing value: a NaN raises ValueError, and callers drop images and say how many.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

Array = NDArray[np.float64]


class UndefinedStatisticError(ValueError):
    """The data leave a statistic without a value, such as a ranking in which all scores tie."""


RESAMPLES = 2000
BLOCK = 4_000_000
"""Most elements of one array of resampling counts; bounds the memory at 32 MB."""


@dataclass(frozen=True)
class Interval:
    """An estimate with the bounds of its interval.

    Attributes:
        estimate: the statistic of the data themselves.
        low, high: bounds.
        n: number of sampling units, usually images.
        level: nominal coverage.
    """

    estimate: float
    low: float
    high: float
    n: int
    level: float = 0.95

    def excludes(self, value: float) -> bool:
        """Whether a value lies outside the interval."""
        return not self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.estimate:.3g} [{self.low:.3g}, {self.high:.3g}]"


def bootstrap_mean(
    values: ArrayLike, level: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Percentile bootstrap interval of the mean over images.

    Args:
        values: one score an image.
        level: nominal coverage.
        resamples: number of bootstrap samples.
        seed: of the resampling.

    Raises:
        ValueError: a NaN, fewer than two images, or a wrong shape.
    """
    scores = _checked(values, ndim=1)
    means = np.concatenate(list(_resampled_means(scores[:, None], resamples, seed)))[:, 0]
    return _percentile(float(scores.mean()), means, len(scores), level)


def paired_difference(
    a: ArrayLike, b: ArrayLike, level: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Percentile bootstrap interval of the mean of ``a - b`` over images.

    Args:
        a, b: one score an image each, in the same order of images; two Series are matched by
            their index.

    Raises:
        ValueError: a NaN, fewer than two images, or scores of different images.
    """
    first, second = _paired(a, b)
    return bootstrap_mean(first - second, level, resamples, seed)


def bootstrap(
    table: ArrayLike,
    statistic: Callable[[Array], float],
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap interval of any statistic of several scores an image.

    Args:
        table: images x columns; whole rows are resampled, so columns stay paired.
        statistic: of an array of that shape, whatever the order of its rows.

    Raises:
        ValueError: a NaN in the table, fewer than two images, or a wrong shape.
        UndefinedStatisticError: a NaN from the statistic.
    """
    scores = _checked(table, ndim=2)
    estimate = float(statistic(scores))
    if np.isnan(estimate):
        return _percentile(estimate, np.empty(0), len(scores), level)
    rng = np.random.default_rng(seed)
    draws = np.array([rng.integers(len(scores), size=len(scores)) for _ in range(resamples)])
    # few images have few resamples that differ by more than their order
    distinct, which = np.unique(np.sort(draws, axis=1), axis=0, return_inverse=True)
    values = np.array([statistic(scores[draw]) for draw in distinct])
    return _percentile(estimate, values[which.ravel()], len(scores), level)


def rank_agreement(
    table_r: pd.DataFrame,
    table_f: pd.DataFrame,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Kendall's tau-b between two rankings of methods by their mean scores, with its interval.

    Both rankings come from the same images, which are resampled jointly.

    Args:
        table_r, table_f: scores, images x methods, with the same images and methods in any order.

    Raises:
        ValueError: a NaN, other images or methods, or fewer than two of either.
        UndefinedStatisticError: a ranking in which all methods tie (also in a resample).
    """
    if set(table_r.index) != set(table_f.index) or set(table_r) != set(table_f):
        raise ValueError("the two rankings need the same images and the same methods")
    if not (table_r.index.is_unique and table_r.columns.is_unique):
        raise ValueError("each image and each method may appear once only")
    r = _checked(table_r, ndim=2)
    f = _checked(table_f.loc[table_r.index, table_r.columns], ndim=2)
    both = np.concatenate([r, f], axis=1)
    k = r.shape[1]
    blocks = _resampled_means(both, resamples, seed)
    taus = np.concatenate([kendall_tau(means[:, :k], means[:, k:]) for means in blocks])
    observed = kendall_tau(r.mean(axis=0), f.mean(axis=0))
    return _percentile(float(observed), taus, len(r), level)


def kendall_tau(a: ArrayLike, b: ArrayLike) -> Array:
    """Kendall's tau-b along the last axis, for many rankings at once.

    Args:
        a, b: scores, shape ``(..., methods)``.

    Returns:
        Shape ``(...)``, float64; NaN where all scores of ``a`` or of ``b`` are equal.
    """
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    first, second = np.triu_indices(x.shape[-1], k=1)
    sign_x = np.sign(x[..., first] - x[..., second])
    sign_y = np.sign(y[..., first] - y[..., second])
    untied = np.sqrt(np.abs(sign_x).sum(axis=-1) * np.abs(sign_y).sum(axis=-1))
    tau: Array = np.divide(
        (sign_x * sign_y).sum(axis=-1), untied, out=np.full_like(untied, np.nan), where=untied > 0
    )
    return tau


def paired_permutation_test(
    a: ArrayLike,
    b: ArrayLike,
    alternative: Literal["two-sided", "less", "greater"] = "two-sided",
    resamples: int = 9999,
    seed: int = 0,
) -> float:
    """P-value of the mean of ``a - b`` under random exchange of the two within images.

    Exact if there are at most ``resamples`` ways to exchange them, that is for up to 13 images
    by default.

    Args:
        a, b: one score an image each, in the same order of images; two Series are matched by
            their index.
        alternative: ``less`` if ``a`` is claimed to be lower than ``b``.

    Raises:
        ValueError: a NaN, fewer than two images, or scores of different images.
    """
    first, second = _paired(a, b)
    result = stats.permutation_test(
        (first, second),
        lambda x, y, axis: (x - y).mean(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=resamples,
        batch=max(1, BLOCK // len(first)),
        alternative=alternative,
        random_state=np.random.default_rng(seed),
    )
    return float(result.pvalue)


def holm(pvalues: Mapping[str, float]) -> dict[str, float]:
    """P-values of a family of comparisons, adjusted with Holm's method.

    Raises:
        ValueError: an empty family, or a value outside [0, 1].
    """
    values = np.array(list(pvalues.values()), dtype=np.float64)
    if not values.size or not ((values >= 0) & (values <= 1)).all():
        raise ValueError("Holm's method needs p-values in [0, 1], at least one")
    adjusted = multipletests(values, method="holm")[1]
    return dict(zip(pvalues, map(float, adjusted), strict=True))


def proportion_interval(
    successes: int,
    n: int,
    level: float = 0.95,
    method: Literal["wilson", "clopper-pearson"] = "wilson",
) -> Interval:
    """Interval of a proportion.

    Args:
        successes: number of successes.
        n: number of trials.
        method: Wilson's score interval, or the conservative one of Clopper and Pearson.

    Raises:
        ValueError: no trials, or not between 0 and ``n`` successes.
    """
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"{successes} successes in {n} trials is not a proportion")
    name = {"wilson": "wilson", "clopper-pearson": "beta"}[method]
    low, high = proportion_confint(successes, n, alpha=1 - level, method=name)
    return Interval(successes / n, float(low), float(high), n, level)


def _checked(values: ArrayLike, ndim: int) -> Array:
    scores = np.asarray(values, dtype=np.float64)
    if scores.ndim != ndim:
        raise ValueError(f"expected {ndim} axes, images first, not shape {scores.shape}")
    if not np.isfinite(scores).all():
        bad = int((~np.isfinite(scores)).sum())
        raise ValueError(f"{bad} scores are NaN or infinite; drop those images and count them")
    if len(scores) < 2:
        raise UndefinedStatisticError(
            f"an interval needs at least two images, not {len(scores)}; some may have been dropped"
        )
    return scores


def _paired(a: ArrayLike, b: ArrayLike) -> tuple[Array, Array]:
    if isinstance(a, pd.Series) and isinstance(b, pd.Series):
        if not (a.index.is_unique and b.index.is_unique and set(a.index) == set(b.index)):
            raise ValueError("paired scores need the same images, each once")
        b = b.loc[a.index]
    first, second = _checked(a, ndim=1), _checked(b, ndim=1)
    if first.shape != second.shape:
        raise ValueError(f"{len(first)} and {len(second)} scores are not paired")
    return first, second


def _resampled_means(table: Array, resamples: int, seed: int) -> Iterator[Array]:
    """Column means of bootstrap samples of the rows, in blocks of shape (block, columns).

    How often each image is drawn is multinomial, so a block of resamples is one matrix product.
    """
    n = len(table)
    if resamples * n <= BLOCK:
        yield _counts(n, resamples, seed) @ table / n
        return
    rng = np.random.default_rng(seed)
    left = resamples
    while left > 0:
        block = min(left, max(1, BLOCK // n))
        yield _drawn(rng, n, block) @ table / n
        left -= block


@lru_cache(maxsize=4)
def _counts(n: int, resamples: int, seed: int) -> Array:
    """How often each image is drawn; pages ask for many intervals over the same images."""
    return _drawn(np.random.default_rng(seed), n, resamples)


def _drawn(rng: np.random.Generator, n: int, resamples: int) -> Array:
    return rng.multinomial(n, np.full(n, 1 / n), size=resamples).astype(np.float64)


def _percentile(estimate: float, values: Array, n: int, level: float) -> Interval:
    if np.isnan(estimate) or np.isnan(values).any():
        raise UndefinedStatisticError(
            f"on these {n} images the statistic is undefined, or in "
            f"{int(np.isnan(values).sum())} of {len(values)} resamples; scores may all be equal"
        )
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(estimate, float(low), float(high), n, level)
