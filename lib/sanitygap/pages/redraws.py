"""What another draw of the random weights changes."""

import pandas as pd

from sanitygap.figures import Plate
from sanitygap.figures.redraws import seed_dots
from sanitygap.runs import Study
from sanitygap.scores import randomization_scores
from sanitygap.show import about, interval, shows


def seed_numbers(own: pd.DataFrame, others: pd.DataFrame) -> pd.DataFrame:
    """Mean SSIM of each method under each draw, on the images and steps that all draws have.

    Args:
        own: the table ``randomization``.
        others: the table ``randomization-seeds``.

    Returns:
        One row a method and seed: ``method``, ``seed``, ``ssim``, and ``mean``, ``low``, ``high``,
        ``n`` over images with seeds averaged first. Images with an all-zero map under a method in
        any draw are left out for that method.
    """
    shared = {name: set(own[name]) & set(others[name]) for name in ("image", "stage", "method")}
    both = pd.concat([own, others], ignore_index=True)
    for name, values in shared.items():
        both = both[both[name].isin(values)]
    draws = {seed: randomization_scores(rows) for seed, rows in both.groupby("seed")}
    rows = []
    for method in next(iter(draws.values())):
        scores = pd.DataFrame({seed: table[method] for seed, table in draws.items()}).dropna()
        own = interval(scores.mean(axis=1))
        rows += [
            {"method": method, "seed": seed, "ssim": float(scores[seed].mean())} | own
            for seed in scores
        ]
    return pd.DataFrame(rows)


@shows("randomization", "randomization-seeds")
def seed_plate(study: Study) -> Plate:
    """Mean SSIM of each method under several draws of the random weights."""
    numbers = seed_numbers(study.table("randomization"), study.table("randomization-seeds"))
    seeds = ", ".join(str(seed) for seed in sorted(numbers["seed"].unique()))
    steps = study.table("randomization-seeds")["stage"].nunique()
    return seed_dots(
        numbers,
        f"Mean SSIM over {steps} steps of top-down randomisation, one mark for each draw of the "
        f"weights (seeds {seeds}). {about(study, 'randomization-seeds')}. Grey bars: 95 % "
        "bootstrap intervals over images, draws averaged first.",
    )
