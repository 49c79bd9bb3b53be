"""Complexity, robustness and localisation against closed forms and naive loops."""

import numpy as np
import pytest
import torch

from sanitygap.chapters.gap.measure import focus, gini, mosaics, quadrant


def test_gini_of_equal_values_and_of_one_value():
    assert float(gini(torch.full((1, 4, 5), -2.0))) == pytest.approx(0)
    alone = torch.zeros(1, 4, 5)
    alone[0, 1, 1] = -7
    assert float(gini(alone)) == pytest.approx(1 - 1 / 20)
    assert gini(torch.zeros(1, 4, 5)).isnan().all()


def test_gini_is_half_the_relative_mean_difference():
    maps = torch.randn(3, 5, 6, generator=torch.Generator().manual_seed(0))
    for found, one in zip(gini(maps), maps, strict=True):
        x = one.abs().flatten().double().numpy()
        expected = np.abs(x[:, None] - x[None]).mean() / (2 * x.mean())
        assert float(found) == pytest.approx(expected)


@pytest.mark.parametrize("side", [24, 25])
def test_mosaics_show_the_image_in_its_quadrant(side):
    inputs = torch.arange(1.0, 6).view(5, 1, 1, 1).expand(5, 3, side, side)
    others = [torch.full_like(inputs, -number) for number in (1.0, 2.0, 3.0)]
    made = mosaics(inputs, others, shift=1)
    for number in range(5):
        for place in range(4):
            part = made[number][(slice(None), *quadrant(place, side, side))]
            assert torch.allclose(part, part.mean(), atol=1e-5)
            if place == (number + 1) % 4:
                assert float(part.mean()) == pytest.approx(number + 1)
        values = sorted(
            round(float(made[number][(0, *quadrant(place, side, side))].mean()))
            for place in range(4)
        )
        assert values == [-3, -2, -1, number + 1]


def test_focus_counts_positive_values_inside():
    maps = -torch.ones(4, 8, 8)
    for number in range(4):
        rows, columns = quadrant((number + 2) % 4, 8, 8)
        maps[number, rows, columns] = 1
    assert torch.equal(focus(maps, shift=2), torch.ones(4, dtype=torch.float64))
    assert torch.equal(focus(maps, shift=3), torch.zeros(4, dtype=torch.float64))
    assert torch.allclose(focus(torch.ones(3, 8, 8)), torch.full((3,), 0.25).double())
    assert focus(-torch.ones(1, 8, 8)).isnan().all()
