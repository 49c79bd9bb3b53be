"""The tables and criteria of the page on skips."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import pearsonr

from sanitygap.claims import CriterionContext, find_claim, judge
from sanitygap.experiments import TABLES
from sanitygap.images import load_images
from sanitygap.models import load_model
from sanitygap.preservation.partition import centred
from sanitygap.preservation.skips import blocks_of, one_layer
from sanitygap.randomization import RandomTwin
from sanitygap.small_networks import residual_networks
from sanitygap.table import Context
from tests.conftest import make_explainable
from tests.models.tiny import TINY, photographs

SMALL = {
    "layer-logits": {"redraws": 2, "every": 3, "max_images": 3},
    "skip-relevance": {"redraws": 2, "methods": ("lrp-epsilon-plus",), "max_images": 3},
    "skip-surrogate": {"redraws": 1, "blocks": 2, "max_images": 3},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return photographs(tmp_path_factory.mktemp("skips") / "folder")


@pytest.fixture(scope="module")
def resnet(folder) -> Context:
    """A small residual network with random weights, for 32 pixels: four blocks of two layers."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = make_explainable(residual_networks.DigitNetwork(skips=True), 32)
    return Context(lambda: model, lambda: load_images(f"folder:{folder}"), 0)


@pytest.fixture(scope="module")
def tiny(folder) -> Context:
    return Context(lambda: load_model(TINY), lambda: load_images(f"folder:{folder}"), 0)


def table(context: Context, name: str, **knobs) -> pd.DataFrame:
    chunks = TABLES[name].parts(context, **{**SMALL[name], **knobs})
    return pd.concat([chunk.compute() for chunk in chunks], ignore_index=True)


@pytest.mark.parametrize("name", list(SMALL))
def test_tables_have_the_columns_that_are_described(resnet, name):
    frame = table(resnet, name)
    assert list(frame) == list(TABLES[name].columns)
    assert frame["image"].nunique() == 3
    assert np.isfinite(frame.select_dtypes("number")).all(axis=None)


@pytest.mark.parametrize("name", ["skip-relevance", "skip-surrogate"])
def test_a_network_without_skips_has_an_empty_table(tiny, name):
    empty = table(tiny, name)
    assert len(empty) == 0
    assert list(empty) == list(TABLES[name].columns)


def test_logits_after_a_redraw_against_whole_passes(resnet):
    frame = table(resnet, "layer-logits")
    layer = "blocks.2.conv2"
    assert frame.groupby("layer", sort=False)["path"].first().to_dict() == {
        "stem.0": "neither",
        "blocks.1.conv1": "residual branch",
        layer: "residual branch",
        "fc": "neither",
    }
    model, batch = resnet.model, resnet.batch((0, 1, 2))
    with torch.no_grad():
        before = model.module(batch.inputs)
        with RandomTwin(model, 1).redrawn(one_layer(layer)):
            after = model.module(batch.inputs)
    rows = frame[(frame["layer"] == layer) & (frame["seed"] == 1)]
    expected = [pearsonr(a, b).statistic for a, b in zip(before, after, strict=True)]
    np.testing.assert_allclose(rows["pearson"], expected, atol=1e-5)
    change = centred(after - before).norm(dim=1) / centred(before).norm(dim=1)
    np.testing.assert_allclose(rows["change"], change, rtol=1e-4)


def test_layers_of_a_network_without_skips_lie_beside_none(tiny):
    frame = table(tiny, "layer-logits", every=1, max_images=2)
    assert list(dict.fromkeys(frame["layer"])) == ["conv1", "conv2", "fc"]
    assert set(frame["path"]) == {"neither"}


def test_the_surrogate_holds_for_small_changes_only(resnet):
    frame = table(resnet, "skip-surrogate")
    assert list(dict.fromkeys(frame["block"])) == ["blocks.0", "blocks.3"]
    error = frame.groupby(["block", "size"])["error"].mean()
    assert error["blocks.3", 0.001] < 0.05
    assert error["blocks.3", 0.001] < error["blocks.3", 0.1]
    redraws = frame[frame["change"] == "redraw"]
    assert (redraws["error"] > 0.05).all()


