"""The rules of LRP against their matrix forms, zennit's own rules and the plain gradient."""

import numpy as np
import pytest
import torch
import zennit.rules
from torch import nn
from zennit.composites import LayerMapComposite
from zennit.core import Hook

from sanitygap.attribution import METHODS, attribute
from sanitygap.attribution.lrp import composite, decaying_gamma
from sanitygap.attribution.lrp_rules import (
    Beta,
    Epsilon,
    Gamma,
    SquaredPooling,
    adaptive_beta,
    nonzero,
    printed_adaptive_beta,
)
from sanitygap.errors import UsageError
from sanitygap.experiments.randomization_test import ALL_METHODS
from tests.conftest import SmallNet, make_explainable

LRP = [name for name in METHODS if name.startswith("lrp-")]
EPSILON = 1e-6


def through(rule: Hook, module: nn.Module, inputs: torch.Tensor, relevance: torch.Tensor):
    """What a rule makes of the relevance of a module's outputs."""
    net = nn.Sequential(module)
    leaf = inputs.clone().requires_grad_()
    with LayerMapComposite([(type(module), rule)]).context(net):
        outputs = net(leaf)
        return torch.autograd.grad(outputs, leaf, relevance)[0]


def unrolled(module: nn.Module, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """A module as a matrix ``(inputs, outputs)`` and a bias, found by trying unit vectors."""
    with torch.no_grad():
        bias = module(torch.zeros(1, *shape, dtype=torch.float64))
        units = torch.eye(int(np.prod(shape)), dtype=torch.float64).reshape(-1, *shape)
        return (module(units) - bias).flatten(1).numpy(), bias.flatten().numpy()


def stable(z: np.ndarray) -> np.ndarray:
    return z + EPSILON * np.where(z < 0, -1, 1)


def by_matrix(kind: str, w: np.ndarray, b: np.ndarray, x: np.ndarray, r: np.ndarray) -> np.ndarray:
    """The rules as sums over a full matrix of contributions, one sample: ``x`` (I,), ``r`` (J,)."""
    c = w * x[:, None]
    z = c.sum(0) + b
    plus, minus = c.clip(min=0), c.clip(max=0)
    p = plus.sum(0) + b.clip(min=0)
    m = minus.sum(0) + b.clip(max=0)
    if kind == "zero":
        return (c / z * r).sum(1)
    if kind == "epsilon":
        return (c / (z + 0.25 * np.sqrt((z**2).mean()) * np.sign(z)) * r).sum(1)
    if kind == "gamma":
        own, part = np.where(z > 0, plus, minus), np.where(z > 0, p, m)
        return ((c + 0.4 * own) / stable(z + 0.4 * part) * r).sum(1)
    beta = {
        "plus": np.zeros_like(z),
        "beta1": np.ones_like(z),
        "solved": np.where(p + m > 0, np.minimum(-m / np.where(p + m > 0, p + m, 1), 3), 3),
        "printed": -m / (p - m),
    }[kind]
    return ((1 + beta) * plus / stable(p) * r - beta * minus / stable(m) * r).sum(1)


RULES = {
    "zero": Epsilon(nonzero),
    "epsilon": Epsilon(zennit.core.Stabilizer(0.25, norm_scale=True)),
    "gamma": Gamma(0.4),
    "plus": Beta(0.0),
    "beta1": Beta(1.0),
    "solved": Beta(adaptive_beta),
    "printed": Beta(printed_adaptive_beta),
}


@pytest.mark.parametrize("signed", [False, True], ids=["after a ReLU", "signed inputs"])
@pytest.mark.parametrize("convolution", [False, True], ids=["dense", "convolution"])
@pytest.mark.parametrize("kind", list(RULES))
def test_rules_equal_their_matrix_form(kind, convolution, signed):
    torch.manual_seed(4)
    shape = (3, 5, 5) if convolution else (12,)
    module = nn.Conv2d(3, 4, 3, stride=2, padding=1) if convolution else nn.Linear(12, 7)
    module = module.double().requires_grad_(False)
    inputs = torch.randn(3, *shape, dtype=torch.float64)
    inputs = inputs if signed else inputs.relu()
    relevance = torch.randn_like(module(inputs))
    ours = through(RULES[kind], module, inputs, relevance).flatten(1).numpy()
    weights, bias = unrolled(module, shape)
    for image in range(3):
        x, r = inputs[image].flatten().numpy(), relevance[image].flatten().numpy()
        np.testing.assert_allclose(ours[image], by_matrix(kind, weights, bias, x, r), atol=1e-9)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (Epsilon(1e-6), zennit.rules.Epsilon()),
        (Beta(0.0), zennit.rules.ZPlus()),
        (Beta(1.0), zennit.rules.AlphaBeta()),
        (Gamma(0.25), zennit.rules.Gamma()),
    ],
    ids=["epsilon", "z-plus", "alpha2-beta1", "gamma"],
)
def test_rules_equal_zennits(ours, theirs, signed):
    torch.manual_seed(5)
    module = nn.Conv2d(6, 6, 3, padding=1, groups=2).requires_grad_(False)
    inputs = torch.randn(2, 6, 7, 7)
    inputs = inputs if signed else inputs.relu()
    relevance = torch.randn_like(module(inputs))
    expected = through(theirs, module, inputs, relevance)
    assert torch.allclose(through(ours, module, inputs, relevance), expected, rtol=1e-4, atol=1e-5)


