"""Where LRP's relevance goes."""

import numpy as np
import pytest

from sanitygap.chapters.attribution_maps.measure import METHODS
from sanitygap.chapters.attribution_maps.show import relevance_sums
from tests.tables import measure, tiny_context


@pytest.fixture(scope="module")
def context(folder):
    return tiny_context(folder, 3)


@pytest.fixture(scope="module")
def flow(context):
    return measure("relevance-flow", context)


def test_it_starts_with_1_and_adds_up_to_1(flow):
    first = flow[flow["depth"] == 1]
    np.testing.assert_allclose(first["entered"], 1, atol=1e-5)
    sums = relevance_sums(flow)
    np.testing.assert_allclose(sums["total"], 1, atol=1e-4)
    assert len(sums) == 3 * len(METHODS)
    biases = sums.index.get_level_values("method").str.endswith("@biases")
    assert (sums["pixels"][biases] < 0.99).any()  # this network has biases
