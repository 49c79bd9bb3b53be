"""LRP on real networks: where relevance goes, and which score it starts with."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn
from torchvision import models

from sanitygap.attribution import attribute, unpooled
from sanitygap.attribution.lrp import PRESETS
from sanitygap.attribution.lrp_rules import recorded_flow
from sanitygap.faithfulness import occlusion_curves
from sanitygap.images import load_images
from sanitygap.models import Explainable, Preprocessing
from sanitygap.models.canonizers import FunctionRules, canonizers_for, merge_pairs
from sanitygap.models.cifar_resnet import CifarResNet
from sanitygap.models.efficientnet_lite import EfficientNetLite0
from sanitygap.models.loading import final_activation, weights_sha256
from sanitygap.randomization import RandomTwin, steps
from sanitygap.table import Context
from tests.conftest import Net
from tests.tables import measure


@pytest.mark.parametrize("name", list(PRESETS))
def test_pixels_and_neurons_have_all_relevance(shrunk, cat_and_coffee, name):
    """With biases in place. With biases in its denominators a network gave .0002 to its pixels."""
    model, inputs = replace(shrunk, module=shrunk.module.double()), cat_and_coffee.double()
    with recorded_flow() as flow:
        maps = attribute(model, inputs, model.predict(inputs), [name], [0, 1])[name]
    arrived = maps.sum((1, 2))
    kept = sum(one.entered - one.left for one in flow)
    # what the z-B rule gives to padding is neither
    nearly = 0.01 if name.startswith("lrp-gamma") else 1e-5
    torch.testing.assert_close(arrived + kept, torch.ones(2).double(), rtol=0, atol=nearly)
    assert float(arrived.min()) > 0.02
    assert float(arrived.max()) < 1 + 1e-4
    if model.spec == "squeezenet1_1":  # its neurons have contributions of both signs
        torch.testing.assert_close(arrived, torch.ones(2).double(), rtol=0, atol=1e-4)


def test_canonizers_do_not_change_what_the_network_computes(shrunk, cat_and_coffee):
    """zennit's own merge of batch normalisation does: it forgets the epsilon."""
    module = shrunk.module
    before = weights_sha256(module)
    settings = [m.eps for m in module.modules() if isinstance(m, nn.BatchNorm2d)]
    expected = module(cat_and_coffee)
    applied = [instance for made in shrunk.canonizers() for instance in made.apply(module)]
    try:
        assert (len(applied) > 0) == (shrunk.spec == "efficientnet_lite0")
        assert torch.allclose(module(cat_and_coffee), expected, rtol=1e-4, atol=1e-4)
    finally:
        for instance in applied:
            instance.remove()
    assert weights_sha256(module) == before
    assert [m.eps for m in module.modules() if isinstance(m, nn.BatchNorm2d)] == settings


def normalised(net: Net, x: torch.Tensor) -> torch.Tensor:
    """One normalisation right after a convolution, one after a concatenation, one called twice."""
    x = net.norm1(net.conv1(x)).relu()
    x = net.norm2(torch.cat([x, net.conv2(x)], dim=1)).relu()
    x = net.norm3(net.conv3(x)).relu()
    return net.fc(net.norm3(net.conv3(x)).mean((2, 3)))


def test_only_a_normalisation_of_a_convolutions_very_output_is_merged():
    module = Net(
        normalised, conv1=nn.Conv2d(3, 4, 1), norm1=nn.BatchNorm2d(4), conv2=nn.Conv2d(4, 4, 1),
        norm2=nn.BatchNorm2d(8), conv3=nn.Conv2d(8, 8, 1), norm3=nn.BatchNorm2d(8),
        fc=nn.Linear(8, 3),
    ).eval()  # fmt: skip
    example = torch.randn(1, 3, 5, 5)
    assert merge_pairs(module, example) == [(["conv1"], "norm1")]
    canonizer, *_ = canonizers_for(module, example)()
    expected = module(example)
    instances = canonizer.apply(module)
    assert module.norm1.weight.eq(1).all()
    assert torch.allclose(module(example), expected, atol=1e-5)
    for instance in instances:
        instance.remove()
    assert torch.equal(module(example), expected)


