"""From tidy tables to the two scores by which methods are ranked, image by image.

Both are *lower is better* in the sense of the test that they come from: a low similarity after
randomisation passes the sanity check, a low prediction after occlusion is faithful.
"""

import pandas as pd

from sanitygap.errors import UsageError

SSIM = "ssim"


def randomization_scores(
    table: pd.DataFrame, similarity: str = SSIM, sign: str = "signed"
) -> pd.DataFrame:
    """Mean similarity over the steps of the top-down order (ledger: R_m).

    Args:
        table: the table ``randomization``.
        similarity: one of its similarity columns.
        sign: ``signed`` or ``absolute`` maps.

    Returns:
        Images x methods; seeds are averaged first. An image for which a method gave an all-zero
        map has NaN there.

    Raises:
        UsageError: the table holds none of that.
    """
    return _wide(_rows(table, sign=sign, order="top-down"), similarity)


def occlusion_scores(table: pd.DataFrame, patch: int = 15, value: str = "softmax") -> pd.DataFrame:
    """Mean of the occlusion curve over 0 to all replaced regions (ledger: F_m).

    Args:
        table: the table ``occlusion``.
        patch: side of a region in pixels.
        value: ``softmax`` or ``logit``.

    Returns:
        Images x methods.

    Raises:
        UsageError: the table holds none of that.
    """
    return _wide(_rows(table, patch=patch), value)


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
