"""Normalisers of attribution maps: against numpy, and as a table of a run."""

import numpy as np
import pandas as pd
import pytest
import torch

from sanitygap.attribution.gradient import input_gradient
from sanitygap.chapters.theorems_3_4 import quantiles as room
from sanitygap.images import load_images
from sanitygap.models import load_model
from sanitygap.table import Context
from sanitygap.tables import TABLES
from tests.models.tiny import TINY, photographs

SMALL = {"path_steps": 2, "resamples": 5}


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    return rng.normal(0.5, 1, (3, 6, 7)), rng.laplace(-0.2, 2, (3, 6, 7))


def test_share_of_the_mean_equals_numpy(pair):
    for maps in pair:
        got = room.share_of_mean(torch.from_numpy(maps))
        for i, one in enumerate(maps):
            assert got["mean_share"][i] == pytest.approx(one.mean() ** 2 / (one**2).mean())
            assert got["rms_over_sd"][i] == pytest.approx(np.sqrt((one**2).mean()) / one.std())


def test_differences_equal_numpy(pair):
    got = room.normalized_differences(*map(torch.from_numpy, pair))
    scales = {
        "mse_second_moment": lambda x: np.sqrt((x**2).mean()),
        "mse_deviation": np.std,
        "mse_maximum": lambda x: np.abs(x).max(),
    }
    assert set(got) == set(scales)
    for name, scale in scales.items():
        for i, (a, b) in enumerate(zip(*pair, strict=True)):
            want = ((a / scale(a) - b / scale(b)) ** 2).mean()
            assert got[name][i] == pytest.approx(want)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return photographs(tmp_path_factory.mktemp("images") / "folder")


def make_context(folder, seed: int = 0) -> Context:
    return Context(lambda: load_model(TINY), lambda: load_images(f"folder:{folder}", 2), seed)


def table(context: Context, **parameters) -> pd.DataFrame:
    chunks = TABLES["map-normalizers"].parts(context, **SMALL, **parameters)
    return pd.concat([chunk.compute() for chunk in chunks], ignore_index=True)


def test_sensitivity_is_the_norm_of_the_gradient_over_colours(folder):
    context = make_context(folder)
    batch = context.batch([0, 1])
    gradient = input_gradient(context.model.module, batch.inputs, batch.targets).numpy()
    norm = np.sqrt((gradient**2).sum(1))
    want = [one.mean() ** 2 / (one**2).mean() for one in norm]
    found = table(context, methods=("gradient",)).set_index("method").loc[room.SENSITIVITY]
    assert found["mean_share"].tolist() == pytest.approx(want, rel=1e-4)
    assert set(table(context, methods=("gradient",))["method"]) == {room.SENSITIVITY, "gradient"}
