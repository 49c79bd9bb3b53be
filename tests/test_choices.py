"""Tables about replacements, retests, active regions, properties and tasks, on a tiny network."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch

from sanitygap import table as room
from sanitygap.attribution import attribute
from sanitygap.errors import UsageError
from sanitygap.experiments import TABLES
from sanitygap.experiments.outlier_images import FeatureCloud, respond
from sanitygap.faithfulness import occlusion_curves
from sanitygap.images import load_images
from sanitygap.models import load_model
from sanitygap.similarity import Reference
from sanitygap.small_networks.tasks import TASKS
from sanitygap.table import Context
from tests.models.tiny import TINY, photographs

#: settings that make the tables small
SMALL = {
    "occlusion-replacements": {"path_steps": 2, "regions": 3, "every": 2, "patch": 8},
    "outlier-images": {"seeds": (0, 1), "patch": 8, "regions": 3},
    "test-retest": {"n_steps": 2, "path_steps": 2, "noisy_copies": 2},
    "false-rejections": {"simulations": 3, "shrink": 2},
    "activated-regions": {"others": 2},
    "map-properties": {"path_steps": 2, "noisy_copies": 2},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return photographs(tmp_path_factory.mktemp("images") / "folder", 7)


@pytest.fixture
def context(folder):
    return make_context(folder)


def make_context(folder, n: int | None = None) -> Context:
    return Context(lambda: load_model(TINY), lambda: load_images(f"folder:{folder}", n), 0)


def table(context: Context, name: str, **knobs) -> pd.DataFrame:
    chunks = TABLES[name].parts(context, **{**SMALL.get(name, {}), **knobs})
    return pd.concat([chunk.compute() for chunk in chunks], ignore_index=True)


def keyed(frame: pd.DataFrame) -> pd.DataFrame:
    keys = [name for name in frame if frame[name].dtype.kind not in "f" and name != "position"]
    return frame.set_index(keys).sort_index()


@pytest.mark.parametrize("name", list(SMALL))
def test_tables_have_the_columns_that_are_described(context, name):
    frame = table(context, name, max_images=3)
    assert list(frame) == list(TABLES[name].columns)
    assert frame["image"].nunique() == 3
    assert not keyed(frame).index.duplicated().any()
    assert np.isfinite(frame.select_dtypes("number")).all(axis=None)


@pytest.mark.parametrize("name", list(SMALL))
def test_numbers_do_not_depend_on_the_size_of_a_chunk(context, name, monkeypatch):
    whole = keyed(table(context, name))
    monkeypatch.setattr(room, "BATCH", 3)
    assert [len(part) for part in context.positions()] == [3, 3, 1]
    parts = keyed(table(context, name)).loc[whole.index]
    for column in whole.select_dtypes("number"):
        a, b = (frame[column].to_numpy(float) for frame in (whole, parts))
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5, err_msg=column)


@pytest.mark.parametrize("name", ["outlier-images", "activated-regions", "map-properties"])
def test_one_image_alone_is_refused(folder, name):
    with pytest.raises(UsageError, match="at least two images"):
        table(make_context(folder, 1), name)


@pytest.mark.parametrize("name", ["outlier-images", "activated-regions"])
def test_parts_that_look_at_all_images_have_addresses_of_their_own(context, name, monkeypatch):
    monkeypatch.setattr(room, "BATCH", 3)
    addresses = {part.id for part in TABLES[name].parts(context, **SMALL[name])}
    assert len(addresses) == 3
    fewer = {part.id for part in TABLES[name].parts(context, **SMALL[name], max_images=6)}
    assert addresses.isdisjoint(fewer)


def test_curves_under_blur_are_those_of_the_occlusion_test(context):
    frame = table(context, "occlusion-replacements", methods=["gradient"], max_images=3)
    assert sorted(frame["regions"].unique()) == [0, 2, 3]
    batch = context.batch(range(3))
    maps = attribute(context.model, batch.inputs, batch.targets, ["gradient"], batch.keys)
    for ranked_by, values in (("signed", maps["gradient"]), ("absolute", maps["gradient"].abs())):
        curves = occlusion_curves(context.model, batch.inputs, batch.targets, values, 1, 3)
        rows = frame[(frame["replacement"] == "blur") & (frame["ranked_by"] == ranked_by)]
        found = rows.pivot(index="position", columns="regions", values="softmax")
        np.testing.assert_allclose(found, curves.softmax[:, [0, 2, 3]], atol=1e-6)
    combinations = set(zip(frame["ranked_by"], frame["replacement"], strict=True))
    assert len(combinations) == 6, "absolute maps under blur only"


def test_unknown_replacements_and_tasks_are_refused(context):
    with pytest.raises(UsageError, match="unknown replacement 'blu'; did you mean blur"):
        table(context, "occlusion-replacements", replace_by=["blu"])
    with pytest.raises(UsageError, match="unknown task 'digit'"):
        table(context, "task-dependence", trained_on=["digit"])


def test_distance_is_to_other_images_only(context):
    frame = table(context, "outlier-images", seeds=(0,))
    plain = frame[frame["replacement"] == "none"].set_index("position")
    assert (plain[["color_mean", "color_variance"]] == 0).all(axis=None)
    inputs = context.batch(range(7)).inputs
    both = [respond(context.model, x).features for x in (inputs, inputs.flip(3))]
    held_out = [0, 5]  # every fifth of seven images
    others = [number for number in range(7) if number not in held_out]
    cloud = FeatureCloud(torch.cat([features[others] for features in both]))
    for number in held_out:
        expected = float(cloud.distance(both[0][[number]]))
        assert plain.loc[number, "distance"] == pytest.approx(expected, rel=1e-5)


def test_retest_of_deterministic_methods_is_the_same_map(context):
    frame = table(context, "test-retest", max_images=3)
    retest = frame[frame["step"] == 0].groupby("method")["ssim"]
    fixed = [name for name in retest.groups if name not in ("smoothgrad", "vargrad", "noise")]
    assert "edges" in fixed
    np.testing.assert_allclose(retest.min()[fixed], 1, atol=1e-5)
    assert (retest.max()[["smoothgrad", "noise"]] < 0.99).all()
    last = frame[frame["step"] == frame["step"].max()].groupby("method")["ssim"].mean()
    assert last["edges"] == pytest.approx(1)
    assert last["gradient"] < 0.99


def test_retest_similarity_is_that_of_two_draws(context):
    frame = table(context, "test-retest", methods=["noise"], max_images=2)
    batch = context.batch(range(2))
    first, second = (
        attribute(
            context.model, batch.inputs, batch.targets, ["noise"], batch.seeds(0, state)
        )["noise"]
        for state in ("base", "retest")
    )  # fmt: skip
    expected = Reference(first).compare(second)["ssim"]
    np.testing.assert_allclose(frame.loc[frame["step"] == 0, "ssim"], expected, atol=1e-6)


def test_simulated_explainers_do_not_see_the_model(folder, context):
    frame = table(context, "false-rejections", max_images=3)
    assert len(frame) == 2 * 3 * 3
    module = context.model.module
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(-2)
    pd.testing.assert_frame_equal(table(context, "false-rejections", max_images=3), frame)


def test_active_regions_leave_out_steps_without_a_feature_map(context):
    frame = table(context, "activated-regions")
    stages = [stage.name for stage in context.model.stages]
    used = [stages[step - 1] for step in sorted(set(frame["step"]))]
    assert set(frame["stage"]) == set(used)
    signs = frame.groupby("layer")["non_negative"].agg(set)
    assert signs["conv2"] == {True}  # a ReLU stands before it, and a convolution before this one
    assert signs["norm1"] == {False}
    assert frame["seed"].nunique() == 5
    assert stages[0] not in used, "a dense layer has no positions below it"
    assert stages[-1] not in used, "nothing is kept below the lowest stage"
    noise = frame[frame["method"] == "noise"]
    assert abs(noise["spearman"].mean()) < 0.1
    assert noise["mass_ratio"].mean() == pytest.approx(1, abs=0.15)


def test_the_null_uses_the_next_images_of_the_set(context):
    """The correlation with image 1's activity, found for image 0, with one other image asked."""
    from sanitygap.preservation.activated_regions import kept_features, spread
    from sanitygap.preservation.feature_maps import energy
    from sanitygap.randomization import RandomTwin
    from sanitygap.similarity import pearson, ranks

    frame = table(context, "activated-regions", methods=["gradient"], others=1, redraws=1)
    step = int(frame["step"].iloc[0])
    stages = context.model.stages[:step]
    batch = context.batch([0, 1, 6])
    activity = spread(energy(kept_features(context.model, batch.inputs, stages[-1])), (32, 32))
    with RandomTwin(context.model, 0).redrawn(stages):
        keys = batch.seeds(0, stages[-1].name)
        maps = attribute(context.model, batch.inputs, batch.targets, ["gradient"], keys)["gradient"]
    rows = frame[frame["step"] == step].set_index("position")
    for image, other in ((0, 1), (2, 0)):  # the last image's next is the first
        expected = pearson(ranks(maps[[image]].abs()), ranks(activity[[other]]))
        position = (0, 1, 6)[image]
        assert rows.loc[position, "spearman_others"] == pytest.approx(float(expected), abs=1e-4)


