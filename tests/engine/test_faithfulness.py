"""Occlusion curves and replaced images against naive loops and closed forms."""

import numpy as np
import pytest
import scipy.ndimage
import torch
from scipy import stats

from sanitygap.chapters.occlusion.measure import REPLACEMENTS
from sanitygap.faithfulness import blurred, greedy_steps, occlusion_curves, occlusion_steps


def test_blur_equals_scipy(inputs):
    ours = blurred(inputs, 5)
    for image in range(4):
        for channel in range(3):
            theirs = scipy.ndimage.uniform_filter(
                inputs[image, channel].double().numpy(), 5, mode="mirror"
            )
            assert np.allclose(ours[image, channel].numpy(), theirs, atol=1e-5)


@pytest.mark.parametrize("tiling", ["tiles", "sliding"])
def test_every_map_hides_the_same_number_of_pixels(tiling):
    """Slivers at the edge of an image of 227 pixels made a random order hide fewer."""
    maps = torch.randn(3, 227, 227, generator=torch.Generator().manual_seed(0))
    maps[1, :, 225:] += 100  # what a sliver would have won by
    steps = occlusion_steps(maps, 15, 30, tiling)
    assert ((steps <= 30).sum((1, 2)) == 30 * 15**2).all()
    for step in range(1, 31):
        assert ((steps == step).sum((1, 2)) == 15**2).all()


def test_sliding_windows_are_the_best_that_do_not_touch():
    maps = torch.randn(2, 24, 24, generator=torch.Generator().manual_seed(3))
    steps = occlusion_steps(maps, 6, 4, "sliding")
    for image in range(2):
        taken = np.zeros((24, 24), bool)
        for step in range(1, 5):
            places = [
                (maps[image, y : y + 6, x : x + 6].mean().item(), y, x)
                for y in range(0, 19, 2)
                for x in range(0, 19, 2)
                if not taken[y : y + 6, x : x + 6].any()
            ]
            _, y, x = max(places)
            taken[y : y + 6, x : x + 6] = True
            assert (steps[image, y : y + 6, x : x + 6] == step).all()


def test_the_greedy_order_takes_the_tile_that_hurts_most(small, inputs):
    targets = torch.tensor([0, 1, 2, 3])
    steps = greedy_steps(small, inputs, targets, patch=8, regions=3, blur=5)
    soft = blurred(inputs, 5)
    for image in range(4):
        current, left = inputs[image].clone(), [(r, c) for r in (0, 8, 16) for c in (0, 8, 16)]
        for step in range(1, 4):
            scores = []
            for r, c in left:
                state = current.clone()
                state[:, r : r + 8, c : c + 8] = soft[image, :, r : r + 8, c : c + 8]
                scores.append(float(small.module(state[None]).softmax(1)[0, targets[image]]))
            r, c = left.pop(int(np.argmin(scores)))
            current[:, r : r + 8, c : c + 8] = soft[image, :, r : r + 8, c : c + 8]
            assert (steps[image, r : r + 8, c : c + 8] == step).all()


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_curves_equal_a_naive_loop(small, inputs, batch_size):
    maps = torch.randn(4, 24, 24, generator=torch.Generator().manual_seed(2))
    targets = torch.tensor([0, 1, 2, 3])
    curves = occlusion_curves(
        small, inputs, targets, maps, patch=5, regions=6, blur=5, batch_size=batch_size
    )
    soft = blurred(inputs, 5)
    for image in range(4):
        tiles = [(r, c) for r in range(2, 20, 5) for c in range(2, 20, 5)]
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
    assert stats.kstest(colours, "uniform").pvalue > 0.01
