"""The set-up of Binder et al., sensitivity on a tiny network, and the neighbours' scores."""

import pandas as pd
import pytest
import torch
from scipy.stats import kendalltau
from torch import nn

from sanitygap.chapters.randomization import measure as mprt
from sanitygap.chapters.randomization.measure import FIGURE_2, measured
from sanitygap.chapters.sriram.measure import changed_layers, moved_weights, paper_layers
from sanitygap.claims import CriterionContext, judge
from sanitygap.errors import UsageError
from sanitygap.models.explainable import Stage
from sanitygap.randomization import RandomTwin, Redraw, steps
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


def normalised(trained: bool) -> Net:
    """A wide layer with a bias, batch normalisation and a head: enough weights to measure."""
    torch.manual_seed(0)
    conv, norm = nn.Conv2d(3, 64, 5), nn.BatchNorm2d(64)
    if trained:
        norm.running_var.uniform_(2, 3)
        norm.weight.data.uniform_(2, 3)
    fc = nn.Linear(64, 50)
    return Net(
        lambda net, x: net.fc(net.norm(net.conv(x)).mean((2, 3))), conv=conv, norm=norm, fc=fc
    )


@pytest.mark.parametrize("trained", [True, False])
@pytest.mark.parametrize(("weights", "norms", "expected"), cases("redraws"))
def test_a_redraw_is_measured(weights, norms, expected, trained):
    net = normalised(trained)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    found = measured(make_explainable(net), Redraw(weights, norms), 1)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
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


@pytest.fixture(scope="module")
def context(folder):
    return tiny_context(folder, 3)


def test_changed_layers_sees_a_layer_that_drags_another_along(context):
    rows = changed_layers(context.model, 0)
    redrawn = rows[rows["stage"] != "norm1"]  # freshly made, so a reset changes nothing
    assert (redrawn["changed"] == 1).all()
    assert redrawn["itself"].all()
    shared = paper_layers(context.model)
    both = Stage("both", ("conv1", "conv2"))
    from dataclasses import replace

    wrong = replace(shared, stages=(both, *shared.stages))
    assert (changed_layers(wrong, 0)["changed"] > 1).any()


def test_weights_are_moved_by_the_share(context):
    model, twin = context.model, RandomTwin(context.model, 3)
    step = steps(model.stages, "independent")[0]
    [name] = step.stages[0].modules
    weight = dict(model.module.named_modules())[name].weight
    trained = weight.detach().clone()
    with twin.redrawn(step.stages):
        drawn = weight.detach().clone()
    for share in (0.0, 0.25, 1.0):
        with moved_weights(model, twin, step, share):
            torch.testing.assert_close(weight.data, trained + share * (drawn - trained))
    assert torch.equal(weight.data, trained)
    with twin.redrawn(step.stages):
        assert torch.equal(weight.data, drawn)  # the twin's own draw was not touched


# ---- neighbours


def test_one_seed_gives_layers_of_one_shape_the_same_weights():
    from tests.conftest import make_explainable

    torch.manual_seed(0)
    net = torch.nn.Sequential(
        *[torch.nn.Conv2d(4, 4, 3) for _ in range(3)], torch.nn.Conv2d(4, 2, 1)
    )
    model = make_explainable(net)
    trained = [layer.weight.detach().clone() for layer in net]
    torch.manual_seed(9)
    expected = torch.rand(1)
    torch.manual_seed(9)
    with mprt.reset_modules(model, ["0", "1", "2"], 5):
        assert torch.equal(net[0].weight, net[1].weight)
        assert not torch.equal(net[0].weight, trained[0])
        assert torch.equal(net[3].weight, trained[3])
    assert all(torch.equal(a, layer.weight) for a, layer in zip(trained, net, strict=True))
    assert torch.equal(torch.rand(1), expected)  # the world's generator goes on as before
    assert mprt.twins_of_shape(net) == pytest.approx(0.5)
    with RandomTwin(model, 5).redrawn([Stage("all", ("0", "1", "2"))]):
        assert not torch.equal(net[0].weight, net[1].weight)