def test_edges_and_noise_among_map_properties(context):
    frame = table(context, "map-properties").groupby("method").mean(numeric_only=True)
    assert frame.loc["noise", "localization"] == pytest.approx(0.75, abs=0.03)
    assert frame.loc["noise", "robustness"] == pytest.approx(2**0.5, abs=0.1), "drawn anew"
    assert frame.loc["edges", "robustness"] < 0.5


def test_scores_on_tasks(context):
    frame = table(
        context, "task-dependence", trained_on=["digits", "photographs"], networks=2, epochs=1,
        examples_to_train=100, examples_to_test=12, path_steps=2, noisy_copies=2,
        methods=["gradient", "guided-backprop"],
    )  # fmt: skip
    assert list(frame) == list(TABLES["task-dependence"].columns)
    assert len(frame) == 2 * 2 * 12 * 2 * 2
    assert frame["ssim"].between(-1, 1).all()
    assert frame["accuracy"].between(0, 1).all()
    per_network = frame.groupby(["task", "network"])["accuracy"].nunique()
    assert (per_network == 1).all()
    shown = frame.groupby(["task", "network"])["image"].agg(tuple)
    assert all(a == b for a, b in pairwise(shown["digits"])), "the same test images"
    assert set(TASKS) > set(frame["task"])


def test_tables_that_need_no_model_say_so(context):
    chunks = list(TABLES["task-dependence"].parts(context))
    assert not any(chunk.table.modelled for chunk in chunks)
    assert {chunk.images for chunk in chunks} == {()}
    assert len(chunks) == len(TASKS)
