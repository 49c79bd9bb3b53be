"""A little of what ``make torture`` does a lot of."""

import pytest

from tests import torture

pytestmark = pytest.mark.xdist_group("torture")


def test_killed_computations_lose_nothing():
    seen = torture.killed_computations(2, seed=1)
    assert seen["kills"] == 2
    assert not any(seen[name] for name in ("lost", "orphans", "temporary", "traceback")), seen


def test_nothing_outlives_a_killed_execution():
    seen = torture.killed_executions(2, seed=3)
    assert not any(seen[name] for name in ("orphans", "written", "temporary", "traceback")), seen


def test_a_flipped_bit_is_never_read_as_a_number():
    seen = torture.flipped_bits(10, seed=2)
    assert seen["flips"] == seen["mended"] + seen["refused"] == 10, seen
