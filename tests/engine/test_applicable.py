"""Which methods are defined for a network, and where its activations are."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from sanitygap.attribution.applicable import defined, undefined
from sanitygap.chapters.theorem_2.measure import layers_of
from sanitygap.errors import UsageError
from sanitygap.sanity_check import CORE_METHODS
from tests.conftest import make_explainable


class Smooth(nn.Module):
    """A network without a ReLU or anything like it."""

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.act = activation
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(4, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.flatten(self.pool(self.act(self.conv(x)))))


class Block(nn.Module):
    """A convolution that ends in a functional ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 4, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.relu(self.conv(x))


@pytest.fixture
def smooth():
    torch.manual_seed(0)
    return make_explainable(Smooth(nn.Tanh()))


def test_guided_backprop_is_left_out_where_no_unit_is_rectified(smooth, small):
    with pytest.warns(UserWarning, match="guided-backprop is left out: .*calls no ReLU"):
        kept = defined(smooth, CORE_METHODS)
    assert kept == [name for name in CORE_METHODS if name != "guided-backprop"]
    assert list(undefined(smooth, CORE_METHODS)) == ["guided-backprop"]
    assert defined(small, CORE_METHODS) == list(CORE_METHODS)


def test_activations_of_functions_are_found_at_the_innermost_module():
    network = nn.Sequential(Block(3), nn.Sequential(Block(4)), nn.Conv2d(4, 2, 1))
    assert layers_of(network, torch.randn(1, 3, 8, 8)) == ["0", "1.0"]
    assert layers_of(Smooth(nn.SiLU()), torch.randn(1, 3, 8, 8)) == ["act"]
    with pytest.raises(UsageError, match="no activation modules"):
        layers_of(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), torch.randn(1, 3, 2, 2))
