"""Where LRP's relevance goes."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from sanitygap.chapters.attribution_maps.measure import METHODS
from sanitygap.chapters.attribution_maps.show import relevance_sums
from sanitygap.images import load_images
from sanitygap.models import load_model
from sanitygap.table import Context
from sanitygap.tables import TABLES
from tests.models.tiny import TINY, photographs


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    """The tiny network and three photographs."""
    folder = photographs(tmp_path_factory.mktemp("images") / "folder", 3)
    return Context(lambda: load_model(TINY), lambda: load_images(f"folder:{folder}"), 0)


def table(context: Context, **parameters) -> pd.DataFrame:
    chunks = TABLES["relevance-flow"].parts(context, **parameters)
    return pd.concat([chunk.compute() for chunk in chunks], ignore_index=True)


@pytest.fixture(scope="module")
def flow(context):
    return table(context)


def test_every_rule_and_module_has_a_row(flow, context):
    assert list(flow) == list(TABLES["relevance-flow"].columns)
    assert set(flow["method"]) == set(METHODS)
    assert not flow.duplicated(["image", "method", "module"]).any()
    plain = flow[flow["method"] == "lrp-epsilon-plus"]
    assert list(dict.fromkeys(plain["module"])) == ["fc", "conv2", "conv1", "input"]
    assert plain.groupby("module")["kind"].first().to_dict() == {
        "fc": "dense", "conv2": "convolution", "conv1": "convolution", "input": "input",
    }  # fmt: skip
    assert plain["absolute"].notna().eq(plain["module"] == "input").all()
    assert np.isfinite(flow[["entered", "kept"]]).all(axis=None)


def test_it_starts_with_1_and_adds_up_to_1(flow):
    first = flow[flow["depth"] == 1]
    np.testing.assert_allclose(first["entered"], 1, atol=1e-5)
    sums = relevance_sums(flow)
    np.testing.assert_allclose(sums["total"], 1, atol=1e-4)
    assert len(sums) == 3 * len(METHODS)
    biases = sums.index.get_level_values("method").str.endswith("@biases")
    assert (sums["pixels"][biases] < 0.99).any()  # this network has biases


def test_a_module_that_is_called_twice_has_one_row(context):
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.relu, self.fc = nn.Conv2d(3, 3, 1), nn.ReLU(), nn.Linear(3, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(self.relu(self.conv(self.relu(self.conv(x)))).mean((2, 3)))

    torch.manual_seed(0)
    from sanitygap.models import Explainable, Preprocessing

    module = Twice().requires_grad_(False).eval()
    model = Explainable("twice", module, Preprocessing(size=8, resize=8), ())
    rows = table(Context(lambda: model, lambda: context.images, 0), methods=["lrp-z-plus"])
    assert rows.groupby(["image", "module"]).size().eq(1).all()
    np.testing.assert_allclose(relevance_sums(rows)["total"], 1, atol=1e-4)
