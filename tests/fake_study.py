"""A study for tests of pages: tables without a run."""

from types import SimpleNamespace

import pandas as pd


class FakeStudy:
    """Tables of a run, without a run.

    Args:
        tables: by name, with underscores for hyphens.
    """

    recorded = False

    def __init__(self, **tables: pd.DataFrame) -> None:
        self.tables = {name.replace("_", "-"): table for name, table in tables.items()}
        public = {"model": "squeezenet1_1", "images": "photos", "seed": 0, "profile": "quick"}
        self.settings = SimpleNamespace(public=lambda: public, seed=0, run="fake")

    def table(self, name: str) -> pd.DataFrame:
        return self.tables[name]

    def made(self, name: str) -> dict[str, object]:
        return {"images": 3, "parameters": {"redraws": 4}} if name in self.tables else {}
