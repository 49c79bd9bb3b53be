"""Replacements and statistics of replaced images against naive loops and closed forms."""

import numpy as np
import pytest
import scipy.stats
import torch

from sanitygap.chapters.occlusion.measure import REPLACEMENTS, color_change, respond
from sanitygap.faithfulness import (
    blurred,
    occlusion_curves,
    occlusion_steps,
    replaced,
    replacement_curves,
)

SEEDS = [3, 4, 5, 6]


@pytest.fixture
def maps() -> torch.Tensor:
    return torch.randn(4, 24, 24, generator=torch.Generator().manual_seed(2))


def test_substitutes_are_what_their_names_say(small, inputs):
    """Inputs of 24 pixels: 15 and 45 pixels of 224 are about 2 and 5 there, and odd."""
    rgb = {
        name: small.preprocessing.to_rgb(make(small, inputs, SEEDS))
        for name, make in REPLACEMENTS.items()
    }
    assert rgb["black"].abs().max() < 1e-6
    means = REPLACEMENTS["mean colour"](small, inputs, SEEDS)
    for image in range(4):
        for channel in range(3):
            assert np.allclose(means[image, channel], inputs[image, channel].mean(), atol=1e-6)
    assert torch.equal(REPLACEMENTS["blur"](small, inputs, SEEDS), blurred(inputs, 3))
    assert torch.equal(REPLACEMENTS["wide blur"](small, inputs, SEEDS), blurred(inputs, 5))
    colours = rgb["random colours"].flatten().numpy()
    assert scipy.stats.kstest(colours, "uniform").pvalue > 0.01


def test_replaced_equals_a_loop_over_tiles(inputs, maps):
    steps = occlusion_steps(maps, 7, 5)
    other = torch.zeros_like(inputs)
    found = replaced(inputs, other, steps, 3)
    for image in range(4):
        tiles = [(r, c) for r in range(1, 22, 7) for c in range(1, 22, 7)]
        tiles.sort(key=lambda t: -maps[image, t[0] : t[0] + 7, t[1] : t[1] + 7].mean().item())
        expected = inputs[image].clone()
        for r, c in tiles[:3]:
            expected[:, r : r + 7, c : c + 7] = 0
        assert torch.equal(found[image], expected)


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_with_blur_the_curves_are_those_of_the_occlusion_test(small, inputs, maps, batch_size):
    targets = torch.tensor([0, 1, 2, 3])
    theirs = occlusion_curves(small, inputs, targets, maps, patch=5, regions=6)
    counts = [1, 4, 6]
    ours = replacement_curves(
        small, inputs, targets, blurred(inputs), occlusion_steps(maps, 5, 6), counts, batch_size
    )
    assert torch.allclose(ours.softmax, theirs.softmax[:, counts], atol=1e-6)
    assert torch.allclose(ours.logit, theirs.logit[:, counts], atol=1e-5)


def test_response_is_what_flows_into_the_classifier(small, inputs):
    net = small.module
    features = net.flatten(net.pool(net.act2(net.conv2(net.act(net.norm(net.conv1(inputs)))))))
    response = respond(small, inputs)
    assert torch.allclose(response.features.float(), features, atol=1e-6)
    probabilities = net(inputs).softmax(1).numpy()
    assert np.allclose(response.entropy, scipy.stats.entropy(probabilities, axis=1), atol=1e-5)
    assert not small.module.fc._forward_pre_hooks


def test_color_change_equals_a_loop_over_hidden_tiles(maps):
    source = torch.Generator().manual_seed(1)
    original = torch.rand(4, 3, 24, 24, generator=source)
    changed = torch.rand(4, 3, 24, 24, generator=source)
    steps = occlusion_steps(maps, 7, 4)
    mean, variance = color_change(original, changed, steps <= 4, 7)
    for image in range(4):
        means, variances = [], []
        for r in range(1, 22, 7):
            for c in range(1, 22, 7):
                if steps[image, r, c] > 4:
                    continue
                a, b = (
                    x[image, :, r : r + 7, c : c + 7].flatten(1).double().numpy()
                    for x in (original, changed)
                )
                means.append(np.linalg.norm(a.mean(1) - b.mean(1)))
                variances.append(np.linalg.norm(a.var(1) - b.var(1)))
        assert len(means) == 4
        assert float(mean[image]) == pytest.approx(np.mean(means))
        assert float(variance[image]) == pytest.approx(np.mean(variances), abs=1e-7)
