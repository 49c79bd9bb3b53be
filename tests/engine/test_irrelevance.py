"""Measures of preserved irrelevance, and the two kinds of network whose truth is known."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

from sanitygap.attribution import Sampling, attribute
from sanitygap.chapters.irrelevance.measure import (
    low_relevance_auc,
    planted_model,
    tile_responses,
    with_changed_tiles,
)
from sanitygap.models import Explainable
from sanitygap.partition import cut_model
from sanitygap.randomization import RandomTwin
from tests.conftest import Net, make_explainable


def maps(seed: int, count: int = 3, side: int = 20) -> torch.Tensor:
    return torch.randn(count, side, side, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("ties", [False, True])
def test_the_area_under_the_curve_against_scikit_learn(ties: bool) -> None:
    outcome = maps(0).abs()
    predictor = (maps(1) + 2 * outcome).abs()
    if ties:
        predictor = (3 * predictor).round()
    found = low_relevance_auc(predictor, outcome)
    for value, a, b in zip(found, predictor.numpy(), outcome.numpy(), strict=True):
        low = b.ravel() < np.median(b)
        assert float(value) == pytest.approx(roc_auc_score(low, -a.ravel()), abs=1e-6)
    assert low_relevance_auc(outcome, outcome).tolist() == [1.0] * 3
    assert low_relevance_auc(-outcome, outcome).tolist() == pytest.approx([0.0] * 3)


def test_responses_of_tiles_against_whole_passes(small: Explainable) -> None:
    image = torch.randn(3, 24, 24, generator=torch.Generator().manual_seed(0))
    cut, twins = cut_model(small, 0.5), [RandomTwin(small, seed) for seed in (1, 2)]
    changed = with_changed_tiles(image, 2, "noise", 0.3, seed=0)
    features, logits = tile_responses(small, cut, image, changed, twins)

    def change(function, x: torch.Tensor) -> float:
        old, new = function(image[None]).flatten().double(), function(x[None]).flatten().double()
        return float((new - old).norm() / old.norm())

    def without_mean(x: torch.Tensor) -> torch.Tensor:
        values = small.module(x)
        return values - values.mean(1, keepdim=True)

    net = small.module
    phi = [change(lambda x: net.act(net.norm(net.conv1(x))), x) for x in changed]
    np.testing.assert_allclose(features.numpy(), phi, rtol=1e-4)
    np.testing.assert_allclose(
        logits[0].numpy(), [change(without_mean, x) for x in changed], rtol=1e-4
    )
    for twin, found in zip(twins, logits[1:], strict=True):
        with twin.redrawn(cut.redrawn):
            expected = [change(without_mean, x) for x in changed]
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4)


def half_blind() -> Net:
    """The first layer has zero weights on the right half of the image: phi cannot see it."""
    seen = torch.cat([torch.ones(8, 4), torch.zeros(8, 4)], 1)

    def forward(net: Net, x: torch.Tensor) -> torch.Tensor:
        hidden = net.second_relu(net.second(net.relu(net.first(x)) * seen))
        return net.fc(net.flatten(net.pool(hidden)))

    return Net(
        forward, first=nn.Conv2d(3, 6, 4, stride=4, bias=False), relu=nn.ReLU(),
        second=nn.Conv2d(6, 8, 3, padding=1, bias=False), second_relu=nn.ReLU(),
        pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), fc=nn.Linear(8, 5),
    )  # fmt: skip


METHODS = ["gradient", "gradient-x-input", "integrated-gradients", "guided-backprop",
           "lrp-epsilon-plus", "lrp-alpha2-beta1", "lrp-gamma"]  # fmt: skip


def test_what_phi_cannot_see_neither_g_nor_its_explanation_sees() -> None:
    """Eq. (4), exact by zero weights, on a convolutional network and under redrawn g."""
    torch.manual_seed(0)
    model = make_explainable(half_blind(), 32)
    image = torch.randn(3, 32, 32, generator=torch.Generator().manual_seed(0))
    cut = cut_model(model, 0.3)
    twin = RandomTwin(model, 3)
    changed = with_changed_tiles(image, 2, "noise", 0.3, seed=0)
    features, logits = tile_responses(model, cut, image, changed, [twin])
    for response in (features, *logits):
        assert response[[1, 3]].tolist() == [0.0, 0.0]  # the tiles on the right
        assert (response[[0, 2]] > 0.01).all()
    target = torch.tensor([1])
    with twin.redrawn(cut.redrawn):
        made = attribute(model, image[None], target, METHODS, [0], Sampling(4, 4))
    for name, values in made.items():
        assert not values[0, :, 16:].any(), name
        assert values[0, :, :16].any(), name


def test_true_contributions_of_the_planted_network() -> None:
    model = planted_model(4)
    net = model.module
    x = torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(0)) * 2
    targets = torch.tensor([3, 7])
    truth = net.contributions(x, targets)
    rows = torch.arange(2)
    zero = net(torch.zeros_like(x))[rows, targets]
    torch.testing.assert_close(truth.sum((1, 2)), net(x)[rows, targets] - zero)
    for i, j in ((0, 0), (2, 5)):  # what removing a pixel takes away is what the pixel gives
        removed = x.clone()
        removed[:, :, i, j] = 0
        lost = (net(x) - net(removed))[rows, targets]
        torch.testing.assert_close(truth[:, i, j], lost, rtol=1e-3, atol=1e-6)
    maps_ = attribute(model, x, targets, ["integrated-gradients"], [0, 1], Sampling(2000))
    torch.testing.assert_close(
        maps_["integrated-gradients"], truth, rtol=0.01, atol=1e-3 * float(truth.abs().max())
    )
