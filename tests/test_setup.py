"""The set-up of Binder et al.: counted steps, ways to redraw, and what their criteria refuse."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import kendalltau
from torch import nn

from sanitygap.claims import CriterionContext, judge
from sanitygap.errors import UsageError
from sanitygap.experiments import TABLES
from sanitygap.experiments.setup import FIGURE_2, measured, variants
from sanitygap.images import load_images
from sanitygap.models import load_model
from sanitygap.randomization import Redraw
from sanitygap.table import Context
from tests.conftest import make_explainable
from tests.models.tiny import TINY, photographs

ELSEWHERE = CriterionContext("squeezenet1_1", "photos", 12)
PAPER = CriterionContext(
    "torchvision:resnet50", "imagenet-val", 1000, paper_model=True, paper_images=True
)


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    """The tiny network and three photographs."""
    folder = photographs(tmp_path_factory.mktemp("images") / "folder", 3)
    return Context(lambda: load_model(TINY), lambda: load_images(f"folder:{folder}"), 0)


def table(context: Context, name: str, **knobs) -> pd.DataFrame:
    chunks = TABLES[name].parts(context, **knobs)
    return pd.concat([chunk.compute() for chunk in chunks], ignore_index=True)


# ---- steps


@pytest.fixture(scope="module")
def counted(context):
    return table(context, "step-counts")


def test_counts_of_the_paper_are_refused_with_their_numbers(counted):
    assert list(counted) == list(TABLES["step-counts"].columns)
    verdict = judge("binder-a1-counts", {"step-counts": counted}, PAPER)
    assert verdict.value == "false"
    assert verdict.numbers == {
        "counted resnet50": 16, "counted densenet121": 58, "counted efficientnet_b0": 16,
    }  # fmt: skip
    assert "1 of 3 counts agree" in verdict.evidence
    assert "stated 63, counted 58" in verdict.evidence


def test_counts_hold_only_if_all_agree(counted):
    right = counted.assign(counted=counted["stated"])
    assert judge("binder-a1-counts", {"step-counts": right}, PAPER).value == "holds"
    for network in ("resnet50", "densenet121", "efficientnet_b0"):
        wrong = right.copy()
        mask = (wrong["network"] == network) & (wrong["paper"] == "binder-2022")
        wrong.loc[mask, "counted"] += 1
        assert judge("binder-a1-counts", {"step-counts": wrong}, PAPER).value == "false"
    others = right[right["paper"] != "binder-2022"]
    with pytest.raises(UsageError, match="no row of binder-2022"):
        judge("binder-a1-counts", {"step-counts": others}, PAPER)


def test_counting_needs_neither_model_nor_images():
    def refuse() -> None:
        raise AssertionError("loaded")

    [chunk] = TABLES["step-counts"].parts(Context(refuse, refuse, 0))  # type: ignore[arg-type]
    assert not chunk.table.modelled
    assert chunk.images == ()


# ---- ways to redraw


class Normalised(nn.Module):
    """A wide layer with a bias, batch normalisation and a head: enough weights to measure."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 64, 5)
        self.norm = nn.BatchNorm2d(64)
        self.norm.running_var.uniform_(2, 3)
        self.norm.weight.data.uniform_(2, 3)
        self.fc = nn.Linear(64, 50)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.norm(self.conv(x)).mean((2, 3)))


@pytest.mark.parametrize(
    ("weights", "norms", "expected"),
    [
        ("he-normal", "reset", ("normal", "fan-in", 1.0, "reset")),
        ("he-uniform", "reset", ("uniform", "fan-in", 1.0, "reset")),
        ("he-normal", "kept", ("normal", "fan-in", 1.0, "kept")),
    ],
)
def test_a_redraw_is_measured(weights, norms, expected):
    found = measured(make_explainable(Normalised()), Redraw(weights, norms), 1)
    distribution, fan, deviation, state = expected
    assert (found["distribution"], found["fan"]) == (distribution, fan)
    assert found["deviation"] == pytest.approx(deviation, abs=0.03)
    assert found["kurtosis"] == pytest.approx(3 if distribution == "normal" else 1.8, abs=0.2)
    assert found["biases"] == 0
    assert found["norm_affine"] == found["norm_statistics"] == state


def test_another_scale_is_measured_as_such():
    found = measured(make_explainable(Normalised()), Redraw("uniform"), 1)
    assert found["distribution"] == "uniform"
    assert found["deviation"] < 0.1


def test_measuring_changes_nothing():
    model = make_explainable(Normalised())
    before = {name: value.clone() for name, value in model.module.state_dict().items()}
    measured(model, Redraw(), 1)
    after = model.module.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_without_normalisation_nothing_can_be_kept():
    assert len(variants(make_explainable(Normalised()))) == 3
    bare = make_explainable(nn.Sequential(nn.Flatten(), nn.Linear(12, 3)))
    assert variants(bare) == [("he-normal", "reset"), ("he-uniform", "reset")]
    assert measured(bare, Redraw(), 0)["norm_statistics"] == "none"


