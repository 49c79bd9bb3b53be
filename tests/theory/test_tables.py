"""All tables: registered with three profiles, reproducible, described column by column."""

import pandas as pd
import pytest

from sanitygap.experiments import TABLES
from sanitygap.table import columns_of
from tests.theory.conftest import check

CHECKS = [name for name, entry in TABLES.items() if ".theory." in entry.measure.__module__]


@pytest.mark.parametrize("name", CHECKS)
def test_tables_have_three_profiles_and_described_columns(table, name):
    profiles = TABLES[name].profiles
    assert list(profiles) == ["smoke", "quick", "full"]
    assert all(profiles.values())
    rows = table(name)
    assert len(rows) > 0
    assert list(rows) == list(columns_of(name))


@pytest.mark.parametrize("name", ["theorem-1", "theorem-2-heads", "appendix-g", "equation-4"])
def test_the_seed_decides_the_numbers(table, name):
    again = check(name)
    pd.testing.assert_frame_equal(again, table(name))
    other = check(name, seed=1)
    assert not other.equals(again)
