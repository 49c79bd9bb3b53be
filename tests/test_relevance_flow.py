"""Where LRP's relevance goes: the table, and what the page of maps says of it."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from sanitygap import pages
from sanitygap.attribution import attribute
from sanitygap.experiments import TABLES
from sanitygap.experiments.relevance_flow import METHODS, kind
from sanitygap.images import load_images
from sanitygap.models import load_model
from sanitygap.pages.maps import relevance_sums
from sanitygap.table import Context
from tests.fake_study import FakeStudy
from tests.models.tiny import TINY, photographs


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    """The tiny network and three photographs."""
    folder = photographs(tmp_path_factory.mktemp("images") / "folder", 3)
    return Context(lambda: load_model(TINY), lambda: load_images(f"folder:{folder}"), 0)


def table(context: Context, **knobs) -> pd.DataFrame:
    chunks = TABLES["relevance-flow"].parts(context, **knobs)
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


def test_the_input_has_the_sums_of_the_maps(flow, context):
    batch = context.batch((0, 1, 2))
    maps = attribute(context.model, batch.inputs, batch.targets, ["lrp-gamma"], batch.keys)
    rows = flow[(flow["method"] == "lrp-gamma") & (flow["module"] == "input")]
    np.testing.assert_allclose(rows["entered"], maps["lrp-gamma"].sum((1, 2)), atol=1e-6)
    np.testing.assert_allclose(rows["absolute"], maps["lrp-gamma"].abs().sum((1, 2)), atol=1e-6)


def test_numbers_do_not_depend_on_the_size_of_a_chunk(flow, context, monkeypatch):
    monkeypatch.setattr(Context, "batch_size", 2)
    assert [len(part) for part in context.positions()] == [2, 1]
    keys = ["method", "image", "module"]
    parts = table(context).set_index(keys)
    whole = flow.set_index(keys)
    pd.testing.assert_frame_equal(parts.loc[whole.index], whole, rtol=1e-4, atol=1e-6)


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


def test_kinds():
    kinds = [
        kind(nn.Conv2d(4, 8, 3, groups=4)), kind(nn.Conv2d(4, 4, 3, groups=2)),
        kind(nn.Conv2d(1, 4, 3)), kind(nn.Linear(2, 2)), kind(nn.MaxPool2d(2)),
    ]  # fmt: skip
    assert kinds == ["depthwise", "convolution", "convolution", "dense", "pooling"]


def made(pixels: dict[str, float], kept: float = 0.0) -> FakeStudy:
    """A study in which a depthwise convolution keeps some, and the rest arrives, on two images."""
    rows = []
    for method, arrived in pixels.items():
        for image, shift in (("a", -0.001), ("b", 0.001)):
            sums = {"image": image, "position": 0, "method": method}
            share = kept if kept else 1 - arrived
            rows += [
                sums | {"depth": 1, "module": "fc", "kind": "dense", "entered": 1.0, "kept": 0.0},
                sums | {"depth": 2, "module": "block.conv", "kind": "depthwise", "entered": 1.0,
                        "kept": share - shift},
                sums | {"depth": 3, "module": "input", "kind": "input", "kept": 0.0,
                        "entered": arrived + shift, "absolute": abs(arrived + shift)},
            ]  # fmt: skip
    return FakeStudy(relevance_flow=pd.DataFrame(rows))


def test_words_of_a_network_that_keeps_most():
    study = made({"lrp-epsilon-plus": 0.05, "lrp-gamma": 0.12, "lrp-epsilon-plus@biases": 0.003})
    words = pages.relevance_words(study).data
    assert "5.0% (LRP ε-plus) to 12.0% (LRP-γ) of the relevance reaches the pixels" in words
    assert "depthwise convolutions keep 95.0%; `block.conv` alone 95.0%" in words
    assert "With biases counted it is 0.30% under LRP ε-plus" in words
    assert "Under no rule does more than 1 arrive" in words
    plate = pages.relevance_plate(study)
    assert "LRP ε-plus: 1 to 0.0500, the largest step 0.9500 at block.conv" in plate.alt
    assert "n = 3 images" in plate.caption
    assert "squeezenet1_1" in plate.caption
    assert set(plate.numbers["module"]) == {"fc", "block.conv"}
    shown = pages.relevance_table(study).data
    assert shown["rules"].tolist() == ["LRP ε-plus", "LRP-γ", "LRP ε-plus, biases counted"]
    assert shown["sum at the pixels"][0] == "0.0500 [0.0490, 0.0510]"
    assert shown["adds up to"].tolist() == ["1.0000"] * 3
    assert shown["kept by depthwise convolutions"].tolist() == pytest.approx([0.95, 0.88, 0.997])


def test_words_of_a_network_that_hands_all_on_and_of_a_rule_that_gives_more():
    study = made({"lrp-epsilon-plus": 1.0, "lrp-alpha2-beta1@biases": 1.08,
                  "lrp-epsilon-plus@biases": 0.99})  # fmt: skip
    words = pages.relevance_words(study).data
    assert "all relevance reaches the pixels under each of the 1 sets of rules" in words
    assert "More than 1 arrives under LRP α2β1, biases counted (up to 1.08)" in words
    lost = pages.relevance_words(
        made(dict.fromkeys(("lrp-epsilon-plus", "lrp-epsilon-plus@biases"), 0.5), 0.2)
    ).data
    assert "add up to 1, to within 0.3" in lost