def test_adaptive_beta_solves_equation_10_and_the_printed_one_does_not():
    positive = torch.rand(1000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    negative = positive * torch.linspace(0, 0.749, 1000, dtype=torch.float64)
    beta = adaptive_beta(positive, negative)
    assert torch.allclose(beta / (1 + beta), negative / positive)
    assert adaptive_beta(torch.tensor([1.0, 1.0, 1.0]), torch.tensor([0.8, 1.0, 2.0])).eq(3).all()
    printed = printed_adaptive_beta(positive, negative)
    assert float(printed.max()) < 0.5
    assert float((printed / (1 + printed) - negative / positive).abs().max()) > 0.4
    assert printed_adaptive_beta(torch.zeros(1), torch.zeros(1)).item() == 0


def test_adaptive_beta_is_lrp_0_where_the_cap_does_not_act():
    torch.manual_seed(6)
    module = nn.Linear(30, 200, bias=False).double().requires_grad_(False)
    inputs = torch.rand(1, 30, dtype=torch.float64)
    c = module.weight * inputs
    ratio = -c.clamp(max=0).sum(1) / c.clamp(min=0).sum(1)
    free, capped = (ratio < 0.75)[None].double(), ((ratio > 0.75) & (ratio < 1))[None].double()
    assert min(free.sum(), capped.sum()) > 20
    for relevance, same in ((free, True), (capped, False)):
        ours = through(Beta(adaptive_beta), module, inputs, relevance)
        zero = through(Epsilon(nonzero), module, inputs, relevance)
        assert torch.allclose(ours, zero, rtol=1e-4, atol=1e-4) == same


@pytest.mark.parametrize("kernel", [(2, 2, 0), (3, 2, 1)], ids=["apart", "overlapping"])
@pytest.mark.parametrize("kind", ["max", "average", "adaptive"])
def test_pooling_by_squared_activations(kind, kernel):
    size, stride, padding = kernel if kind != "adaptive" else (3, 3, 0)
    module: nn.Module = {
        "max": nn.MaxPool2d(size, stride, padding),
        "average": nn.AvgPool2d(size, stride, padding),
        "adaptive": nn.AdaptiveAvgPool2d(2),
    }[kind]
    inputs = torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(7)).relu().double()
    inputs[0, 0, :3, :3] = 0  # a window without activations
    outputs = module(inputs)
    relevance = torch.rand_like(outputs) * (outputs > 0)
    ours = through(SquaredPooling(), module, inputs, relevance)
    expected = torch.zeros_like(inputs)
    for n, c, i, j in np.ndindex(*outputs.shape):
        rows = slice(max(0, i * stride - padding), i * stride - padding + size)
        columns = slice(max(0, j * stride - padding), j * stride - padding + size)
        squares = inputs[n, c, rows, columns] ** 2
        if squares.sum() > 0:
            expected[n, c, rows, columns] += squares / squares.sum() * relevance[n, c, i, j]
    assert torch.allclose(ours, expected)
    assert torch.allclose(ours.sum(), relevance.sum())


