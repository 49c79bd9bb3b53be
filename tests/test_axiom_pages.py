"""What the pages about generated features show of the tables of a run."""

import warnings

import numpy as np
import pandas as pd
import pytest

from sanitygap.pages import axioms
from tests.fake_study import FakeStudy

METHODS = ("grad-cam", "patch-shapley")


def scores(scenario: str, samples: int) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        [
            {
                "scenario": scenario, "sample": sample, "method": method, "sign": sign,
                "output": output, "first": rng.uniform(1, 2), "second": rng.uniform(0, 1),
                "outside": 0.0 if method == "patch-shapley" else rng.uniform(1, 2),
                "largest": 1.0, "inside": 9.0, "rest": 16.0,
            }
            for sample in range(samples) for method in METHODS
            for sign in ("signed", "absolute") for output in "ab"
        ]
    )  # fmt: skip


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Every table is held; resampling is tested elsewhere."""
    monkeypatch.setattr(axioms, "holding", lambda *args: True)
    monkeypatch.setattr(
        axioms, "metric_of",
        lambda *args, whole=axioms.metric_of: whole(*args, resamples=20),
    )  # fmt: skip


def test_maps_of_nothing_outside_the_patches_have_no_level_and_raise_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = axioms.variant_table(FakeStudy(axioms_scores=scores("single", 12)), "single")
    shown = table.data.set_index("method")
    assert shown.loc["Shapley value of the patches", "printed, signed"] == "undefined"
    assert shown.loc["Grad-CAM", "printed, signed"] != "undefined"
