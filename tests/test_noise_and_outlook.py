"""The experiments about noise, other orders and the two repairs, against naive computations."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from zennit.layer import Sum

from sanitygap.attribution import attribute
from sanitygap.faithfulness import occlusion_curves
from sanitygap.models import Preprocessing, Stage
from sanitygap.randomization import RandomTwin, steps
from sanitygap.sanity_check import random_share
from sanitygap.similarity import Reference, pearson
from sanitygap.table import Context
from tests.conftest import Net
from tests.tables import measure, tiny_context

#: settings that fit the tiny network
SMALL = {
    "noise-curve": {"n_steps": 2, "amounts": (0.0, 2.0), "regions": 2},
    "nearby-inputs": {"path_steps": 2, "noisy_copies": 2, "levels": (0.01, 0.1)},
    "randomization-bottom-up": {"methods": ("gradient",), "order": "bottom-up", "n_steps": 2},
    "randomization-independent": {"methods": ("gradient",), "order": "independent", "n_steps": 2},
    "feature-map": {"n_steps": 2},
    "outlook-baseline": {"redraws": 1},
}


def residual_network() -> nn.Module:
    """A stem, a residual block with an explicit sum, and a dense layer; no ReLU above the sum."""
    stem = nn.Conv2d(3, 4, 3, padding=1)
    block = Net(
        lambda net, x: net.sum(torch.stack([x, net.relu(net.conv(x))], dim=-1)),
        conv=nn.Conv2d(4, 4, 3, padding=1), relu=nn.ReLU(), sum=Sum(),
    )  # fmt: skip
    return Net(
        lambda net, x: net.fc(net.flatten(net.pool(net.block(net.stem(x))))), stem=stem,
        block=block, pool=nn.AdaptiveAvgPool2d(2), flatten=nn.Flatten(), fc=nn.Linear(16, 5),
        preprocessing=Preprocessing(size=32, resize=32),
    )  # fmt: skip


@pytest.fixture
def context(folder):
    return tiny_context(folder, 3)


@pytest.fixture
def residual(folder):
    return tiny_context(folder, 3, spec="tests.test_noise_and_outlook:residual_network@random")


def table(context: Context, name: str, **parameters) -> pd.DataFrame:
    return measure(name, context, **SMALL[name] | parameters)


def test_noise_curve_is_the_loop_that_it_replaces(context):
    found = table(context, "noise-curve", methods=["gradient-x-input"])
    batch, model = context.batch((0, 1, 2)), context.model
    twin = RandomTwin(model, 0)

    def mixed(step: str, amount: float) -> torch.Tensor:
        maps = attribute(model, batch.inputs, batch.targets, ["gradient-x-input"], [0] * 3)
        maps = maps["gradient-x-input"]
        drawn = torch.stack(
            [
                torch.randn(32, 32, generator=torch.Generator().manual_seed(seed))
                for seed in batch.seeds(0, step, "added noise")
            ]
        )
        return maps / maps.square().mean((1, 2), keepdim=True).sqrt() + amount * drawn

    for amount in (0.0, 2.0):
        base = mixed("base", amount)
        scores = []
        for step in steps(model.stages, "top-down", 2):
            with twin.redrawn(step.stages):
                scores.append(Reference(base).compare(mixed(step.name, amount)))
        curves = occlusion_curves(model, batch.inputs, batch.targets, base, 2, 2)
        rows = found[found["amount"] == amount]
        for kind in ("ssim", "spearman", "mse"):
            expected = sum(score[kind] for score in scores) / 2
            np.testing.assert_allclose(rows[kind], expected, atol=1e-5)
        np.testing.assert_allclose(rows["softmax"], curves.softmax.mean(1), atol=1e-6)
    assert set(found["steps"]) == {2}


@pytest.mark.parametrize("order", ["bottom-up", "independent"])
def test_other_orders_redraw_what_they_say(context, order):
    frame = table(context, f"randomization-{order}", methods=["gradient"], n_steps=None)
    assert set(frame["order"]) == {order}
    stages = list(frame.drop_duplicates("step")["stage"])
    shares = list(frame.drop_duplicates("step")["random_parameters"])
    names = [stage.name for stage in context.model.stages]
    own = [random_share(context.model, [stage]) for stage in context.model.stages]
    assert sum(own) == pytest.approx(1)
    if order == "bottom-up":
        assert stages == names[::-1]
        np.testing.assert_allclose(shares, np.cumsum(own[::-1]))
    else:
        assert stages == names
        np.testing.assert_allclose(shares, own)


def test_feature_map_stays_until_it_is_reached(context):
    frame = table(context, "feature-map", n_steps=None)
    assert context.model.stages[0].name == "fc"
    rows = frame.set_index(["order", "step"])["correlation"]
    np.testing.assert_allclose(rows["top-down"].loc[1], 1, atol=1e-6)
    assert (frame.loc[frame["step"] > 1, "correlation"] < 0.999).all()
    last = int(frame["step"].max())
    np.testing.assert_allclose(rows["top-down", last], rows["bottom-up", last], atol=1e-6)
    # the first step from the input, by hand
    model, batch = context.model, context.batch((0, 1, 2))
    net = model.module

    def energy() -> torch.Tensor:
        hidden = net.relu2(net.conv2(net.relu1(net.norm1(net.conv1(batch.inputs)))))
        return net.pool(hidden).square().sum(1)

    trained = energy()
    with RandomTwin(model, 0).redrawn([model.stages[-1]]):
        changed = energy()
    np.testing.assert_allclose(rows["bottom-up", 1], pearson(trained, changed), atol=1e-6)


def test_residual_maps_are_what_flows_through_the_branch(residual):
    frame = table(residual, "outlook-baseline", methods=["gradient"])
    model, batch = residual.model, residual.batch((0, 1, 2))
    net = model.module

    def branch_gradient() -> torch.Tensor:
        leaf = batch.inputs.detach().requires_grad_()
        hidden = net.stem(leaf)
        added = hidden.detach() + net.block.relu(net.block.conv(hidden))
        logits = net.fc(net.flatten(net.pool(added))).gather(1, batch.targets[:, None])
        return torch.autograd.grad(logits.sum(), leaf)[0].sum(1)

    before = branch_gradient()
    twin = RandomTwin(model, 0)
    with twin.redrawn([Stage("block", ("block.conv",))]):
        after = branch_gradient()
    expected = Reference(before).compare(after)["ssim"]
    rows = frame[(frame["component"] == "residual") & (frame["sign"] == "signed")]
    np.testing.assert_allclose(rows["ssim"], expected, atol=1e-5)
    total = frame[(frame["component"] == "total") & (frame["sign"] == "signed")]
    assert (total["ssim"].to_numpy() > rows["ssim"].to_numpy()).all()
    assert set(frame["stage"]) == {"block"}
    # only the branch was redrawn, and everything is as it was
    share = random_share(model, [Stage("block", ("block.conv",))])
    np.testing.assert_allclose(frame["random_parameters"], share)
    assert torch.equal(branch_gradient(), before)
