"""DeepLIFT against captum, rules written out by hand, Shapley values and completeness."""

import captum.attr
import pytest
import torch
from torch import nn
from torch.nn import functional

from sanitygap.attribution import attribute
from sanitygap.attribution.deeplift import deeplift_pass
from sanitygap.attribution.gradient import input_gradient
from sanitygap.attribution.method import Request
from sanitygap.errors import UsageError
from sanitygap.models import Explainable, load_model
from sanitygap.randomization import RandomTwin
from sanitygap.theory.shapley import coalitions, shapley_values
from tests.conftest import Net, make_explainable, small_net
from tests.engine.maps import TARGETS, close


def contributions(module: nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """DeepLIFT's contributions of every value of the inputs, ``(N, C, H, W)``."""
    model = make_explainable(module)
    return deeplift_pass(Request(model, inputs, targets, tuple(range(len(inputs)))))


def change(module: nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The difference of the target logits from those of the zero input, double, ``(N,)``."""
    with torch.no_grad():
        logits = module(inputs) - module(torch.zeros_like(inputs[:1]))
    return logits.gather(1, targets[:, None])[:, 0].double()


def captums(net: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    """captum's contributions, zero baseline."""
    return captum.attr.DeepLift(net.eval().requires_grad_(False)).attribute(
        inputs.clone().requires_grad_(), torch.zeros_like(inputs), target=TARGETS
    )


# ---- captum, where captum is right


@pytest.mark.parametrize("activation", [nn.ReLU, nn.ELU, nn.LeakyReLU, nn.Sigmoid, nn.Softplus])
def test_equals_captum_on_modules(activation, inputs):
    torch.manual_seed(0)
    net = small_net()
    net.act, net.act2 = activation(), activation()
    net.norm.running_mean.normal_()
    net.norm.bias.data.normal_()
    net.double()  # in single precision captum's difference quotients are 0.5 % off
    inputs = inputs.double()
    ours = contributions(net, inputs, TARGETS)
    assert close(ours, captums(net, inputs), 1e-12)
    assert torch.equal(
        attribute(make_explainable(net), inputs, TARGETS, ["deeplift"], [0] * 4)["deeplift"],
        ours.sum(1),
    )


# ---- ... and where it is not


class Spelled(nn.Module):
    """One network in four spellings: modules, one reused module, functions, methods in place."""

    def __init__(self, how: str) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.a, self.b, self.c = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 3)
        self.head = nn.Linear(8, 5)
        self.relus = nn.ModuleList([nn.ReLU(), nn.ReLU(), nn.ReLU()])
        self.relu = nn.ReLU(inplace=True)
        self.how = how

    def activate(self, x: torch.Tensor, number: int) -> torch.Tensor:
        if self.how == "modules":
            return self.relus[number](x)
        if self.how == "reused":
            return self.relu(x)
        if self.how == "in place":
            x.relu_()  # what it returns is thrown away
            return x
        return functional.relu(x) if number else torch.clamp(x, min=0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.activate(self.a(3 * x), 0)
        x = self.activate(self.b(x), 1)
        return self.head(self.activate(self.c(x), 2).mean((2, 3)))


@pytest.mark.parametrize("how", ["modules", "reused", "functions", "in place"])
def test_the_spelling_of_an_activation_does_not_matter(how, inputs):
    theirs = captums(Spelled("modules"), inputs)
    ours = contributions(Spelled(how), inputs, TARGETS)
    assert close(ours, theirs, 1e-4)
    model = make_explainable(Spelled(how))
    assert not close(
        input_gradient(model.module, inputs, TARGETS) * inputs, theirs, 0.05
    )  # so the rule makes a difference here


# ---- written out by hand


# ---- known answers


def game(function) -> Net:
    """A function of three numbers, the pixels of a 1 x 3 image, as the first of two logits."""

    def logits(_: Net, x: torch.Tensor) -> torch.Tensor:
        value = function(x.sum(1).flatten(1)[:, :3])
        return torch.stack([value, 0 * value], 1)

    return Net(logits, unused=nn.Parameter(torch.zeros(1)))


def explain(function, *numbers: float) -> torch.Tensor:
    """DeepLIFT's contributions of three numbers."""
    image = torch.zeros(1, 3, 1, 3, dtype=torch.float64)
    image[0, 0, 0] = torch.tensor(numbers)
    return contributions(game(function).double(), image, torch.tensor([0]))[0, 0, 0]


def shapley(function, *numbers: float) -> torch.Tensor:
    """Exact Shapley values: absent numbers are zero."""
    present = coalitions(3).double() * torch.tensor(numbers, dtype=torch.float64)
    return shapley_values(function(present))


def additive(x: torch.Tensor) -> torch.Tensor:
    shifted = torch.tensor([0.5, -1.0, 2.0], dtype=x.dtype) * x + torch.tensor([-1.0, 0.25, 0.5])
    return functional.silu(shifted).sum(1) + functional.relu6(9 * x).sum(1)


def product(x: torch.Tensor) -> torch.Tensor:
    return x[:, 0] * x[:, 1] + 3 * x[:, 2]


def product_with_baselines(x: torch.Tensor) -> torch.Tensor:
    return (x[:, 0] + 2).sigmoid() * (x[:, 1] - 1)


@pytest.mark.parametrize("function", [additive, product, product_with_baselines])
def test_equals_shapley_where_numbers_act_alone_or_in_pairs(function):
    for numbers in ((1.0, 2.0, 3.0), (-0.3, 0.8, -2.0), (0.0, 1.0, -1.0)):
        assert torch.allclose(explain(function, *numbers), shapley(function, *numbers))


def windows(**options) -> Net:
    """Max pooling with any options after a convolution and a map of its own for every place."""
    torch.manual_seed(4)
    return Net(
        lambda net, x: net.head(
            functional.max_pool2d(2 * net.conv(x) + net.offsets, **options).flatten(1)
        ),
        conv=nn.Conv2d(3, 4, 3), offsets=nn.Parameter(torch.randn(1, 4, 15, 17)),
        head=nn.LazyLinear(5),
    )  # fmt: skip


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 2},
        {"kernel_size": 3, "stride": 2},
        {"kernel_size": 3, "stride": 2, "ceil_mode": True},
        {"kernel_size": (2, 3), "stride": [3, 1], "padding": (1, 0), "dilation": 2},
        {"kernel_size": 2, "stride": 3},
    ],
)
def test_max_pooling_of_any_kind_is_complete(options):
    net = windows(**options).double()
    inputs = torch.randn(4, 3, 17, 19, dtype=torch.float64)
    net(inputs)
    assert relative_gaps(make_explainable(net), inputs, TARGETS).max() < 1e-10