#: sides of the smallest inputs in pixels on which each network is tried
NETWORKS = {
    "resnet18": 32,
    "vgg16_bn": 32,
    "densenet121": 32,  # normalises concatenations; bare ReLU and pooling
    "efficientnet_b0": 32,  # squeeze-and-excitation, SiLU, bare additions
    "mobilenet_v2": 32,  # bare additions
    "mobilenet_v3_small": 32,  # Hardswish
    "inception_v3": 75,  # bare ReLUs and pooling in its branches
    "squeezenet1_1": 32,  # concatenations
    "shufflenet_v2_x1_0": 32,  # a bare mean over space
    "efficientnet_lite0": 32,
    "cifar_resnet20": 32,  # skips that are padded with zeros
}


def untrained(name: str) -> tuple[Explainable, torch.Tensor]:
    """A network with large biases in double precision, and an input that keeps its scale in it."""
    torch.manual_seed(0)
    if name == "efficientnet_lite0":
        module: nn.Module = EfficientNetLite0()
    elif name == "cifar_resnet20":
        module = CifarResNet(20)
    elif name.startswith("vgg"):  # with dense layers small enough for a test
        module = models.get_model(name, init_weights=False)
        module.avgpool = nn.AdaptiveAvgPool2d(2)
        head = (nn.Linear(512 * 4, 256), nn.ReLU(), nn.Dropout(), nn.Linear(256, 9))
        module.classifier = nn.Sequential(*head)
    else:
        options = {"aux_logits": False, "init_weights": False} if name == "inception_v3" else {}
        module = models.get_model(name, weights=None, **options)
    batch = torch.randn(4, 3, NETWORKS[name], NETWORKS[name])
    for child in module.modules():
        if isinstance(child, nn.BatchNorm2d):
            child.momentum = 1.0
        if isinstance(getattr(child, "bias", None), torch.Tensor):
            child.bias.data.normal_(std=0.3)
    module.train()(batch)  # activations get the scale that they have in a trained network
    module = module.eval().requires_grad_(False).double()
    inputs = batch[:1].double()
    preprocessing = Preprocessing(size=NETWORKS[name], resize=NETWORKS[name])
    canonizers = canonizers_for(module, inputs)
    return Explainable(name, module, preprocessing, (), canonizers=canonizers), inputs


@pytest.mark.parametrize("name", list(NETWORKS))
def test_relevance_is_conserved_in_the_usual_networks(name):
    """Nothing is doubled at a skip, or lost in a function or product."""
    model, inputs = untrained(name)
    state = copy.deepcopy(model.module.state_dict())
    targets = model.predict(inputs)
    logit = float(model.module(inputs)[0, targets[0]])
    for method in ("lrp-epsilon-plus", "lrp-gamma"):
        with recorded_flow() as flow:
            maps = attribute(model, inputs, targets, [method], [0])[method]
        kept = float(sum(one.entered - one.left for one in flow))
        # the z-B rule of lrp-gamma gives some to a layer of padding
        nearly = 0.01 if method == "lrp-gamma" else 1e-4
        assert float(maps.sum()) + kept == pytest.approx(1, abs=nearly), method
        assert 0 < float(maps.sum()) < 1 + nearly, method
        assert float(maps.abs().sum()) < 1.1, method  # no neuron amplifies
    after = model.module.state_dict()
    assert after.keys() == state.keys()
    assert all(torch.equal(value, after[key]) for key, value in state.items())
    assert float(model.module(inputs)[0, targets[0]]) == logit
    assert not any(child._forward_hooks for child in model.module.modules())
    for child in model.module.modules():  # without biases LRP-0 conserves exactly
        if isinstance(getattr(child, "bias", None), torch.Tensor):
            child.bias.data.zero_()
        if isinstance(child, nn.BatchNorm2d):
            child.running_mean.zero_()
    targets = model.predict(inputs)
    maps = attribute(model, inputs, targets, ["lrp-zero"], [0])["lrp-zero"]
    assert float(maps.sum()) == pytest.approx(1, rel=1e-4)