def test_squared_pooling_refuses_dilation():
    module = nn.MaxPool2d(2, dilation=2)
    inputs = torch.rand(1, 1, 8, 8)
    with pytest.raises(UsageError, match="dilated"):
        through(SquaredPooling(), module, inputs, torch.ones_like(module(inputs)))


def test_gamma_falls_exponentially_from_1_to_a_hundredth():
    gammas = [rule.gamma for rule in decaying_gamma(12)]
    np.testing.assert_allclose(gammas, np.geomspace(1, 0.01, 12))
    assert [rule.gamma for rule in decaying_gamma(1)] == [1.0]
    assert decaying_gamma(0) == []


class Pooled(nn.Module):
    """What Fig. 4 of Binder et al. (2022) needs of a network: three convolutions and pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.act1 = nn.Conv2d(3, 6, 3, padding=1), nn.ReLU()
        self.pool1 = nn.MaxPool2d(2)
        self.conv2, self.act2 = nn.Conv2d(6, 8, 3, padding=1), nn.ReLU()
        self.conv3, self.act3 = nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()
        self.pool2, self.flatten = nn.AdaptiveAvgPool2d(2), nn.Flatten()
        self.fc1, self.act4 = nn.Linear(32, 16), nn.ReLU()
        self.fc2 = nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.act2(self.conv2(self.pool1(self.act1(self.conv1(x)))))
        x = self.flatten(self.pool2(self.act3(self.conv3(x))))
        return self.fc2(self.act4(self.fc1(x)))


def test_lrp_gamma_has_the_rules_of_figure_4():
    """Each layer by hand, from the logit to the pixels."""
    torch.manual_seed(8)
    net = Pooled().double().requires_grad_(False)
    model = make_explainable(net, size=8)
    x = torch.randn(1, 3, 8, 8, dtype=torch.float64).clamp(-1.8, 2.2)
    layers = [net.conv1, net.act1, net.pool1, net.conv2, net.act2, net.conv3, net.act3]
    layers += [net.pool2, net.flatten, net.fc1, net.act4, net.fc2]
    given = [x]
    for layer in layers:
        given.append(layer(given[-1]))
    relevance = torch.zeros_like(given[-1])
    relevance[0, 2] = given[-1][0, 2]
    low, high = (bound.double() for bound in model.preprocessing.bounds())
    rules: dict[nn.Module, Hook] = {
        net.conv1: zennit.rules.ZBox(low, high),
        net.conv2: zennit.rules.Gamma(1.0),
        net.conv3: zennit.rules.Gamma(0.01),
        net.fc1: zennit.rules.Epsilon(0.0),
        net.fc2: zennit.rules.Epsilon(0.0),
        net.pool1: SquaredPooling(),
        net.pool2: SquaredPooling(),
    }
    for layer, inputs in zip(reversed(layers), reversed(given[:-1]), strict=True):
        if layer in rules:
            relevance = through(rules[layer], layer, inputs, relevance)
        elif layer is net.flatten:
            relevance = relevance.reshape(inputs.shape)
    ours = attribute(model, x, torch.tensor([2]), ["lrp-gamma"], [0])["lrp-gamma"]
    assert torch.allclose(ours, relevance.sum(1), rtol=1e-5, atol=1e-9)


def without_biases(net: nn.Module) -> nn.Module:
    for module in net.modules():
        if getattr(module, "bias", None) is not None:
            module.bias.data.zero_()
    return net.double()


@pytest.mark.parametrize("name", [name for name in LRP if name != "lrp-epsilon"])
def test_relevance_sums_to_the_logit_without_biases(name):
    torch.manual_seed(3)
    net = without_biases(SmallNet())
    net.fc.weight.data *= 100  # the stabilisers are absolute, so logits should not be tiny
    model = make_explainable(net)
    inputs = torch.randn(4, 3, 24, 24, dtype=torch.float64)
    targets = torch.tensor([0, 3, 4, 1])
    logits = model.module(inputs).gather(1, targets[:, None])[:, 0]
    relevance = attribute(model, inputs, targets, [name], [0, 1, 2, 3])[name].sum((1, 2))
    assert torch.allclose(relevance, logits, rtol=1e-4)


def test_epsilon_keeps_relevance_to_itself():
    """With epsilon = 0.25 rms, a layer of equal outputs hands on 1 / 1.25 of its relevance."""
    module = nn.Linear(3, 4, bias=False).requires_grad_(False)
    module.weight.data.fill_(1.0)
    handed_on = through(RULES["epsilon"], module, torch.ones(1, 3), torch.ones(1, 4))
    assert float(handed_on.sum()) == pytest.approx(4 / 1.25)


def test_lrp_0_is_gradient_times_input_on_a_relu_network(small, inputs):
    names = ["lrp-zero", "gradient-x-input"]
    maps = attribute(small, inputs, torch.tensor([0, 3, 4, 1]), names, [0] * 4)
    logits = small.module(inputs).gather(1, torch.tensor([0, 3, 4, 1])[:, None])
    assert not torch.allclose(maps["lrp-zero"].sum((1, 2)), logits[:, 0], rtol=0.1)  # biases
    gap = (maps["lrp-zero"] - maps["gradient-x-input"]).abs().max()
    assert gap < 1e-4 * maps["gradient-x-input"].abs().max()


def test_every_lrp_method_is_another(small, inputs):
    """No name is a twin of another; beta 0 and 1 are z-plus and alpha2-beta1."""
    small.module.double()
    maps = attribute(small, inputs.double(), torch.tensor([0, 3, 4, 1]), LRP, [0] * 4)
    unit = {name: values / values.square().mean().sqrt() for name, values in maps.items()}
    for one in LRP:
        for other in LRP:
            assert one == other or (unit[one] - unit[other]).abs().max() > 1e-2, (one, other)
    assert set(LRP) <= set(ALL_METHODS)


def test_the_model_is_bit_identical_afterwards(small, inputs):
    state = {name: value.clone() for name, value in small.module.state_dict().items()}
    first = attribute(small, inputs, torch.tensor([0, 3, 4, 1]), LRP, [0] * 4)
    again = attribute(small, inputs, torch.tensor([0, 3, 4, 1]), LRP, [0] * 4)
    assert all(torch.equal(first[name], again[name]) for name in LRP)
    after = small.module.state_dict()
    assert after.keys() == state.keys()
    assert all(torch.equal(value, after[name]) for name, value in state.items())
    hooks = [(m._forward_hooks, m._forward_pre_hooks) for m in small.module.modules()]
    assert all(not kept and not before for kept, before in hooks)


def test_a_module_called_twice_gets_the_relevance_of_both_calls():
    torch.manual_seed(9)

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 4, bias=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(self.fc(x).relu())

    net = Twice().double().requires_grad_(False)
    x = torch.rand(1, 4, dtype=torch.float64)
    relevance = net(x) * torch.tensor([[0, 1.0, 0, 0]])
    leaf = x.clone().requires_grad_()
    with composite(make_explainable(net), Beta(0.0), Epsilon(nonzero)).context(net):
        ours = torch.autograd.grad(net(leaf), leaf, relevance)[0]
    weight, hidden = net.fc.weight, (x @ net.fc.weight.T).relu()
    expected = x * ((hidden * weight[1] / hidden.clamp_min(1e-300)) @ weight)
    assert torch.allclose(ours, expected)
