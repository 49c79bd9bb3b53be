"""Kept feature maps and the mass in active regions against closed forms."""

import pytest
import torch
from torch import nn

from sanitygap.chapters.theorem_2.measure import above_activations, cuts, kept_features, mass_ratio
from sanitygap.models import Explainable, Preprocessing, Stage


def test_kept_features_are_what_flows_into_the_stage(small, inputs):
    net = small.module
    below = net.act(net.norm(net.conv1(inputs)))
    lowest = next(stage for stage in small.stages if stage.name == "conv2")
    assert torch.allclose(kept_features(small, inputs, lowest), below, atol=1e-6)
    assert not net.conv2._forward_pre_hooks


class LinearEnd(nn.Module):
    """A block that hands on a linear feature map, and one that begins with it."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(3, 4, 3)
        self.expand = nn.Conv2d(4, 6, 1)
        self.norm = nn.BatchNorm2d(6)
        self.relu = nn.ReLU()
        self.project = nn.Conv2d(6, 4, 1)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Conv2d(6, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inside = self.relu(self.norm(self.expand(self.down(x))))
        return self.project(inside).mean((2, 3))[:, :2] + self.fc(self.pool(inside)).flatten(1)


def test_a_stage_is_cut_behind_its_first_activation(inputs):
    """As in blocks with linear bottlenecks: what flows into the stage has both signs."""
    torch.manual_seed(0)
    net = LinearEnd().eval()
    stages = (
        Stage("head", ("fc",)), Stage("block", ("expand", "norm", "project")),
        Stage("stem", ("down",)),
    )  # fmt: skip
    model = Explainable("linear end", net, Preprocessing(32, 32), stages)
    part = above_activations(model, inputs, stages[1])
    assert part == Stage("block", ("project",))
    assert (kept_features(model, inputs, stages[1]) < 0).any()
    inside = net.relu(net.norm(net.expand(net.down(inputs))))
    assert torch.allclose(kept_features(model, inputs, part), inside, atol=1e-6)
    assert above_activations(model, inputs, stages[0]) is None  # one position only
    assert above_activations(model, inputs, stages[2]) is None  # the image has both signs
    found = cuts(model, inputs)
    assert [(cut.step.number, cut.layer, cut.non_negative) for cut in found] == [
        (2, "project", True)
    ]
    assert found[0].step.stages == (stages[0], part)
    assert not any(module._forward_pre_hooks for module in net.modules())


def test_mass_ratio_closed_forms():
    activity = torch.arange(100.0).view(1, 10, 10)  # the last row is the most active 10 %
    inside = torch.zeros(1, 10, 10)
    inside[0, -1] = -3.0
    assert float(mass_ratio(inside, activity)) == pytest.approx(10)
    assert float(mass_ratio(torch.full((1, 10, 10), -1.0), activity)) == pytest.approx(1)
    assert float(mass_ratio(inside.flip(1), activity)) == 0
    half = inside + inside.flip(1)
    assert float(mass_ratio(half, activity)) == pytest.approx(5)
    assert mass_ratio(torch.zeros(1, 10, 10), activity).isnan().all()


def test_mass_ratio_of_noise_is_one():
    source = torch.Generator().manual_seed(0)
    noise, activity = torch.randn(2, 200, 60, 60, generator=source)
    ratios = mass_ratio(noise, activity)
    assert abs(float(ratios.mean()) - 1) < 4 * float(ratios.std()) / 200**0.5
