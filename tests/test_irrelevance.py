"""The tables and criteria of the page on preserved irrelevance."""

import numpy as np
import pandas as pd
import pytest
import torch

from sanitygap.attribution import attribute
from sanitygap.chapters.irrelevance import judge as criteria
from sanitygap.chapters.irrelevance.judge import beyond_null
from sanitygap.chapters.irrelevance.measure import smoothed
from sanitygap.judge import FIGURE_METHODS
from sanitygap.partition import cut_model, feature_sum
from sanitygap.randomization import RandomTwin
from sanitygap.similarity import pearson
from tests import synthetic
from tests.cases import cases
from tests.tables import measure, tiny_context


def test_a_row_of_the_table_against_its_definition(folder):
    context = tiny_context(folder)
    frame = measure("irrelevance", context, redraws=2, max_images=3, shares=(3 / 4,))
    model, batch = context.model, context.batch((0, 1, 2))
    cut = cut_model(model, 3 / 4)

    def explain(explained, targets) -> torch.Tensor:
        return attribute(explained, batch.inputs, targets, ["lrp-gamma"], range(3))["lrp-gamma"]

    trained = explain(model, batch.targets)
    phi = explain(feature_sum(model, cut), torch.zeros(3, dtype=torch.long))
    with RandomTwin(model, 1).redrawn(cut.redrawn):
        redrawn = explain(model, batch.targets)
    pairs = {
        ("trained", "signed"): (trained, redrawn),
        ("trained", "absolute"): (trained.abs(), redrawn.abs()),
        ("phi", "smoothed"): (smoothed(phi), smoothed(redrawn)),
    }
    rows = frame[(frame["seed"] == 1) & (frame["second"] == "redrawn")]
    for (first, maps), (a, b) in pairs.items():
        part = rows[(rows["first"] == first) & (rows["maps"] == maps)]
        for other in (0, 1, 2):
            found = part[part["other"] == other].sort_values("position")["pearson"]
            expected = pearson(a, b.roll(-other, 0))
            np.testing.assert_allclose(found, expected, atol=1e-5)
        assert set(part["other"]) == {0, 1, 2}


KINDS = (
    ("trained", "redrawn", "absolute"), ("trained", "redrawn", "signed"),
    ("phi", "redrawn", "smoothed"), ("phi", "trained", "smoothed"),
)  # fmt: skip


def made_similarities(
    *, absolute: float = 0.6, signed: float = 0.2, null: float = 0.1, auc: float = 0.8,
    redraws: int = 5, second_cut: dict[str, float] | None = None,
) -> pd.DataFrame:  # fmt: skip
    """A table ``irrelevance`` whose similarities scatter around given means."""
    levels = {}
    for share, kept, changes in ((3 / 8, "a", {}), (3 / 4, "b", second_cut or {})):
        means = {"absolute": absolute, "signed": signed, "null": null, "auc": auc} | changes
        for first, second, maps in KINDS:
            for other in range(4):
                own = "null" if other else "signed" if maps == "signed" else "absolute"
                similar = dict.fromkeys(("pearson", "spearman", "ssim"), means[own])
                levels[share, kept, first, second, maps, other] = similar | {"auc": means["auc"]}
    names = ("share", "kept", "first", "second", "maps", "other")
    made = synthetic.table(levels, names, images=20, spread=0.05, seed=tuple(range(redraws)))
    return made[(made["second"] == "redrawn") | (made["seed"] == 0)]


@pytest.mark.parametrize(("claim", "changes", "verdict"), cases("figure 4"))
def test_figure_4_is_refused_where_it_is_false(claim, changes, verdict, monkeypatch):
    monkeypatch.setattr(criteria, "MEASURES", ("pearson",))  # the others are judged alike
    found = synthetic.verdict(claim, {"irrelevance": made_similarities(**changes)})
    assert found.value == verdict, found.evidence
    if verdict != "direction":
        assert "Not met" in found.evidence or found.reason


def test_the_excess_over_the_null_is_its_definition():
    rows = made_similarities()
    rows = rows[(rows["first"] == "trained") & (rows["maps"] == "absolute")]
    rows = rows[rows["share"] == 3 / 8]
    same, others = rows[rows["other"] == 0], rows[rows["other"] > 0]
    expected = same["pearson"].mean() - others["pearson"].quantile(0.95)
    interval = beyond_null(rows, "pearson")
    assert interval.estimate == pytest.approx(expected)
    assert interval.low < expected < interval.high


def made_changes(error_of_gap: float, attainable: float = 0.4, redraws: int = 5) -> pd.DataFrame:
    """Methods with SSIM from 0.1 to 0.7 and an error that grows (or not) with the distance."""
    ssim = {method: 0.1 + 0.1 * n for n, method in enumerate([*FIGURE_METHODS, "noise"])}
    levels = {
        method: {"ssim": value, "error": 1 + error_of_gap * abs(value - attainable)}
        for method, value in ssim.items()
    }
    seeds = tuple(range(redraws))
    return synthetic.table(levels, images=20, spread=0.01, seed=seeds, attainable=attainable)


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        (made_changes(1.0), "direction"),
        (made_changes(-1.0), "not-reproduced"),
        (made_changes(0.0), "undecided"),
        (made_changes(1.0, attainable=0.05), "undecided"),  # no method is below the truth
        (made_changes(1.0, redraws=2), "undecided"),
        (made_changes(1.0).query("method != 'gradient'"), "not-run"),
    ],
)
def test_limited_change_is_refused_where_it_is_false(changes, verdict):
    found = synthetic.verdict("binder-limited-change", {"limited-change": changes})
    assert found.value == verdict, found.evidence
