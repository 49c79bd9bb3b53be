"""Criteria of Khakzar et al.: each meets a true table and refuses a false variant."""

import numpy as np
import pandas as pd
import pytest

from sanitygap.axioms.statements import statements
from sanitygap.chapters.axioms.judge import NAMES
from sanitygap.chapters.axioms.judge_features import published
from tests import synthetic
from tests.cases import cases
from tests.synthetic import verdict


@pytest.fixture(scope="module")
def formal() -> pd.DataFrame:
    return statements()


@pytest.mark.parametrize(
    ("claim", "value", "case", "quantity", "wrong", "refused"),
    cases("formal claims of Khakzar et al."),
)
def test_formal_criteria(formal, claim, value, case, quantity, wrong, refused):
    assert verdict(claim, {"axioms-statements": formal}).value == value
    changed = formal.copy()
    row = (
        (changed["claim"] == claim) & (changed["case"] == case) & (changed["quantity"] == quantity)
    )
    assert row.sum() == 1
    changed.loc[row, "value"] = wrong
    assert verdict(claim, {"axioms-statements": changed}).value == refused


@pytest.mark.parametrize(("sign", "value"), [(1, "caveat"), (-1, "false")])
def test_background_asks_for_products_and_for_edges(formal, sign, value):
    levels = {"gradient": 0.1, "guided-backprop": 0.5}
    edges = synthetic.table(levels, column="spearman", spread=0.05)
    edges["spearman"] *= sign
    tables = {"axioms-statements": formal, "axioms-edges": edges}
    assert verdict("khakzar-background", tables).value == value


def samples(scenario: str, leak: float, accepted: bool = True) -> dict[str, pd.DataFrame]:
    """Outputs of features that leak a share of what they do into the other output."""
    rows = []
    for sample in range(8):
        for draw in range(3):
            for mask, name in enumerate(("none", "first", "second", "both")):
                first, second = mask & 1, mask >> 1
                a, b = 5 + 20.0 * first, 4 + 18.0 * second
                if scenario == "null":
                    a += 20 * leak * second
                elif scenario == "single":
                    b = 4 + 20 * leak * first
                elif scenario == "double":
                    a, b = a + 20 * leak * second, b + 18 * leak * first
                else:
                    a = 5 + 20.0 * (mask > 0) + 25 * leak * (mask == 3)
                rows.append((scenario, sample, accepted, draw, name, a, b, 50, 1.0))
    columns = ["scenario", "sample", "accepted", "draw", "coalition", "logit_a", "logit_b", "steps",
               "seconds"]  # fmt: skip
    return {"axioms-samples": pd.DataFrame(rows, columns=columns)}


def scores(scenario: str, first: dict[str, float], count: int = 20) -> pd.DataFrame:
    """Sums of maps: ``first`` gives each method's level for what the scenario looks at."""
    rng = np.random.default_rng(1)
    rows = []
    for method, level in first.items():
        for sample in range(count):
            wobble = 1 + 0.05 * rng.normal(size=4)
            for output in "ab":
                for sign in ("signed", "absolute"):
                    sums = {
                        "first": 1.0,
                        "second": level * wobble[0],
                        "outside": 1.0,
                        "shared": np.nan,
                    }
                    if scenario == "double":
                        sums |= {"first": 1.0, "second": 1.0, "shared": 2 * level * wobble[0]}
                    if scenario == "single" and output == "b":
                        sums["first"] = level * wobble[0]
                    rows.append(
                        {"scenario": scenario, "sample": sample, "method": method, "sign": sign,
                         "output": output, "largest": 1.0, "shared_scaled": level,
                         "inside": 100.0, "rest": 500.0, "distance": 90 + 10.0 * sample, **sums}
                    )  # fmt: skip
    return pd.DataFrame(rows)


LOW = dict.fromkeys(("grad-cam", "iba", "extremal-perturbation"), 0.1)
HIGH = dict.fromkeys(("fullgrad", "deepshap", "gradient", "guided-backprop"), 0.9)
BETWEEN = dict.fromkeys(("grad-cam-plus-plus", "integrated-gradients"), 0.5)
ALL = LOW | HIGH | BETWEEN
SPLIT = {"extremal-perturbation": 0.1, "iba": 0.3, "guided-backprop": 0.9}


def sums(scenario: str, levels: dict[str, float], count: int = 20) -> dict[str, pd.DataFrame]:
    return {"axioms-scores": scores(scenario, levels, count)}


def near(levels: dict[str, float], count: int = 20) -> dict[str, pd.DataFrame]:
    """Scores of the null feature; that of Grad-CAM falls with the distance."""
    made = scores("null", ALL | levels, count)
    rows = made["method"] == "grad-cam"
    made.loc[rows, "second"] = 10 / made.loc[rows, "distance"]
    return {"axioms-scores": made}


