"""LIME, occlusion, masks, captum's twins and other references, against independent truth."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Lasso
from torch import nn

from sanitygap.attribution import Request, Sampling, attribute, references
from sanitygap.attribution.surrogate import PENALTY, superpixels
from sanitygap.seeds import generator, stable_seed
from tests.conftest import make_explainable

TARGETS = torch.tensor([0, 1, 2, 3])
KEYS = [11, 12, 13, 14]


def maps_of(model, inputs, *names, sampling=None, keys=KEYS):
    count = len(inputs)
    return attribute(model, inputs, TARGETS[:count], names, keys[:count], sampling)


class Sums(nn.Module):
    """Logits that are weighted sums of the pixels: what a part adds is known."""

    def __init__(self, size: int = 24) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.fc = nn.Linear(3 * size * size, 5)
        self.fc.weight.data *= 50  # else the penalty of the Lasso counts

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x.flatten(1))


@pytest.fixture
def sums():
    return make_explainable(Sums())


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


class Corner(nn.Module):
    """A logit that looks at one corner only."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        corner = (x[:, :, :5, :5] - x.mean((2, 3), keepdim=True)).square().mean((1, 2, 3))
        return torch.stack([5 * corner, *[torch.zeros_like(corner)] * 4], 1)


def test_a_learned_mask_hides_what_the_network_sees():
    model = make_explainable(Corner())
    torch.manual_seed(0)
    image = torch.randn(1, 3, 24, 24)
    [found] = attribute(model, image, torch.tensor([0]), ["perturbation-mask@100"], [0]).values()
    assert found.shape == (1, 24, 24)
    assert 0 <= float(found.min()) <= float(found.max()) <= 1
    assert found[0, :4, :4].mean() > 0.1 + 3 * found[0, 12:, 12:].mean()


# ---- captum's twins


def with_activation(kind):
    torch.manual_seed(2)
    return make_explainable(
        nn.Sequential(
            nn.Conv2d(3, 6, 3), kind(), nn.Conv2d(6, 6, 3), kind(), nn.AdaptiveAvgPool2d(2),
            nn.Flatten(), nn.Linear(24, 5),
        )
    )  # fmt: skip


TWINS = ("guided-backprop", "guided-grad-cam", "deeplift")


@pytest.mark.parametrize("name", TWINS)
def test_twins_agree_where_captum_can_hook(name, inputs):
    model = with_activation(nn.ReLU)
    found = maps_of(model, inputs, name, f"captum-{name}")
    torch.testing.assert_close(found[name], found[f"captum-{name}"], atol=1e-5, rtol=1e-4)


def test_twins_are_the_gradient_where_captum_cannot_hook(inputs):
    model = with_activation(nn.ReLU6)
    names = ["gradient", "gradient-x-input", "guided-backprop", "deeplift"]
    found = maps_of(model, inputs, *names, "captum-guided-backprop", "captum-deeplift")
    assert torch.equal(found["captum-guided-backprop"], found["gradient"])
    torch.testing.assert_close(found["captum-deeplift"], found["gradient-x-input"])
    assert not torch.allclose(found["guided-backprop"], found["gradient"], atol=1e-3)
    assert not torch.allclose(found["deeplift"], found["gradient-x-input"], atol=1e-4)


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
