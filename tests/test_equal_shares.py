"""Scores of a randomisation order as a mean over the share of random parameters."""

import pandas as pd
import pytest

from sanitygap.scores import scores_at_equal_shares


def rows(points: dict[float, float], image: str = "i", method: str | None = "m", seed: int = 0):
    made = [
        {"image": image, "seed": seed, "random_parameters": share, "ssim": value}
        | ({"method": method} if method else {})
        for share, value in points.items()
    ]
    return pd.DataFrame(made)


@pytest.mark.parametrize(
    ("points", "start", "expected"),
    [
        ({1.0: 0.0}, 0.0, 0.5),  # from 1 at no random parameter in a straight line
        ({1.0: 0.0}, 0.5, 0.25),
        ({0.5: 0.2, 1.0: 0.2}, 0.5, 0.2),
        ({0.5: 0.2, 1.0: 0.2}, 0.0, 0.5 * 0.6 + 0.5 * 0.2),
        ({0.25: 0.6, 1.0: 0.0}, 0.25, 0.3),
        ({0.01: 0.0, 1.0: 0.0}, 0.01, 0.0),
    ],
)
def test_mean_over_shares_by_hand(points, start, expected):
    scores = scores_at_equal_shares(rows(points), "ssim", start)
    assert scores.loc["i", "m"] == pytest.approx(expected)
