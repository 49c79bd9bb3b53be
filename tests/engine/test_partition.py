"""A network cut in two: where the cut lies, what lies below it, and the blocks with skips."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from zennit.layer import Sum

from sanitygap.attribution import attribute
from sanitygap.chapters.theorem_2.measure import above_activations, cuts, kept_features, mass_ratio
from sanitygap.errors import UsageError
from sanitygap.models import Explainable, Preprocessing, Stage, load_model
from sanitygap.partition import (
    Features,
    below,
    cut_model,
    feature_map,
    feature_sum,
    last_spatial_module,
    resumed,
    stage_outputs,
)
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
from tests.conftest import Net, make_explainable

SIZE = 32


@pytest.fixture(scope="module")
def resnet() -> Explainable:
    """ResNet-18 with random weights, for small images."""
    model = load_model("torchvision:resnet18@random")
    return replace(model, preprocessing=Preprocessing(size=SIZE, resize=SIZE))


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randn(3, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))


def test_a_network_that_cannot_be_cut_is_refused(small: Explainable) -> None:
    with pytest.raises(UsageError, match="one stage only"):
        cut_model(replace(small, stages=small.stages[:1]), 0.5)

    twice = Net(
        lambda net, x: net.second(net.second(net.first(x).mean((2, 3)))),
        first=nn.Conv2d(3, 3, 1), second=nn.Linear(3, 3),
    )  # fmt: skip
    with pytest.raises(UsageError, match="does not take one tensor, once"):
        cut_model(make_explainable(twice, 4), 0.5)


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


def last_feature_map(model: Explainable, inputs: torch.Tensor) -> torch.Tensor:
    return feature_map(model, last_spatial_module(model), inputs)


def test_an_operation_in_place_does_not_change_what_was_kept():
    def erase(net: Net, x: torch.Tensor) -> torch.Tensor:
        hidden = net.conv(x)
        hidden.zero_()
        return net.fc(hidden.mean((2, 3)))

    net = Net(erase, conv=nn.Conv2d(3, 4, 3), fc=nn.Linear(4, 2))
    model = make_explainable(net, 8)
    x = torch.randn(1, 3, 8, 8)
    torch.testing.assert_close(last_feature_map(model, x), model.module.conv(x))


def test_a_network_without_places_is_refused():
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 3), nn.ReLU(), nn.Linear(3, 2)).eval()
    model = Explainable("flat", net, Preprocessing(size=2, resize=2), (Stage("3", ("3",)),))
    with pytest.raises(UsageError, match="no feature map"):
        last_feature_map(model, torch.randn(1, 3, 2, 2))


def branch(block: Net, h: torch.Tensor) -> torch.Tensor:
    return block.second(block.relu(block.first(h)))


def below_block(net: Net, x: torch.Tensor) -> torch.Tensor:
    return net.stem_relu(net.stem(x))


def above_block(net: Net, z: torch.Tensor) -> torch.Tensor:
    return net.fc(net.flatten(net.pool(z)))


def additive(turned: bool = False) -> Explainable:
    """Stem, a residual block that adds h and r(h), or r(h) and h, and an affine top."""
    torch.manual_seed(0)
    order = -1 if turned else 1
    parts = {"stem": nn.Conv2d(3, 4, 3, padding=1), "stem_relu": nn.ReLU()}
    block = Net(
        lambda net, h: net.sum(torch.stack([h, branch(net, h)][::order], dim=-1)),
        first=nn.Conv2d(4, 4, 3, padding=1), relu=nn.ReLU(), second=nn.Conv2d(4, 4, 1), sum=Sum(),
    )  # fmt: skip
    net = Net(
        lambda net, x: above_block(net, net.block(below_block(net, x))), **parts, block=block,
        pool=nn.AdaptiveAvgPool2d(2), flatten=nn.Flatten(), fc=nn.Linear(16, 6),
    )  # fmt: skip
    return make_explainable(net.double(), 8)


@pytest.fixture
def pixels() -> torch.Tensor:
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
    pixels: torch.Tensor, turned: bool
) -> None:
    """With an affine top, E{A} and E{B} of Eq. (6), each computed as a network of its own."""
    model = additive(turned=turned)
    net, targets = model.module, torch.tensor([0, 3, 5])

    def explain(function) -> torch.Tensor:
        leaf = pixels.clone().requires_grad_()
        logits = function(leaf).gather(1, targets[:, None])
        return (torch.autograd.grad(logits.sum(), leaf)[0] * pixels).sum(1)

    expected = {
        "skip": explain(lambda x: above_block(net, below_block(net, x))),
        "branch": explain(lambda x: above_block(net, branch(net.block, below_block(net, x)))),
    }
    residual = found(model)
    for part, values in expected.items():
        with only_through(model, residual, part):
            maps = attribute(model, pixels, targets, ["gradient-x-input"], range(3))
        torch.testing.assert_close(maps["gradient-x-input"], values)
    assert not torch.allclose(expected["skip"], expected["branch"])


def test_the_surrogate_is_exact_if_the_top_is_affine(pixels: torch.Tensor) -> None:
    model = additive()
    residual = found(model)
    top = LinearTop(model, residual, pixels)
    without = above_block(model.module, below_block(model.module, pixels))
    torch.testing.assert_close(top.constant(), without, rtol=1e-10, atol=1e-12)
    with RandomTwin(model, 7).redrawn(one_layer("block.second")):
        model.module.double()
        skip, branch, logits = addends(model, residual, pixels)
        again, _, _ = addends(model, residual, pixels)
    assert torch.equal(skip, again)
    assert float((logits - top.logits).abs().max()) > 0.01
    torch.testing.assert_close(top.surrogate(skip, branch), logits, rtol=1e-10, atol=1e-12)


def test_kept_features_are_what_flows_into_the_stage(small, inputs):
    net = small.module
    below = net.act(net.norm(net.conv1(inputs)))
    lowest = next(stage for stage in small.stages if stage.name == "conv2")
    assert torch.allclose(kept_features(small, inputs, lowest), below, atol=1e-6)
    assert not net.conv2._forward_pre_hooks


def linear_end(net: Net, x: torch.Tensor) -> torch.Tensor:
    """A block that hands on a linear feature map, and one that begins with it."""
    inside = net.relu(net.norm(net.expand(net.down(x))))
    return net.project(inside).mean((2, 3))[:, :2] + net.fc(net.pool(inside)).flatten(1)


def test_a_stage_is_cut_behind_its_first_activation(inputs):
    """As in blocks with linear bottlenecks: what flows into the stage has both signs."""
    torch.manual_seed(0)
    net = Net(
        linear_end, down=nn.Conv2d(3, 4, 3), expand=nn.Conv2d(4, 6, 1), norm=nn.BatchNorm2d(6),
        relu=nn.ReLU(), project=nn.Conv2d(6, 4, 1), pool=nn.AdaptiveAvgPool2d(1),
        fc=nn.Conv2d(6, 2, 1),
    ).eval()  # fmt: skip
    stages = (
        Stage("head", ("fc",)), Stage("block", ("expand", "norm", "project")),
        Stage("stem", ("down",)),
    )  # fmt: skip
    model = Explainable("linear end", net, Preprocessing(32, 32), stages)
    part = above_activations(model, inputs, stages[1])
    assert part == Stage("block", ("project",))
    assert (kept_features(model, inputs, stages[1]) < 0).any()
    inside = net.relu(net.norm(net.expand(net.down(inputs))))
    assert torch.allclose(kept_features(model, inputs, part), inside, atol=1e-6)
    assert above_activations(model, inputs, stages[0]) is None  # one position only
    assert above_activations(model, inputs, stages[2]) is None  # the image has both signs
    found = cuts(model, inputs)
    assert [(cut.step.number, cut.layer, cut.non_negative) for cut in found] == [
        (2, "project", True)
    ]
    assert found[0].step.stages == (stages[0], part)
    assert not any(module._forward_pre_hooks for module in net.modules())


def test_mass_ratio_closed_forms():
    activity = torch.arange(100.0).view(1, 10, 10)  # the last row is the most active 10 %
    inside = torch.zeros(1, 10, 10)
    inside[0, -1] = -3.0
    assert float(mass_ratio(inside, activity)) == pytest.approx(10)
    assert float(mass_ratio(torch.full((1, 10, 10), -1.0), activity)) == pytest.approx(1)
    assert float(mass_ratio(inside.flip(1), activity)) == 0
    half = inside + inside.flip(1)
    assert float(mass_ratio(half, activity)) == pytest.approx(5)
    assert mass_ratio(torch.zeros(1, 10, 10), activity).isnan().all()
