"""Class activation maps against captum, automatic derivatives and closed forms."""

import captum.attr
import pytest
import torch
from torch import nn

from sanitygap.attribution import attribute
from sanitygap.attribution.cam import last_spatial_layer
from sanitygap.errors import UsageError
from sanitygap.models import Explainable
from sanitygap.models.stages import untrained
from tests.conftest import make_explainable

TARGETS = torch.tensor([0, 3, 4, 1])
KEYS = [11, 22, 33, 44]


def maps_of(model: Explainable, inputs: torch.Tensor, *names: str) -> dict[str, torch.Tensor]:
    return attribute(model, inputs, TARGETS[: len(inputs)], names, KEYS[: len(inputs)])


def close(ours: torch.Tensor, theirs: torch.Tensor, tolerance: float = 1e-5) -> bool:
    """Largest difference relative to the largest value."""
    ours, theirs = ours.detach(), theirs.detach()
    assert theirs.abs().max() > 0
    return float((ours - theirs).abs().max() / theirs.abs().max()) < tolerance


class Pooled(nn.Module):
    """Feature maps, global average pooling and a linear head, as class activation maps need."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.body = nn.Sequential(
            nn.Conv2d(3, 6, 3), nn.ReLU(inplace=True), nn.Conv2d(6, 4, 3), nn.ReLU(inplace=True)
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(4, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.pool(self.body(x)).flatten(1))


@pytest.fixture
def pooled() -> Explainable:
    return make_explainable(Pooled())


def upsampled(maps: torch.Tensor, size: int = 24) -> torch.Tensor:
    """Bilinear interpolation by matrices of weights, written out."""
    low = maps.shape[-1]
    matrix = torch.zeros(size, low, dtype=maps.dtype)
    for row in range(size):
        place = min(max((row + 0.5) * low / size - 0.5, 0.0), low - 1.0)
        floor = min(int(place), low - 2)
        matrix[row, floor] += 1 - (place - floor)
        matrix[row, floor + 1] += place - floor
    return matrix @ maps @ matrix.T


@pytest.mark.parametrize("layer", ["body.1", "body.2", "body"])
def test_grad_cam_equals_captum_at_any_layer(pooled, inputs, layer):
    theirs = captum.attr.LayerGradCam(pooled.module, pooled.module.get_submodule(layer)).attribute(
        inputs, target=TARGETS, relu_attributions=True
    )
    theirs = captum.attr.LayerAttribution.interpolate(theirs, (24, 24), "bilinear")[:, 0]
    name = f"grad-cam@{layer}"
    assert close(maps_of(pooled, inputs, name)[name], theirs)


def nth_derivative(score, features: torch.Tensor, place: int, order: int) -> torch.Tensor:
    """A derivative of a function of many numbers with respect to one of them, by automation."""
    leaf = features.flatten()[place].clone().requires_grad_()
    rest = features.flatten().clone()
    value = score(torch.cat([rest[:place], leaf[None], rest[place + 1 :]]).view_as(features))
    for _ in range(order):
        (value,) = torch.autograd.grad(value, leaf, create_graph=True)
    return value.detach()


def test_grad_cam_plus_plus_equals_its_definition_by_automatic_derivatives(inputs):
    """Eqs. 5, 12 and 19 of the paper for Y = exp(logit), with true second and third derivatives."""
    net = Pooled().double()
    net.body = nn.Sequential(nn.Conv2d(3, 3, 5, stride=4), nn.ReLU())  # 5 x 5 positions
    net.head = nn.Linear(75, 5).double()
    net.pool = nn.Identity()
    net = net.double()
    model = make_explainable(net)
    images = inputs[:2].double()
    ours = maps_of(model, images, "grad-cam-plus-plus")["grad-cam-plus-plus"]
    for image, target in enumerate(TARGETS[:2].tolist()):
        features = net.body(images[image : image + 1])[0]

        def score(values: torch.Tensor, target: int = target) -> torch.Tensor:
            return net.head(values.flatten())[target].exp()

        first, second, third = (
            torch.stack([nth_derivative(score, features, k, order) for k in range(75)])
            .view_as(features)
            for order in (1, 2, 3)
        )  # fmt: skip
        total = features.sum((1, 2), keepdim=True)
        alpha = second / (2 * second + total * third)
        weights = (alpha * first.clamp_min(0)).sum((1, 2))
        expected = torch.einsum("c,chw->hw", weights, features).clamp_min(0)
        # Y's derivatives carry the factor exp(logit), which ours leave out
        assert close(ours[image], upsampled(expected) / score(features), 1e-9)


def test_guided_grad_cam_equals_captum(small, inputs):
    theirs = captum.attr.GuidedGradCam(small.module, small.module.act2).attribute(
        inputs, target=TARGETS, interpolate_mode="bilinear"
    )
    assert close(maps_of(small, inputs, "guided-grad-cam")["guided-grad-cam"], theirs.sum(1))
    at_first = captum.attr.GuidedGradCam(small.module, small.module.act).attribute(
        inputs, target=TARGETS, interpolate_mode="bilinear"
    )
    maps = maps_of(small, inputs, "guided-grad-cam@act")["guided-grad-cam@act"]
    assert close(maps, at_first.sum(1))


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("resnet18", "layer4"),
        ("densenet121", "features"),
        ("vgg16", "features.29"),
        ("inception_v3", "Mixed_7c"),
        ("mobilenet_v2", "features"),
    ],
)
def test_default_layer_is_the_last_before_the_pooling(name, layer):
    """Without weights: the layers that are known as these networks' last feature maps."""
    module = untrained(name)
    model = Explainable(name, module, None, ())  # type: ignore[arg-type]
    size = 299 if name == "inception_v3" else 224
    example = torch.zeros(1, 3, size, size, device="meta")
    assert last_spatial_layer(model, example) == layer


def test_bare_skip_in_place_is_inside_the_map(inputs):
    """The block's output counts, not that of the convolution whose tensor it was added to."""

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out = self.conv(x)
            out += x
            return out

    torch.manual_seed(4)
    net = nn.Sequential(Block(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 5))
    model = make_explainable(net)
    expected = torch.einsum("nc,nchw->nhw", net[3].weight[TARGETS], net[0](inputs)) / 24**2
    assert close(maps_of(model, inputs, "grad-cam")["grad-cam"], expected.clamp_min(0))


class Reused(nn.Module):
    """One activation called twice, and a part that does not feed the logits."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.side, self.act = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3), nn.ReLU()
        self.fc = nn.Linear(4, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.act(self.side(x))
        return self.fc(self.act(self.conv(x)).mean((2, 3)))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("grad-cam@convv", "unknown layer 'convv'; did you mean conv"),
        ("grad-cam@fc", "fc of test returns no feature maps"),
        ("grad-cam@act", "act of test is called 2 times"),
        ("grad-cam@side", "side of test does not feed the logits"),
        ("gradient@conv", "'gradient' looks at no layer; write it without @conv"),
    ],
)
def test_unusable_layers_are_refused(inputs, name, message):
    model = make_explainable(Reused())
    with pytest.raises(UsageError, match=message):
        maps_of(model, inputs, name)
