"""The rules of LRP against their matrix forms, zennit's own rules and the plain gradient."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
import zennit.rules
from torch import nn
from zennit.composites import LayerMapComposite
from zennit.core import Hook

from sanitygap.attribution import METHODS, attribute
from sanitygap.attribution.lrp import PRESETS, composite
from sanitygap.attribution.lrp_rules import (
    Beta,
    Epsilon,
    Gamma,
    SquaredPooling,
    adaptive_beta,
    nonzero,
    printed_adaptive_beta,
    recorded_flow,
)
from tests.conftest import Net, make_explainable

LRP = [name for name in METHODS if name.startswith("lrp-")]
GAMMA = 0.4


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


def share(some: np.ndarray, total: float) -> np.ndarray:
    """Contributions over their sum; nothing of nothing."""
    return some / total if total else np.zeros_like(some)


def shares(kind: str, c: np.ndarray, bias: float, gamma: float = GAMMA) -> np.ndarray:
    """What each input gets of one neuron's relevance, from its contributions ``c``."""
    plus, minus, z = c.clip(min=0), c.clip(max=0), c.sum()
    p, n = plus.sum(), -minus.sum()
    if kind in ("zero", "epsilon", "gamma"):
        if z + bias > 0 and z < bias:  # more than half of a positive output is bias
            return share(plus, p)
        if z + bias < 0 and z > bias:
            return share(minus, -n)
        if kind == "gamma":
            own, part = (plus, p) if z > 0 else (minus, -n)
            return share(c + gamma * own, z + gamma * part)
        return share(c, z)
    if p == 0:
        return np.zeros_like(c)
    if n == 0:
        return plus / p
    beta = {
        "plus": 0.0,
        "beta1": 1.0,
        "solved": min(n / (p - n), 3.0) if p > n else 0.0,
        "printed": n / (p + n),
    }[kind]
    return (1 + beta) * plus / p + beta * minus / n


def by_matrix(
    kind: str, w: np.ndarray, b: np.ndarray, x: np.ndarray, r: np.ndarray, gamma: float = GAMMA
) -> np.ndarray:
    """The rules neuron by neuron over a full matrix, one sample: ``x`` (I,), ``r`` (J,)."""
    c = w * x[:, None]
    z = c.sum(0)
    # epsilon is relative to all outputs of the layer: what it lets through of each neuron
    through = np.abs(z) / (np.abs(z) + 0.25 * np.sqrt((z**2).mean()))
    result = np.zeros_like(x)
    for j in range(len(r)):
        apart = z[j] < b[j] if z[j] + b[j] > 0 else z[j] > b[j]
        factor = through[j] if kind == "epsilon" and not apart else 1.0
        result += factor * shares(kind, c[:, j], b[j], gamma) * r[j]
    return result


RULES = {
    "zero": Epsilon(nonzero),
    "epsilon": Epsilon(zennit.core.Stabilizer(0.25, norm_scale=True)),
    "gamma": Gamma(GAMMA),
    "plus": Beta(0.0),
    "beta1": Beta(1.0),
    "solved": Beta(adaptive_beta),
    "printed": Beta(printed_adaptive_beta),
}


def layer(convolution: bool) -> tuple[nn.Module, tuple[int, ...]]:
    """A layer with every kind of neuron, and the shape of its inputs.

    Positive inputs find neurons with negative weights only and with positive weights only; biases
    are large enough to drive some neurons up, and others down.
    """
    torch.manual_seed(4)
    module = nn.Conv2d(3, 9, 3, stride=2, padding=1) if convolution else nn.Linear(12, 30)
    module = module.double().requires_grad_(False)
    module.weight[:3] = -module.weight[:3].abs()
    module.weight[3:5] = module.weight[3:5].abs()
    module.bias.normal_(std=0.5)
    module.bias[:2], module.bias[2] = 2.0, 0.0
    return module, (3, 5, 5) if convolution else (12,)


