"""The scalings and similarities of Adebayo et al. (2018), against scikit-image, scipy, numpy."""

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr, spearmanr
from skimage import feature
from skimage.metrics import structural_similarity

from sanitygap.adebayo_metrics import Scaled, absolute_map, diverging_map, hog
from sanitygap.attribution import Sampling, attribute, unpooled
from sanitygap.chapters.adebayo.judge_definitions import ONE_VALUE_A_PIXEL


def maps(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def skimage_hog(values: np.ndarray) -> np.ndarray:
    return feature.hog(values, pixels_per_cell=(16, 16))


@pytest.mark.parametrize("size", [(48, 48), (70, 95), (224, 224)])
def test_hog_equals_scikit_image(size):
    noise = maps(0, 2, *size)
    smooth = noise.cumsum(1).cumsum(2)
    for values in (noise, smooth, noise.round(), torch.zeros(2, *size)):
        expected = np.stack([skimage_hog(one.numpy().astype(np.float64)) for one in values])
        # scikit-image sums in single precision
        np.testing.assert_allclose(hog(values).numpy(), expected, atol=2e-6)


def test_ssim_equals_scikit_image():
    a, b = maps(1, 2, 40, 50).sigmoid(), maps(2, 2, 40, 50).sigmoid()
    b = (a + b) / 2
    found = Scaled(a).compare(Scaled(b))
    for number in range(2):
        pair = a[number].numpy(), b[number].numpy()
        flat = structural_similarity(*pair, win_size=5, data_range=2.0)
        round_ = structural_similarity(*pair, gaussian_weights=True, sigma=1.5, data_range=2.0)
        assert found["ssim"][number].item() == pytest.approx(flat, abs=1e-9)
        assert found["ssim_gaussian"][number].item() == pytest.approx(round_, abs=1e-9)


def test_correlations_of_maps_and_of_hog_features():
    a, b = maps(3, 2, 64, 64), maps(4, 2, 64, 64)
    found = Scaled(a).compare(Scaled(b))
    for number in range(2):
        first, second = a[number].numpy(), b[number].numpy()
        rank = spearmanr(first.ravel(), second.ravel()).statistic
        assert found["spearman"][number].item() == pytest.approx(rank, abs=1e-6)
        features = skimage_hog(first), skimage_hog(second)
        linear = pearsonr(*features).statistic
        assert found["hog_pearson"][number].item() == pytest.approx(linear, abs=1e-6)
        ranked = spearmanr(*features).statistic
        assert found["hog_spearman"][number].item() == pytest.approx(ranked, abs=1e-3)


def test_scalings_against_numpy():
    values = maps(7, 2, 3, 20, 30)
    absolute, diverging = absolute_map(values), diverging_map(values)
    for number in range(2):
        summed = np.abs(values[number].numpy()).sum(0)
        low, high = summed.min(), np.percentile(summed, 99)
        expected = np.clip((summed - low) / (high - low), 0, 1)
        np.testing.assert_allclose(absolute[number], expected, atol=1e-12)
        signed = values[number].numpy().sum(0)
        extent = abs(np.percentile(signed, 99))
        expected = np.clip((signed + extent) / (2 * extent), 0, 1)
        np.testing.assert_allclose(diverging[number], expected, atol=1e-12)


METHODS_OF_THE_PAPER = (
    "gradient", "gradient-x-input", "guided-backprop", "grad-cam", "integrated-gradients",
    "smoothgrad", "vargrad", "deeplift", "lrp-epsilon", "lrp-epsilon-plus",
)  # fmt: skip


def test_unpooled_values_sum_to_the_maps(small, inputs):
    names = [*METHODS_OF_THE_PAPER, "guided-grad-cam", "edges", "noise"]
    targets, keys, sampling = torch.tensor([0, 1, 2, 3]), range(4), Sampling(4, 4)
    summed = attribute(small, inputs, targets, names, keys, sampling)
    values = unpooled(small, inputs, targets, names, keys, sampling)
    assert list(values) == names
    for name in names:
        wanted = 1 if name in ONE_VALUE_A_PIXEL else 3
        assert values[name].shape == (4, wanted, 24, 24), name
        assert torch.allclose(values[name].sum(1), summed[name], atol=1e-5), name
