"""The last feature map and where it is active."""

import pytest
import torch
from torch import nn

from sanitygap.errors import UsageError
from sanitygap.models import Explainable, Preprocessing, Stage
from sanitygap.partition import feature_map, last_spatial_module
from tests.conftest import make_explainable


def last_feature_map(model: Explainable, inputs: torch.Tensor) -> torch.Tensor:
    return feature_map(model, last_spatial_module(model), inputs)


def test_it_is_the_input_of_the_pooling_below_the_classifier(small, inputs):
    net = small.module
    hidden = net.act2(net.conv2(net.act(net.norm(net.conv1(inputs)))))
    assert small.stages[0].name == "fc"
    pooled = net.pool(hidden)
    assert pooled.shape[2:] == (2, 2)
    torch.testing.assert_close(last_feature_map(small, inputs), pooled)
    for module in net.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks


def test_an_operation_in_place_does_not_change_what_was_kept():
    class InPlace(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)
            self.fc = nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            hidden = self.conv(x)
            hidden.zero_()
            return self.fc(hidden.mean((2, 3)))

    model = make_explainable(InPlace(), 8)
    x = torch.randn(1, 3, 8, 8)
    torch.testing.assert_close(last_feature_map(model, x), model.module.conv(x))


def test_a_network_without_places_is_refused():
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 3), nn.ReLU(), nn.Linear(3, 2)).eval()
    model = Explainable("flat", net, Preprocessing(size=2, resize=2), (Stage("3", ("3",)),))
    with pytest.raises(UsageError, match="no feature map"):
        last_feature_map(model, torch.randn(1, 3, 2, 2))
