"""Class activation maps, masks, surrogates and references against captum and closed forms."""

import captum.attr
import numpy as np
import pytest
import torch
from sklearn.linear_model import Lasso
from torch import nn
from torch.distributions import Normal, kl_divergence

from sanitygap.attribution import Sampling, attribute, extremal, iba, references
from sanitygap.attribution.cam import last_spatial_layer
from sanitygap.attribution.deeplift import noise_baselines
from sanitygap.attribution.fullgrad import full_gradients
from sanitygap.attribution.method import Request
from sanitygap.attribution.surrogate import PENALTY, superpixels
from sanitygap.errors import UsageError
from sanitygap.models.explainable import Explainable, Preprocessing
from sanitygap.models.stages import untrained
from sanitygap.seeds import generator, stable_seed
from tests.cases import cases
from tests.conftest import Net, make_explainable
from tests.engine.maps import KEYS, TARGETS, close, maps_of


def pooled_net() -> Net:
    """Feature maps, global average pooling and a linear head, as class activation maps need."""
    torch.manual_seed(2)
    body = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.ReLU(inplace=True), nn.Conv2d(6, 4, 3), nn.ReLU(inplace=True)
    )
    return Net(
        lambda net, x: net.head(net.pool(net.body(x)).flatten(1)),
        body=body, pool=nn.AdaptiveAvgPool2d(1), head=nn.Linear(4, 5),
    )  # fmt: skip


@pytest.fixture
def pooled() -> Explainable:
    return make_explainable(pooled_net())


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
    net = pooled_net().double()
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


@pytest.mark.parametrize(("name", "layer"), cases("last layers"))
def test_default_layer_is_the_last_before_the_pooling(name, layer):
    """Without weights: the layers that are known as these networks' last feature maps."""
    module = untrained(name)
    model = Explainable(name, module, None, ())  # type: ignore[arg-type]
    size = 299 if name == "inception_v3" else 224
    example = torch.zeros(1, 3, size, size, device="meta")
    assert last_spatial_layer(model, example) == layer


def test_bare_skip_in_place_is_inside_the_map(inputs):
    """The block's output counts, not that of the convolution whose tensor it was added to."""

    def add_in_place(net: Net, x: torch.Tensor) -> torch.Tensor:
        out = net.conv(x)
        out += x
        return out

    torch.manual_seed(4)
    block = Net(add_in_place, conv=nn.Conv2d(3, 3, 3, padding=1))
    net = nn.Sequential(block, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 5))
    model = make_explainable(net)
    expected = torch.einsum("nc,nchw->nhw", net[3].weight[TARGETS], net[0](inputs)) / 24**2
    assert close(maps_of(model, inputs, "grad-cam")["grad-cam"], expected.clamp_min(0))


def reused(net: Net, x: torch.Tensor) -> torch.Tensor:
    """One activation called twice, and a part that does not feed the logits."""
    net.act(net.side(x))
    return net.fc(net.act(net.conv(x)).mean((2, 3)))


@pytest.mark.parametrize(("name", "message"), cases("layers"))
def test_unusable_layers_are_refused(inputs, name, message):
    parts = {"conv": nn.Conv2d(3, 4, 3), "side": nn.Conv2d(3, 4, 3), "act": nn.ReLU()}
    model = make_explainable(Net(reused, **parts, fc=nn.Linear(4, 5)))
    with pytest.raises(UsageError, match=message):
        maps_of(model, inputs, name)


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


def spot() -> nn.Module:
    """Class 1 is the red of the image, class 0 is constant."""
    net = nn.Sequential()
    net.add_module("layer", nn.Conv2d(3, 2, 1, bias=False))
    net.extend([nn.AdaptiveAvgPool2d(1), nn.Flatten()])
    with torch.no_grad():
        net.layer.weight.zero_()
        net.layer.weight[1, 0] = 40.0
    return net


def spotted(scale: int = 1) -> tuple[Explainable, torch.Tensor, torch.Tensor]:
    side = 42 * scale
    model = explainable(spot(), side)
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


@pytest.fixture
def sums():
    """Logits that are weighted sums of the pixels: what a part adds is known."""
    torch.manual_seed(3)
    fc = nn.Linear(3 * 24 * 24, 5)
    fc.weight.data *= 50  # else the penalty of the Lasso counts
    return make_explainable(Net(lambda net, x: net.fc(x.flatten(1)), fc=fc))


# ---- LIME


