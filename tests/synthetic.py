"""Tables for criteria: made up with a level for each group of rows, or changed in some rows."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from sanitygap.claims import CriterionContext, Verdict, find_claim, judge

Change = Callable[[dict[str, pd.DataFrame]], None]


def table(
    levels: Mapping[Any, Any], key: str | Sequence[str] = "method",
    column: str | Sequence[str] = "ssim", images: int = 12, spread: float = 0.02, draw: int = 0,
    **axes: object,
) -> pd.DataFrame:  # fmt: skip
    """A row for each image, key of ``levels`` and combination of ``axes``.

    Args:
        levels: key -> mean of the columns, or column -> mean.
        key: the column of the key, or those of a tuple.
        column: what has a level that is a number; several columns have the same values.
        images: how many.
        spread: standard deviation of the noise, which is the same along axes.
        draw: seed of the noise.
        axes: further columns -> a value, or several in a tuple.
    """
    rng = np.random.default_rng(draw)
    names = [key] if isinstance(key, str) else list(key)
    columns = [column] if isinstance(column, str) else list(column)
    parts = []
    for at, level in levels.items():
        own = dict(zip(names, at if isinstance(at, tuple) else (at,), strict=True))
        if isinstance(level, Mapping):
            values = {name: mean + rng.normal(0, spread, images) for name, mean in level.items()}
        else:
            values = dict.fromkeys(columns, level + rng.normal(0, spread, images))
        parts.append(pd.DataFrame({"image": [f"i{i}" for i in range(images)]} | own | values))
    made = pd.concat(parts, ignore_index=True)
    for name, given in axes.items():
        choices = given if isinstance(given, tuple) else (given,)
        made = made.merge(pd.Series(choices, name=name), how="cross")
    return made


def put(table: str, columns: str, value: object, rows: str = "index == index") -> Change:
    """Another value, or what a function makes of the table, in some rows of it."""

    def change(tables: dict[str, pd.DataFrame]) -> None:
        frame = tables[table]
        at = frame.eval(rows, engine="python")
        assert at.any()
        values = value(frame)[at] if callable(value) else value
        for column in columns.split():
            frame.loc[at, column] = values

    return change


def grown(verdicts: str, *changes: Change) -> list[tuple[str, list[Change]]]:
    """Verdicts after one change, two changes, three ..."""
    values = verdicts.split()
    return [(value, list(changes[: place + 1])) for place, value in enumerate(values)]


def verdict(
    claim: str, tables: Mapping[str, pd.DataFrame], model: str = "efficientnet_lite0",
    images: str = "photos", count: int = 20,
) -> Verdict:  # fmt: skip
    """What the criterion of a claim says of these tables."""
    return judge(claim, tables, CriterionContext.of(find_claim(claim), model, images, count))
