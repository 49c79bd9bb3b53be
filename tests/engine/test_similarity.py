"""Similarities, masks and properties of maps against scikit-image, SciPy and loops."""

import numpy as np
import pytest
import scipy.stats
import torch
from skimage import feature
from skimage.metrics import structural_similarity

from sanitygap import similarity
from sanitygap.adebayo_metrics import Scaled, absolute_map, diverging_map, hog
from sanitygap.attribution import Sampling, attribute, unpooled
from sanitygap.chapters.adebayo.judge_definitions import ONE_VALUE_A_PIXEL
from sanitygap.chapters.gap.measure import focus, gini, mosaics, quadrant
from sanitygap.chapters.repairs.measure import mean_where, responsive, window_scores


def maps(seed: int, kind: str = "normal") -> torch.Tensor:
    """Three maps 31 x 40: smooth, heavy-tailed or with many ties."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(3, 31, 40))
    if kind == "heavy":
        values = rng.standard_t(2, size=(3, 31, 40))
    if kind == "ties":
        values = np.maximum(np.round(values, 1), 0)
    return torch.from_numpy(values.astype(np.float32))


@pytest.mark.parametrize("kind", ["normal", "heavy", "ties"])
@pytest.mark.parametrize("data_range", [1.0, 2.0, None])
@pytest.mark.parametrize("window", [5, 7, 11])
def test_ssim_equals_scikit_image(kind, data_range, window):
    a, b = (
        similarity.second_moment(maps(0, kind)),
        similarity.second_moment(maps(1, kind) + maps(0, kind)),
    )
    extent = similarity.joint_range(a, b) if data_range is None else data_range
    ours = similarity.ssim(a, b, extent, similarity.Window(window, window))
    for i in range(3):
        theirs = structural_similarity(
            a[i].double().numpy(),
            b[i].double().numpy(),
            win_size=window,
            data_range=float(extent[i]) if data_range is None else data_range,
        )
        assert float(ours[i]) == pytest.approx(theirs, abs=1e-5)


@pytest.mark.parametrize("kind", ["normal", "heavy", "ties"])
def test_ranks_and_correlations_equal_scipy(kind):
    a, b = maps(0, kind), maps(1, kind) + 0.5 * maps(0, kind)
    for i in range(3):
        x, y = a[i].flatten().numpy(), b[i].flatten().numpy()
        assert np.array_equal(similarity.ranks(a)[i].numpy(), scipy.stats.rankdata(x))
        assert float(similarity.spearman(a, b)[i]) == pytest.approx(
            scipy.stats.spearmanr(x, y)[0], abs=1e-5
        )
        assert float(similarity.pearson(a, b)[i]) == pytest.approx(
            scipy.stats.pearsonr(x.astype(float), y.astype(float))[0], abs=1e-5
        )


def test_second_moment_gives_mean_square_one_at_any_scale():
    for factor in (1e-25, 1.0, 1e25):
        normalized = similarity.second_moment(maps(0) * factor)
        assert torch.allclose(normalized.square().mean((1, 2)), torch.ones(3), rtol=1e-5)


def test_normalised_mse_is_two_minus_twice_the_uncentred_correlation():
    a, b = maps(0), maps(1)
    product = (similarity.second_moment(a) * similarity.second_moment(b)).mean((1, 2))
    assert torch.allclose(similarity.normalized_mse(a, b), 2 - 2 * product, atol=1e-6)


def test_zero_maps_give_nan_not_a_number_that_looks_good():
    a, zero = maps(0), torch.zeros(3, 31, 40)
    scores = similarity.Reference(a).compare(zero)
    assert all(torch.isnan(scores[name]).all() for name in ("ssim", "ssim_L1", "mse", "pearson"))
    assert torch.isnan(scores["spearman"]).all()


def test_reference_agrees_with_the_plain_functions():
    a, b = maps(0, "heavy"), maps(1, "heavy")
    scores = similarity.Reference(a).compare(b)
    x, y = similarity.second_moment(a), similarity.second_moment(b)
    ranges = {"ssim", "ssim_robust", "ssim_L1", "ssim_L2"}
    assert set(scores) == ranges | {"spearman", "pearson", "mse", "product", "means"}
    assert torch.allclose(scores["ssim"], similarity.ssim(x, y, similarity.joint_range(x, y)))
    assert torch.allclose(scores["ssim_L2"], similarity.ssim(x, y, 2.0))
    low = torch.minimum(
        *(v.flatten(1).quantile(0.0005, 1, interpolation="nearest") for v in (x, y))
    )
    high = torch.maximum(
        *(v.flatten(1).quantile(0.9995, 1, interpolation="nearest") for v in (x, y))
    )
    assert torch.allclose(scores["ssim_robust"], similarity.ssim(x, y, high - low), atol=1e-3)
    assert torch.allclose(scores["spearman"], similarity.spearman(a, b))
    assert torch.allclose(scores["pearson"], similarity.pearson(a, b), atol=1e-6)
    assert torch.allclose(scores["mse"], similarity.normalized_mse(a, b))


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_least_relevant_pixels_are_dropped_up_to_a_share_of_the_mass():
    relevance = torch.tensor([[[0.0, -1.0], [2.0, -7.0]]])
    expected = {
        0.0: [[False, True], [True, True]],  # the zero holds nothing
        0.05: [[False, True], [True, True]],  # 1 of 10 is too much
        0.1: [[False, False], [True, True]],
        0.25: [[False, False], [True, True]],
        0.5: [[False, False], [False, True]],
    }
    for threshold, mask in expected.items():
        assert responsive(relevance, threshold)[0].tolist() == mask, threshold


def test_mean_of_all_windows_is_the_score_of_the_randomisation_test():
    first, second = noise(3, 32, 40), noise(3, 32, 40, seed=1)
    second = second + 0.7 * first
    local = window_scores(first, second)
    assert local.shape == (3, 26, 34)
    expected = similarity.Reference(first).compare(second)["ssim"]
    torch.testing.assert_close(local.mean((1, 2)).float(), expected, atol=2e-6, rtol=0)
    everywhere = torch.ones(3, 32, 40, dtype=torch.bool)
    [(means, kept)] = mean_where(local, [everywhere])
    torch.testing.assert_close(means, local.mean((1, 2)))
    assert kept.tolist() == [1, 1, 1]


def test_means_equal_a_loop_over_windows():
    local, mask = noise(1, 5, 6).double(), noise(1, 11, 12, seed=2) > 0
    [(mean, kept)] = mean_where(local, [mask])
    chosen = [local[0, i, j] for i in range(5) for j in range(6) if mask[0, i + 3, j + 3]]
    assert mean.item() == pytest.approx(float(sum(chosen) / len(chosen)))
    assert kept.item() == pytest.approx(len(chosen) / 30)


def test_gini_is_half_the_relative_mean_difference():
    maps = torch.randn(3, 5, 6, generator=torch.Generator().manual_seed(0))
    for found, one in zip(gini(maps), maps, strict=True):
        x = one.abs().flatten().double().numpy()
        expected = np.abs(x[:, None] - x[None]).mean() / (2 * x.mean())
        assert float(found) == pytest.approx(expected)


@pytest.mark.parametrize("side", [24, 25])
def test_mosaics_show_the_image_in_its_quadrant(side):
    inputs = torch.arange(1.0, 6).view(5, 1, 1, 1).expand(5, 3, side, side)
    others = [torch.full_like(inputs, -number) for number in (1.0, 2.0, 3.0)]
    made = mosaics(inputs, others, shift=1)
    for number in range(5):
        for place in range(4):
            part = made[number][(slice(None), *quadrant(place, side, side))]
            assert torch.allclose(part, part.mean(), atol=1e-5)
            if place == (number + 1) % 4:
                assert float(part.mean()) == pytest.approx(number + 1)
        values = sorted(
            round(float(made[number][(0, *quadrant(place, side, side))].mean()))
            for place in range(4)
        )
        assert values == [-3, -2, -1, number + 1]


def test_focus_counts_positive_values_inside():
    maps = -torch.ones(4, 8, 8)
    for number in range(4):
        rows, columns = quadrant((number + 2) % 4, 8, 8)
        maps[number, rows, columns] = 1
    assert torch.equal(focus(maps, shift=2), torch.ones(4, dtype=torch.float64))
    assert torch.equal(focus(maps, shift=3), torch.zeros(4, dtype=torch.float64))
    assert torch.allclose(focus(torch.ones(3, 8, 8)), torch.full((3,), 0.25).double())
    assert focus(-torch.ones(1, 8, 8)).isnan().all()


def doubles(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def skimage_hog(values: np.ndarray) -> np.ndarray:
    return feature.hog(values, pixels_per_cell=(16, 16))


@pytest.mark.parametrize("size", [(48, 48), (70, 95), (224, 224)])
def test_hog_equals_scikit_image(size):
    noise = doubles(0, 2, *size)
    smooth = noise.cumsum(1).cumsum(2)
    for values in (noise, smooth, noise.round(), torch.zeros(2, *size)):
        expected = np.stack([skimage_hog(one.numpy().astype(np.float64)) for one in values])
        # scikit-image sums in single precision
        np.testing.assert_allclose(hog(values).numpy(), expected, atol=2e-6)


def test_ssim_of_scaled_maps_equals_scikit_image():
    a, b = doubles(1, 2, 40, 50).sigmoid(), doubles(2, 2, 40, 50).sigmoid()
    b = (a + b) / 2
    found = Scaled(a).compare(Scaled(b))
    for number in range(2):
        pair = a[number].numpy(), b[number].numpy()
        flat = structural_similarity(*pair, win_size=5, data_range=2.0)
        round_ = structural_similarity(*pair, gaussian_weights=True, sigma=1.5, data_range=2.0)
        assert found["ssim"][number].item() == pytest.approx(flat, abs=1e-9)
        assert found["ssim_gaussian"][number].item() == pytest.approx(round_, abs=1e-9)


def test_scalings_against_numpy():
    values = doubles(7, 2, 3, 20, 30)
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
