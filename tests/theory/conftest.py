"""Small tables of every formal check, computed once a session."""

from collections.abc import Callable

import pandas as pd
import pytest

from sanitygap import tables  # noqa: F401  (it registers them)
from sanitygap.table import Context, find_table


def no_network() -> None:
    """Formal checks need neither model nor images."""
    raise AssertionError


def check(name: str, seed: int = 0) -> pd.DataFrame:
    """A table of the smoke profile, computed."""
    entry = find_table(name)
    (part,) = entry.parts(Context(no_network, no_network, seed), **entry.profiles["smoke"])
    return part.compute()


@pytest.fixture(scope="session")
def table() -> Callable[[str], pd.DataFrame]:
    """A function: table name -> the table of the smoke profile (do not modify it)."""
    computed: dict[str, pd.DataFrame] = {}

    def get(name: str) -> pd.DataFrame:
        if name not in computed:
            computed[name] = check(name)
        return computed[name]

    return get


@pytest.fixture(scope="session")
def tables_of(table):
    """A function: table names -> mapping with copies of the tables, free to be changed."""

    def get(*names: str) -> dict[str, pd.DataFrame]:
        return {name: table(name).copy() for name in names}

    return get
