"""What the two tests say of a person's own methods: scores, comparisons, and sentences.

There is no claim of a paper here. What can be said of a method is said against controls: noise,
which no test should praise, edges, which ignore the network, and the usual methods.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import pandas as pd
from scipy import stats

from sanitygap.figures.methods import label
from sanitygap.importing import is_own
from sanitygap.inference import (
    Interval,
    UndefinedStatisticError,
    bootstrap_mean,
    paired_difference,
)

Test = Literal["occlusion", "randomization"]

#: test -> its table, the columns that are choices, and those that hold scores, low is good
TESTS: dict[Test, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "occlusion": (
        "yours-occlusion", ("reduction", "patch", "tiling"), ("softmax", "logit"),
    ),
    "randomization": (
        "yours-randomization", ("reduction", "norms"),
        ("ssim", "ssim_robust", "ssim_L1", "ssim_L2", "spearman", "mse"),
    ),
}  # fmt: skip

#: the choices of sentences and plots; all others are counted
READING: dict[Test, tuple[object, ...]] = {
    "occlusion": ("sum-abs", 15, "tiles", "softmax"),
    "randomization": ("sum-abs", "reset", "ssim"),
}

RIVALS = ("gradient", "lrp-epsilon-plus", "noise")

#: maps that are at least as similar as this at every step are the same maps
SAME = 0.9999


@dataclass(frozen=True)
class Standing:
    """A method's place in both tests.

    Attributes:
        method: its name.
        similarity: mean SSIM to the map of the trained network after redrawing weights; None where
            there are no maps of a redrawn network, as of precomputed ones.
        softmax: mean softmax of the target while the regions that it ranks highest are hidden.
        changes: its place among all methods by similarity, 1 for the least similar; None likewise.
        matters: its place by softmax, 1 for the lowest.
        unmoved: whether its maps stay the same whatever the weights.
    """

    method: str
    similarity: Interval | None
    softmax: Interval
    changes: int | None
    matters: int
    unmoved: bool


def scores(table: pd.DataFrame, test: Test) -> dict[tuple[object, ...], pd.DataFrame]:
    """Specification -> images x methods; the first of each key are the test's choices.

    More similar is more, and so is the negative mean squared error. Of noise there is one map,
    whatever the reduction. Methods without any value are left out, then images that lack one.
    """
    _, choices, columns = TESTS[test]
    rows = table[table["start"] == "one"]
    if test == "occlusion":
        rows = rows[rows["target"] == "predicted"]
    else:
        rows = rows.assign(mse=-rows["mse"])
    by = ["image", "method", *choices]
    means = rows.groupby(by, sort=False)[list(columns)].mean().reset_index()
    tidy = means.melt(by, list(columns), "score", "value")
    noise = tidy[tidy["method"] == "noise"]
    found = {}
    for key, part in tidy.groupby([*choices, "score"], sort=False):
        alike = noise[[*choices[1:], "score"]].eq(list(key[1:])).all(axis=1)
        own = pd.concat([part[part["method"] != "noise"], noise[alike]])
        wide = own.pivot(index="image", columns="method", values="value")
        wide = wide.dropna(axis=1, how="all").dropna()
        if len(wide) > 1:
            found[tuple(key)] = wide[
                [name for name in dict.fromkeys(own["method"]) if name in wide]
            ]
    return found


def as_read(table: pd.DataFrame, test: Test) -> pd.DataFrame:
    """The scores of the specification that stands for the paper's text, images x methods.

    Raises:
        UndefinedStatisticError: fewer than two images have a value.
    """
    held = scores(table, test)
    if READING[test] not in held:
        raise UndefinedStatisticError("fewer than 2 images have a score of every method")
    return held[READING[test]]


def standings(occluded: pd.DataFrame, redrawn: pd.DataFrame) -> list[Standing]:
    """Every method's place in both tests, as the paper's text reads, with unsigned regions."""
    similarity, softmax = as_read(redrawn, "randomization"), as_read(occluded, "occlusion")
    changes, matters = (
        values[[n for n in softmax if n in values]].mean().rank(method="min").to_dict()
        for values in (similarity, softmax)
    )
    least = redrawn[redrawn["reduction"] == "sum-abs"].groupby("method")["ssim"].min()
    return [
        Standing(
            str(name),
            bootstrap_mean(similarity[name]) if name in similarity else None,
            bootstrap_mean(softmax[name]),
            int(changes[name]) if name in similarity else None,
            int(matters[name]),
            bool(least.get(name, 0.0) >= SAME),
        )
        for name in softmax
    ]


def duels(table: pd.DataFrame, test: Test) -> pd.DataFrame:
    """How own methods fare against :data:`RIVALS`, specification by specification.

    Returns:
        A row for each own method, rival and specification: its choices, ``difference`` (own minus
        rival; below 0 is better under occlusion, more changed under randomisation), Student's 95 %
        interval ``low`` and ``high``, ``n``, and ``outcome``: ``lower``, ``higher`` or ``open``.
    """
    _, choices, _ = TESTS[test]
    rows = []
    for key, values in scores(table, test).items():
        for own in filter(is_own, map(str, values)):
            for rival in (name for name in RIVALS if name in values):
                gaps = values[own] - values[rival]
                half = float(stats.t.ppf(0.975, len(gaps) - 1) * stats.sem(gaps))
                mean = float(gaps.mean())
                outcome = "lower" if mean + half < 0 else "higher" if mean - half > 0 else "open"
                rows.append(
                    dict(zip((*choices, "score"), key, strict=True))
                    | {"method": own, "rival": rival, "difference": mean, "low": mean - half,
                       "high": mean + half, "n": len(gaps), "outcome": outcome}
                )  # fmt: skip
    return pd.DataFrame(rows)


def sentences(occluded: pd.DataFrame, redrawn: pd.DataFrame) -> Iterator[str]:
    """What was found of each own method, in Markdown."""
    found = {standing.method: standing for standing in standings(occluded, redrawn)}
    similar = {name: one.similarity.estimate for name, one in found.items() if one.similarity}
    softmax = as_read(occluded, "occlusion")
    counts = duels(occluded, "occlusion")
    for name in filter(is_own, found):
        own, noise = found[name], found["noise"]
        gap = paired_difference(softmax[name], softmax["noise"])
        better, worse = gap.high < 0, gap.low > 0
        against = (
            f"mean softmax {own.softmax.estimate:.3f} against {noise.softmax.estimate:.3f} for "
            f"noise, difference {gap.estimate:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}], "
            f"n = {gap.n}"
        )
        verdict = "better than" if better else "worse than" if worse else "not told apart from"
        if name not in similar:
            words = (
                f"is {verdict} noise under occlusion ({against}); place {own.matters} of "
                f"{len(found)} methods. There is no map of a redrawn network, so the sanity check "
                "says nothing of it."
            )
        elif own.unmoved:
            words = (
                "does not look at the network: its maps stay the same when all weights are redrawn "
                f"(mean SSIM {similar[name]:.3f}). Under occlusion it is {verdict} noise "
                f"({against}). Such a map can point at striking parts of a photograph; it says "
                "nothing of this network."
            )
        elif not better:
            verdict = "ranks regions worse than noise" if worse else "is not told apart from noise"
            words = (
                f"{verdict} under occlusion ({against}). Its maps change when weights are redrawn "
                f"(mean SSIM {similar[name]:.3f}), but so do those of noise "
                f"({similar['noise']:.3f}): that it passes the sanity check says nothing "
                "for it."
            )
        else:
            words = (
                f"points at regions that the network uses: {against}; place {own.matters} of "
                f"{len(found)} methods. Its maps keep a mean SSIM of "
                f"{similar[name]:.3f} when weights are redrawn, place {own.changes} of "
                f"{len(found)} (1: changes most)"
            )
            if "gradient" in similar:
                words += (
                    f"; the gradient has {found['gradient'].softmax.estimate:.3f} and "
                    f"{similar['gradient']:.3f}"
                )
            words += "."
        yield f"**{label(name)}** {words} {_shares(counts[counts['method'] == name])}"


def _shares(rows: pd.DataFrame) -> str:
    """In how many specifications of occlusion a method is better than its rivals."""
    parts = [
        f"{label(str(rival))} in {int((part['outcome'] == 'lower').sum())}"
        for rival, part in rows.groupby("rival", sort=False)
    ]
    total = len(rows) // max(1, len(parts))
    return f"Of {total} ways to run the occlusion test it is better than {', '.join(parts)}."
