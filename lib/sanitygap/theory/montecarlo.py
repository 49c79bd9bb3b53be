"""Point estimates of Monte Carlo draws with 95 % intervals, as columns of a tidy table."""

from collections.abc import Iterator
from typing import Any, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sanitygap.inference import proportion_interval

Array = NDArray[np.float64]
Row = dict[str, Any]

NORMAL_95 = 1.959963984540054


class Estimate(TypedDict):
    """Columns shared by every simulated table; `low` and `high` bound a 95 % interval."""

    estimate: float
    standard_error: float
    low: float
    high: float
    draws: int


def mean_estimate(samples: ArrayLike) -> Estimate:
    """Mean of independent draws with a normal-theory 95 % interval.

    Args:
        samples: at least two finite draws, any shape (flattened).
    """
    x = np.asarray(samples, dtype=np.float64).ravel()
    mean = float(x.mean())
    error = float(x.std(ddof=1) / np.sqrt(x.size))
    return Estimate(
        estimate=mean,
        standard_error=error,
        low=mean - NORMAL_95 * error,
        high=mean + NORMAL_95 * error,
        draws=int(x.size),
    )


def proportion(successes: int, draws: int) -> Estimate:
    """Relative frequency with Wilson's 95 % interval, which stays inside [0, 1].

    The standard error is the plug-in sqrt(p (1 - p) / draws).
    """
    interval = proportion_interval(successes, draws)
    p = interval.estimate
    return Estimate(
        estimate=p,
        standard_error=float(np.sqrt(p * (1 - p) / draws)),
        low=interval.low,
        high=interval.high,
        draws=draws,
    )


def chunks(draws: int, width: int, budget: int = 4_000_000) -> Iterator[int]:
    """Split draws so that no array, `width` numbers a draw, holds more than about `budget`."""
    size = max(1, budget // width)
    for start in range(0, draws, size):
        yield min(size, draws - start)
