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


def test_images_methods_and_seeds_are_kept_apart():
    table = pd.concat(
        [
            rows({0.5: 0.2, 1.0: 0.2}, "a", "x"),
            rows({0.5: 0.4, 1.0: 0.4}, "a", "x", seed=1),
            rows({0.5: 0.9, 1.0: 0.9}, "b", "x"),
            rows({0.5: 0.6, 1.0: 0.6}, "a", "y"),
            rows({0.5: float("nan"), 1.0: 0.6}, "b", "y"),
        ]
    )
    scores = scores_at_equal_shares(table, "ssim", 0.5)
    assert scores.loc["a", "x"] == pytest.approx(0.3)
    assert scores.loc["b", "x"] == pytest.approx(0.9)
    assert scores.loc["a", "y"] == pytest.approx(0.6)
    assert pd.isna(scores.loc["b", "y"])