@pytest.mark.parametrize("signed", [False, True], ids=["after a ReLU", "signed inputs"])
@pytest.mark.parametrize("convolution", [False, True], ids=["dense", "convolution"])
@pytest.mark.parametrize("kind", list(RULES))
def test_rules_equal_their_matrix_form(kind, convolution, signed):
    """With biases counted they are zennit's, below."""
    module, shape = layer(convolution)
    inputs = torch.randn(3, *shape, dtype=torch.float64)
    inputs = inputs if signed else inputs.relu()
    relevance = torch.randn_like(module(inputs))
    ours = through(RULES[kind], module, inputs, relevance).flatten(1).numpy()
    weights, bias = unrolled(module, shape)
    for image in range(3):
        x, r = inputs[image].flatten().numpy(), relevance[image].flatten().numpy()
        expected = by_matrix(kind, weights, bias, x, r)
        np.testing.assert_allclose(ours[image], expected, atol=1e-9)


@pytest.mark.parametrize("kind", list(RULES))
def test_no_neuron_amplifies_what_it_gets_without_bound(kind):
    """A bias of 1 on inputs that add up to almost nothing: dividing by their sum gave 1e9."""
    module = nn.Linear(2, 1).double().requires_grad_(False)
    module.weight.copy_(torch.tensor([[1.0, -1.0]]))
    for bias in (1.0, -1.0):
        module.bias.fill_(bias)
        for gap in (1e-9, 0.0, -1e-9):
            inputs = torch.tensor([[1.0 + gap, 1.0]], dtype=torch.float64)
            handed_on = through(RULES[kind], module, inputs, torch.ones(1, 1).double())
            assert float(handed_on.abs().sum()) <= 7.0 + 1e-9  # 1 + 2 beta, and beta is at most 3


def test_a_neuron_without_a_contribution_keeps_its_relevance():
    module = nn.Linear(3, 2).double().requires_grad_(False)
    module.weight.copy_(torch.tensor([[-1.0, -2.0, -3.0], [1.0, 2.0, 3.0]]))
    module.bias.copy_(torch.tensor([9.0, 0.0]))
    inputs, relevance = torch.ones(1, 3).double(), torch.tensor([[0.7, 0.3]]).double()
    for kind in RULES:
        with recorded_flow() as flow:
            handed_on = through(RULES[kind], module, inputs, relevance)
        [one] = flow
        assert one.module is module
        assert one.entered.tolist() == pytest.approx([1.0])
        assert torch.equal(one.left, handed_on.sum(1))
        if kind != "epsilon":
            share_of_second = torch.tensor([[1.0, 2.0, 3.0]]).double() / 6 * 0.3
            torch.testing.assert_close(handed_on, share_of_second)
    assert not through(Beta(0.0), module, inputs, torch.tensor([[1.0, 0.0]]).double()).any()


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (Epsilon(1e-6, biases=True), zennit.rules.Epsilon(1e-6)),
        (Beta(0.0, biases=True), zennit.rules.ZPlus(1e-12)),
        (Beta(1.0, biases=True), zennit.rules.AlphaBeta(stabilizer=1e-12)),
        (Gamma(0.25, biases=True), zennit.rules.Gamma(stabilizer=1e-12)),
    ],
    ids=["epsilon", "z-plus", "alpha2-beta1", "gamma"],
)
def test_rules_with_biases_equal_zennits(ours, theirs, signed):
    torch.manual_seed(5)
    module = nn.Conv2d(6, 6, 3, padding=1, groups=2).double().requires_grad_(False)
    inputs = torch.randn(2, 6, 7, 7, dtype=torch.float64)
    inputs = inputs if signed else inputs.relu()
    relevance = torch.randn_like(module(inputs))
    expected = through(theirs, module, inputs, relevance)
    torch.testing.assert_close(through(ours, module, inputs, relevance), expected)


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


