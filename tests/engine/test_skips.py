"""Residual blocks: which layers lie where, what flows through, and the additive surrogate."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from zennit.layer import Sum

from sanitygap.attribution import attribute
from sanitygap.models import Explainable, Preprocessing, load_model
from sanitygap.randomization import RandomTwin
from sanitygap.residual_blocks import (
    LinearTop,
    addends,
    blocks_of,
    explicit_sums,
    layers_of,
    one_layer,
    only_through,
    path_of,
    redrawn_layer,
    residual_blocks,
)
from tests.conftest import make_explainable

SIZE = 32


@pytest.fixture(scope="module")
def resnet() -> Explainable:
    """ResNet-18 with random weights, for small images."""
    model = load_model("torchvision:resnet18@random")
    return replace(model, preprocessing=Preprocessing(size=SIZE, resize=SIZE))


class Residual(nn.Module):
    """h + r(h), or r(h) + h."""

    def __init__(self, turned: bool) -> None:
        super().__init__()
        self.first = nn.Conv2d(4, 4, 3, padding=1)
        self.relu = nn.ReLU()
        self.second = nn.Conv2d(4, 4, 1)
        self.sum = Sum()
        self.turned = turned

    def branch(self, h: torch.Tensor) -> torch.Tensor:
        return self.second(self.relu(self.first(h)))

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        pair = [h, self.branch(h)]
        return self.sum(torch.stack(pair[::-1] if self.turned else pair, dim=-1))


class Additive(nn.Module):
    """Stem, one residual block, and a top that is affine or has a ReLU."""

    def __init__(self, turned: bool = False, relu: bool = False) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.stem_relu = nn.ReLU()
        self.block = Residual(turned)
        self.top = nn.ReLU() if relu else nn.Identity()
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(16, 6)

    def above(self, z: torch.Tensor) -> torch.Tensor:
        return self.fc(self.flatten(self.pool(self.top(z))))

    def below(self, x: torch.Tensor) -> torch.Tensor:
        return self.stem_relu(self.stem(x))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.above(self.block(self.below(x)))


def additive(seed: int = 0, **options: bool) -> Explainable:
    torch.manual_seed(seed)
    return make_explainable(Additive(**options).double(), 8)


@pytest.fixture
def images() -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(3, 3, 8, 8, generator=generator, dtype=torch.float64)


def found(model: Explainable):
    """The only block of a float64 network; blocks are looked for with a float32 example."""
    model.module.float()
    [residual] = residual_blocks(model)
    model.module.double()
    return residual


def test_blocks_of_a_resnet(resnet: Explainable) -> None:
    blocks = blocks_of(resnet)
    assert [residual.block for residual in blocks] == [
        f"layer{stage}.{number}" for stage in (1, 2, 3, 4) for number in (0, 1)
    ]
    by_name = {residual.block: residual for residual in blocks}
    assert by_name["layer2.1"].branch == (
        "layer2.1.conv1", "layer2.1.bn1", "layer2.1.conv2", "layer2.1.bn2",
    )  # fmt: skip
    assert by_name["layer2.1"].shortcut == ()
    assert by_name["layer2.0"].shortcut == ("layer2.0.downsample.0", "layer2.0.downsample.1")
    assert redrawn_layer(resnet, by_name["layer4.1"]) == "layer4.1.conv2"
    assert path_of("layer2.0.downsample.0", blocks) == ("skip", "layer2.0")
    assert path_of("layer2.1.conv1", blocks) == ("residual branch", "layer2.1")
    assert path_of("conv1", blocks) == ("neither", "")
    layers = layers_of(resnet)
    assert len(layers) == 21
    assert (layers[0], layers[-1]) == ("conv1", "fc")
    assert not any("bn" in name for name in layers)


def test_explicit_sums_compute_the_same_and_leave_nothing_behind(resnet: Explainable) -> None:
    x = torch.randn(2, 3, SIZE, SIZE)
    with torch.no_grad():
        plain = resnet.module(x)
        with explicit_sums(resnet) as model:
            assert isinstance(model.module.get_submodule("layer1.0.canonizer_sum"), Sum)
            torch.testing.assert_close(model.module(x), plain)
            assert len(list(model.canonizers())) == len(list(resnet.canonizers())) - 2
    assert not hasattr(resnet.module.layer1[0], "canonizer_sum")
    assert "forward" not in vars(resnet.module.layer1[0])
    with torch.no_grad():
        assert torch.equal(resnet.module(x), plain)


@pytest.mark.parametrize("turned", [False, True])
def test_parts_of_gradient_maps_are_explanations_of_a_and_b(
    images: torch.Tensor, turned: bool
) -> None:
    """With an affine top, E{A} and E{B} of Eq. (6), each computed as a network of its own."""
    model = additive(turned=turned)
    net, targets = model.module, torch.tensor([0, 3, 5])

    def explain(function) -> torch.Tensor:
        leaf = images.clone().requires_grad_()
        logits = function(leaf).gather(1, targets[:, None])
        return (torch.autograd.grad(logits.sum(), leaf)[0] * images).sum(1)

    expected = {
        "skip": explain(lambda x: net.above(net.below(x))),
        "branch": explain(lambda x: net.above(net.block.branch(net.below(x)))),
    }
    residual = found(model)
    for part, values in expected.items():
        with only_through(model, residual, part):
            maps = attribute(model, images, targets, ["gradient-x-input"], range(3))
        torch.testing.assert_close(maps["gradient-x-input"], values)
    assert not torch.allclose(expected["skip"], expected["branch"])


def test_the_surrogate_is_exact_if_the_top_is_affine(images: torch.Tensor) -> None:
    model = additive()
    residual = found(model)
    top = LinearTop(model, residual, images)
    without = model.module.above(model.module.below(images))
    torch.testing.assert_close(top.constant(), without, rtol=1e-10, atol=1e-12)
    with RandomTwin(model, 7).redrawn(one_layer("block.second")):
        model.module.double()
        skip, branch, logits = addends(model, residual, images)
        again, _, _ = addends(model, residual, images)
    assert torch.equal(skip, again)
    assert float((logits - top.logits).abs().max()) > 0.01
    torch.testing.assert_close(top.surrogate(skip, branch), logits, rtol=1e-10, atol=1e-12)


def test_the_response_is_the_derivative_and_the_surrogate_fails_with_a_relu(
    images: torch.Tensor,
) -> None:
    model = additive(relu=True)
    residual, net = found(model), model.module
    top = LinearTop(model, residual, images)
    z = net.block(net.below(images))
    generator = torch.Generator().manual_seed(5)
    direction = torch.randn(z.shape, generator=generator, dtype=torch.float64)
    _, expected = torch.autograd.functional.jvp(net.above, z, direction)
    torch.testing.assert_close(top.response(direction), expected)
    small, large = (
        float((top.surrogate(top.skip + step * direction, top.branch)
               - net.above(z + step * direction)).abs().max()) / step
        for step in (1e-6, 3.0)
    )  # fmt: skip
    assert small < 1e-6 < 0.05 < large
