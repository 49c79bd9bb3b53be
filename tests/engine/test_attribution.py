"""Gradients, guided backpropagation, noise and sampling against captum, loops and known answers."""

import captum.attr
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from sanitygap.attribution import METHODS, Sampling, attribute
from sanitygap.attribution.applicable import defined, undefined
from sanitygap.chapters.theorem_1.measure import autocorrelation, mixture
from sanitygap.chapters.theorem_2.measure import layers_of
from sanitygap.errors import UsageError
from sanitygap.sanity_check import CORE_METHODS
from sanitygap.seeds import stable_seed
from tests.conftest import Net, make_explainable
from tests.engine.maps import KEYS, TARGETS, close, maps_of


def test_gradients_equal_captum(small, inputs):
    maps = maps_of(small, inputs, "gradient", "gradient-x-input", "guided-backprop")
    saliency = captum.attr.Saliency(small.module).attribute(
        inputs.clone().requires_grad_(), target=TARGETS, abs=False
    )
    assert close(maps["gradient"], saliency.sum(1), 1e-4)
    product = captum.attr.InputXGradient(small.module).attribute(
        inputs.clone().requires_grad_(), target=TARGETS
    )
    assert close(maps["gradient-x-input"], product.sum(1), 1e-4)
    guided = captum.attr.GuidedBackprop(small.module).attribute(
        inputs.clone().requires_grad_(), target=TARGETS
    )
    assert close(maps["guided-backprop"], guided.sum(1), 1e-4)
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
    assert close(ours, theirs.sum(1), 1e-4)


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


def rectified(activation) -> Net:
    """Two convolutions with an activation behind each, which is given."""
    torch.manual_seed(6)
    return Net(
        lambda net, x: net.head(net.activation(net.b(net.activation(net.a(3 * x)))).mean((2, 3))),
        a=nn.Conv2d(3, 8, 3), b=nn.Conv2d(8, 8, 3), head=nn.Linear(8, 5), activation=activation,
    )  # fmt: skip


def derivative(activation, x: torch.Tensor) -> torch.Tensor:
    leaf = x.detach().clone().requires_grad_()
    (found,) = torch.autograd.grad(activation(leaf).sum(), leaf)
    return found


def stopped_by_hand(net: Net, x: torch.Tensor, target: int) -> torch.Tensor:
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
    net = rectified(module() if form == "module" else lambda x: function(x, **options))
    x = torch.randn(1, 3, 12, 12)
    maps = attribute(make_explainable(net), x, torch.tensor([2]), ["guided-backprop"], [0])
    expected = stopped_by_hand(net, x, 2).sum(1)
    assert expected.abs().sum() > 0
    assert close(maps["guided-backprop"], expected, 1e-4)


@pytest.mark.parametrize("name", sorted(IN_PLACE))
@pytest.mark.parametrize("used", ["result", "argument"])
def test_guided_activations_work_in_place(name, used):
    """What an activation in place returned was right; what it left behind was not."""
    _, function, options = RECTIFIERS[name]

    def in_place(x: torch.Tensor) -> torch.Tensor:
        result = function(x, inplace=True, **options)
        return result if used == "result" else x

    x = torch.randn(1, 3, 12, 12)
    net = rectified(in_place)
    found = attribute(make_explainable(net), x, torch.tensor([2]), ["guided-backprop"], [0])
    net.activation = lambda x: function(x, **options)
    assert close(found["guided-backprop"], stopped_by_hand(net, x, 2).sum(1), 1e-4)


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
            assert close(together[name][image], alone[name][0], 1e-4), name


SAMPLING = Sampling(noisy_copies=6, noise_level=0.2)


def noise_of(inputs: torch.Tensor, image: int, copy: int) -> torch.Tensor:
    """Standard normal noise of one copy, as the library seeds it: key, "smoothgrad", copy."""
    source = torch.Generator().manual_seed(stable_seed(KEYS[image], "smoothgrad", copy))
    return torch.randn(inputs.shape[1:], generator=source)


