"""A network cut in two: where the cut lies, what phi is, and passes that are resumed."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from sanitygap.attribution import attribute
from sanitygap.errors import UsageError
from sanitygap.models import Explainable, Preprocessing, load_model
from sanitygap.partition import Features, below, cut_model, feature_sum, resumed, stage_outputs
from tests.conftest import make_explainable

SIZE = 32


@pytest.fixture(scope="module")
def resnet() -> Explainable:
    """ResNet-18 with random weights, for small images."""
    model = load_model("torchvision:resnet18@random")
    return replace(model, preprocessing=Preprocessing(size=SIZE, resize=SIZE))


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randn(3, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))


class Chain(nn.Module):
    """As many stages as VGG-16: thirteen convolutions and three dense layers, all tiny."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(*(nn.Conv2d(3, 3, 1) for _ in range(13)))
        self.classifier = nn.Sequential(*(nn.Linear(3, 3) for _ in range(3)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.features(x).mean((2, 3)))


def test_the_two_readings_of_layer_12_of_vgg16() -> None:
    model = make_explainable(Chain(), 4)
    sixth, twelfth = (cut_model(model, share) for share in (3 / 8, 3 / 4))
    assert (sixth.name, len(sixth.kept), sixth.place) == ("features.5", 6, "features.6")
    assert (twelfth.name, len(twelfth.kept), twelfth.place) == ("features.11", 12, "features.12")
    assert sixth.kept + () == model.stages[10:]
    assert sixth.redrawn == model.stages[:10]


def test_a_network_that_cannot_be_cut_is_refused(small: Explainable) -> None:
    with pytest.raises(UsageError, match="one stage only"):
        cut_model(replace(small, stages=small.stages[:1]), 0.5)

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(3, 3, 1)
            self.second = nn.Linear(3, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.second(self.second(self.first(x).mean((2, 3))))

    with pytest.raises(UsageError, match="does not take one tensor, once"):
        cut_model(make_explainable(Twice(), 4), 0.5)


def test_phi_is_what_the_layers_below_compute(small: Explainable, inputs: torch.Tensor) -> None:
    net = small.module
    cut = cut_model(small, 0.5)  # conv1 and norm below, conv2 and fc above
    assert (cut.name, cut.place) == ("norm", "conv2")
    expected = net.act(net.norm(net.conv1(inputs)))
    assert torch.equal(Features(net, cut.place)(inputs), expected)
    total = feature_sum(small, cut).module(inputs)
    assert total.shape == (4, 1)
    torch.testing.assert_close(total[:, 0], expected.sum((1, 2, 3)))


@pytest.mark.parametrize("share", [0.3, 0.6])
def test_nothing_goes_past_the_cut(resnet: Explainable, images: torch.Tensor, share: float) -> None:
    """With phi(x) held fixed the logits do not depend on x: g is a function of phi alone."""
    place = resnet.module.get_submodule(cut_model(resnet, share).place)
    leaf = images.clone().requires_grad_()
    handle = place.register_forward_pre_hook(lambda _module, values: (values[0].detach(),))
    try:
        logits = resnet.module(leaf)
    finally:
        handle.remove()
    assert not logits.requires_grad


def test_the_explanation_of_phi_by_lrp_shares_each_activation_out() -> None:
    """One layer, no bias: LRP-0 gives each input its part of the sum of the active units."""
    torch.manual_seed(0)
    net = nn.Sequential()
    net.add_module("conv", nn.Conv2d(3, 5, 1, bias=False))
    net.add_module("relu", nn.ReLU())
    net.add_module("flatten", nn.Flatten())
    net.add_module("fc", nn.Linear(20, 2))
    model = make_explainable(net, 2)
    x = torch.randn(2, 3, 2, 2)
    units = torch.einsum("oi,nihw->nohw", net.conv.weight[:, :, 0, 0], x)
    shares = torch.einsum("oi,nihw,nohw->nihw", net.conv.weight[:, :, 0, 0], x, (units > 0).float())
    targets = torch.zeros(2, dtype=torch.long)
    model = feature_sum(model, cut_model(model, 0.5))
    maps = attribute(model, x, targets, ["lrp-zero"], [0, 1])["lrp-zero"]
    total = units.relu().sum((1, 2, 3))
    torch.testing.assert_close(maps, shares.sum(1) / total[:, None, None], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(maps.sum((1, 2)), torch.ones(2))


def test_a_resumed_pass_gives_the_same_logits_and_computes_less(
    resnet: Explainable, images: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = stage_outputs(resnet, images)
    assert set(outputs) == {stage.name for stage in resnet.stages}
    with torch.no_grad():
        plain = resnet.module(images)
    calls = []
    convolve = nn.Conv2d._conv_forward
    monkeypatch.setattr(
        nn.Conv2d,
        "_conv_forward",
        lambda self, *given: calls.append(self) or convolve(self, *given),
    )
    kept = below(resnet, "layer4.0.conv1")
    assert kept == resnet.stages[3:]
    with resumed(resnet, outputs, kept), torch.no_grad():
        assert torch.equal(resnet.module(images), plain)
        assert torch.equal(resnet.module(images), plain)  # nothing was changed in place
    names = {part: name for name, part in resnet.module.named_modules()}
    assert {names[part].split(".")[0] for part in calls} == {"layer4"}
    with torch.no_grad():
        assert torch.equal(resnet.module(images), plain)
        assert not torch.equal(resnet.module(-images), plain)  # restored, so it computes again
