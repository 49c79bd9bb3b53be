"""Experiments: chunks, their addresses, and tables about outliers, regions and relevance."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.covariance import LedoitWolf

from sanitygap import table as room
from sanitygap.attribution import attribute
from sanitygap.chapters.attribution_maps.measure import METHODS, unpacked
from sanitygap.chapters.attribution_maps.show import relevance_sums
from sanitygap.chapters.occlusion.measure import respond
from sanitygap.randomization import RandomTwin
from sanitygap.table import PROFILES, Context
from sanitygap.tables import TABLES
from tests.tables import measure, tiny_context

#: settings that make tables small, of each kind of measuring function
SMALL = {
    "randomization": {"n_steps": 2, "path_steps": 2, "noisy_copies": 2},
    "occlusion": {"path_steps": 2, "noisy_copies": 2, "regions": 3, "patches": (8,)},
    "occlusion-replacements": {"path_steps": 2, "regions": 3, "every": 2, "patch": 8},
    "outlier-images": {"seeds": (0, 1), "patch": 8, "regions": 3},
    "test-retest": {"n_steps": 2, "path_steps": 2, "noisy_copies": 2},
    "activated-regions": {"others": 2},
    "map-properties": {"path_steps": 2, "noisy_copies": 2},
    "relevance-flow": {},
    "stage-maps": {"methods": ("gradient", "noise"), "side": 8},
}


@pytest.fixture
def context(folder):
    return tiny_context(folder)


def table(context: Context, name: str, **parameters) -> pd.DataFrame:
    return measure(name, context, **SMALL[name] | parameters)


def keyed(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows in an order that does not depend on how they were computed."""
    keys = [name for name in frame if frame[name].dtype.kind != "f" and name != "position"]
    return frame.set_index(keys).sort_index()


@pytest.mark.parametrize("name", list(TABLES))
def test_every_experiment_has_a_description_and_settings_that_it_takes(name):
    entry = TABLES[name]
    assert len(entry.summary) > 20
    assert set(entry.profiles) <= set(PROFILES)
    for parameters in entry.profiles.values():
        assert entry.checked(parameters) == parameters


@pytest.mark.parametrize("name", list(SMALL))
def test_numbers_do_not_depend_on_the_size_of_a_chunk(context, name, monkeypatch):
    whole = keyed(table(context, name, max_images=5))
    monkeypatch.setattr(room, "BATCH", 2)
    assert [len(part) for part in context.positions(5)] == [2, 2, 1]
    parts = keyed(table(context, name, max_images=5)).loc[whole.index]
    for column in whole.select_dtypes("number"):
        a, b = (frame[column].to_numpy(float) for frame in (whole, parts))
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5, err_msg=column)


@pytest.mark.parametrize("name", ["randomization", "occlusion"])
def test_same_seed_same_numbers_and_another_seed_others(folder, name):
    first, again = (table(tiny_context(folder), name, max_images=2) for _ in range(2))
    other = table(tiny_context(folder, seed=1), name, max_images=2)
    pd.testing.assert_frame_equal(first, again, check_exact=True)
    value = {"randomization": "ssim", "occlusion": "logit"}[name]
    same = keyed(first)[value].to_numpy() == keyed(other)[value].to_numpy()
    drawn = keyed(first).index.get_level_values("method")
    if name == "occlusion":  # only what samples depends on the seed
        assert not same[drawn == "noise"].all()
        assert not same[drawn == "smoothgrad"].all()
        assert same[drawn == "gradient"].all()
    else:
        assert same[drawn == "edges"].all()
        assert not same[drawn == "gradient"].any()


def test_a_method_alone_gives_the_numbers_that_it_gives_among_others(context):
    everything = keyed(table(context, "randomization", max_images=2))
    alone = keyed(table(context, "randomization", methods=["gradient-x-input"], max_images=2))
    np.testing.assert_allclose(everything.loc[alone.index, "ssim"], alone["ssim"], atol=1e-6)


@pytest.fixture
def seven(folder):
    return tiny_context(folder, 7)


