"""Masks of responsive pixels, windows of SSIM, and means over some of them."""

import pytest
import torch

from sanitygap.chapters.repairs.measure import mean_where, responsive, window_scores
from sanitygap.similarity import Reference


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_least_relevant_pixels_are_dropped_up_to_a_share_of_the_mass():
    relevance = torch.tensor([[[0.0, -1.0], [2.0, -7.0]]])
    expected = {
        0.0: [[False, True], [True, True]],  # the zero holds nothing
        0.05: [[False, True], [True, True]],  # 1 of 10 is too much
        0.1: [[False, False], [True, True]],
        0.25: [[False, False], [True, True]],
        0.5: [[False, False], [False, True]],
    }
    for threshold, mask in expected.items():
        assert responsive(relevance, threshold)[0].tolist() == mask, threshold


def test_mean_of_all_windows_is_the_score_of_the_randomisation_test():
    first, second = noise(3, 32, 40), noise(3, 32, 40, seed=1)
    second = second + 0.7 * first
    local = window_scores(first, second)
    assert local.shape == (3, 26, 34)
    expected = Reference(first).compare(second)["ssim"]
    torch.testing.assert_close(local.mean((1, 2)).float(), expected, atol=2e-6, rtol=0)
    everywhere = torch.ones(3, 32, 40, dtype=torch.bool)
    [(means, kept)] = mean_where(local, [everywhere])
    torch.testing.assert_close(means, local.mean((1, 2)))
    assert kept.tolist() == [1, 1, 1]


def test_change_outside_the_mask_is_not_seen():
    first = noise(2, 40, 40)
    second = first.clone()
    second[:, :, 20:] = noise(2, 40, 20, seed=1)
    left = torch.zeros(2, 40, 40, dtype=torch.bool)
    left[:, :, :14] = True
    right = torch.zeros_like(left)
    right[:, :, 26:] = True
    (same, kept), (changed, _) = mean_where(window_scores(first, second), [left, right])
    assert (same > 0.98).all()  # the scale of the whole map has changed a little
    assert (changed < 0.2).all()
    assert kept.tolist() == [pytest.approx((14 - 3) / 34)] * 2


def test_means_equal_a_loop_over_windows():
    local, mask = noise(1, 5, 6).double(), noise(1, 11, 12, seed=2) > 0
    [(mean, kept)] = mean_where(local, [mask])
    chosen = [local[0, i, j] for i in range(5) for j in range(6) if mask[0, i + 3, j + 3]]
    assert mean.item() == pytest.approx(float(sum(chosen) / len(chosen)))
    assert kept.item() == pytest.approx(len(chosen) / 30)