def test_equal_places_of_the_baseline_share():
    """Below a constant baseline, equal pixels get equal shares, wherever rounding puts the top."""
    conv = nn.Conv2d(3, 1, 1)
    conv.weight.data, conv.bias.data = torch.full((1, 3, 1, 1), 0.1), torch.tensor([0.7])
    net = nn.Sequential(conv, nn.MaxPool2d(3, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    net.append(nn.Linear(1, 5))
    inputs = torch.full((1, 3, 5, 5), -1.0)
    values = contributions(net, inputs, torch.tensor([0]))[0].sum(0)
    assert close(values, values.flip(0), 1e-6)
    assert close(values, values.T, 1e-6)
    # the corner shares its one window of four; the centre of the map is in one window of nine
    assert float(values[0, 0] / values[2, 2]) == pytest.approx(9 / 4)


def test_without_biases_it_is_gradient_times_input(inputs):
    """Ancona et al. 2018: ReLUs, average pooling and no additive bias, zero baseline."""
    torch.manual_seed(3)
    net = small_net().double().eval()
    for module in net.modules():
        if getattr(module, "bias", None) is not None:
            module.bias.data.zero_()
    inputs = inputs.double()
    expected = input_gradient(net.requires_grad_(False), inputs, TARGETS) * inputs
    assert close(contributions(net, inputs, TARGETS), expected, 1e-10)


# ---- completeness on real networks


def relative_gaps(model: Explainable, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """|sum of contributions - change of the logit| / |change|, one an image."""
    request = Request(model, inputs, targets, tuple(range(len(inputs))))
    explained = deeplift_pass(request).double().sum((1, 2, 3))
    expected = change(model.module, inputs, targets)
    return (explained - expected).abs() / expected.abs()


@pytest.mark.parametrize("name", ["squeezenet1_1", "efficientnet_lite0"])
def test_complete_on_the_embedded_networks_in_any_batch(name):
    model = load_model(name)
    low, high = model.preprocessing.bounds()
    pixels = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(8))
    inputs, targets = low + (high - low) * pixels, torch.tensor([7, 281, 504])
    assert relative_gaps(model, inputs, targets).max() < 1e-3
    for stages in (model.stages[:1], model.stages):
        with RandomTwin(model, 0).redrawn(stages):
            assert relative_gaps(model, inputs, targets).max() < 1e-3
    together = attribute(model, inputs, targets, ["deeplift"], [1, 2, 3])["deeplift"]
    alone = attribute(model, inputs[1:2], targets[1:2], ["deeplift"], [2])["deeplift"]
    assert close(alone[0], together[1], 1e-3)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small"])
def test_complete_on_networks_of_torchvision(name):
    """Reused ReLUs and overlapping pooling; hard swish, squeeze and excitation."""
    from torchvision import models

    torch.manual_seed(0)
    net = models.get_model(name, weights=None)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.bias.data.normal_(0, 0.3)
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.05, 0.2)
    model = make_explainable(net.double())
    inputs = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    assert relative_gaps(model, inputs, torch.tensor([3, 9])).max() < 1e-10


@pytest.mark.parametrize(
    "middle",
    [nn.LayerNorm([6, 22, 22]), nn.GroupNorm(2, 6), nn.Softmax(1)],
    ids=["LayerNorm", "GroupNorm", "Softmax"],
)
def test_operations_without_a_rule_are_refused(middle, inputs):
    torch.manual_seed(2)
    net = nn.Sequential(nn.Conv2d(3, 6, 3), middle, nn.Flatten(), nn.Linear(6 * 22 * 22, 5))
    with pytest.raises(UsageError, match="leave the method deeplift out"):
        contributions(net, inputs, TARGETS)