def test_distance_is_to_other_images_only(seven):
    frame = table(seven, "outlier-images", seeds=(0,))
    plain = frame[frame["replacement"] == "none"].set_index("position")
    assert (plain[["color_mean", "color_variance"]] == 0).all(axis=None)
    inputs = seven.batch(range(7)).inputs
    both = [respond(seven.model, x).features for x in (inputs, inputs.flip(3))]
    held_out = [0, 5]  # every fifth of seven images
    others = [number for number in range(7) if number not in held_out]
    cloud = LedoitWolf().fit(torch.cat([features[others] for features in both]).numpy())
    for number in held_out:
        expected = cloud.mahalanobis(both[0][[number]].numpy()).item() ** 0.5
        assert plain.loc[number, "distance"] == pytest.approx(expected, rel=1e-5)


def test_the_null_uses_the_next_images_of_the_set(seven):
    """The correlation with image 1's activity, found for image 0, with one other image asked."""
    from sanitygap.chapters.theorem_2.measure import kept_features, spread
    from sanitygap.partition import energy
    from sanitygap.randomization import RandomTwin
    from sanitygap.similarity import pearson, ranks

    frame = table(seven, "activated-regions", methods=["gradient"], others=1, redraws=1)
    step = int(frame["step"].iloc[0])
    stages = seven.model.stages[:step]
    batch = seven.batch([0, 1, 6])
    activity = spread(energy(kept_features(seven.model, batch.inputs, stages[-1])), (32, 32))
    with RandomTwin(seven.model, 0).redrawn(stages):
        keys = batch.seeds(0, stages[-1].name)
        maps = attribute(seven.model, batch.inputs, batch.targets, ["gradient"], keys)["gradient"]
    rows = frame[frame["step"] == step].set_index("position")
    for image, other in ((0, 1), (2, 0)):  # the last image's next is the first
        expected = pearson(ranks(maps[[image]].abs()), ranks(activity[[other]]))
        position = (0, 1, 6)[image]
        assert rows.loc[position, "spearman_others"] == pytest.approx(float(expected), abs=1e-4)


@pytest.fixture(scope="module")
def three(folder):
    return tiny_context(folder, 3)


def test_stored_maps_are_those_of_the_redrawn_network(three):
    frame = measure("stage-maps", three, methods=("gradient",), side=8, max_images=2)
    last = frame[frame["step"] == frame["step"].max()].reset_index(drop=True)
    batch, stages = three.batch((0, 1)), three.model.stages
    with RandomTwin(three.model, 0).redrawn(stages):
        maps = attribute(three.model, batch.inputs, batch.targets, ["gradient"], batch.keys)
        says = three.model.module(batch.inputs).detach().softmax(1).max(1)
    assert list(last["stage"]) == [stages[-1].name] * 2
    assert list(last["predicted"]) == [three.model.class_name(int(one)) for one in says.indices]
    np.testing.assert_allclose(last["probability"], says.values, rtol=1e-4)
    side = maps["gradient"].shape[-1] // 8
    for text, values in zip(last["map"], maps["gradient"].double(), strict=True):
        small = values.reshape(8, side, 8, side).mean((1, 3)).numpy()
        limit = np.quantile(np.abs(small), 0.995)
        np.testing.assert_allclose(unpacked(text), np.clip(small / limit, -1, 1), atol=0.005)
    first = frame[frame["step"] == 0]
    np.testing.assert_allclose(first["ssim"], 1, atol=1e-6)


@pytest.fixture(scope="module")
def flow(three):
    return measure("relevance-flow", three)


def test_it_starts_with_1_and_adds_up_to_1(flow):
    first = flow[flow["depth"] == 1]
    np.testing.assert_allclose(first["entered"], 1, atol=1e-5)
    sums = relevance_sums(flow)
    np.testing.assert_allclose(sums["total"], 1, atol=1e-4)
    assert len(sums) == 3 * len(METHODS)
    biases = sums.index.get_level_values("method").str.endswith("@biases")
    assert (sums["pixels"][biases] < 0.99).any()  # this network has biases
