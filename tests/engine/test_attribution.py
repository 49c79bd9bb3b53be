"""Attribution methods against captum, zennit and toy networks with known answers."""

import captum.attr
import pytest
import torch
from torch import nn

from sanitygap.attribution import METHODS, Sampling, attribute
from sanitygap.attribution.gradient import GuidedRectifiers
from sanitygap.errors import UsageError
from tests.conftest import make_explainable

TARGETS = torch.tensor([0, 3, 4, 1])
KEYS = [11, 22, 33, 44]


def maps_of(model, inputs, *names, sampling=None, keys=KEYS, batch_size=10):
    return attribute(model, inputs, TARGETS[: len(inputs)], names, keys, sampling, batch_size)


def close(ours: torch.Tensor, theirs: torch.Tensor, tolerance: float = 1e-4) -> bool:
    """Largest difference relative to the largest value."""
    return float((ours - theirs).abs().max() / theirs.abs().max()) < tolerance


def test_gradients_equal_captum(small, inputs):
    maps = maps_of(small, inputs, "gradient", "gradient-x-input", "guided-backprop")
    saliency = captum.attr.Saliency(small.module).attribute(
        inputs.clone().requires_grad_(), target=TARGETS, abs=False
    )
    assert close(maps["gradient"], saliency.sum(1))
    product = captum.attr.InputXGradient(small.module).attribute(
        inputs.clone().requires_grad_(), target=TARGETS
    )
    assert close(maps["gradient-x-input"], product.sum(1))
    guided = captum.attr.GuidedBackprop(small.module).attribute(
        inputs.clone().requires_grad_(), target=TARGETS
    )
    assert close(maps["guided-backprop"], guided.sum(1))
    assert not close(maps["guided-backprop"], maps["gradient"], 0.1)


@pytest.mark.parametrize("batch_size", [3, 10, 1000])
def test_integrated_gradients_equal_captum_in_any_batch(small, inputs, batch_size):
    sampling = Sampling(path_steps=7)
    ours = maps_of(small, inputs, "integrated-gradients", sampling=sampling, batch_size=batch_size)[
        "integrated-gradients"
    ]
    theirs = captum.attr.IntegratedGradients(small.module).attribute(
        inputs, target=TARGETS, n_steps=7, method="riemann_middle"
    )
    assert close(ours, theirs.sum(1))


@pytest.mark.parametrize(("name", "size"), [("mobilenet_v2", 32), ("inception_v3", 75)])
def test_guided_backprop_guides_where_hooks_on_relu_modules_do_not(name, size, monkeypatch):
    """ReLU6 and bare ReLU: captum finds nothing to guide there and returns the plain gradient."""
    from torchvision import models
    from torchvision.models.inception import BasicConv2d

    torch.manual_seed(0)
    options = {"aux_logits": False, "init_weights": False} if name == "inception_v3" else {}
    net = models.get_model(name, weights=None, **options)
    x = torch.randn(2, 3, size, size)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    net.train()(x)
    model, targets = make_explainable(net), torch.tensor([2, 5])
    maps = attribute(model, x, targets, ["guided-backprop", "gradient"], [0, 1])
    for module in list(net.modules()):
        if isinstance(module, BasicConv2d):
            module.activation = nn.ReLU()
    monkeypatch.setattr(BasicConv2d, "forward", lambda m, v: m.activation(m.bn(m.conv(v))))
    for module in net.modules():
        if isinstance(module, nn.ReLU | nn.ReLU6):
            module.inplace = False
            module.register_full_backward_hook(lambda _, given, above: (given[0] * (above[0] > 0),))
    leaf = x.clone().requires_grad_()
    net(leaf).gather(1, targets[:, None]).sum().backward()
    expected = leaf.grad.sum(1)
    assert close(maps["guided-backprop"], expected)
    assert not close(maps["gradient"], expected, 0.1)


#: activation -> a module, the function, and keywords; some fall somewhere
RECTIFIERS = {
    "relu": (nn.ReLU, nn.functional.relu, {}),
    "relu6": (nn.ReLU6, nn.functional.relu6, {}),
    "hardtanh": (lambda: nn.Hardtanh(0, 2), nn.functional.hardtanh, {"max_val": 2, "min_val": 0}),
    "leaky relu": (nn.LeakyReLU, nn.functional.leaky_relu, {}),
    "elu": (nn.ELU, nn.functional.elu, {}),
    "selu": (nn.SELU, torch.selu, {}),
    "celu": (nn.CELU, nn.functional.celu, {}),
    "softplus": (nn.Softplus, nn.functional.softplus, {}),
    "silu": (nn.SiLU, nn.functional.silu, {}),
    "gelu": (nn.GELU, nn.functional.gelu, {}),
    "mish": (nn.Mish, nn.functional.mish, {}),
    "hardswish": (nn.Hardswish, nn.functional.hardswish, {}),
    "prelu": (lambda: nn.PReLU(init=-0.3), nn.functional.prelu, {"weight": torch.tensor([-0.3])}),
}
IN_PLACE = {"silu", "mish", "hardswish", "elu", "relu", "relu6", "leaky relu", "celu", "hardtanh"}


class Rectified(nn.Module):
    """Two convolutions with an activation behind each, which is given."""

    def __init__(self, activation) -> None:
        super().__init__()
        torch.manual_seed(6)
        self.a, self.b, self.head = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.Linear(8, 5)
        self.activation = activation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.activation(self.a(3 * x))
        x = self.activation(self.b(x))
        return self.head(x.mean((2, 3)))


