"""Theorem 1: closed forms against naive references, its conditions, its criteria."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sanitygap.chapters.theorem_1 import judge as criteria
from sanitygap.claims import CriterionContext
from sanitygap.judge import RANGES
from sanitygap.theory import theorem_1

MEANS = st.floats(-5, 5)
SPREADS = st.floats(0.01, 5)
CORRELATIONS = st.floats(0, 1)


def naive_ssim(a: np.ndarray, b: np.ndarray, data_range: float) -> float:
    """Eq. (1) of one patch, one pixel at a time."""
    n = len(a)
    mean_a, mean_b = sum(a) / n, sum(b) / n
    variance_a = sum((x - mean_a) ** 2 for x in a) / (n - 1)
    variance_b = sum((x - mean_b) ** 2 for x in b) / (n - 1)
    covariance = sum((x - mean_a) * (y - mean_b) for x, y in zip(a, b, strict=True)) / (n - 1)
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    first = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    return first * (2 * covariance + c2) / (variance_a + variance_b + c2)


@pytest.mark.parametrize("data_range", [1.0, 2.0, 255.0])
def test_batched_ssim_equals_naive_ssim(data_range):
    rng = np.random.default_rng(1)
    a, b = rng.normal(0.3, 1, (2, 4, 25))
    got = theorem_1.ssim(theorem_1.PatchMoments.of(a, b), data_range)
    want = [naive_ssim(x, y, data_range) for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(got, want, rtol=1e-12)


@given(MEANS, MEANS, SPREADS, SPREADS, CORRELATIONS, st.floats(0.1, 255))
def test_theorem_1_within_its_conditions(mean_a, mean_b, sd_a, sd_b, correlation, data_range):
    def value(covariance: float) -> float:
        moments = theorem_1.PatchMoments(mean_a, mean_b, sd_a**2, sd_b**2, covariance)
        return abs(float(theorem_1.ssim(moments, data_range)))

    at_zero, limit = value(0.0), float(theorem_1.bound(sd_a**2, sd_b**2, data_range))
    assert at_zero <= value(correlation * sd_a * sd_b) + 1e-12
    assert at_zero <= limit + 1e-12


def test_shuffled_estimate_averages_ssim_over_permutations():
    """The exact identity behind `E[SSIM], shuffled`, on all permutations of a small patch."""
    from itertools import permutations

    rng = np.random.default_rng(4)
    a, b = rng.normal(0.4, 0.2, (2, 5))
    values = [naive_ssim(a, np.array(p), 1.0) for p in permutations(b)]
    moments = theorem_1.PatchMoments.of(a, b)
    want = theorem_1.luminance(moments) * theorem_1.bound(moments.variance_a, moments.variance_b)
    assert np.mean(values) == pytest.approx(float(want), abs=1e-12)


# --- criteria ---------------------------------------------------------------------------------


CONTEXT = CriterionContext("squeezenet1_1", "photos", 12)


METHODS = ("gradient", "guided-backprop", "lrp-epsilon-plus", "noise", "smoothgrad")


def randomization(gap: float, noise: float = 0.01, images: int = 12) -> pd.DataFrame:
    """Three methods; under L = 2 the first is `gap` below the second, else 0.1 above it.

    The control and the method that is not in Fig. 2 change places with others all the time.
    """
    rng = np.random.default_rng(11)
    rows = []
    for image in range(images):
        for method, level in zip(METHODS, (0.5, 0.4, 0.1, 0.0, 0.45), strict=True):
            scores = {name: level + noise * rng.normal() for name in RANGES}
            if method == "gradient":
                scores["ssim_L2"] -= 0.1 + gap
            if method in ("noise", "smoothgrad"):
                scores["ssim_L1"] = 0.9 if method == "noise" else 0.0
            rows.append(
                {"image": image, "method": method, "sign": "signed", "order": "top-down", "step": 1,
                 "seed": 0, **scores}
            )  # fmt: skip
    return pd.DataFrame(rows)


def test_data_range_criterion(tables_of):
    name = "theorem-1-data-range"
    real = randomization(-0.1)
    tables = tables_of(name) | {"randomization": real, "randomization-seeds": real.iloc[:0]}
    tables[name]["standard_error"] = 1e-6
    verdict = criteria.data_range(tables, CONTEXT)
    assert verdict.value == "under-specified"
    assert verdict.reason
    tables[name]["standard_error"] = 1.0
    assert criteria.data_range(tables, CONTEXT).value == "undecided"
    order = {method: i for i, method in enumerate(tables[name]["method"].unique())}
    tables[name]["estimate"] = tables[name]["method"].map(order)
    assert criteria.data_range(tables, CONTEXT).value == "direction"


def test_real_maps_decide_about_the_data_range(tables_of):
    name = "theorem-1-data-range"
    tables = tables_of(name)
    order = {method: i for i, method in enumerate(tables[name]["method"].unique())}
    tables[name]["estimate"] = tables[name]["method"].map(order)  # no reversal in simulated maps

    tables["randomization"] = randomization(0.1)
    tables["randomization-seeds"] = tables["randomization"].iloc[:0]
    verdict = criteria.data_range(tables, CONTEXT)
    assert verdict.value == "under-specified"
    assert verdict.numbers["reversals"] == 1
    assert "gradient against guided-backprop for ssim_L2" in verdict.evidence

    tables["randomization"] = randomization(0.02, noise=0.2)  # a reversal that chance can make
    verdict = criteria.data_range(tables, CONTEXT)
    assert verdict.value == "undecided"
    assert verdict.numbers["lowest_tau"] < 1

    # more draws, in which L decides, than the one in which it does not
    tables["randomization"] = randomization(-0.1)
    more = [randomization(0.1).assign(seed=seed) for seed in (1, 2, 3, 4)]
    tables["randomization-seeds"] = pd.concat(more)
    verdict = criteria.data_range(tables, CONTEXT)
    assert verdict.numbers["reversals"] == 1
    assert "(5 seeds)" in verdict.evidence
