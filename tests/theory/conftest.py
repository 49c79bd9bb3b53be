"""Small tables of every formal check, computed once a session."""

from collections.abc import Callable

import pandas as pd
import pytest

from sanitygap.theory import TABLES


@pytest.fixture(scope="session")
def table() -> Callable[[str], pd.DataFrame]:
    """A function: table name -> the table of the smoke profile (do not modify it)."""
    computed: dict[str, pd.DataFrame] = {}

    def get(name: str) -> pd.DataFrame:
        if name not in computed:
            check, knobs = TABLES[name]
            computed[name] = check(seed=0, **knobs["smoke"])
        return computed[name]

    return get


@pytest.fixture(scope="session")
def tables_of(table):
    """A function: table names -> mapping with copies of the tables, free to be changed."""

    def get(*names: str) -> dict[str, pd.DataFrame]:
        return {name: table(name).copy() for name in names}

    return get
