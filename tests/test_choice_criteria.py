"""Criteria about signs, replacements, the binary test, active regions and tasks.

Each is fed a table in which its claim is true and variants in which it is false.
"""

import numpy as np
import pandas as pd
import pytest

from sanitygap.chapters.randomization.judge import moved, rank_changes
from sanitygap.chapters.repairs.judge import false_alarms
from sanitygap.claims import CriterionContext, Verdict, judge
from sanitygap.inference import paired_permutation_test
from tests.synthetic import table as made

COUNT = 24
IMAGES = [f"i{number}" for number in range(COUNT)]
CONTEXT = CriterionContext("tiny", "folder", COUNT)


def noisy(mean: float, seed: int, spread: float = 0.02) -> np.ndarray:
    return mean + spread * np.random.default_rng(seed).normal(size=COUNT)


# ---- signed and absolute maps


def randomization(signed: dict[str, float], absolute: dict[str, float]) -> pd.DataFrame:
    """Similarities of integrated gradients that do not change over four steps."""
    levels = {("signed", step): signed for step in (1, 2, 3, 4)}
    levels |= {("absolute", step): absolute for step in (1, 2, 3, 4)}
    axes = {"method": "integrated-gradients", "order": "top-down", "steps": 4, "seed": 0}
    return made(levels, ("sign", "step"), images=COUNT, **axes)


