"""From tidy tables to the two scores by which methods are ranked, image by image.

Both are *lower is better* in the sense of the test that they come from: a low similarity after
randomisation passes the sanity check, a low prediction after occlusion is faithful.
"""

from collections import Counter
from collections.abc import Container, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.integrate import trapezoid
from scipy.interpolate import interp1d

from sanitygap.errors import LackingMethodError, UsageError
from sanitygap.reductions import Reduction
from sanitygap.words import listed, plural

SSIM = "ssim"

#: the reduction that does not cancel where a map changes its sign inside a region
UNSIGNED: Reduction = "sum-abs"


def randomization_scores(
    table: pd.DataFrame, similarity: str = SSIM, sign: str = "signed", order: str = "top-down"
) -> pd.DataFrame:
    """Mean similarity over the steps of an order, top-down by default (ledger: R_m).

    Args:
        table: the table ``randomization``, or that of another order.
        similarity: one of its similarity columns.
        sign: ``signed`` or ``absolute`` maps.
        order: of randomisation.

    Returns:
        Images x methods; seeds are averaged first. An image for which a method gave an all-zero
        map has NaN there.

    Raises:
        UsageError: the table holds none of that.
    """
    return _wide(_rows(table, sign=sign, order=order), similarity)


def scores_at_equal_shares(table: pd.DataFrame, value: str, start: float) -> pd.DataFrame:
    """Mean of a similarity over the share of random parameters, for a cumulative order.

    Between measured steps the similarity is interpolated linearly; without any random parameter
    it is 1. Two orders whose steps redraw different numbers of parameters can so be compared at
    equal numbers.

    Args:
        table: rows of one order with the columns ``image``, ``random_parameters``, ``value`` and,
            where there are several, ``method``.
        value: column with the similarity of a map to that of the trained network.
        start: lowest share, 0 to below 1; the mean is over shares from there to 1.

    Returns:
        Images x methods; one column ``value`` if there is no method. Seeds are averaged first.
        NaN where a step is missing or has no similarity.

    Raises:
        UsageError: the table does not reach a fully random network, or ``start`` is 1.
    """
    if start >= 1:
        raise UsageError("the orders share the fully random network only; compute more steps")
    by = ["image", "method"] if "method" in table else ["image"]
    means = table.groupby([*by, "random_parameters"], sort=False)[value].agg(_strict_mean)
    wide = means.unstack("random_parameters").sort_index(axis="columns")
    shares = np.array([0.0, *wide.columns])
    if "steps" in table and (table["step"] == table["steps"]).any():
        shares /= shares[-1]  # parameters that only training uses are in no stage
    if not np.isclose(shares[-1], 1):
        raise UsageError("the order has to end with all parameters random; compute its last step")
    grid = np.unique([start, *shares[shares > start]])
    values = np.column_stack([np.ones(len(wide)), wide.to_numpy()])
    curves = interp1d(shares, values, axis=1)(grid)
    scores = pd.Series(trapezoid(curves, grid, axis=1) / (grid[-1] - start), wide.index)
    return scores.unstack("method") if "method" in table else scores.to_frame(value)


def occlusion_scores(
    table: pd.DataFrame, patch: int = 15, value: str = "softmax", reduction: str = "signed"
) -> pd.DataFrame:
    """Mean of the occlusion curve over 0 to all replaced regions (ledger: F_m).

    Args:
        table: the table ``occlusion``.
        patch: side of a region in pixels.
        value: ``softmax`` or ``logit``.
        reduction: of the maps that ranked the regions, see :func:`ranked_by`.

    Returns:
        Images x methods.

    Raises:
        UsageError: the table holds none of that.
    """
    rows = ranked_by(table, reduction)
    if rows.empty:
        raise UsageError(f"the table holds nothing with reduction = {reduction!r}; compute that")
    return _wide(_rows(rows, patch=patch), value)


