"""The metrics of Khakzar et al. (2022), Eq. 10-13: as printed and as the authors' code has them.

Maps are first reduced to sums over the patches; every metric is a function of these sums, so all
variants come from the same maps. Sums of absolute maps are sums of |S|.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy import stats

from sanitygap.inference import RESAMPLES, Interval, bootstrap

Array = NDArray[np.float64]

SIGNS = ("signed", "absolute")

#: added above and below the quotient of the single-feature metric in the authors' code
OFFSET = 1e-5

#: columns of the sums
SUMS = ("first", "second", "outside", "largest")
SHARED = ("shared", "shared_scaled")


def region_sums(maps: torch.Tensor, regions: torch.Tensor) -> dict[str, torch.Tensor]:
    """A map's sums over the patches and over the rest.

    Args:
        maps: ``(N, H, W)``, signed or absolute.
        regions: bool, ``(N, patches, H, W)``.

    Returns:
        ``first``, ``second`` (NaN where there is one patch only), ``outside`` and ``largest``
        (the map's maximum), float64, ``(N,)``.
    """
    values = maps.double()
    inside = (values[:, None] * regions).sum((2, 3))
    alone = torch.full_like(inside[:, 0], torch.nan)
    return {
        "first": inside[:, 0],
        "second": inside[:, 1] if regions.shape[1] > 1 else alone,
        "outside": (values * ~regions.any(1)).sum((1, 2)),
        "largest": values.amax((1, 2)),
    }


def shared_sums(a: torch.Tensor, b: torch.Tensor, regions: torch.Tensor) -> dict[str, torch.Tensor]:
    """The numerator of Eq. (11), raw and with the maps of both outputs brought to one total.

    Args:
        a, b: maps of outputs a and b, ``(N, H, W)``.
        regions: bool, ``(N, patches, H, W)``.

    Returns:
        ``shared``: sum of the pixel-wise minimum over the patches; ``shared_scaled``: the share
        of the total that it has if both maps are divided by their sums over the patches.
    """
    inside = regions.any(1)
    a, b = a.double() * inside, b.double() * inside
    totals = [values.sum((1, 2), keepdim=True) for values in (a, b)]
    scaled = torch.minimum(a / totals[0], b / totals[1])
    return {
        "shared": torch.minimum(a, b).sum((1, 2)),
        "shared_scaled": scaled.sum((1, 2)),
    }


@dataclass(frozen=True)
class Metric:
    """One metric in one variant.

    Attributes:
        name: ``null``, ``single``, ``double`` or ``saturation``.
        variant: which formula.
        formula: it, in words.
        columns: sums that it reads, ``SUM of OUTPUT``.
        statistic: array ``(samples, columns)`` to the metric; NaN where it is undefined.
        better: ``low`` or ``high``.
    """

    name: str
    variant: str
    formula: str
    columns: tuple[str, ...]
    statistic: Callable[[Array], float]
    better: str = "low"


def _mean_of(function: Callable[..., Array]) -> Callable[[Array], float]:
    def statistic(values: Array) -> float:
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(np.mean(function(*values.T)))

    return statistic


def _correlation(
    function: Callable[..., tuple[Array, Array]], ranked: bool
) -> Callable[[Array], float]:
    def statistic(values: Array) -> float:
        one, other = function(*values.T)
        if ranked:
            one, other = stats.rankdata(one), stats.rankdata(other)
        if len(one) < 2 or np.ptp(one) == 0 or np.ptp(other) == 0:
            return float("nan")
        return float(np.corrcoef(one, other)[0, 1])

    return statistic


def _levels(
    first_a: Array, outside_a: Array, first_b: Array, outside_b: Array
) -> tuple[Array, Array]:
    """Ratios of means inside and outside; both areas are the same in all samples."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return first_a / outside_a, first_b / outside_b


def _offset_levels(
    first_a: Array, outside_a: Array, first_b: Array, outside_b: Array, inside: Array, rest: Array
) -> tuple[Array, Array]:
    one = (first_a / inside + OFFSET) / (outside_a / rest + OFFSET)
    return one, (first_b / inside + OFFSET) / (outside_b / rest + OFFSET)


_A = ("first a", "second a", "outside a")
_LEVELS = ("first a", "outside a", "first b", "outside b")

METRICS: tuple[Metric, ...] = (
    Metric(
        "null", "printed", "sum in f_a / sum of the map (Eq. 10 as printed)", _A,
        _mean_of(lambda f, s, o: f / (f + s + o)),
    ),
    Metric(
        "null", "corrected", "sum in f_null / sum of the map", _A,
        _mean_of(lambda f, s, o: s / (f + s + o)),
    ),
    Metric(
        "null", "patches", "sum in f_null / sum in both patches", _A[:2],
        _mean_of(lambda f, s: s / (f + s)),
    ),
    Metric(
        "null", "coded", "mean of sum in f_null / sum in f_a (the authors' code)", _A[:2],
        _mean_of(lambda f, s: s / f),
    ),
    Metric(
        "null", "ratio of means", "mean sum in f_null / mean sum in f_a", _A[:2],
        lambda values: float(values[:, 1].mean() / values[:, 0].mean()),
    ),
    Metric(
        "double", "printed", "Eq. 11", ("shared a", "first a", "second b"),
        _mean_of(lambda m, f, s: m / (f + s)),
    ),
    Metric(
        "double", "scaled", "Eq. 11 with both maps scaled to one total in the patches",
        ("shared_scaled a",), _mean_of(lambda m: m),
    ),
    Metric(
        "single", "printed", "Eq. 12, Pearson", _LEVELS,
        _correlation(_levels, ranked=False),
    ),
    Metric(
        "single", "coded", "Spearman, 1e-5 added to both means (the authors' code)",
        (*_LEVELS, "inside a", "rest a"), _correlation(_offset_levels, ranked=True),
    ),
    Metric(
        "saturation", "printed", "Eq. 13, Pearson", _A[:2],
        _correlation(lambda f, s: (f, s), ranked=False), "high",
    ),
    Metric(
        "saturation", "coded", "Spearman, maps divided by their maxima (the authors' code)",
        (*_A[:2], "largest a"), _correlation(lambda f, s, m: (f / m, s / m), ranked=True), "high",
    ),
)  # fmt: skip

#: the sign that the authors' code takes for each metric
CODED_SIGN: Mapping[str, str] = MappingProxyType(
    {"null": "signed", "double": "absolute", "single": "absolute", "saturation": "absolute"}
)


def wide(scores: pd.DataFrame, scenario: str, method: str, sign: str) -> pd.DataFrame:
    """The sums of one method in one scenario: a row a sample, a column a sum and output."""
    chosen = scores[
        (scores["scenario"] == scenario) & (scores["method"] == method) & (scores["sign"] == sign)
    ]
    values = [name for name in (*SUMS, *SHARED, "inside", "rest") if name in chosen]
    table = chosen.pivot(index="sample", columns="output", values=values)
    table.columns = pd.Index([" ".join(pair) for pair in table.columns])
    return table


def metric_of(
    scores: pd.DataFrame, metric: Metric, method: str, sign: str, resamples: int = RESAMPLES
) -> tuple[Interval | None, int]:
    """A metric with its 95 % bootstrap interval over samples.

    Returns:
        The interval, None if the metric is undefined on the data or on a resample, and how many
        samples there are.
    """
    table = wide(scores, metric.name, method, sign)
    if table.empty or not set(metric.columns) <= set(table):
        return None, len(table)
    values = table[list(metric.columns)].to_numpy(dtype=np.float64)
    try:
        return bootstrap(values, metric.statistic, resamples=resamples), len(table)
    except ValueError:  # too few samples, or undefined on them or on a resample
        return None, len(table)
