"""The tables and criteria of the page on skips, against whole passes and made-up tables."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import pearsonr

from sanitygap.chapters.skips.measure import DigitNetwork
from sanitygap.images import load_images
from sanitygap.partition import centred
from sanitygap.randomization import RandomTwin
from sanitygap.residual_blocks import one_layer
from sanitygap.table import Context
from tests import synthetic
from tests.conftest import make_explainable
from tests.synthetic import verdict
from tests.tables import measure

SMALL = {
    "layer-logits": {"redraws": 2, "every": 3, "max_images": 3},
    "skip-relevance": {"redraws": 2, "methods": ("lrp-epsilon-plus",), "max_images": 3},
    "skip-surrogate": {"redraws": 1, "blocks": 2, "max_images": 3},
}


@pytest.fixture(scope="module")
def resnet(folder) -> Context:
    """A small residual network with random weights, for 32 pixels: four blocks of two layers."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = make_explainable(DigitNetwork(skips=True), 32)
    return Context(lambda: model, lambda: load_images(f"folder:{folder}"), 0)


def table(context: Context, name: str, **parameters) -> pd.DataFrame:
    return measure(name, context, **SMALL[name] | parameters)


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


def logits(weakest: float = 0.5, redraws: int = 10, paths: str = "all") -> pd.DataFrame:
    branch = "residual branch"
    levels = {("stem", "neither"): 0.0, ("a", branch): 0.5, ("b", branch): weakest}
    columns = ("pearson", "spearman")
    made = synthetic.table(levels, ("layer", "path"), columns, 20, 0.05, seed=tuple(range(redraws)))
    return made if paths == "all" else made[made["path"] == paths]


def parts(
    *, skip: float = 0.97, branch: float = 0.3, masses: tuple[float, float] = (0.8, 0.2),
    gap: float = 1e-6, redraws: int = 5, images: int = 50, beta_1: dict[str, float] | None = None,
) -> pd.DataFrame:  # fmt: skip
    means = {"total": 0.95, "skip": skip, "branch": branch}
    mass = {"total": 1.0, "skip": masses[0], "branch": masses[1]}
    levels = {
        (method, part): {"pearson": mean, "mass": mass[part], "mass_after": mass[part]}
        for method, own in (
            ("lrp-epsilon-plus", means), ("lrp-alpha2-beta1", means | (beta_1 or {})),
        )
        for part, mean in own.items()
    }  # fmt: skip
    return synthetic.table(
        levels, ("method", "part"), images=images, spread=0.01, seed=tuple(range(redraws)), gap=gap
    )


def networks(
    with_: float = 0.6, without: float = 0.2, branch: float = 0.3, trainings: int = 5
) -> pd.DataFrame:
    kinds = {
        ("with skips", "total"): with_,
        ("with skips", "branch"): branch,
        ("without skips", "total"): without,
    }
    levels = {(*kind, number): v for kind, v in kinds.items() for number in range(trainings)}
    return synthetic.table(
        levels, ("network", "part", "training"), images=20, spread=0.05, seed=0, layer="a",
        accuracy=0.97, method=("gradient-x-input", "integrated-gradients"),
    )  # fmt: skip


#: claim -> its table, and verdicts after changes of it
CASES = {
    "binder-fig5": ("layer-logits", logits, [
        ("direction", {}),
        ("undecided", {"weakest": 0.0}),
        ("not-reproduced", {"weakest": -0.3}),
        ("undecided", {"redraws": 9}),
        ("not-run", {"paths": "neither"}),
    ]),
    "binder-fig7": ("skip-relevance", parts, [
        ("direction", {}),
        ("not-reproduced", {"skip": 0.8}),
        ("not-reproduced", {"branch": 0.99}),
        ("not-reproduced", {"masses": (0.3, 0.7)}),
        ("not-reproduced", {"gap": 1e-3}),
        ("undecided", {"redraws": 4}),
        ("undecided", {"images": 49}),
        ("under-specified", {"beta_1": {"skip": 0.5}}),
    ]),
    "binder-skip-predicts": ("skip-networks", networks, [
        ("direction", {}),
        ("not-reproduced", {"with_": 0.2, "without": 0.6, "branch": 0.1}),
        ("not-reproduced", {"branch": 0.7}),
        ("undecided", {"without": 0.6}),
        ("undecided", {"trainings": 1}),
    ]),
}  # fmt: skip


@pytest.mark.parametrize("claim", CASES)
def test_claims_are_refused_where_they_are_false(claim):
    name, made, cases = CASES[claim]
    for value, changes in cases:
        assert verdict(claim, {name: made(**changes)}).value == value, changes
