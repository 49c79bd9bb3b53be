"""Experiments: chunks, their addresses, and that numbers do not depend on how work is cut up."""

import numpy as np
import pandas as pd
import pytest

from sanitygap import table as room
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
}


@pytest.fixture
def context(folder):
    return tiny_context(folder)


def table(context: Context, name: str, **parameters) -> pd.DataFrame:
    return measure(name, context, **SMALL[name], **parameters)


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