def ranked_by(table: pd.DataFrame, reduction: str) -> pd.DataFrame:
    """Rows of the table ``occlusion`` whose regions were ranked by one reduction of the maps.

    A table that was measured before it had that column ranks regions by signed maps.
    """
    if "reduction" not in table:
        table = table.assign(reduction="signed")
    return table[table["reduction"] == reduction]


def over_seeds(
    table: pd.DataFrame, others: pd.DataFrame, methods: Sequence[str] | None = None
) -> tuple[pd.DataFrame, pd.Series]:
    """The rows of a test under all seeds by which its methods can be compared, image by image.

    A seed counts for an image if every method has, under it, each step, order and sign that the
    first table holds of that method: methods are compared under the same redrawn weights, and a
    mean over seeds is a mean over the same steps.

    Args:
        table: ``randomization``.
        others: ``randomization-seeds``, the same test with other draws of the weights.
        methods: the methods that are compared; all of the first table by default.

    Returns:
        The rows of these methods, and the number of seeds of each image.
    """
    chosen = list(dict.fromkeys(table["method"])) if methods is None else list(methods)
    rows = pd.concat([table, others], ignore_index=True)
    rows = rows[rows["method"].isin(chosen)]
    cell, draw = ["method", "order", "step", "sign"], ["image", "seed"]
    rows = rows.drop_duplicates([*draw, *cell])
    wanted = pd.MultiIndex.from_frame(table.loc[table["method"].isin(chosen), cell]).unique()
    rows = rows[pd.MultiIndex.from_frame(rows[cell]).isin(wanted)]
    sizes = rows.groupby(draw, sort=False).size()
    usable = sizes.index[sizes == len(wanted)]
    kept = rows[pd.MultiIndex.from_frame(rows[draw]).isin(usable)].reset_index(drop=True)
    return kept, kept.groupby("image", sort=False)["seed"].nunique()


def seeds_in_words(counts: pd.Series) -> str:
    """Numbers of seeds of images, as a phrase: ``5 seeds``, or how many images have how many."""
    sizes = Counter(counts.tolist())
    if len(sizes) == 1:
        return plural(next(iter(sizes)), "seed")
    parts = [f"{plural(n, 'seed')} for {images}" for n, images in sorted(sizes.items())[::-1]]
    return f"{listed(parts)} of {len(counts)} images"


def need_methods(held: Container[Any], *methods: str) -> None:
    """Let pass what holds all these methods.

    Args:
        held: names of methods, or scores, images x methods.
        methods: names.

    Raises:
        LackingMethodError: names those that it lacks.
    """
    if lacking := [name for name in methods if name not in held]:
        raise LackingMethodError(*lacking)


def complete(*scores: pd.DataFrame) -> tuple[pd.DataFrame, ...]:
    """Several score tables cut to the images and methods that all have, without any NaN.

    How many images were dropped is the difference of the lengths; callers report it.
    """
    methods = [name for name in scores[0] if all(name in other for other in scores)]
    kept = [table[methods].dropna() for table in scores]
    images = kept[0].index
    for table in kept[1:]:
        images = images.intersection(table.index)
    return tuple(table.loc[images] for table in kept)


def _rows(table: pd.DataFrame, **values: object) -> pd.DataFrame:
    """The rows in which columns have these values."""
    for column, value in values.items():
        table = table[table[column] == value]
        if table.empty:
            raise UsageError(f"the table holds nothing with {column} = {value!r}; compute that")
    return table


def _wide(rows: pd.DataFrame, value: str) -> pd.DataFrame:
    if value not in rows:
        raise UsageError(f"the table has no column {value!r}; it has: {', '.join(map(str, rows))}")
    means = rows.groupby(["image", "method"], sort=False)[value].agg(_strict_mean)
    return means.unstack("method")[list(dict.fromkeys(rows["method"]))]


def _strict_mean(values: pd.Series) -> float:
    """The mean, NaN if any value is NaN: a missing step must not make a score look better."""
    return float(values.mean(skipna=False))
