"""What another draw of the random weights changes."""

from dataclasses import replace

import pandas as pd

from sanitygap import show
from sanitygap.figures import Plate
from sanitygap.figures.methods import label
from sanitygap.runs import Study
from sanitygap.scores import randomization_scores


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
        mean = show.interval(scores.mean(axis=1))
        rows += [
            {"method": method, "seed": seed, "ssim": float(scores[seed].mean())} | mean
            for seed in scores
        ]
    return pd.DataFrame(rows)


@show.shows("randomization", "randomization-seeds")
def seed_plate(study: Study) -> Plate:
    """Mean SSIM of each method under several draws of the random weights."""
    numbers = seed_numbers(study.table("randomization"), study.table("randomization-seeds"))
    ordered = numbers.sort_values("mean", kind="stable")
    sentences = [
        f"{label(str(method))}: draws from {rows['ssim'].min():.3f} to {rows['ssim'].max():.3f}, "
        f"interval over images {rows['low'].iloc[0]:.3f} to {rows['high'].iloc[0]:.3f}"
        for method, rows in ordered.groupby("method", sort=False)
    ]
    seeds = sorted(numbers["seed"].unique())
    plate = show.dots(
        ordered.rename(columns={"low": "null_low", "high": "null_high"}).drop(columns="mean"),
        caption=f"Mean SSIM over {study.table('randomization-seeds')['stage'].nunique()} steps of "
        "top-down randomisation, one mark for each draw of the weights (seeds "
        f"{', '.join(map(str, seeds))}). {show.about(study, 'randomization-seeds')}. Grey bars: "
        "95 % bootstrap intervals over images, draws averaged first.",
        row="method", series="seed", value="ssim", legend="seed", null="interval over images",
        xlabels="mean SSIM after randomisation (left: passes the sanity check)",
    )  # fmt: skip
    alt = f"Marks for {len(seeds)} draws of the weights. {'; '.join(sentences)}."
    return replace(plate, alt=alt, numbers=numbers)
