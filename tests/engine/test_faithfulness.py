"""Occlusion curves against a naive loop, and on a network with a known answer."""

import numpy as np
import pytest
import scipy.ndimage
import torch
from torch import nn

from sanitygap.faithfulness import blurred, occlusion_curves, occlusion_steps, region_means
from tests.conftest import make_explainable


def test_blur_equals_scipy(inputs):
    ours = blurred(inputs, 5)
    for image in range(4):
        for channel in range(3):
            theirs = scipy.ndimage.uniform_filter(
                inputs[image, channel].double().numpy(), 5, mode="mirror"
            )
            assert np.allclose(ours[image, channel].numpy(), theirs, atol=1e-5)


def test_region_means_average_over_what_is_inside():
    values = torch.randn(2, 24, 20)
    means = region_means(values, 7).view(2, 4, 3)
    for row in range(4):
        for column in range(3):
            tile = values[:, row * 7 : row * 7 + 7, column * 7 : column * 7 + 7]
            assert torch.allclose(means[:, row, column], tile.mean((1, 2)), atol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_curves_equal_a_naive_loop(small, inputs, batch_size):
    maps = torch.randn(4, 24, 24, generator=torch.Generator().manual_seed(2))
    targets = torch.tensor([0, 1, 2, 3])
    curves = occlusion_curves(
        small, inputs, targets, maps, patch=5, regions=6, blur=5, batch_size=batch_size
    )
    soft = blurred(inputs, 5)
    for image in range(4):
        tiles = [(r, c) for r in range(0, 24, 5) for c in range(0, 24, 5)]
        tiles.sort(key=lambda t: -maps[image, t[0] : t[0] + 5, t[1] : t[1] + 5].mean().item())
        occluded = inputs[image].clone()
        for done in range(7):
            if done:
                r, c = tiles[done - 1]
                occluded[:, r : r + 5, c : c + 5] = soft[image, :, r : r + 5, c : c + 5]
            logits = small.module(occluded[None])[0]
            assert float(curves.logit[image, done]) == pytest.approx(float(logits[image]), abs=1e-4)
            probability = float(logits.softmax(0)[image])
            assert float(curves.softmax[image, done]) == pytest.approx(probability, abs=1e-5)


def test_more_regions_than_tiles_keeps_the_last_state(small, inputs):
    maps = torch.rand(4, 24, 24)
    targets = torch.zeros(4, dtype=torch.long)
    curves = occlusion_curves(small, inputs, targets, maps, patch=12, regions=6, blur=5)
    assert torch.equal(curves.logit[:, 4], curves.logit[:, 6])
    assert occlusion_steps(maps, 12, 6).max() == 4


class OneRegion(nn.Module):
    """Responds only to the variance inside one known square."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        signal = x[:, :, 8:16, 8:16].flatten(1).var(1) * self.scale
        return torch.stack([signal, torch.zeros_like(signal)], 1)


def test_the_right_map_falls_at_once_and_the_wrong_one_last(inputs):
    model = make_explainable(OneRegion())
    right = torch.zeros(4, 24, 24)
    right[:, 8:16, 8:16] = 1
    targets = torch.zeros(4, dtype=torch.long)
    good = occlusion_curves(model, inputs, targets, right, patch=8, regions=9, blur=7).logit
    bad = occlusion_curves(model, inputs, targets, -right, patch=8, regions=9, blur=7).logit
    assert (good[:, 1] < 0.5 * good[:, 0]).all()
    assert torch.allclose(bad[:, 8], bad[:, 0], rtol=1e-4)
    assert (bad[:, 9] < 0.5 * bad[:, 0]).all()
