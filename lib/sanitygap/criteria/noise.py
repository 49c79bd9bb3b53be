"""Criteria about noise in attribution maps (Binder et al. 2022, Sec. 3).

Where a criterion asks for a monotonic change over a sweep, every step of the sweep has to have an
interval that excludes 0. Where it asks that something "does not improve", no step may improve
beyond chance, and the change over the whole sweep has to exclude an improvement.
"""

from itertools import product

import pandas as pd

from sanitygap import judge
from sanitygap.inference import bootstrap_mean, paired_difference
from sanitygap.judge import CONTROLS, GUIDED, LRP, Context, Direction, Tables, Verdict, criterion
from sanitygap.scores import need_methods, over_seeds, randomization_scores, seeds_in_words
from sanitygap.words import plural

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
    scores = judge.scores_by(judge.rows_of(table, method=method), value, by)
    return scores.sort_index(axis=1).dropna()


def successive(scores: pd.DataFrame, direction: Direction, what: str) -> list[Verdict]:
    """One verdict for each step of a sweep: the score goes up (``above``) or down (``below``)."""
    levels = list(scores)
    return [
        judge.condition(
            paired_difference(scores[after], scores[before]), 0, direction,
            f"{what}, {before:g} to {after:g}",
        )
        for before, after in zip(levels[:-1], levels[1:], strict=True)
    ]  # fmt: skip


def not_improved(scores: pd.DataFrame, what: str) -> list[Verdict]:
    """Verdicts of "a score that is lower when better does not improve over a sweep"."""
    steps = successive(scores, "above", what)
    first, *_, last = scores
    interval = paired_difference(scores[last], scores[first])
    words = f"{what}, {first:g} to {last:g}: {judge.shown(interval)}."
    whole = judge.condition(interval, 0, "above", f"{what}, whole sweep", words)
    return [*(verdict for verdict in steps if verdict.value == "not-reproduced"), whole]


@criterion("binder-noise-optimal", tables=("randomization", "randomization-seeds", "noise-curve"))
def noise_optimal(tables: Tables, context: Context) -> Verdict:
    table, others = tables["randomization"], tables["randomization-seeds"]
    real = judge.methods_of(randomization_scores(table))
    verdicts: list[Verdict] = []
    seeds: dict[str, list[str]] = {}
    for name in real:
        rows, counts = over_seeds(table, others, ["noise", name])
        scores = randomization_scores(rows)
        verdicts.append(judge.difference(scores, "noise", name, "below", "mean SSIM"))
        seeds.setdefault(seeds_in_words(counts), []).append(name)
    for method in (GUIDED, LRP):
        similarity = sweep(tables["noise-curve"], method, "amount", "ssim")
        faithful = sweep(tables["noise-curve"], method, "amount", "softmax")
        verdicts += successive(similarity, "below", f"SSIM of {method} + noise")
        verdicts += not_improved(faithful, f"softmax of {method} + noise")
    alone, _ = over_seeds(table, others, ["noise"])
    level = bootstrap_mean(randomization_scores(alone)["noise"].dropna())
    draws = "; ".join(f"{words} ({plural(len(names), 'method')})" for words, names in seeds.items())
    joined = judge.summary(
        verdicts, f"noise below {len(real)} methods; SSIM falls and softmax does not with lambda"
    )
    return judge.reworded(
        joined,
        f"Fresh noise has a mean SSIM of {level.estimate:.3f}. {joined.evidence} Noise is compared "
        f"over {draws}.",
        {"ssim noise": level.estimate},
    )


def at_lag(table: pd.DataFrame, lag: int = 1) -> pd.DataFrame:
    """Autocorrelation of maps at one lag, images x methods."""
    return judge.scores_by(judge.rows_of(table, lag=lag), "autocorrelation")


def nearby(table: pd.DataFrame, level: float = LEVEL) -> pd.DataFrame:
    """Correlation of the maps of an image and of a close neighbour, images x methods."""
    return judge.scores_by(judge.rows_of(table, level=level), "correlation")


def _ordered(scores: pd.DataFrame, what: str) -> list[Verdict]:
    """Gradient below the smoothed methods, these below guided backpropagation and LRP."""
    pairs = [*product(("gradient",), SMOOTHED), *product(SMOOTHED, (GUIDED, LRP))]
    return [judge.difference(scores, one, other, "below", what) for one, other in pairs]


def _levels(scores: pd.DataFrame) -> str:
    """Mean scores of the methods in ascending order, as text."""
    means = scores.drop(columns=list(CONTROLS), errors="ignore").mean().sort_values()
    return ", ".join(f"{name} {value:.2f}" for name, value in means.items())


@criterion("binder-gradnoise", tables=("autocorrelation", "nearby-inputs", "smoothgrad-copies"))
def gradient_noise(tables: Tables, context: Context) -> Verdict:
    """Two readings of "behaves like noise": inside one map, and between maps of nearby inputs."""
    table = tables["smoothgrad-copies"]
    similar = sweep(judge.rows_of(table, sign="signed"), "smoothgrad", "copies", "ssim")
    copies = successive(similar, "above", "SSIM of SmoothGrad by copies")
    measured = {
        "autocorrelation at lag 1 inside a map": at_lag(tables["autocorrelation"]),
        f"correlation of maps of nearby inputs (noise of {LEVEL:.0%} of the range)": nearby(
            tables["nearby-inputs"]
        ),
    }
    readings = {}
    for what, scores in measured.items():
        verdict = judge.summary([*_ordered(scores, what), *copies], "less noise-like, more SSIM")
        readings[what] = judge.reworded(
            verdict,
            f"{_levels(scores)}. {verdict.evidence}",
            {f"mean {name}": float(scores[name].mean()) for name in judge.methods_of(scores)},
        )
    verdict = judge.one_verdict(readings, "what makes a map noisy")
    seeds = seeds_in_words(table.groupby("image")["seed"].nunique())
    words = f"{verdict.evidence} SmoothGrad: weights redrawn with {seeds}."
    return judge.reworded(verdict, words)
