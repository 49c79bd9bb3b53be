"""Scores: means by hand, what is missing, and what cannot be asked."""

import numpy as np
import pandas as pd
import pytest

from sanitygap.scores import (
    occlusion_scores,
    over_seeds,
    randomization_scores,
    scores_at_equal_shares,
)


def randomization_table(
    images: int = 4, steps: int = 3, methods=("gradient", "noise"), seeds=(0,), orders=("top-down",)
) -> pd.DataFrame:
    """A table with random similarities."""
    rng = np.random.default_rng(0)
    rows = [
        {"image": f"i{i}", "method": m, "order": o, "step": s, "seed": seed, "sign": sign}
        for o in orders
        for m in methods
        for seed in seeds
        for s in range(1, steps + 1)
        for i in range(images)
        for sign in ("signed", "absolute")
    ]
    values = {name: rng.random(len(rows)) for name in ("ssim", "spearman")}
    return pd.DataFrame(rows).assign(**values)


def occlusion_table(images: int = 4, patches=(15, 8), regions: int = 5) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    rows = [
        {"image": f"i{i}", "method": m, "patch": p, "regions": r}
        for m in ("gradient", "noise")
        for p in patches
        for i in range(images)
        for r in range(regions + 1)
    ]
    values = {name: rng.random(len(rows)) for name in ("softmax", "logit")}
    return pd.DataFrame(rows).assign(**values)


@pytest.mark.parametrize("similarity", ["ssim", "spearman"])
@pytest.mark.parametrize("sign", ["signed", "absolute"])
def test_randomization_scores_are_means_over_steps_and_seeds(similarity, sign):
    table = randomization_table(seeds=(0, 1), orders=("top-down", "bottom-up"))
    scores = randomization_scores(table, similarity, sign)
    assert list(scores) == ["gradient", "noise"]
    assert list(scores.index) == ["i0", "i1", "i2", "i3"]
    for image in scores.index:
        for method in scores:
            values = [
                row[similarity]
                for _, row in table.iterrows()
                if (row["image"], row["method"], row["sign"], row["order"])
                == (image, method, sign, "top-down")
            ]
            assert len(values) == 6
            assert scores.loc[image, method] == pytest.approx(sum(values) / 6)


@pytest.mark.parametrize("patch", [15, 8])
@pytest.mark.parametrize("value", ["softmax", "logit"])
def test_occlusion_scores_are_means_over_the_curve(patch, value):
    table = occlusion_table()
    scores = occlusion_scores(table, patch, value)
    for image in scores.index:
        for method in scores:
            at = (table["image"] == image) & (table["method"] == method) & (table["patch"] == patch)
            assert scores.loc[image, method] == pytest.approx(float(np.mean(table[at][value])))


def test_a_missing_step_does_not_make_a_score_look_better():
    table = randomization_table()
    lost = (table["image"] == "i1") & (table["method"] == "noise") & (table["step"] == 2)
    table.loc[lost, "ssim"] = np.nan
    scores = randomization_scores(table)
    assert np.isnan(scores.loc["i1", "noise"])
    assert scores.isna().sum().sum() == 1


def test_seeds_that_all_methods_share_are_averaged_image_by_image():
    own = randomization_table(images=3)
    others = randomization_table(images=2, seeds=(1, 2)).assign(ssim=lambda rows: rows["ssim"] + 1)
    rows, counts = over_seeds(own, others)
    assert counts.to_dict() == {"i0": 3, "i1": 3, "i2": 1}
    scores = randomization_scores(rows)
    both = pd.concat([own, others])
    for image, seeds in counts.items():
        for method in scores:
            values = [
                row["ssim"]
                for _, row in both.iterrows()
                if (row["image"], row["method"], row["sign"]) == (image, method, "signed")
            ]
            assert len(values) == 3 * seeds
            assert scores.loc[image, method] == pytest.approx(np.mean(values))


def test_a_seed_counts_only_where_no_method_and_no_step_is_missing():
    own = randomization_table(methods=("gradient", "noise", "smoothgrad"))
    others = randomization_table(methods=("gradient", "noise"), seeds=(1, 2))
    lost = (others["seed"] == 2) & (others["image"] == "i1") & (others["step"] == 3)
    others = others[~(lost & (others["method"] == "noise"))]
    everything, alone = over_seeds(own, others)
    assert set(alone) == {1}  # no other seed has SmoothGrad
    assert randomization_scores(everything).equals(randomization_scores(own))
    rows, counts = over_seeds(own, others, ["gradient", "noise"])
    assert counts.to_dict() == {"i0": 3, "i1": 2, "i2": 3, "i3": 3}
    assert set(rows["method"]) == {"gradient", "noise"}
    gradient, several = over_seeds(own, others, ["gradient"])
    assert set(several) == {3}
    assert len(gradient) == 3 * 4 * 3 * 2


def test_seeds_of_other_steps_and_the_same_seed_twice_are_not_averaged_in():
    own = randomization_table(steps=3)
    fewer = randomization_table(steps=2, seeds=(1,))
    assert set(over_seeds(own, fewer)[1]) == {1}
    more = randomization_table(steps=5, seeds=(0, 1))  # seed 0 again, with other numbers
    rows, counts = over_seeds(own, more)
    assert set(counts) == {2}
    assert set(rows["step"]) == {1, 2, 3}
    first = rows[rows["seed"] == 0].reset_index(drop=True)
    pd.testing.assert_frame_equal(first, own)


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