def gradients_one_by_one(model, inputs: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """Gradients of all noisy copies, double, ``(N, copies, 3, H, W)``."""
    found = torch.zeros(len(inputs), sampling.noisy_copies, *inputs.shape[1:], dtype=torch.double)
    for image in range(len(inputs)):
        x = inputs[image]
        deviation = sampling.noise_level * (x.max() - x.min())
        for copy in range(sampling.noisy_copies):
            leaf = (x + deviation * noise_of(inputs, image, copy))[None].requires_grad_()
            model.module(leaf)[0, TARGETS[image]].backward()
            found[image, copy] = leaf.grad[0]
    return found


@pytest.mark.parametrize("batch_size", [3, 10, 1000])
def test_variance_and_mean_of_a_plain_loop(small, inputs, batch_size):
    gradients = gradients_one_by_one(small, inputs, SAMPLING)
    maps = maps_of(small, inputs, "vargrad", "smoothgrad", sampling=SAMPLING, batch_size=batch_size)
    # the variance over the copies (divided by their number), channel by channel, then summed
    assert close(maps["vargrad"], gradients.var(1, correction=0).sum(1), 1e-4)
    assert close(maps["smoothgrad"], gradients.mean(1).sum(1), 1e-4)
    assert not close(maps["vargrad"], gradients.sum(2).var(1, correction=0), 0.05)


def maps(count: int = 3, side: int = 40, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, side, side, generator=torch.Generator().manual_seed(seed))


def test_noise_is_added_in_units_of_the_maps_root_mean_square():
    base, noise = 7 * maps(), maps(seed=1)
    rms = base.pow(2).mean((1, 2), keepdim=True).sqrt()
    for amount in (0.0, 0.5, 3.0):
        expected = base / rms + amount * noise
        torch.testing.assert_close(mixture(base, noise, amount), expected)
    torch.testing.assert_close(mixture(100 * base, noise, 2.0), mixture(base, noise, 2.0))


@pytest.mark.parametrize("lag", [1, 3])
def test_autocorrelation_equals_numpy(lag):
    values = maps().cumsum(1)
    found = autocorrelation(values, lag)
    for image, own in zip(values.double().numpy(), found, strict=True):
        rows = np.corrcoef(image[lag:].ravel(), image[:-lag].ravel())[0, 1]
        columns = np.corrcoef(image[:, lag:].ravel(), image[:, :-lag].ravel())[0, 1]
        assert float(own) == pytest.approx((rows + columns) / 2, abs=1e-6)


def explain(model, inputs, *methods, keys=KEYS):
    return attribute(model, inputs, torch.zeros(len(inputs), dtype=torch.long), methods, keys)


def test_fixed_noise_depends_on_the_image_alone(small, inputs):
    first = explain(small, inputs, "noise-fixed")["noise-fixed"]
    again = explain(small, inputs.clone(), "noise-fixed", keys=[5, 6, 7, 8])["noise-fixed"]
    assert torch.equal(first, again)
    changed = inputs.clone()
    changed[1, 0, 0, 0] += 1
    other = explain(small, changed, "noise-fixed")["noise-fixed"]
    assert [torch.equal(a, b) for a, b in zip(first, other, strict=True)] == [True, False, True,
                                                                              True]  # fmt: skip
    assert abs(float(first.mean())) < 0.1
    assert abs(float(first.std()) - 1) < 0.1


def test_noise_times_input_has_the_envelope_of_the_input(small, inputs):
    dark = inputs.clone()
    dark[:, :, :12] = 0
    first = explain(small, dark, "noise-x-input")["noise-x-input"]
    assert (first[:, :12] == 0).all()
    other = explain(small, dark, "noise-x-input", keys=[1, 2, 3, 4])["noise-x-input"]
    assert not torch.isclose(first[:, 12:], other[:, 12:]).any(dim=2).all()
    scale = inputs[:, :, 12:].square().sum(1).sqrt()
    standard = first[:, 12:] / scale
    assert float(standard.mean()) == pytest.approx(0, abs=0.1)
    assert float(standard.std()) == pytest.approx(1, abs=0.1)


def smooth_net(activation: nn.Module) -> Net:
    """A network without a ReLU or anything like it."""
    return Net(
        lambda net, x: net.fc(net.flatten(net.pool(net.act(net.conv(x))))),
        conv=nn.Conv2d(3, 4, 3, padding=1), act=activation, pool=nn.AdaptiveAvgPool2d(1),
        flatten=nn.Flatten(), fc=nn.Linear(4, 5),
    )  # fmt: skip


def block(channels: int) -> Net:
    """A convolution that ends in a functional ReLU."""
    conv = nn.Conv2d(channels, 4, 3, padding=1)
    return Net(lambda net, x: functional.relu(net.conv(x)), conv=conv)


@pytest.fixture
def smooth():
    torch.manual_seed(0)
    return make_explainable(smooth_net(nn.Tanh()))


def test_guided_backprop_is_left_out_where_no_unit_is_rectified(smooth, small):
    with pytest.warns(UserWarning, match="guided-backprop is left out: .*calls no ReLU"):
        kept = defined(smooth, CORE_METHODS)
    assert kept == [name for name in CORE_METHODS if name != "guided-backprop"]
    assert list(undefined(smooth, CORE_METHODS)) == ["guided-backprop"]
    assert defined(small, CORE_METHODS) == list(CORE_METHODS)


def test_activations_of_functions_are_found_at_the_innermost_module():
    network = nn.Sequential(block(3), nn.Sequential(block(4)), nn.Conv2d(4, 2, 1))
    assert layers_of(network, torch.randn(1, 3, 8, 8)) == ["0", "1.0"]
    assert layers_of(smooth_net(nn.SiLU()), torch.randn(1, 3, 8, 8)) == ["act"]
    with pytest.raises(UsageError, match="no activation modules"):
        layers_of(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), torch.randn(1, 3, 2, 2))
