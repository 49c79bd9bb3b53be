"""Which score is explained where a network takes a ReLU's outputs for logits."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from sanitygap.attribution import attribute, unpooled
from sanitygap.faithfulness import occlusion_curves
from sanitygap.models import Explainable, Preprocessing
from sanitygap.models.canonizers import canonizers_for
from sanitygap.models.loading import final_activation
from tests.conftest import Net

CLASSES, SIZE = 4, 24
EXAMPLE = torch.zeros(1, 3, SIZE, SIZE)

METHODS = ["gradient", "integrated-gradients", "guided-backprop", "lrp-epsilon-plus", "lrp-zero"]


def ending(*last: nn.Module, inplace: bool = False) -> nn.Sequential:
    """A small network that ends like a SqueezeNet, or in other modules."""
    torch.manual_seed(0)
    top = last or (nn.ReLU(inplace), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    network = nn.Sequential(nn.Conv2d(3, 8, 5), nn.ReLU(), nn.Conv2d(8, CLASSES, 3), *top)
    return network.requires_grad_(False).eval()


def explainable(network: nn.Module) -> Explainable:
    return Explainable(
        "small",
        network,
        Preprocessing(SIZE, SIZE),
        (),
        canonizers=canonizers_for(network, EXAMPLE),
        final_activation=final_activation(network, EXAMPLE),
    )


@pytest.fixture(params=[False, True], ids=["", "in place"])
def silent(request: pytest.FixtureRequest) -> Explainable:
    """A network whose classes 0 and 1 are nowhere active: their logits are 0 everywhere."""
    network = ending(inplace=request.param)
    network[2].bias[:2] = -100.0
    return explainable(network)


@pytest.fixture
def inputs() -> torch.Tensor:
    return torch.randn(CLASSES, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


def before_the_relu(network: nn.Sequential, inputs: torch.Tensor) -> torch.Tensor:
    return network[2](torch.relu(network[0](inputs))).mean((2, 3))


def test_a_logit_that_is_zero_has_maps(silent, inputs):
    """Without the mend it has none: nothing passes a ReLU that is nowhere active."""
    targets = torch.arange(CLASSES)
    assert (silent.module(inputs)[:, :2] == 0).all()
    plain = attribute(
        replace(silent, final_activation=""), inputs, targets, METHODS, range(CLASSES)
    )
    assert all((values[:2] == 0).all() for values in plain.values())
    maps = attribute(silent, inputs, targets, METHODS, range(CLASSES))
    for name, values in maps.items():
        assert (values.flatten(1).abs().amax(1) > 0).all(), name
    single = unpooled(silent, inputs, targets, METHODS, range(CLASSES))
    assert all((values.flatten(1).abs().amax(1) > 0).all() for values in single.values())


def test_the_mean_before_the_relu_is_explained(silent, inputs):
    leaf = inputs.clone().requires_grad_()
    expected = before_the_relu(silent.module, leaf)
    assert torch.allclose(silent.scores(inputs), expected, atol=1e-5)
    (slopes,) = torch.autograd.grad(expected[:, 1].sum(), leaf)
    found = attribute(silent, inputs, torch.ones(CLASSES, dtype=torch.long), METHODS, range(4))
    assert torch.allclose(found["gradient"], slopes.sum(1), atol=1e-6)


def test_the_prediction_stays_what_the_network_says(silent, inputs):
    expected = copy.deepcopy(silent.module)(inputs)
    attribute(silent, inputs, torch.zeros(CLASSES, dtype=torch.long), METHODS, range(4))
    assert torch.equal(silent.module(inputs), expected)
    assert torch.equal(silent.predict(inputs), expected.argmax(1))
    curves = occlusion_curves(
        silent, inputs, torch.arange(CLASSES), torch.rand(CLASSES, SIZE, SIZE), 8, 3
    )
    assert torch.allclose(curves.softmax[:, 0], expected.softmax(1).diagonal())
    assert torch.allclose(curves.logit[:, 0], expected.diagonal())


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        ((nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()), "3"),
        ((nn.ReLU6(), nn.AvgPool2d(18), nn.Flatten()), "3"),
        ((nn.ReLU(), nn.Dropout(), nn.MaxPool2d(18), nn.Flatten()), "3"),
        ((nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.ReLU()), "5"),
        ((nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(CLASSES, 3)), ""),
        ((nn.AdaptiveAvgPool2d(1), nn.Flatten()), ""),
        ((nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Softplus()), ""),
    ],
)
def test_where_a_final_activation_is(last, expected):
    assert final_activation(ending(*last), EXAMPLE) == expected


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda relu, x: relu(x).mean((2, 3)), "relu"),
        (lambda relu, x: relu(x).amax((2, 3)), "relu"),
        (lambda relu, x: (relu(x) + x).mean((2, 3)), ""),
        (lambda relu, x: relu(relu(x) - 1).mean((2, 3)), ""),
        (lambda relu, x: relu(x).mean((2, 3)).log_softmax(1), ""),
        (lambda relu, x: relu(x)[:, :, 0, 0], ""),
        (lambda relu, x: x.relu().mean((2, 3)), ""),
    ],
)
def test_functions_behind_a_relu(function, expected):
    parts = {"conv": nn.Conv2d(3, CLASSES, 1), "relu": nn.ReLU()}
    network = Net(lambda net, x: function(net.relu, net.conv(x)), **parts)
    assert final_activation(network, EXAMPLE) == expected
