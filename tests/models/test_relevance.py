"""LRP on the embedded networks: where relevance goes, and that weights are random meanwhile."""

import copy
from dataclasses import replace

import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d
from zennit.layer import Sum

from sanitygap.attribution import attribute
from sanitygap.experiments import EXPERIMENTS, Context
from sanitygap.images import load_images
from sanitygap.models.canonizers import canonizers_for, merge_pairs
from sanitygap.models.loading import load_model, weights_sha256
from sanitygap.randomization import RandomTwin, steps

EPSILON = 1e-6  # zennit's stabiliser: added to every denominator, with its sign


def signed_parts(module: nn.Conv2d, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The sums of the positive and of the negative contributions to a convolution's outputs."""

    def part(values: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        return conv2d(
            values, weights, None, module.stride, module.padding, module.dilation, module.groups
        )

    weight = module.weight.detach()
    above, below = inputs.clamp(min=0), inputs.clamp(max=0)
    plus, minus = weight.clamp(min=0), weight.clamp(max=0)
    return part(above, plus) + part(below, minus), part(above, minus) + part(below, plus)


def through(denominator: torch.Tensor) -> torch.Tensor:
    """The share of relevance that a stabilised fraction hands on: less than 1, or 0 for 0 / 0."""
    sign = torch.where(denominator < 0, -1.0, 1.0)
    return denominator / (denominator + EPSILON * sign)


def handed_on(name: str, module: nn.Module, inputs: torch.Tensor, outputs: torch.Tensor):
    """The factor by which a rule multiplies the relevance of each output, by its definition.

    It is 1 but where there is nothing to distribute on: a neuron without positive contributions
    loses its relevance under z-plus, and one without negative ones doubles it under alpha-beta.
    """
    if not isinstance(module, nn.Conv2d):
        return through(outputs)
    plus, minus = signed_parts(module, inputs)
    if name == "lrp-epsilon-plus":
        return through(plus)
    if name == "lrp-alpha2-beta1":
        return 2 * through(plus) - through(minus)
    rest = torch.where(outputs > 0, plus * 1.25 + minus, plus + minus * 1.25)
    return torch.where(outputs == 0, 0.0, through(rest))


@pytest.mark.parametrize("name", ["lrp-epsilon-plus", "lrp-gamma-box", "lrp-alpha2-beta1"])
def test_relevance_is_conserved(unbiased, cat_and_coffee, name):
    """The pixels' relevance and what the rules withhold or add by definition sum to the logit."""
    inputs = cat_and_coffee.double()
    targets = unbiased.predict(inputs)
    logits = unbiased.module(inputs).gather(1, targets[:, None])[:, 0]
    withheld = torch.zeros_like(logits)
    first = next(m for m in unbiased.module.modules() if isinstance(m, nn.Conv2d))

    def watch(module: nn.Module, given: tuple[torch.Tensor], outputs: torch.Tensor) -> None:
        if name == "lrp-gamma-box" and module is first:
            return  # the z-B rule: its denominators are far from zero
        if isinstance(module, nn.ZeroPad2d):  # the z-B rule gives some to what is padded
            left, right, top, bottom = module.padding
            rows = slice(top, outputs.shape[2] - bottom)
            columns = slice(left, outputs.shape[3] - right)
            factor = torch.zeros_like(outputs)
            factor[:, :, rows, columns] = 1
        else:
            factor = handed_on(name, module, given[0].detach(), outputs.detach())

        def note(relevance: torch.Tensor) -> None:
            withheld.add_((relevance * (1 - factor)).flatten(1).sum(1))

        outputs.register_hook(note)

    kinds = nn.Conv2d | nn.Linear | Sum | nn.AdaptiveAvgPool2d | nn.ZeroPad2d
    for module in unbiased.module.modules():
        if isinstance(module, kinds):
            module.register_forward_hook(watch)
    maps = attribute(unbiased, inputs, targets, [name], [0, 1])[name]
    assert torch.allclose(maps.sum((1, 2)) + withheld, logits, rtol=1e-4)
    if name != "lrp-alpha2-beta1":  # the others hand on nearly everything
        nearly = 1e-4 if unbiased.spec == "squeezenet1_1" else 0.02
        assert torch.allclose(maps.sum((1, 2)), logits, rtol=nearly)


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


class Normalised(nn.Module):
    """One normalisation right after a convolution, one after a concatenation, one called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)
        self.conv2, self.norm2 = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(8)
        self.conv3, self.norm3 = nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8)
        self.fc = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm1(self.conv1(x)).relu()
        x = self.norm2(torch.cat([x, self.conv2(x)], dim=1)).relu()
        x = self.norm3(self.conv3(x)).relu()
        return self.fc(self.norm3(self.conv3(x)).mean((2, 3)))


def test_only_a_normalisation_of_a_convolutions_very_output_is_merged():
    module = Normalised().eval()
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


@pytest.mark.parametrize("name", ["resnet18", "densenet121"])
def test_lrp_is_defined_for_torchvisions_networks_with_normalisation(name):
    """DenseNet normalises concatenations: merging by neighbourhood would raise an error."""
    model = load_model(f"torchvision:{name}")
    bare = copy.deepcopy(model.module)
    for module in bare.modules():
        if getattr(module, "bias", None) is not None:
            module.bias.data.zero_()
    model = replace(model, module=bare)
    inputs = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    targets = model.predict(inputs)
    logit = bare(inputs)[0, targets[0]]
    maps = attribute(model, inputs, targets, ["lrp-epsilon-plus"], [0])["lrp-epsilon-plus"]
    assert float(maps.sum() / logit) == pytest.approx(1, abs=0.01)


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


@pytest.mark.parametrize("order", ["top-down", "bottom-up"])
def test_the_network_is_bit_identical_after_a_randomisation_test(shrunk, order):
    before, state = weights_sha256(shrunk.module), copy.deepcopy(shrunk.module.state_dict())
    photos = load_images("photos").select([0])
    context = Context(lambda: shrunk, lambda: photos, seed=0)
    methods = ["gradient", "guided-backprop", "lrp-epsilon-plus", "lrp-gamma-box"]
    chunks = EXPERIMENTS["randomization"].chunks(context, methods=methods, order=order, n_steps=2)
    table = pd.concat([chunk.compute() for chunk in chunks])
    assert weights_sha256(shrunk.module) == before
    after = shrunk.module.state_dict()
    assert all(torch.equal(state[name], after[name]) for name in state)
    whole = table[table["random_parameters"] > 0.999]
    assert set(whole["method"]) == set(methods)
    assert (whole["spearman"].abs() < 0.9).all(), "redrawing everything changes every map"
