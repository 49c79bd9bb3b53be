"""Kept feature maps and the mass in active regions against closed forms."""

import pytest
import torch

from sanitygap.errors import UsageError
from sanitygap.preservation.activated_regions import (
    has_positions,
    kept_features,
    mass_ratio,
    spread,
)


def test_kept_features_are_what_flows_into_the_stage(small, inputs):
    net = small.module
    below = net.act(net.norm(net.conv1(inputs)))
    lowest = next(stage for stage in small.stages if stage.name == "conv2")
    assert torch.allclose(kept_features(small, inputs, lowest), below, atol=1e-6)
    assert not net.conv2._forward_pre_hooks


def test_a_dense_layer_has_no_positions_below_it(small, inputs):
    classifier, convolution = small.stages[0], small.stages[1]
    assert has_positions(small, inputs, convolution)
    assert not has_positions(small, inputs, classifier)
    with pytest.raises(UsageError, match="no positions"):
        kept_features(small, inputs, classifier)


def test_spread_keeps_a_constant_and_the_place_of_a_peak():
    assert torch.allclose(spread(torch.full((1, 3, 3), 2.0), (9, 9)), torch.full((1, 9, 9), 2.0))
    peak = torch.zeros(1, 3, 3)
    peak[0, 2, 0] = 1
    found = spread(peak, (9, 9))[0].flatten().argmax()
    assert divmod(int(found), 9)[0] >= 6
    assert divmod(int(found), 9)[1] <= 2


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
