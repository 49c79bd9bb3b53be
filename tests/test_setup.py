"""The set-up of Binder et al.: counted steps, ways to redraw, and what their criteria refuse."""

import pandas as pd
import pytest
import torch
from scipy.stats import kendalltau
from torch import nn

from sanitygap.chapters.randomization.measure import FIGURE_2, measured
from sanitygap.claims import CriterionContext, judge
from sanitygap.errors import UsageError
from sanitygap.randomization import Redraw
from tests import synthetic
from tests.cases import cases
from tests.conftest import Net, make_explainable
from tests.tables import measure, tiny_context

ELSEWHERE = CriterionContext("squeezenet1_1", "photos", 12)
PAPER = CriterionContext(
    "torchvision:resnet50", "imagenet-val", 1000, paper_model=True, paper_images=True
)


# ---- steps


@pytest.fixture(scope="module")
def counted(folder):
    return measure("step-counts", tiny_context(folder, 3))


def test_counts_of_the_paper_are_refused_with_their_numbers(counted):
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


# ---- ways to redraw


def normalised() -> Net:
    """A wide layer with a bias, batch normalisation and a head: enough weights to measure."""
    torch.manual_seed(0)
    conv, norm = nn.Conv2d(3, 64, 5), nn.BatchNorm2d(64)
    norm.running_var.uniform_(2, 3)
    norm.weight.data.uniform_(2, 3)
    fc = nn.Linear(64, 50)
    return Net(
        lambda net, x: net.fc(net.norm(net.conv(x)).mean((2, 3))), conv=conv, norm=norm, fc=fc
    )


@pytest.mark.parametrize(("weights", "norms", "expected"), cases("redraws"))
def test_a_redraw_is_measured(weights, norms, expected):
    found = measured(make_explainable(normalised()), Redraw(weights, norms), 1)
    distribution, fan, deviation, state = expected
    assert (found["distribution"], found["fan"]) == (distribution, fan)
    assert found["deviation"] == pytest.approx(deviation, abs=0.03)
    assert found["kurtosis"] == pytest.approx(3 if distribution == "normal" else 1.8, abs=0.2)
    assert found["biases"] == 0
    assert found["norm_affine"] == found["norm_statistics"] == state


# ---- the criterion


def scores(orders: dict[tuple[str, str], list[float]], images: int = 30, noise: float = 0.01):
    """A table ``initializations``: a mean SSIM for each way and method, with noise over images."""
    levels = {
        (*way, method): mean
        for way, means in orders.items()
        for method, mean in zip(FIGURE_2, means, strict=True)
    }
    return synthetic.table(
        levels, ("weights", "norms", "method"), images=images, spread=noise, order="top-down",
        sign="signed", seed=0, step=(1, 2),
    )  # fmt: skip


NORMAL, UNIFORM, KEPT = ("he-normal", "reset"), ("he-uniform", "reset"), ("he-normal", "kept")
ORDERED = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]


@pytest.fixture(scope="module")
def filled(folder):
    return measure("configurations", tiny_context(folder, 3))


def verdict_of(configurations: pd.DataFrame, initializations: pd.DataFrame, context=ELSEWHERE):
    tables = {"configurations": configurations, "initializations": initializations}
    return judge("binder-a1-setup", tables, context)


@pytest.mark.parametrize("way", [UNIFORM, KEPT])
def test_another_ordering_under_one_way_is_reported(filled, way):
    swapped = [0.3, 0.2, 0.1, 0.4, 0.7, 0.6, 0.5]  # six of 21 pairs
    orders = {NORMAL: ORDERED, UNIFORM: ORDERED, KEPT: ORDERED} | {way: swapped}
    verdict = verdict_of(filled, scores(orders))
    assert verdict.value == "not-reproduced"
    expected = kendalltau(ORDERED, swapped).statistic
    assert verdict.numbers[f"tau {' '.join(way)}"] == pytest.approx(expected)
    assert expected < 0.8


@pytest.mark.parametrize("hole", [None, "", float("nan")])
def test_a_missing_field_is_refused(filled, hole):
    table = scores({NORMAL: ORDERED, UNIFORM: ORDERED})
    empty = filled.assign(images_sha256=hole)
    verdict = verdict_of(empty, table)
    assert verdict.value == "not-reproduced"
    assert "7 of 8 fields" in verdict.evidence
    assert "images_sha256" in verdict.evidence
    assert verdict_of(filled.drop(columns="fan"), table).value == "not-reproduced"