def one_draw(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The tables of a run without other draws of the weights."""
    return {"randomization": table, "randomization-seeds": table.iloc[:0]}


SAME = {"ssim": 0.3, "ssim_robust": 0.3, "ssim_L1": 0.3, "ssim_L2": 0.3}
HIGHER = {name: value + 0.2 for name, value in SAME.items()}


@pytest.mark.parametrize(
    ("signed", "absolute", "value"),
    [
        (SAME | {"spearman": 0.0}, HIGHER | {"spearman": 0.4}, "direction"),
        (HIGHER | {"spearman": 0.0}, SAME | {"spearman": 0.4}, "not-reproduced"),
        (SAME | {"spearman": 0.3}, HIGHER | {"spearman": 0.6}, "not-reproduced"),
        (SAME | {"spearman": 0.0}, HIGHER | {"spearman": -0.2}, "not-reproduced"),
        (SAME | {"spearman": 0.0}, HIGHER | {"ssim_L1": 0.1, "spearman": 0.4}, "under-specified"),
        (SAME | {"spearman": 0.1}, HIGHER | {"spearman": 0.4}, "undecided"),
    ],
    ids=["true", "ssim against", "signed too high", "rank against", "range decides", "at 0.1"],
)
def test_signed_against_absolute(signed, absolute, value):
    table = randomization(signed, absolute)
    verdict = judge("binder-signed-vs-abs", one_draw(table), CONTEXT)
    assert verdict.value == value, verdict.evidence
    assert "redrawn with 1 seed." in verdict.evidence
    if value == "under-specified":
        assert "ssim_L1 not-reproduced" in verdict.reason


# ---- replacements


def outliers(blur: float, random: float) -> pd.DataFrame:
    means = {"none": 10.0, "blur": blur, "mean colour": 12.0, "random colours": random}
    levels = {(name, seed): mean for name, mean in means.items() for seed in (0, 1)}
    constant = {"entropy": 1.0, "color_mean": 0.1, "color_variance": 0.1}
    return made(levels, ("replacement", "seed"), "distance", COUNT, 0.5, **constant)


@pytest.mark.parametrize(
    ("blur", "random", "value"),
    [(11, 14, "direction"), (14, 11, "not-reproduced"), (12, 12.02, "undecided")],
)
def test_rationale(blur, random, value):
    tables = {"outlier-images": outliers(blur, random)}
    verdict = judge("binder-occlusion-rationale", tables, CONTEXT)
    assert verdict.value == value
    gap = verdict.numbers["distance, blur - random colours"]
    assert gap == pytest.approx(blur - random, abs=0.6)


def replacements(levels: dict[str, dict[str, float]]) -> pd.DataFrame:
    """Curves of two states for ``replacement -> method -> mean``."""
    means = {
        (replacement, method, regions): mean
        for replacement, methods in levels.items()
        for method, mean in methods.items()
        for regions in (0, 30)
    }
    return made(means, ("replacement", "method", "regions"), "softmax", COUNT, ranked_by="signed")


AB = {"gradient": 0.3, "guided-backprop": 0.5, "noise": 0.6}
BA = {"gradient": 0.5, "guided-backprop": 0.3, "noise": 0.6}
TIE = {"gradient": 0.4, "guided-backprop": 0.4, "noise": 0.6}


def four(*levels: dict[str, float]) -> pd.DataFrame:
    names = ("blur", "black", "mean colour", "random colours")
    return replacements(dict(zip(names, levels, strict=True)))


def binary(value: str) -> dict[str, Verdict]:
    return {"binder-binary": Verdict(value=value, evidence="1 test.")}


@pytest.mark.parametrize(
    ("levels", "verdicts", "value"),
    [
        ((AB, AB, AB, BA), {}, "holds"),
        ((AB, AB, AB, BA), binary("direction"), "holds"),
        ((AB, AB, AB, BA), binary("not-reproduced"), "caveat"),
        ((AB, AB, AB, AB), binary("direction"), "false"),
        ((AB, AB, AB, TIE), {}, ("undecided", "false")),
    ],
)
def test_interpretation_needs_a_swap_beyond_chance(levels, verdicts, value):
    context = CriterionContext("tiny", "folder", COUNT, verdicts=verdicts)
    tables = {"occlusion-replacements": four(*levels)}
    found = judge("binder-interpretation", tables, context)
    assert found.value in value if isinstance(value, tuple) else found.value == value
    if not verdicts:
        assert "not judged in this run" in found.reason


# ---- the binary test


def retests(**levels: tuple[float, float]) -> pd.DataFrame:
    """``method -> (retest, randomised)``; equal levels are the same numbers."""
    rows = []
    for method, (retest, randomized) in levels.items():
        method = method.replace("_", "-")
        for step, level in ((0, retest), (3, randomized)):
            values = noisy(level, 1 if method == "edges" else step)
            rows.append(
                pd.DataFrame({"image": IMAGES, "method": method, "step": step, "ssim": values})
            )
    return pd.concat(rows, ignore_index=True)


def alarms(shift: float = 0.0, simulations: int = 200, images: int = 8) -> pd.DataFrame:
    """Simulated tests in which the randomised network's SSIM is lower by ``shift``."""
    rng = np.random.default_rng(0)
    shape = (simulations, images)
    names = [f"image {number}" for number in range(images)]
    frames = []
    for explainer in ("noisy edges", "noise"):
        frames.append(
            pd.DataFrame(
                {
                    "image": np.tile(names, simulations),
                    "explainer": explainer,
                    "simulation": np.repeat(np.arange(simulations), images),
                    "randomized": (rng.normal(size=shape) - shift).ravel(),
                    "retest": rng.normal(size=shape).ravel(),
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


GOOD = {"gradient": (1.0, 0.3), "smoothgrad": (0.5, 0.3), "edges": (1.0, 1.0)}


@pytest.mark.parametrize(
    ("levels", "simulated", "value"),
    [
        (GOOD, alarms(), "direction"),
        (GOOD | {"smoothgrad": (0.3, 0.5)}, alarms(), "not-reproduced"),
        (GOOD | {"edges": (1.0, 0.5)}, alarms(), "not-reproduced"),
        (GOOD, alarms(shift=0.5), "not-reproduced"),
        (GOOD, alarms(simulations=50), "undecided"),
        (GOOD, alarms(images=3), "undecided"),
        ({"gradient": (1.0, 0.3)}, alarms(), "undecided"),
    ],
    ids=["true", "missed", "edges", "alarms", "simulations", "images", "no edges"],
)
def test_binary(levels, simulated, value):
    tables = {"test-retest": retests(**levels), "false-rejections": simulated}
    verdict = judge("binder-binary", tables, CONTEXT)
    assert verdict.value == value, verdict.evidence


@pytest.mark.parametrize("images", [2, 6, 13])
def test_false_alarms_are_those_of_the_permutation_test(images):
    table = alarms(images=images, simulations=20, shift=0.4)
    found = false_alarms(table, "noisy edges")
    rows = table[table["explainer"] == "noisy edges"]
    pvalues = [
        paired_permutation_test(part["randomized"], part["retest"], "less")
        for _, part in rows.groupby("simulation")
    ]
    assert found == (sum(p <= 0.05 for p in pvalues), 20, images)


# ---- active regions


def regions(
    ratio: float = 1.5, own: float = 0.4, others: float = 0.1, redraws: int = 5
) -> pd.DataFrame:
    """Two depths with features that are not negative, and one with linear features of no effect."""
    levels = {
        (step, seed): {"mass_ratio": ratio if step < 4 else 0.5, "spearman": own}
        | {"spearman_others": others}
        for seed in range(redraws)
        for step in (2, 3, 4)
    }
    methods = ("guided-backprop", "lrp-epsilon-plus")
    rows = made(levels, ("step", "seed"), images=COUNT, method=methods)
    stages = "block " + rows["step"].astype(str)
    return rows.assign(stage=stages, non_negative=rows["step"] < 4)


@pytest.mark.parametrize(
    ("levels", "value"),
    [
        ({}, "direction"),
        ({"ratio": 0.8}, "not-reproduced"),
        ({"own": 0.1, "others": 0.3}, "not-reproduced"),
        ({"ratio": 1.0}, "undecided"),
        ({"redraws": 4}, "undecided"),
    ],
)
def test_preservation(levels, value):
    verdict = judge("binder-preservation", {"activated-regions": regions(**levels)}, CONTEXT)
    assert verdict.value == value, verdict.evidence
    assert "block 4" not in verdict.evidence


# ---- tasks


def on_tasks(*orders: str, spread: float = 0.02) -> pd.DataFrame:
    """One task an order of the methods a to e, from the lowest SSIM to the highest."""
    levels = {
        (f"task {number}", network, method): 0.1 * rank
        for number, order in enumerate(orders)
        for rank, method in enumerate(order)
        for network in (0, 1)
    }
    names = ("task", "network", "method")
    return made(levels, names, images=COUNT, spread=spread, sign="signed", accuracy=0.9)


@pytest.mark.parametrize(
    ("table", "value"),
    [
        (on_tasks("abcde", "abcde", "cabde"), "direction"),
        (on_tasks("abcde", "abcde", "abcde"), "not-reproduced"),
        (on_tasks("abcde", "bacde", "abced"), "not-reproduced"),
        (on_tasks("abcde", "abcde", "cabde", spread=1.5), ("undecided", "not-reproduced")),
        (on_tasks("abcde", "edcba"), "not-run"),
    ],
    ids=["moves two", "same", "moves one", "noisy", "two tasks"],
)
def test_task_dependence(table, value):
    verdict = judge("binder-task-dependence", {"task-dependence": table}, CONTEXT)
    assert verdict.value in value if isinstance(value, tuple) else verdict.value == value


def test_rank_changes_are_those_of_the_means():
    scores = {
        "one": pd.DataFrame({"a": noisy(0.1, 0), "b": noisy(0.2, 1), "c": noisy(0.3, 2)}),
        "other": pd.DataFrame({"a": noisy(0.4, 3), "b": noisy(0.2, 4), "c": noisy(0.3, 5)}),
    }
    changes = rank_changes(scores, resamples=500).set_index("method")["change"]
    assert [changes[name].estimate for name in "abc"] == [2, -1, -1]
    assert (changes["a"].low, changes["a"].high) == (2, 2)
    assert moved(changes["a"])
    assert not moved(changes["b"])
