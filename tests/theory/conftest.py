"""Small tables of every formal check, computed once a session."""

from collections.abc import Callable

import pandas as pd
import pytest

from sanitygap.table import Context, find_table
from tests.tables import measure


def no_network() -> None:
    """Formal checks need neither model nor images."""
    raise AssertionError


def check(name: str) -> pd.DataFrame:
    """A table of the smoke profile, computed."""
    context = Context(no_network, no_network, 0)  # type: ignore[arg-type]
    return measure(name, context, **find_table(name).profiles["smoke"])


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