def test_relevance_is_split_at_the_topmost_block(resnet):
    frame = table(resnet, "skip-relevance")
    assert set(frame["block"]) == {"blocks.3"}
    assert set(frame["layer"]) == {"blocks.3.conv2"}
    assert frame["gap"].max() < 1e-5
    masses = frame[frame["seed"] == 0].pivot(index="image", columns="part", values="mass")
    np.testing.assert_allclose(masses["total"], 1, atol=1e-6)
    assert (masses["skip"] + masses["branch"] > 1 - 1e-6).all()  # the triangle inequality
    assert (masses[["skip", "branch"]] > 0.01).all(axis=None)


def test_a_whole_map_that_is_a_sum_is_the_whole_map(resnet):
    """Redraws after the first do not explain the whole again; the numbers must not tell."""
    several = table(resnet, "skip-relevance")
    alone = table(Context(lambda: resnet.model, lambda: resnet.images, 1), "skip-relevance",
                  redraws=1)  # fmt: skip
    second = several[several["seed"] == 1]
    for column in ("pearson", "ssim", "mass_after"):
        np.testing.assert_allclose(second[column], alone[column], atol=1e-4)


def test_small_networks_and_their_table(tiny, monkeypatch):
    monkeypatch.setattr(residual_networks, "EPOCHS", 1)
    knobs = {"trainings": 1, "redraws": 1, "test_images": 3, "path_steps": 2,
             "training_images": 50}  # fmt: skip
    [chunk] = TABLES["skip-networks"].parts(tiny, **knobs)
    assert not chunk.table.modelled
    frame = chunk.compute()
    assert list(frame) == list(TABLES["skip-networks"].columns)
    parts = frame.groupby("network")["part"].unique()
    assert set(parts["with skips"]) == {"total", "branch"}
    assert set(parts["without skips"]) == {"total"}
    assert frame.groupby("network")["layer"].nunique().tolist() == [8, 8]
    assert frame["image"].nunique() == 3


def test_blocks_of_the_embedded_default():
    blocks = blocks_of(load_model("efficientnet_lite0"))
    assert [residual.block for residual in blocks] == [
        f"blocks.{number}" for number in (2, 4, 6, 7, 9, 10, 12, 13, 14)
    ]
    assert all(not residual.shortcut for residual in blocks)


def context_of(claim: str, model: str = "efficientnet_lite0") -> CriterionContext:
    return CriterionContext.of(find_claim(claim), model, "photos", 20)


def made_logits(median: float = 0.5, weakest: float = 0.5, redraws: int = 10) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = []
    for image in range(20):
        for seed in range(redraws):
            for layer, path, mean in (
                ("stem", "neither", 0.0),
                ("a", "residual branch", median),
                ("b", "residual branch", weakest),
            ):
                value = rng.normal(mean, 0.05)
                rows.append(
                    {"image": f"{image}.png", "seed": seed, "layer": layer, "path": path,
                     "pearson": value, "spearman": value}
                )  # fmt: skip
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("rows", "verdict"),
    [
        (made_logits(), "direction"),
        (made_logits(weakest=0.0), "undecided"),
        (made_logits(weakest=-0.3), "not-reproduced"),
        (made_logits(redraws=9), "undecided"),
        (made_logits().query("path == 'neither'"), "not-run"),
    ],
)
def test_figure_5_is_refused_where_it_is_false(rows, verdict):
    found = judge("binder-fig5", {"layer-logits": rows}, context_of("binder-fig5"))
    assert found.value == verdict, found.evidence