def printed(power: int) -> dict[str, pd.DataFrame]:
    """Scores in the order of Table 1, or in the reverse."""
    null, double = (
        published("Table 1", q).rename(NAMES) ** power for q in ("null-feature", "double-feature")
    )
    both = [scores("null", dict(null)), scores("double", dict(double))]
    return {"axioms-scores": pd.concat(both)}


def against(ssim: dict[str, float]) -> dict[str, pd.DataFrame]:
    """Scores of the null feature, and similarities after randomisation under two draws."""
    shares = {"gradient": 0.9, "integrated-gradients": 0.6, "guided-backprop": 0.3}
    names = ("randomization", "randomization-seeds")
    return sums("null", shares) | {
        name: synthetic.table(
            ssim, spread=0.01, draw=seed, order="top-down", step=1, seed=seed, sign="signed"
        )
        for seed, name in enumerate(names)
    }


def variants(success: float, other: str, swapped: bool = False) -> dict[str, pd.DataFrame]:
    """The variant as used against another one, which always fails; or the other way round."""
    names = (other, "as used") if swapped else ("as used", other)
    rows = [
        {"variant": name, "scenario": "single", "sample": sample, "draw": draw,
         "coalition": coalition, "logit_a": draw * (1 - level), "logit_b": 3.0,
         "softmax_a": 0.99 if level > draw / 4 else 0.1, "softmax_least": 0.94,
         "change_most": 0.14, "variation": 0.01 if name == names[0] else 0.2,
         "accepted": level > 0, "steps": 9}
        for name, level in zip(names, (success, 0.0), strict=True)
        for sample in range(10) for draw in range(4) for coalition in ("none", "first")
    ]  # fmt: skip
    return {"axioms-variants": pd.DataFrame(rows)}


FEATURES = {
    "khakzar-eq3-4": "null", "khakzar-eq5": "single", "khakzar-eq6-7": "double",
    "khakzar-eq8-9": "saturation",
}  # fmt: skip

CASES = [
    *((claim, value, samples, scenario, *leak) for claim, scenario in FEATURES.items()
      for value, *leak in (
        ("direction", 0.04), ("not-reproduced", 0.3), ("no-data", 0.04, False),
    )),
    ("khakzar-null", "direction", near, {}),
    ("khakzar-null", "not-reproduced", sums, "null", ALL | {"iba": 1.5}),
    ("khakzar-null", "no-data", near, {}, 2),
    ("khakzar-single", "direction", sums, "single", HIGH | BETWEEN | {"grad-cam": 0.2}),
    ("khakzar-single", "not-reproduced", sums, "single", HIGH | BETWEEN | {"grad-cam": 0.95}),
    ("khakzar-double", "direction", sums, "double", ALL | {"noise": 0.6}),
    ("khakzar-double", "not-reproduced", sums, "double", ALL | {"noise": 0.05}),
    ("khakzar-saturation", "direction", sums, "saturation", SPLIT),
    ("khakzar-saturation", "not-reproduced", sums, "saturation",
     SPLIT | {"extremal-perturbation": 0.9}),
    ("khakzar-table1", "direction", printed, 1),
    ("khakzar-table1", "not-reproduced", printed, -1),
    ("x-khakzar-binder", "direction", against,
     {"gradient": 0.1, "integrated-gradients": 0.3, "guided-backprop": 0.8}),
    ("x-khakzar-binder", "not-reproduced", against,
     {"gradient": 0.8, "integrated-gradients": 0.3, "guided-backprop": 0.1}),
    ("x-khakzar-binder", "undecided", against,
     {"gradient": 0.3, "integrated-gradients": 0.3, "guided-backprop": 0.3}),
    ("x-khakzar-binder", "no-data", against, {"gradient": 0.1, "guided-backprop": 0.8}),
    ("khakzar-dip", "direction", variants, 1.0, "pixels"),
    ("khakzar-dip", "undecided", variants, 0.0, "pixels"),
    ("khakzar-focal", "direction", variants, 1.0, "plain key"),
    ("khakzar-focal", "not-reproduced", variants, 1.0, "plain key", True),
    ("khakzar-placement", "direction", variants, 0.9, "fixed place"),
    ("khakzar-placement", "not-run", variants, 1.0, "pixels"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]} {case[1]}")
def test_verdicts_follow_the_tables(case):
    claim, value, tables, *arguments = case
    found = verdict(claim, tables(*arguments))
    assert found.value == value, found.evidence
    assert tables is not against or value == "no-data" or "2 seeds" in found.evidence