def derivative(activation, x: torch.Tensor) -> torch.Tensor:
    leaf = x.detach().clone().requires_grad_()
    (found,) = torch.autograd.grad(activation(leaf).sum(), leaf)
    return found


def stopped_by_hand(net: Rectified, x: torch.Tensor, target: int) -> torch.Tensor:
    """Negative gradients stopped before and behind each activation, layer by layer."""
    a = net.a(3 * x)
    b = net.b(net.activation(a.clone()))
    r = (net.head.weight[target] / b[0, 0].numel()).view(1, 8, 1, 1).expand_as(b)
    r = (r.clamp_min(0) * derivative(net.activation, b)).clamp_min(0)
    r = nn.functional.conv_transpose2d(r, net.b.weight)
    r = (r.clamp_min(0) * derivative(net.activation, a)).clamp_min(0)
    return 3 * nn.functional.conv_transpose2d(r, net.a.weight)


@pytest.mark.parametrize("name", RECTIFIERS)
@pytest.mark.parametrize("form", ["module", "function"])
def test_guided_backprop_stops_negative_gradients_at_any_rectifier(name, form):
    module, function, options = RECTIFIERS[name]
    net = Rectified(module() if form == "module" else lambda x: function(x, **options))
    x = torch.randn(1, 3, 12, 12)
    maps = attribute(make_explainable(net), x, torch.tensor([2]), ["guided-backprop"], [0])
    expected = stopped_by_hand(net, x, 2).sum(1)
    assert expected.abs().sum() > 0
    assert close(maps["guided-backprop"], expected)


@pytest.mark.parametrize("name", sorted(IN_PLACE))
@pytest.mark.parametrize("used", ["result", "argument"])
def test_guided_activations_work_in_place(name, used):
    """What an activation in place returned was right; what it left behind was not."""
    _, function, options = RECTIFIERS[name]

    def in_place(x: torch.Tensor) -> torch.Tensor:
        result = function(x, inplace=True, **options)
        return result if used == "result" else x

    x = torch.randn(1, 3, 12, 12)
    net = Rectified(in_place)
    found = attribute(make_explainable(net), x, torch.tensor([2]), ["guided-backprop"], [0])
    net.activation = lambda x: function(x, **options)
    assert close(found["guided-backprop"], stopped_by_hand(net, x, 2).sum(1))


@pytest.mark.parametrize(
    ("args", "kwargs", "bounds"),
    [
        ((), {"inplace": True}, (-1, 1)),
        ((), {"max_val": 2.0, "min_val": 0.0}, (0, 2)),
        ((0.0,), {"max_val": 2.0, "inplace": True}, (0, 2)),
        ((0.0, 2.0, True), {}, (0, 2)),
        ((-0.5,), {}, (-0.5, 1)),
    ],
)
@pytest.mark.parametrize("direct", [True, False])
def test_hardtanh_keeps_its_bounds_whatever_their_order(args, kwargs, bounds, direct):
    """torch sorts keywords before it asks, not in every version."""
    x, mode = torch.linspace(-3, 3, 13), GuidedRectifiers()
    hardtanh = nn.functional.hardtanh
    if direct:
        found = mode.__torch_function__(hardtanh, (), (x.clone(), *args), dict(kwargs))
    else:
        with mode:
            found = hardtanh(x.clone(), *args, **kwargs)
    assert torch.equal(found, x.clamp(*bounds))
    assert mode.calls == (bounds[0] == 0)


@pytest.mark.parametrize("activation", [nn.Identity, nn.Tanh, nn.Sigmoid])
def test_guided_backprop_is_refused_without_a_rectifier(activation):
    net = nn.Sequential(nn.Conv2d(3, 4, 3), activation(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model = make_explainable(net)
    with pytest.raises(UsageError, match="no ReLU"):
        attribute(model, torch.randn(1, 3, 8, 8), torch.tensor([0]), ["guided-backprop"], [0])


def test_noise_depends_on_key_alone(small, inputs):
    first = maps_of(small, inputs, "noise")["noise"]
    assert torch.equal(first, maps_of(small, inputs * 2, "noise")["noise"])
    other = maps_of(small, inputs, "noise", keys=[1, 22, 33, 44])["noise"]
    assert not torch.equal(first[0], other[0])
    assert torch.equal(first[1:], other[1:])
    assert abs(float(first.mean())) < 0.1
    assert abs(float(first.std()) - 1) < 0.1


def test_edges_equal_scikit_image(small, inputs):
    from skimage.filters import sobel

    ours = maps_of(small, inputs, "edges")["edges"]
    grey = small.preprocessing.to_rgb(inputs).mean(1)
    for image in range(len(inputs)):
        assert close(ours[image], torch.from_numpy(sobel(grey[image].numpy())), 1e-5)


def test_maps_do_not_depend_on_the_batch(small, inputs):
    names = list(METHODS)
    together = maps_of(small, inputs, *names, sampling=Sampling(3, 3))
    for image in range(len(inputs)):
        alone = attribute(
            small, inputs[image : image + 1], TARGETS[image : image + 1], names,
            KEYS[image : image + 1], Sampling(3, 3),
        )  # fmt: skip
        for name in names:
            assert close(together[name][image], alone[name][0]), name