def test_lime_is_a_weighted_lasso_of_masked_logits(sums, inputs):
    image, samples = inputs[:1], 30
    found = maps_of(sums, image, f"lime@{samples}")[f"lime@{samples}"][0]
    picture = sums.preprocessing.to_rgb(image)[0].permute(1, 2, 0).numpy()
    segments = superpixels(np.ascontiguousarray(picture, dtype=np.float32))
    count = segments.max() + 1
    source = generator(stable_seed(KEYS[0], "lime"))
    rows, logits, weights = [], [], []
    for _ in range(samples):
        mask = (torch.rand(1, count, generator=source) < 0.5).float()[0]
        shown = image * mask[torch.from_numpy(segments)]
        rows.append(mask.numpy())
        logits.append(float(sums.module(shown)[0, 0]))
        cosine = torch.cosine_similarity(image.flatten(), shown.flatten(), dim=0)
        weights.append(np.exp(-(float(1 - cosine) ** 2) / 2))
    scale = np.std(logits)
    lasso = Lasso(alpha=PENALTY, max_iter=10_000)
    expected = scale * lasso.fit(rows, logits / scale, sample_weight=weights).coef_[segments]
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-3)
    assert np.abs(expected).max() > 0


def test_lime_scales_with_the_logits(sums, inputs):
    found = maps_of(sums, inputs[:1], "lime@20")["lime@20"]
    for part in sums.module.parameters():
        part.data *= 1e-4
    small = maps_of(sums, inputs[:1], "lime@20")["lime@20"]
    torch.testing.assert_close(small, 1e-4 * found, atol=1e-7, rtol=1e-2)
    assert float(small.abs().max()) > 0


# ---- occlusion and masks


def test_occlusion_against_a_naive_loop(small, inputs):
    found = maps_of(small, inputs[:2], "occlusion")["occlusion"]
    size, window, step = 24, round(24 / 5), round(24 / 10)
    starts = sorted({*range(0, size - window, step), size - window})
    for image in range(2):
        total, covered = torch.zeros(size, size), torch.zeros(size, size)
        full = small.module(inputs[image : image + 1])[0, TARGETS[image]]
        for top in starts:
            for left in starts:
                hidden = inputs[image : image + 1].clone()
                hidden[:, :, top : top + window, left : left + window] = 0
                loss = full - small.module(hidden)[0, TARGETS[image]]
                total[top : top + window, left : left + window] += loss
                covered[top : top + window, left : left + window] += 1
        assert (covered > 0).all()
        torch.testing.assert_close(found[image], total / covered, atol=1e-5, rtol=1e-4)


def corner(_: Net, x: torch.Tensor) -> torch.Tensor:
    """A logit that looks at one corner only."""
    seen = (x[:, :, :5, :5] - x.mean((2, 3), keepdim=True)).square().mean((1, 2, 3))
    return torch.stack([5 * seen, *[torch.zeros_like(seen)] * 4], 1)


def test_a_learned_mask_hides_what_the_network_sees():
    model = make_explainable(Net(corner))
    torch.manual_seed(0)
    image = torch.randn(1, 3, 24, 24)
    [found] = attribute(model, image, torch.tensor([0]), ["perturbation-mask@100"], [0]).values()
    assert found.shape == (1, 24, 24)
    assert 0 <= float(found.min()) <= float(found.max()) <= 1
    assert found[0, :4, :4].mean() > 0.1 + 3 * found[0, 12:, 12:].mean()


# ---- captum's twins


# ---- references


def request_of(model, inputs, points=4):
    return Request(model, inputs, TARGETS[: len(inputs)], tuple(KEYS), Sampling(points), 5)


def test_the_zero_reference_is_the_method_itself(small, inputs):
    request = request_of(small, inputs)
    own = maps_of(small, inputs, "integrated-gradients", "deeplift", sampling=Sampling(4))
    torch.testing.assert_close(
        references.path_from(request, "zero"), own["integrated-gradients"], atol=1e-5, rtol=1e-4
    )
    torch.testing.assert_close(
        references.deeplift_from(request, "zero"), own["deeplift"], atol=1e-5, rtol=1e-4
    )


@pytest.mark.parametrize("name", list(references.REFERENCES))
def test_maps_from_any_reference_are_complete(small, inputs, name):
    request = request_of(small, inputs[:2], points=200)
    for number in range(2):
        image = inputs[number : number + 1]
        start = references.REFERENCES[name](request, image, number)
        low, high = small.preprocessing.bounds()
        if name in ("uniform", "Gaussian", "maximum distance"):
            assert (start >= low - 1e-5).all()
            assert (start <= high + 1e-5).all()
        change = small.module(image) - small.module(start)
        change = float(change[0, TARGETS[number]])
        for found in (
            references.path_from(request, name), references.deeplift_from(request, name),
        ):  # fmt: skip
            assert float(found[number].sum()) == pytest.approx(change, rel=0.01, abs=2e-3)
