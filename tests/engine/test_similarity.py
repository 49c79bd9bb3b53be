"""Similarities against scikit-image and SciPy."""

import numpy as np
import pytest
import scipy.stats
import torch
from skimage.metrics import structural_similarity

from sanitygap.similarity import (
    Reference,
    Window,
    joint_range,
    normalized_mse,
    pearson,
    ranks,
    second_moment,
    spearman,
    ssim,
)


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
    a, b = second_moment(maps(0, kind)), second_moment(maps(1, kind) + maps(0, kind))
    extent = joint_range(a, b) if data_range is None else data_range
    ours = ssim(a, b, extent, Window(window, window))
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
        assert np.array_equal(ranks(a)[i].numpy(), scipy.stats.rankdata(x))
        assert float(spearman(a, b)[i]) == pytest.approx(scipy.stats.spearmanr(x, y)[0], abs=1e-5)
        assert float(pearson(a, b)[i]) == pytest.approx(
            scipy.stats.pearsonr(x.astype(float), y.astype(float))[0], abs=1e-5
        )


def test_second_moment_gives_mean_square_one_at_any_scale():
    for factor in (1e-25, 1.0, 1e25):
        normalized = second_moment(maps(0) * factor)
        assert torch.allclose(normalized.square().mean((1, 2)), torch.ones(3), rtol=1e-5)


def test_normalised_mse_is_two_minus_twice_the_uncentred_correlation():
    a, b = maps(0), maps(1)
    product = (second_moment(a) * second_moment(b)).mean((1, 2))
    assert torch.allclose(normalized_mse(a, b), 2 - 2 * product, atol=1e-6)


def test_zero_maps_give_nan_not_a_number_that_looks_good():
    a, zero = maps(0), torch.zeros(3, 31, 40)
    scores = Reference(a).compare(zero)
    assert all(torch.isnan(scores[name]).all() for name in ("ssim", "ssim_L1", "mse", "pearson"))
    assert torch.isnan(scores["spearman"]).all()


def test_reference_agrees_with_the_plain_functions():
    a, b = maps(0, "heavy"), maps(1, "heavy")
    scores = Reference(a).compare(b)
    x, y = second_moment(a), second_moment(b)
    ranges = {"ssim", "ssim_robust", "ssim_L1", "ssim_L2"}
    assert set(scores) == ranges | {"spearman", "pearson", "mse", "product", "means"}
    assert torch.allclose(scores["ssim"], ssim(x, y, joint_range(x, y)))
    assert torch.allclose(scores["ssim_L2"], ssim(x, y, 2.0))
    low = torch.minimum(
        *(v.flatten(1).quantile(0.0005, 1, interpolation="nearest") for v in (x, y))
    )
    high = torch.maximum(
        *(v.flatten(1).quantile(0.9995, 1, interpolation="nearest") for v in (x, y))
    )
    assert torch.allclose(scores["ssim_robust"], ssim(x, y, high - low), atol=1e-3)
    assert torch.allclose(scores["spearman"], spearman(a, b))
    assert torch.allclose(scores["pearson"], pearson(a, b), atol=1e-6)
    assert torch.allclose(scores["mse"], normalized_mse(a, b))
