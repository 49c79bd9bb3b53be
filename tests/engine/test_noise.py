"""Noise that is added to maps, noise that is found in them, and the controls made of it."""

import numpy as np
import pytest
import torch

from sanitygap.attribution import attribute
from sanitygap.chapters.theorem_1.measure import autocorrelation, mixture

KEYS = [11, 22, 33, 44]


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