def test_lrp_gamma_has_the_rules_of_figure_4():
    """Each layer by hand, from the logit to the pixels."""
    torch.manual_seed(8)
    net = nn.Sequential(  # what Fig. 4 needs of a network: three convolutions and pooling
        nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 5),
    ).double().requires_grad_(False)  # fmt: skip
    layers = list(net)
    model = make_explainable(net, size=8)
    x = torch.randn(1, 3, 8, 8, dtype=torch.float64).clamp(-1.8, 2.2)
    given = [x]
    for module in layers:
        given.append(module(given[-1]))
    relevance = torch.zeros_like(given[-1])
    relevance[0, 2] = 1.0
    low, high = (bound.double() for bound in model.preprocessing.bounds())
    zennits: dict[nn.Module, Hook] = {
        net[0]: zennit.rules.ZBox(low, high),
        net[2]: SquaredPooling(),
        net[7]: SquaredPooling(),
    }
    gammas = {net[3]: 1.0, net[5]: 0.01, net[9]: 0.0, net[11]: 0.0}
    for module, inputs in zip(reversed(layers), reversed(given[:-1]), strict=True):
        if module in zennits:
            relevance = through(zennits[module], module, inputs, relevance)
        elif module in gammas:
            weights, bias = unrolled(module, inputs.shape[1:])
            x_, r = inputs[0].flatten().numpy(), relevance[0].flatten().numpy()
            from_above = by_matrix("gamma", weights, bias, x_, r, gammas[module])
            relevance = torch.from_numpy(from_above).view(inputs.shape)
        elif isinstance(module, nn.Flatten):
            relevance = relevance.reshape(inputs.shape)
    ours = attribute(model, x, torch.tensor([2]), ["lrp-gamma"], [0])["lrp-gamma"]
    assert torch.allclose(ours, relevance.sum(1), rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("name", list(PRESETS))
def test_a_map_does_not_turn_with_the_sign_of_the_logit(small, inputs, name):
    """Started with the logit, it did: a network with redrawn weights has half of them negative."""
    small.module.double()
    targets = torch.tensor([0, 3, 4, 1])
    signs, maps = [], []
    for sign in (1, -1):
        net = copy.deepcopy(small.module)
        net.fc.weight.mul_(sign)
        net.fc.bias.mul_(sign)
        model = replace(small, module=net)
        signs.append(net(inputs.double()).gather(1, targets[:, None])[:, 0] > 0)
        maps.append(attribute(model, inputs.double(), targets, [name], [0] * 4)[name])
    assert torch.equal(signs[0], ~signs[1])
    for values in maps:
        assert (values.sum((1, 2)) > 0.9).all()
    if name != "lrp-z-plus":  # it takes what speaks for a class in the last layer too
        torch.testing.assert_close(maps[0], maps[1])


def test_lrp_0_is_gradient_times_input_over_the_logit_on_a_relu_network(small, inputs):
    names = ["lrp-zero", "gradient-x-input"]
    maps = attribute(small, inputs, torch.tensor([0, 3, 4, 1]), names, [0] * 4)
    logits = small.module(inputs).gather(1, torch.tensor([0, 3, 4, 1])[:, None])
    assert (maps["lrp-zero"].sum((1, 2)) - 1).abs().min() > 0.1  # biases have a part of it
    expected = maps["gradient-x-input"] / logits[:, :, None]
    assert (maps["lrp-zero"] - expected).abs().max() < 1e-4 * expected.abs().max()


def test_a_module_called_twice_gets_the_relevance_of_both_calls():
    torch.manual_seed(9)

    net = Net(lambda net, x: net.fc(net.fc(x).relu()), fc=nn.Linear(4, 4, bias=False))
    net.double().requires_grad_(False)
    x = torch.rand(1, 4, dtype=torch.float64)
    relevance = net(x) * torch.tensor([[0, 1.0, 0, 0]])
    leaf = x.clone().requires_grad_()
    with composite(make_explainable(net), Beta(0.0), Epsilon(nonzero)).context(net):
        ours = torch.autograd.grad(net(leaf), leaf, relevance)[0]
    weight, hidden = net.fc.weight, (x @ net.fc.weight.T).relu()
    expected = x * ((hidden * weight[1] / hidden.clamp_min(1e-300)) @ weight)
    assert torch.allclose(ours, expected)
