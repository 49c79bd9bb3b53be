"""The tables and criteria of the page on preserved irrelevance."""

import numpy as np
import pandas as pd
import pytest
import torch

from sanitygap import table as room
from sanitygap.attribution import attribute
from sanitygap.claims import CriterionContext, find_claim, judge
from sanitygap.criteria import irrelevance as criteria
from sanitygap.criteria.gap import FIGURE_METHODS
from sanitygap.criteria.irrelevance import beyond_null
from sanitygap.experiments import TABLES
from sanitygap.experiments.irrelevance import partners, smoothed
from sanitygap.images import load_images
from sanitygap.models import load_model
from sanitygap.pages.irrelevance import tile_agreement
from sanitygap.preservation.partition import cut_model, feature_sum
from sanitygap.randomization import RandomTwin
from sanitygap.similarity import pearson
from sanitygap.small_networks.planted import planted_model
from sanitygap.table import Context
from tests.models.tiny import TINY, photographs

SMALL = {
    "irrelevance": {"redraws": 2, "max_images": 4},
    "ignored-tiles": {"redraws": 1, "side": 2, "max_images": 3},
    "limited-change": {
        "redraws": 2, "path_steps": 2, "noisy_copies": 2, "max_images": 3,
        "methods": ("gradient-x-input", "lrp-epsilon-plus", "noise"),
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return photographs(tmp_path_factory.mktemp("irrelevance") / "folder")


@pytest.fixture(scope="module")
def context(folder) -> Context:
    return Context(lambda: load_model(TINY), lambda: load_images(f"folder:{folder}"), 0)


def table(context: Context, name: str, **knobs) -> pd.DataFrame:
    chunks = TABLES[name].parts(context, **{**SMALL[name], **knobs})
    return pd.concat([chunk.compute() for chunk in chunks], ignore_index=True)


@pytest.mark.parametrize("name", list(SMALL))
def test_tables_have_the_columns_that_are_described(context, name):
    frame = table(context, name)
    assert list(frame) == list(TABLES[name].columns)
    measured = [name for name in frame.select_dtypes("float") if name != "auc"]
    assert np.isfinite(frame[measured].astype(float)).all(axis=None)


@pytest.mark.parametrize("name", list(SMALL))
def test_numbers_do_not_depend_on_the_size_of_a_chunk(context, name, monkeypatch):
    keys = ["image", "share", "seed", "first", "second", "other", "maps", "change", "tile",
            "method"]  # fmt: skip
    knobs = {"max_images": 12, "redraws": 1} if name != "limited-change" else {}
    if name == "irrelevance":
        knobs["shares"] = (3 / 4,)
    monkeypatch.setattr(room, "BATCH", 10)
    frames = [table(context, name, **knobs)]
    monkeypatch.setattr(room, "BATCH", 20)
    frames.append(table(context, name, **knobs))
    a, b = (frame.set_index([k for k in keys if k in frame]).sort_index() for frame in frames)
    assert a.index.equals(b.index)
    for column in a.select_dtypes("number"):
        np.testing.assert_allclose(a[column].astype(float), b[column].astype(float), atol=1e-5)


def test_partners_stay_within_groups_of_ten():
    same, *others = partners([8, 9, 10, 11, 12])
    assert same.tolist() == [0, 1, 2, 3, 4]
    assert [other.tolist() for other in others] == [
        [1, 0, 3, 4, 2], [-1, -1, 4, 2, 3], [-1, -1, -1, -1, -1],
    ]  # fmt: skip


def test_a_row_of_the_table_against_its_definition(context):
    frame = table(context, "irrelevance", max_images=3, shares=(3 / 4,))
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


def test_tiles_of_a_table_add_up(context):
    frame = table(context, "ignored-tiles")
    sums = frame.groupby(["image", "change", "seed"], dropna=False)["attribution"].sum()
    # the tiny network's 32 pixels divide into 2 x 2 tiles without a rest
    np.testing.assert_allclose(sums, 1, atol=1e-5)
    assert set(frame["change"]) == {"noise", "blur"}


def test_agreement_of_tiles():
    tiles = pd.DataFrame(
        {
            "image": "a",
            "change": "noise",
            "seed": pd.array([None] * 4 + [0] * 4 + [1] * 4, dtype="Int64"),
            "phi": [1.0, 2, 3, 4] * 3,
            "logits": [1.0, 2, 3, 4, 4, 3, 2, 1, 1, 2, 3, 4],
            "attribution": [0.0, 0.2, 0.3, 0.5] * 3,
        }
    )
    found = tile_agreement(tiles).set_index("network")
    assert found.loc["trained", "rank_logits"] == pytest.approx(1)
    assert found.loc["redrawn", "rank_logits"] == pytest.approx(0)  # mean of -1 and 1
    assert found.loc["trained", "low_logits"] == pytest.approx(0.1)
    assert found.loc["redrawn", "low_logits"] == pytest.approx((0.4 + 0.1) / 2)
    assert found.loc["redrawn", "low_attribution"] == 0
    assert found["low_tiles"].tolist() == [0.25, 0.25]


def test_the_truth_would_reach_the_attainable_similarity(context):
    """A method that gives the truth has no error, and the change that the truth has."""
    frame = table(context, "limited-change")
    exact = frame[frame["method"] == "lrp-epsilon-plus"]
    assert exact["error"].max() < 1e-6
    np.testing.assert_allclose(exact["ssim"], exact["attainable"], atol=1e-4)
    assert frame.loc[frame["method"] == "noise", "error"].min() > 1
    model = planted_model(1)
    inputs = model.prepare([context.images.open(0)])
    targets = model.predict(inputs)
    before = model.module.contributions(inputs, targets)
    with RandomTwin(model, 1).redrawn(model.stages[:2]):
        after = model.module.contributions(inputs, targets)
    assert not torch.allclose(before, after)
    assert before.eq(0).eq(after.eq(0)).all()  # what phi ignores stays zero


def context_of(claim: str) -> CriterionContext:
    return CriterionContext.of(find_claim(claim), "efficientnet_lite0", "photos", 20)


def made_similarities(
    *, absolute: float = 0.6, signed: float = 0.2, null: float = 0.1, auc: float = 0.8,
    redraws: int = 5, second_cut: dict[str, float] | None = None,
) -> pd.DataFrame:  # fmt: skip
    """A table ``irrelevance`` whose similarities scatter around given means."""
    rng = np.random.default_rng(0)
    rows = []
    for share, kept in ((3 / 8, "a"), (3 / 4, "b")):
        means = {"absolute": absolute, "signed": signed, "null": null, "auc": auc}
        means |= (second_cut or {}) if kept == "b" else {}
        for image in range(20):
            for seed in range(redraws):
                for other in range(4):
                    for first, second, maps in (
                        ("trained", "redrawn", "absolute"),
                        ("trained", "redrawn", "signed"),
                        ("phi", "redrawn", "smoothed"),
                        ("phi", "trained", "smoothed"),
                    ):
                        if second == "trained" and seed > 0:
                            continue
                        own = means["signed" if maps == "signed" else "absolute"]
                        value = rng.normal(own if other == 0 else means["null"], 0.05)
                        rows.append(
                            {
                                "image": f"{image}.png", "share": share, "kept": kept,
                                "seed": seed, "first": first, "second": second, "other": other,
                                "maps": maps, "pearson": value, "spearman": value, "ssim": value,
                                "auc": rng.normal(means["auc"], 0.02),
                            }
                        )  # fmt: skip
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("claim", "changes", "verdict"),
    [
        ("binder-fig4", {}, "direction"),
        ("binder-fig4", {"signed": 0.0}, "undecided"),
        ("binder-fig4", {"signed": -0.2}, "not-reproduced"),
        ("binder-fig4", {"null": 0.7}, "not-reproduced"),
        ("binder-fig4", {"redraws": 4}, "undecided"),
        ("binder-fig4", {"second_cut": {"signed": -0.2}}, "under-specified"),
        ("binder-fig4", {"second_cut": {"signed": 0.0}}, "undecided"),
        ("binder-fig4-phi", {}, "direction"),
        ("binder-fig4-phi", {"auc": 0.55}, "not-reproduced"),
        ("binder-fig4-phi", {"null": 0.7}, "not-reproduced"),
        ("binder-fig4-phi", {"second_cut": {"auc": 0.5}}, "under-specified"),
    ],
)
def test_figure_4_is_refused_where_it_is_false(claim, changes, verdict, monkeypatch):
    monkeypatch.setattr(criteria, "MEASURES", ("pearson",))  # the others are judged alike
    found = judge(claim, {"irrelevance": made_similarities(**changes)}, context_of(claim))
    assert found.value == verdict, found.evidence
    if verdict != "direction":
        assert "Not met" in found.evidence or found.reason


def test_every_measure_has_to_show_it():
    rows = made_similarities()
    rows.loc[rows["maps"] == "signed", "ssim"] -= 0.6
    found = judge("binder-fig4", {"irrelevance": rows}, context_of("binder-fig4"))
    assert found.value == "not-reproduced"
    assert "8 of 9 conditions" in found.evidence
    assert "ssim of signed maps" in found.evidence


@pytest.mark.parametrize("claim", ["binder-fig4", "binder-fig4-phi"])
def test_one_image_has_no_null(claim):
    one = made_similarities()
    one = one[(one["image"] == "0.png") & (one["other"] == 0)]
    found = judge(claim, {"irrelevance": one}, context_of(claim))
    assert found.value == "not-run"
    assert "two images" in found.reason


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
    rng = np.random.default_rng(0)
    rows = []
    for image in range(20):
        for seed in range(redraws):
            for number, method in enumerate([*FIGURE_METHODS, "noise"]):
                ssim = 0.1 + 0.1 * number
                error = 1 + error_of_gap * abs(ssim - attainable)
                rows.append(
                    {
                        "image": f"{image}.png", "seed": seed, "method": method,
                        "ssim": ssim + rng.normal(0, 0.01), "attainable": attainable,
                        "error": error + rng.normal(0, 0.01),
                    }
                )  # fmt: skip
    return pd.DataFrame(rows)


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
    claim = "binder-limited-change"
    found = judge(claim, {"limited-change": changes}, context_of(claim))
    assert found.value == verdict, found.evidence