def made_parts(
    *, skip: float = 0.97, branch: float = 0.3, masses: tuple[float, float] = (0.8, 0.2),
    gap: float = 1e-6, redraws: int = 5, images: int = 50, beta_1: dict[str, float] | None = None,
) -> pd.DataFrame:  # fmt: skip
    rng = np.random.default_rng(0)
    rows = []
    for method in ("lrp-epsilon-plus", "lrp-alpha2-beta1"):
        means = {"total": 0.95, "skip": skip, "branch": branch}
        means |= (beta_1 or {}) if method == "lrp-alpha2-beta1" else {}
        mass = {"total": 1.0, "skip": masses[0], "branch": masses[1]}
        for image in range(images):
            for seed in range(redraws):
                for part, mean in means.items():
                    share = mass[part] + rng.normal(0, 0.02)
                    rows.append(
                        {"image": f"{image}.png", "seed": seed, "method": method, "part": part,
                         "pearson": mean + rng.normal(0, 0.01), "mass": share,
                         "mass_after": share, "gap": gap}
                    )  # fmt: skip
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "direction"),
        ({"skip": 0.8}, "not-reproduced"),
        ({"branch": 0.99}, "not-reproduced"),
        ({"masses": (0.3, 0.7)}, "not-reproduced"),
        ({"gap": 1e-3}, "not-reproduced"),
        ({"redraws": 4}, "undecided"),
        ({"images": 49}, "undecided"),
        ({"beta_1": {"skip": 0.5}}, "under-specified"),
    ],
)
def test_figure_7_is_refused_where_it_is_false(changes, verdict):
    rows = made_parts(**changes)
    found = judge("binder-fig7", {"skip-relevance": rows}, context_of("binder-fig7"))
    assert found.value == verdict, found.evidence


@pytest.mark.parametrize(
    ("methods", "words"), [(["lrp-epsilon-plus"], "beta = 1 'not-run'"), ([], "holds no")]
)
def test_figure_7_stays_open_where_a_beta_was_not_measured(methods, words):
    rows = made_parts()
    other = rows.assign(method="gradient")
    rows = pd.concat([rows[rows["method"].isin(methods)], other])
    found = judge("binder-fig7", {"skip-relevance": rows}, context_of("binder-fig7"))
    assert found.value == ("undecided" if methods else "not-run")
    assert words in found.reason


def test_figure_7_says_that_a_network_has_no_skips(tiny):
    empty = table(tiny, "skip-relevance")
    context = context_of("binder-fig7", "squeezenet1_1")
    found = judge("binder-fig7", {"skip-relevance": empty}, context)
    assert found.value == "not-run"
    assert "squeezenet1_1 has no skip connection" in found.reason


def made_networks(with_: float, without: float, branch: float, trainings: int = 5):
    rng = np.random.default_rng(0)
    kinds = (
        ("with skips", "total", with_),
        ("with skips", "branch", branch),
        ("without skips", "total", without),
    )
    return pd.DataFrame(
        {"image": f"{image}.png", "training": training, "seed": 0, "method": method,
         "network": network, "part": part, "layer": "a", "accuracy": 0.97,
         "ssim": mean + rng.normal(0, 0.05)}
        for image in range(20)
        for training in range(trainings)
        for method in ("gradient-x-input", "integrated-gradients")
        for network, part, mean in kinds
    )  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "verdict"),
    [
        (made_networks(0.6, 0.2, 0.3), "direction"),
        (made_networks(0.2, 0.6, 0.1), "not-reproduced"),
        (made_networks(0.6, 0.2, 0.7), "not-reproduced"),
        (made_networks(0.6, 0.6, 0.3), "undecided"),
        (made_networks(0.6, 0.2, 0.3, trainings=1), "undecided"),
    ],
)
def test_what_skips_predict_is_refused_where_it_is_false(rows, verdict):
    claim = "binder-skip-predicts"
    found = judge(claim, {"skip-networks": rows}, context_of(claim))
    assert found.value == verdict, found.evidence
