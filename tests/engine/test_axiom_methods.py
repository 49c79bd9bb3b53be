"""FullGrad, IBA, extremal perturbation and DeepSHAP against their defining properties."""

import pytest
import torch
from torch import nn
from torch.distributions import Normal, kl_divergence

from sanitygap.attribution import attribute, extremal, iba
from sanitygap.attribution.deeplift import noise_baselines
from sanitygap.attribution.fullgrad import full_gradients
from sanitygap.attribution.method import Request
from sanitygap.errors import UsageError
from sanitygap.models.explainable import Explainable, Preprocessing


class Biased(nn.Module):
    """Convolutions with biases, batch normalisation, ReLU6 and a ReLU that works in place."""

    def __init__(self, smooth: bool = False) -> None:
        super().__init__()
        torch.manual_seed(11)
        self.first, self.norm = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.clip = nn.SiLU() if smooth else nn.ReLU6()
        self.second, self.relu = nn.Conv2d(8, 10, 3, stride=2), nn.ReLU(inplace=True)
        self.pool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(10, 4)
        with torch.no_grad():
            self.norm.running_mean.normal_()
            self.norm.running_var.uniform_(0.02, 0.1)  # large values, so that ReLU6 saturates
            self.norm.weight.normal_()
            self.norm.bias.normal_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.clip(self.norm(self.first(x)))
        return self.fc(self.pool(self.relu(self.second(x))).flatten(1))


def explainable(module: nn.Module, size: int = 24) -> Explainable:
    module.eval().requires_grad_(False)
    return Explainable("small", module, Preprocessing(size=size, resize=size), ())


def request(model: Explainable, count: int = 3) -> Request:
    torch.manual_seed(2)
    size = model.preprocessing.size
    targets = torch.arange(count) % 4
    return Request(model, torch.randn(count, 3, size, size), targets, tuple(range(count)))


def test_full_gradients_sum_to_the_logit():
    asked = request(explainable(Biased()))
    assert (asked.model.module.norm(asked.model.module.first(asked.inputs)) > 6).any()
    of_input, of_biases = full_gradients(asked)
    total = sum(part.flatten(1).sum(1) for part in (of_input, *of_biases))
    logits = asked.model.module(asked.inputs).gather(1, asked.targets[:, None])[:, 0]
    assert torch.allclose(total, logits, rtol=1e-4, atol=1e-4)
    without = of_input.flatten(1).sum(1)
    assert not torch.allclose(without, logits, rtol=1e-2, atol=1e-2)


def test_full_gradients_refuse_what_is_not_piecewise_linear():
    with pytest.raises(UsageError, match="piecewise linear"):
        full_gradients(request(explainable(Biased(smooth=True))))


def test_information_is_the_divergence_of_the_two_normal_distributions():
    mask = torch.tensor([0.0, 0.1, 0.5, 0.9])
    standardised = torch.tensor([1.5, -2.0, 0.3, 4.0])
    expected = kl_divergence(Normal(mask * standardised, 1 - mask), Normal(0.0, 1.0))
    assert torch.allclose(iba.information(mask, standardised), expected, atol=1e-5)
    assert float(iba.information(mask[:1], standardised[:1])) == 0.0


class Branching(Biased):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.clip(self.norm(self.first(x)))
        return self.fc(self.pool(self.relu(self.second(h))).flatten(1)) + h.mean((1, 2, 3))[:, None]


def test_what_lies_above_a_layer_is_the_network_itself_and_a_bypass_is_refused():
    asked = request(explainable(Biased()))
    features = iba.feature_maps(asked.model, asked.inputs, "second")
    logits = iba.logits_above(asked.model, features, "second", 24)
    assert torch.allclose(logits, asked.model.module(asked.inputs), atol=1e-5)
    bypassed = request(explainable(Branching()))
    features = iba.feature_maps(bypassed.model, bypassed.inputs, "second")
    with pytest.raises(UsageError, match="bottleneck"):
        iba.logits_above(bypassed.model, features, "second", 24)


class Spot(nn.Module):
    """Class 1 is the red of the image, class 0 is constant."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 2, 1)
        self.pool = nn.AdaptiveAvgPool2d(1)
        with torch.no_grad():
            self.layer.weight.zero_()
            self.layer.weight[1, 0], self.layer.weight[0, 1] = 40.0, 0.0
            self.layer.bias.zero_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.pool(self.layer(x)).flatten(1)


def spotted(scale: int = 1) -> tuple[Explainable, torch.Tensor, torch.Tensor]:
    side = 42 * scale
    model = explainable(Spot(), side)
    where = (slice(7 * scale, 21 * scale), slice(21 * scale, 35 * scale))
    image = torch.zeros(2, 3, side, side)
    image[:, 0, where[0], where[1]] = 4.0
    inside = torch.zeros(side, side, dtype=torch.bool)
    inside[where] = True
    return model, image, inside


def test_information_lies_where_the_class_is():
    model, image, inside = spotted()
    maps = attribute(model, image, torch.tensor([1, 1]), ["iba@layer"], [0, 1])["iba@layer"]
    assert maps.shape == (2, 42, 42)
    assert (maps >= -1e-4).all()
    assert (maps[:, inside].mean(1) > 1.5 * maps[:, ~inside].mean(1)).all()
    assert not torch.equal(maps[0], maps[1])  # the noise is drawn for each image


def test_extremal_masks_have_their_area_and_cover_the_class():
    model, image, inside = spotted(3)
    asked = Request(model, image, torch.tensor([1, 1]), (0, 1))
    masks = extremal.extremal_masks(asked, area=0.111, steps=100)[:, 0]
    assert masks.shape == (2, 126, 126)
    assert (masks >= 0).all()
    assert (masks <= 1).all()
    assert masks.mean((1, 2)).tolist() == pytest.approx([0.111, 0.111], abs=0.03)
    assert (masks[:, inside].mean(1) > masks[:, ~inside].mean(1) + 0.5).all()


def test_deepshap_of_a_linear_network_is_the_weighted_distance_from_the_mean_baseline():
    torch.manual_seed(1)
    linear = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 4))
    model = explainable(linear, 8)
    asked = request(model, 2)
    found = attribute(model, asked.inputs, asked.targets, ["deepshap"], [0, 1])["deepshap"]
    mean = noise_baselines(asked).mean(0)
    weights = linear[1].weight[asked.targets].view(2, 3, 8, 8)
    assert torch.allclose(found, (weights * (asked.inputs - mean)).sum(1), atol=1e-4)
