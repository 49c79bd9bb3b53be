"""Tables about outliers, retests and active regions, on a tiny network."""

import pandas as pd
import pytest
import torch

from sanitygap.attribution import attribute
from sanitygap.chapters.occlusion.measure import FeatureCloud, respond
from sanitygap.table import Context
from tests.tables import measure, tiny_context

#: settings that make the tables small
SMALL = {
    "outlier-images": {"seeds": (0, 1), "patch": 8, "regions": 3},
    "test-retest": {"n_steps": 2, "path_steps": 2, "noisy_copies": 2},
    "activated-regions": {"others": 2},
}


@pytest.fixture
def context(folder):
    return tiny_context(folder, 7)


def table(context: Context, name: str, **parameters) -> pd.DataFrame:
    return measure(name, context, **SMALL[name] | parameters)


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


def test_the_null_uses_the_next_images_of_the_set(context):
    """The correlation with image 1's activity, found for image 0, with one other image asked."""
    from sanitygap.chapters.theorem_2.measure import kept_features, spread
    from sanitygap.partition import energy
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