def test_configuration_has_a_row_for_each_way(context):
    rows = table(context, "configurations")
    assert list(rows) == list(TABLES["configurations"].columns)
    assert list(zip(rows["weights"], rows["norms"], strict=True)) == variants(context.model)
    assert set(rows["weights_sha256"]) == {context.model.weights_sha256}
    assert set(rows["images_sha256"]) == {context.images.sha256}
    assert set(rows["n_images"]) == {3}


def test_each_way_is_the_randomisation_test_with_that_redraw(context):
    knobs = {"methods": ("gradient", "guided-backprop"), "n_steps": 2}
    rows = table(context, "initializations", **knobs)
    assert list(rows) == list(TABLES["initializations"].columns)
    for weights, norms in variants(context.model):
        own = rows[(rows["weights"] == weights) & (rows["norms"] == norms)]
        expected = table(context, "randomization", **knobs, weights=weights, norms=norms)
        pd.testing.assert_frame_equal(
            own.drop(columns=["weights", "norms"]).reset_index(drop=True), expected
        )
    chunks = TABLES["initializations"].parts(context, **knobs)
    addresses = [chunk.id for chunk in chunks]
    assert len(set(addresses)) == len(addresses)


# ---- the criterion


def scores(orders: dict[tuple[str, str], list[float]], images: int = 30, noise: float = 0.01):
    """A table ``initializations``: a mean SSIM for each way and method, with noise over images."""
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        [
            {"image": f"{image}.png", "method": method, "step": step, "order": "top-down",
             "sign": "signed", "seed": 0, "weights": way[0], "norms": way[1],
             "ssim": mean + noise * rng.normal()}
            for way, means in orders.items()
            for method, mean in zip(FIGURE_2, means, strict=True)
            for image in range(images)
            for step in (1, 2)
        ]
    )  # fmt: skip


NORMAL, UNIFORM, KEPT = ("he-normal", "reset"), ("he-uniform", "reset"), ("he-normal", "kept")
ORDERED = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]


@pytest.fixture(scope="module")
def filled(context):
    return table(context, "configurations")


def verdict_of(configurations: pd.DataFrame, initializations: pd.DataFrame, context=ELSEWHERE):
    tables = {"configurations": configurations, "initializations": initializations}
    return judge("binder-a1-setup", tables, context)


def test_an_unchanged_ordering_is_accepted(filled):
    table = scores({NORMAL: ORDERED, UNIFORM: [v + 0.1 for v in ORDERED], KEPT: ORDERED})
    verdict = verdict_of(filled, table)
    assert verdict.value == "direction"
    assert verdict.numbers == {
        "fields": 8, "tau he-uniform reset": 1.0, "tau he-normal kept": 1.0,
    }  # fmt: skip
    assert verdict_of(filled, table, PAPER).value == "reproduced"


@pytest.mark.parametrize("way", [UNIFORM, KEPT])
def test_another_ordering_under_one_way_is_reported(filled, way):
    swapped = [0.3, 0.2, 0.1, 0.4, 0.7, 0.6, 0.5]  # six of 21 pairs
    orders = {NORMAL: ORDERED, UNIFORM: ORDERED, KEPT: ORDERED} | {way: swapped}
    verdict = verdict_of(filled, scores(orders))
    assert verdict.value == "not-reproduced"
    expected = kendalltau(ORDERED, swapped).statistic
    assert verdict.numbers[f"tau {' '.join(way)}"] == pytest.approx(expected)
    assert expected < 0.8


def test_an_ordering_within_the_noise_is_undecided(filled):
    near = [0.10, 0.101, 0.102, 0.103, 0.104, 0.6, 0.7]
    verdict = verdict_of(filled, scores({NORMAL: near, UNIFORM: near}, images=10, noise=0.05))
    assert verdict.value == "undecided"


def test_the_threshold_itself_is_met(filled):
    """Two of 21 pairs exchanged: tau is 17/21 = 0.81; three: 15/21 = 0.71."""
    two = [0.2, 0.1, 0.4, 0.3, 0.5, 0.6, 0.7]
    three = [0.2, 0.1, 0.4, 0.3, 0.6, 0.5, 0.7]
    assert verdict_of(filled, scores({NORMAL: ORDERED, UNIFORM: two})).value == "direction"
    assert verdict_of(filled, scores({NORMAL: ORDERED, UNIFORM: three})).value == "not-reproduced"


@pytest.mark.parametrize("hole", [None, "", float("nan")])
def test_a_missing_field_is_refused(filled, hole):
    table = scores({NORMAL: ORDERED, UNIFORM: ORDERED})
    empty = filled.assign(images_sha256=hole)
    verdict = verdict_of(empty, table)
    assert verdict.value == "not-reproduced"
    assert "7 of 8 fields" in verdict.evidence
    assert "images_sha256" in verdict.evidence
    assert verdict_of(filled.drop(columns="fan"), table).value == "not-reproduced"


def test_one_image_or_one_way_decides_nothing(filled):
    one = scores({NORMAL: ORDERED, UNIFORM: ORDERED}, images=1)
    assert verdict_of(filled, one).value == "undecided"
    with pytest.raises(UsageError, match="holds one way"):
        verdict_of(filled, scores({NORMAL: ORDERED}))