def _add_in_place(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    a.add_(b)  # what it returns is not used
    return a


@pytest.mark.parametrize(
    "function",
    [
        lambda a, b: a + b,
        _add_in_place,
        lambda a, b: a.mean((2, 3), keepdim=True) + b,
        lambda a, b: a * b,
        lambda a, b: a * b.mean((2, 3), keepdim=True).sigmoid(),
        lambda a, b: b.mean((2, 3), keepdim=True) * a,
        lambda a, b: 3 * a + b * torch.full((4, 1, 1), 0.2) / 2,
        lambda a, b: a * a.sigmoid(),
        lambda a, b: nn.functional.relu(a, inplace=True) + nn.functional.silu(b),
        lambda a, b: a.mean([2, 3]) + torch.mean(b, (-1, -2)),
        lambda a, b: nn.functional.avg_pool2d(a, 2) + nn.functional.max_pool2d(b, 2),
        lambda a, b: nn.functional.adaptive_avg_pool2d(torch.cat([a, b], 1), 1),
    ],
    ids=lambda function: str(function.__code__.co_firstlineno),
)  # fmt: skip
def test_bare_functions_conserve_relevance_and_compute_the_same(function):
    torch.manual_seed(1)
    left, right = (nn.Conv2d(3, 4, 1, bias=False) for _ in range(2))
    module = Net(lambda net, x: function(net.left(x), net.right(x)).flatten(1), left=left,
                 right=right).double().requires_grad_(False)  # fmt: skip
    model = Explainable("bare", module, Preprocessing(size=6, resize=6), ())
    inputs = torch.rand(3, 3, 6, 6, dtype=torch.float64)
    targets = torch.tensor([0, 1, 2])
    with FunctionRules(lambda _: None):
        assert torch.equal(module(inputs.clone().requires_grad_()), module(inputs))
    maps = attribute(model, inputs, targets, ["lrp-zero"], [0, 1, 2])["lrp-zero"]
    assert torch.allclose(maps.sum((1, 2)), torch.ones(3).double(), rtol=1e-9, atol=1e-12)


def test_weights_are_random_while_lrp_runs(shrunk, cat_and_coffee):
    """Merging batch normalisation may scale them, but they are the drawn ones, in every stage."""
    module = shrunk.module
    targets = shrunk.predict(cat_and_coffee)
    twin = RandomTwin(shrunk, 5)
    linear = {n: m for n, m in module.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}
    seen: dict[str, torch.Tensor] = {}
    for name, child in linear.items():

        def note(module: nn.Module, given: object, outputs: object, name: str = name) -> None:
            seen[name] = module.weight.clone()

        child.register_forward_hook(note)
    trained = {name: child.weight.clone() for name, child in linear.items()}
    for step in steps(shrunk.stages, "top-down", 3):
        seen.clear()
        inside = {name for stage in step.stages for name in stage.modules}
        with twin.redrawn(step.stages):
            drawn = {name: child.weight.clone() for name, child in linear.items()}
            attribute(shrunk, cat_and_coffee, targets, ["lrp-epsilon-plus"], [0, 1])
        assert seen.keys() == linear.keys()
        for name, weight in seen.items():
            assert torch.equal(drawn[name], trained[name]) == (name not in inside), name
            ours, theirs = weight.double().flatten(1), drawn[name].double().flatten(1)
            scale = (ours * theirs).sum(1) / theirs.square().sum(1).clamp_min(1e-30)
            gap = (ours - scale[:, None] * theirs).abs().max()
            assert gap < 1e-4 * ours.abs().max(), name


def test_the_network_is_bit_identical_after_a_randomisation_test(shrunk):
    before, state = weights_sha256(shrunk.module), copy.deepcopy(shrunk.module.state_dict())
    photos = load_images("photos").select([0])
    context = Context(lambda: shrunk, lambda: photos, seed=0)
    methods = ["gradient", "guided-backprop", "lrp-epsilon-plus", "lrp-gamma-box"]
    table = measure("randomization", context, methods=methods, n_steps=2)
    assert weights_sha256(shrunk.module) == before
    after = shrunk.module.state_dict()
    assert all(torch.equal(state[name], after[name]) for name in state)
    whole = table[table["random_parameters"] > 0.999]
    assert set(whole["method"]) == set(methods)
    assert (whole["spearman"].abs() < 0.9).all(), "redrawing everything changes every map"


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
