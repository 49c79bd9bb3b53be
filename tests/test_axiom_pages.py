"""What the pages about generated features show of the tables of a run."""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from IPython.display import Markdown

from sanitygap import pages
from sanitygap.figures.axioms import BAND, MapRow, map_rows
from sanitygap.pages import axioms, shared
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
    """Resampling is tested elsewhere."""
    monkeypatch.setattr(
        axioms, "metric_of",
        lambda *args, whole=axioms.metric_of: whole(*args, resamples=20),
    )  # fmt: skip


def test_one_sample_gets_a_sentence_and_no_grid_of_undefined():
    shown = axioms.variant_table(FakeStudy(axioms_scores=scores("null", 1)), "null")
    assert isinstance(shown, Markdown)
    assert "only one sample was accepted" in shown.data
    assert "feature_samples" in shown.data


def test_maps_of_nothing_outside_the_patches_have_no_level_and_raise_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = axioms.variant_table(FakeStudy(axioms_scores=scores("single", 12)), "single")
    shown = table.data.set_index("method")
    assert shown.loc["Shapley value of the patches", "printed, signed"] == "undefined"
    assert shown.loc["Grad-CAM", "printed, signed"] != "undefined"


def test_columns_without_a_value_are_named_and_not_shown():
    table = scores("single", 12)
    table = table[table["method"] == "patch-shapley"]
    shown = axioms.variant_table(FakeStudy(axioms_scores=table), "single")
    assert list(shown.data) == ["method", "paper", "coded, signed", "coded, absolute"]
    assert "not shown: printed, signed; printed, absolute" in shown.caption


def test_statements_have_a_row_a_claim_and_fold_their_values():
    table = pd.DataFrame(
        [
            ("khakzar-eq10", "perfect", "printed", 1.0),
            ("khakzar-eq10", "a < b", "coded", np.inf),
            ("khakzar-eq10", "a < b", "printed", 1e-16),
            ("khakzar-eq11", "noise", "metric", -0.25),
        ],
        columns=["claim", "case", "quantity", "value"],
    )
    rows = axioms.statement_rows(table)
    assert list(rows["cases"]) == [2, 1]
    first, second = rows["what was computed"]
    assert "<summary>3 values</summary>" in first
    assert "<b>a &lt; b</b>: coded = ∞, printed = 0" in first
    assert "<summary>1 value</summary>" in second
    assert "metric = −0.25" in second


@pytest.mark.parametrize(("methods", "shape"), [(4, (2, 5)), (9, (4, 6))])
def test_many_maps_stand_in_bands(methods, shape):
    maps = {f"m{number}": np.zeros((4, 4)) for number in range(methods)}
    rows = [MapRow(f"output {name}", torch.zeros(3, 4, 4), maps) for name in "ab"]
    plate = map_rows(rows, "What was measured.", pd.DataFrame())
    grid = plate.figure.axes[0].get_gridspec()
    assert (grid.nrows, grid.ncols) == shape
    assert grid.ncols <= BAND + 1
    titles = [axis.get_title() for axis in plate.figure.axes if axis.get_title()]
    assert [title for title in titles if title != "input"] == list(maps)


def test_a_recorded_run_stands_in_where_nothing_was_accepted(monkeypatch, capsys):
    def study(run: str, samples: int, held: bool = True) -> FakeStudy:
        fake = FakeStudy(axioms_scores=scores("null", samples))
        fake.settings.run = run
        fake.made = lambda table: {"table": table} if held else {}
        return fake

    own, bare, other = study("mine", 0), study("bare", 0, held=False), study("recorded", 3)
    monkeypatch.setattr(shared, "references", lambda _: [bare, other])
    assert pages.with_samples(own, "axioms-scores") is other
    assert pages.with_samples(study("mine", 1), "axioms-scores").settings.run == "mine"
    monkeypatch.setattr(shared, "references", lambda _: [own])  # no run is recorded
    assert pages.with_samples(own, "axioms-scores") is own
    assert capsys.readouterr().out.count("Markdown") == 1, "it is said where it is so"


def test_a_page_about_one_scenario_needs_a_sample_of_that_one(monkeypatch, capsys):
    def study(scenario: str) -> FakeStudy:
        return FakeStudy(axioms_scores=scores(scenario, 2))

    own, useless, other = study("single"), study("double"), study("null")
    monkeypatch.setattr(shared, "references", lambda _: [useless, other])
    assert pages.with_samples(own, "axioms-scores") is own
    assert pages.with_samples(own, "axioms-scores", scenario="single") is own
    assert capsys.readouterr().out == ""
    assert pages.with_samples(own, "axioms-scores", scenario="null") is other
    assert "Markdown" in capsys.readouterr().out
