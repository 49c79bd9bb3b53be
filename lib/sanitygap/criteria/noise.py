"""Criteria about noise in attribution maps (Binder et al. 2022, Sec. 3).

Where a criterion asks for a monotonic change over a sweep, every step of the sweep has to have an
interval that excludes 0. Where it asks that something "does not improve", no step may improve
beyond chance, and the change over the whole sweep has to exclude an improvement.
"""

from collections.abc import Mapping
from itertools import product

import pandas as pd

from sanitygap.claims import CriterionContext, Verdict, criterion, verdict_from_interval
from sanitygap.criteria.gap import (
    CONTROLS,
    GUIDED,
    LRP,
    Direction,
    difference,
    methods_of,
    shown,
    summary,
)
from sanitygap.criteria.irrelevance import one_verdict
from sanitygap.inference import bootstrap_mean, paired_difference
from sanitygap.scores import need_methods, over_seeds, randomization_scores, seeds_in_words
from sanitygap.words import plural

Tables = Mapping[str, pd.DataFrame]

SMOOTHED = ("integrated-gradients", "smoothgrad")

#: disturbance by which nearby inputs are judged, over the image's value range: the one that the
#: robustness of maps is measured with
LEVEL = 0.01


def sweep(table: pd.DataFrame, method: str, by: str, value: str) -> pd.DataFrame:
    """Scores of one method, images x levels of a sweep in ascending order, without any NaN.

    Raises:
        LackingMethodError: the table does not hold the method.
    """
    need_methods(set(table["method"]), method)
    rows = table[table["method"] == method]
    return rows.groupby(["image", by])[value].mean().unstack(by).sort_index(axis=1).dropna()


def successive(scores: pd.DataFrame, direction: Direction, what: str) -> list[Verdict]:
    """One verdict for each step of a sweep: the score goes up (``above``) or down (``below``)."""
    levels = list(scores)
    verdicts = []
    for before, after in zip(levels[:-1], levels[1:], strict=True):
        interval = paired_difference(scores[after], scores[before])
        name = f"{what}, {before:g} to {after:g}"
        verdicts.append(
            Verdict(
                value=verdict_from_interval(interval.low, interval.high, 0.0, direction),
                evidence=f"{name}: {shown(interval)}.",
                numbers={name: interval.estimate},
            )
        )
    return verdicts


def not_improved(scores: pd.DataFrame, what: str) -> list[Verdict]:
    """Verdicts of "a score that is lower when better does not improve over a sweep"."""
    refuted = [
        verdict
        for verdict in successive(scores, "above", what)
        if verdict.value == "not-reproduced"
    ]
    first, last = list(scores)[0], list(scores)[-1]
    interval = paired_difference(scores[last], scores[first])
    whole = Verdict(
        value=verdict_from_interval(interval.low, interval.high, 0.0, "above"),
        evidence=f"{what}, {first:g} to {last:g}: {shown(interval)}.",
        numbers={f"{what}, whole sweep": interval.estimate},
    )
    return [*refuted, whole]


@criterion("binder-noise-optimal", tables=("randomization", "randomization-seeds", "noise-curve"))
def noise_optimal(tables: Tables, context: CriterionContext) -> Verdict:
    table, others = tables["randomization"], tables["randomization-seeds"]
    real = methods_of(randomization_scores(table))
    verdicts: list[Verdict] = []
    seeds: dict[str, list[str]] = {}
    for name in real:
        rows, counts = over_seeds(table, others, ["noise", name])
        scores = randomization_scores(rows)
        verdicts.append(difference(scores, "noise", name, "below", "mean SSIM"))
        seeds.setdefault(seeds_in_words(counts), []).append(name)
    for method in (GUIDED, LRP):
        similarity = sweep(tables["noise-curve"], method, "amount", "ssim")
        faithful = sweep(tables["noise-curve"], method, "amount", "softmax")
        verdicts += successive(similarity, "below", f"SSIM of {method} + noise")
        verdicts += not_improved(faithful, f"softmax of {method} + noise")
    alone, _ = over_seeds(table, others, ["noise"])
    level = bootstrap_mean(randomization_scores(alone)["noise"].dropna())
    draws = "; ".join(f"{words} ({plural(len(names), 'method')})" for words, names in seeds.items())
    joined = summary(
        verdicts, f"noise below {len(real)} methods; SSIM falls and softmax does not with lambda"
    )
    return joined.model_copy(
        update={
            "evidence": f"Fresh noise has a mean SSIM of {level.estimate:.3f}. {joined.evidence} "
            f"Noise is compared over {draws}.",
            "numbers": joined.numbers | {"ssim noise": level.estimate},
        }
    )


def at_lag(table: pd.DataFrame, lag: int = 1) -> pd.DataFrame:
    """Autocorrelation of maps at one lag, images x methods."""
    rows = table[table["lag"] == lag]
    return rows.groupby(["image", "method"])["autocorrelation"].mean().unstack("method")


def nearby(table: pd.DataFrame, level: float = LEVEL) -> pd.DataFrame:
    """Correlation of the maps of an image and of a close neighbour, images x methods."""
    rows = table[table["level"] == level]
    return rows.groupby(["image", "method"])["correlation"].mean().unstack("method")


def _ordered(scores: pd.DataFrame, what: str) -> list[Verdict]:
    """Gradient below the smoothed methods, these below guided backpropagation and LRP."""
    pairs = [
        *product(("gradient",), SMOOTHED),
        *product(SMOOTHED, (GUIDED, LRP)),
    ]
    return [difference(scores, one, other, "below", what) for one, other in pairs]


def _levels(scores: pd.DataFrame) -> str:
    """Mean scores of the methods in ascending order, as text."""
    means = scores.drop(columns=list(CONTROLS), errors="ignore").mean().sort_values()
    return ", ".join(f"{name} {value:.2f}" for name, value in means.items())


@criterion("binder-gradnoise", tables=("autocorrelation", "nearby-inputs", "smoothgrad-copies"))
def gradient_noise(tables: Tables, context: CriterionContext) -> Verdict:
    """Two readings of "behaves like noise": inside one map, and between maps of nearby inputs."""
    table = tables["smoothgrad-copies"]
    signed = table[table["sign"] == "signed"]
    copies = successive(
        sweep(signed, "smoothgrad", "copies", "ssim"), "above", "SSIM of SmoothGrad by copies"
    )
    measured = {
        "autocorrelation at lag 1 inside a map": at_lag(tables["autocorrelation"]),
        f"correlation of maps of nearby inputs (noise of {LEVEL:.0%} of the range)": nearby(
            tables["nearby-inputs"]
        ),
    }
    readings = {}
    for what, scores in measured.items():
        verdict = summary([*_ordered(scores, what), *copies], "less noise-like, more SSIM")
        means = {
            f"mean {name}": float(scores[name].mean()) for name in scores if name not in CONTROLS
        }
        readings[what] = verdict.model_copy(
            update={
                "evidence": f"{_levels(scores)}. {verdict.evidence}",
                "numbers": verdict.numbers | means,
            }
        )
    verdict = one_verdict(readings, "what makes a map noisy")
    seeds = seeds_in_words(table.groupby("image")["seed"].nunique())
    return verdict.model_copy(
        update={"evidence": f"{verdict.evidence} SmoothGrad: weights redrawn with {seeds}."}
    )
