"""Criteria of Khakzar et al.: each meets a true table and refuses a false variant."""

import numpy as np
import pandas as pd
import pytest

from sanitygap.axioms.statements import statements
from sanitygap.chapters.axioms.judge import NAMES
from sanitygap.chapters.axioms.judge_features import published
from sanitygap.claims import CriterionContext, find_claim, judge
from tests import synthetic


@pytest.fixture(scope="module")
def formal() -> pd.DataFrame:
    return statements()


def verdict(claim: str, **tables: pd.DataFrame):
    named = {name.replace("_", "-"): table for name, table in tables.items()}
    context = CriterionContext.of(find_claim(claim), "squeezenet1_1", "photos", 10)
    return judge(claim, named, context)


@pytest.mark.parametrize(
    ("claim", "value", "case", "quantity", "wrong", "refused"),
    [
        ("khakzar-ambiguity", "holds", "feature 1", "removal", 0.5, "false"),
        ("khakzar-null-def", "holds", "N = 3", "coalitions", 5.0, "false"),
        ("khakzar-null-def", "holds", "N = 3", "proved without one coalition", 1.0, "false"),
        ("khakzar-sensitivity-axiom", "caveat", "one changed patch", "least contribution", 0.0,
         "false"),
        ("khakzar-null-granularity", "false", "interacting", "change by the patch", 0.5, "false"),
        ("khakzar-eq10", "false", "perfect", "printed", 0.0, "holds"),
        ("khakzar-eq11", "holds", "switching", "metric", 0.3, "false"),
        ("khakzar-eq11", "holds", "at most 1", "proved", 0.0, "false"),
        ("khakzar-eq12", "false", "sensitive: b at a hundredth", "printed", -0.5, "false"),
        ("khakzar-eq13", "holds", "random single winner", "printed", 1.5, "false"),
        ("khakzar-eq14", "caveat", "logits other than 0", "largest key", 1.2, "false"),
        ("khakzar-eq15", "holds", "constant key", "distance from the closed form", 1e-9, "false"),
    ],
)  # fmt: skip
def test_formal_criteria(formal, claim, value, case, quantity, wrong, refused):
    assert verdict(claim, axioms_statements=formal).value == value
    changed = formal.copy()
    row = (
        (changed["claim"] == claim) & (changed["case"] == case) & (changed["quantity"] == quantity)
    )
    assert row.sum() == 1
    changed.loc[row, "value"] = wrong
    assert verdict(claim, axioms_statements=changed).value == refused


def test_background_asks_for_products_and_for_edges(formal):
    rng = np.random.default_rng(0)
    rows = [
        {"image": f"{n}", "method": method, "spearman": base + 0.05 * rng.normal()}
        for n in range(12)
        for method, base in (("gradient", 0.1), ("guided-backprop", 0.5))
    ]
    edges = pd.DataFrame(rows)
    assert (
        verdict("khakzar-background", axioms_statements=formal, axioms_edges=edges).value
        == "caveat"
    )
    swapped = edges.assign(spearman=-edges["spearman"])
    assert (
        verdict("khakzar-background", axioms_statements=formal, axioms_edges=swapped).value
        == "false"
    )


def samples(scenario: str, leak: float, count: int = 8) -> pd.DataFrame:
    """Outputs of features that leak a share of what they do into the other output."""
    rows = []
    for sample in range(count):
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
                rows.append((scenario, sample, True, draw, name, a, b, 50, 1.0))
    columns = ["scenario", "sample", "accepted", "draw", "coalition", "logit_a", "logit_b", "steps",
               "seconds"]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


@pytest.mark.parametrize(
    ("claim", "scenario"),
    [
        ("khakzar-eq3-4", "null"),
        ("khakzar-eq5", "single"),
        ("khakzar-eq6-7", "double"),
        ("khakzar-eq8-9", "saturation"),
    ],
)
def test_feature_criteria(claim, scenario):
    assert verdict(claim, axioms_samples=samples(scenario, 0.04)).value == "direction"
    assert verdict(claim, axioms_samples=samples(scenario, 0.3)).value == "not-reproduced"
    given_up = samples(scenario, 0.04).assign(accepted=False)
    assert verdict(claim, axioms_samples=given_up).value == "no-data"


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


def test_null_criterion_needs_the_three_below_the_four():
    good = scores("null", LOW | HIGH | BETWEEN)
    rows = good["method"] == "grad-cam"
    good.loc[rows, "second"] = 10 / good.loc[rows, "distance"]  # it falls with the distance
    assert verdict("khakzar-null", axioms_scores=good).value == "direction"
    bad = scores("null", LOW | HIGH | BETWEEN | {"iba": 1.5})
    assert verdict("khakzar-null", axioms_scores=bad).value == "not-reproduced"
    assert verdict("khakzar-null", axioms_scores=good[good["sample"] < 2]).value == "no-data"


def test_single_and_double_and_saturation_criteria():
    single = scores("single", HIGH | BETWEEN | {"grad-cam": 0.2})
    assert verdict("khakzar-single", axioms_scores=single).value == "direction"
    single = scores("single", HIGH | BETWEEN | {"grad-cam": 0.95})
    assert verdict("khakzar-single", axioms_scores=single).value == "not-reproduced"
    double = scores("double", LOW | HIGH | BETWEEN | {"noise": 0.6})
    assert verdict("khakzar-double", axioms_scores=double).value == "direction"
    double = scores("double", LOW | HIGH | BETWEEN | {"noise": 0.05})
    assert verdict("khakzar-double", axioms_scores=double).value == "not-reproduced"
    split = {"extremal-perturbation": 0.1, "iba": 0.3, "guided-backprop": 0.9}
    assert (
        verdict("khakzar-saturation", axioms_scores=scores("saturation", split)).value
        == "direction"
    )
    split |= {"extremal-perturbation": 0.9}
    refused = verdict("khakzar-saturation", axioms_scores=scores("saturation", split))
    assert refused.value == "not-reproduced"


def test_table1_follows_the_printed_order_or_its_reverse():
    null, double = (
        published("Table 1", q).rename(NAMES) for q in ("null-feature", "double-feature")
    )
    both = pd.concat([scores("null", dict(null)), scores("double", dict(double))])
    assert verdict("khakzar-table1", axioms_scores=both).value == "direction"
    reverse = pd.concat([scores("null", dict(1 / null)), scores("double", dict(1 / double))])
    assert verdict("khakzar-table1", axioms_scores=reverse).value == "not-reproduced"


NULL_SHARES = {"gradient": 0.9, "integrated-gradients": 0.6, "guided-backprop": 0.3}


def similarities(values: dict[str, float], seed: int = 0) -> pd.DataFrame:
    return synthetic.table(
        values, spread=0.01, draw=seed, order="top-down", step=1, seed=seed, sign="signed"
    )


@pytest.mark.parametrize(
    ("ssim", "value"),
    [
        ({"gradient": 0.1, "integrated-gradients": 0.3, "guided-backprop": 0.8}, "direction"),
        ({"gradient": 0.8, "integrated-gradients": 0.3, "guided-backprop": 0.1}, "not-reproduced"),
        ({"gradient": 0.3, "integrated-gradients": 0.3, "guided-backprop": 0.3}, "undecided"),
        ({"gradient": 0.1, "guided-backprop": 0.8}, "no-data"),
    ],
)
def test_null_feature_against_randomisation(ssim, value):
    tables = {
        "axioms_scores": scores("null", NULL_SHARES),
        "randomization": similarities(ssim),
        "randomization_seeds": similarities(ssim, seed=1),
    }
    found = verdict("x-khakzar-binder", **tables)
    assert found.value == value
    if len(ssim) == 3:
        assert "2 seeds" in found.evidence


def variants(success: float, other: str) -> pd.DataFrame:
    """The variant as used against another one, which always fails."""
    rows = []
    for name, level in (("as used", success), (other, 0.0)):
        for sample in range(10):
            for draw in range(4):
                for coalition in ("none", "first"):
                    rows.append(
                        {"variant": name, "scenario": "single", "sample": sample, "draw": draw,
                         "coalition": coalition, "logit_a": draw * (1 - level), "logit_b": 3.0,
                         "softmax_a": 0.99 if level > draw / 4 else 0.1, "softmax_least": 0.94,
                         "change_most": 0.14, "variation": 0.01 if name == "as used" else 0.2,
                         "accepted": level > 0, "steps": 9}
                    )  # fmt: skip
    return pd.DataFrame(rows)


def test_variant_criteria():
    assert verdict("khakzar-dip", axioms_variants=variants(1.0, "pixels")).value == "direction"
    assert verdict("khakzar-dip", axioms_variants=variants(0.0, "pixels")).value != "direction"
    assert verdict("khakzar-focal", axioms_variants=variants(1.0, "plain key")).value == "direction"
    swapped = variants(1.0, "plain key").replace({"as used": "plain key", "plain key": "as used"})
    assert verdict("khakzar-focal", axioms_variants=swapped).value == "not-reproduced"
    assert verdict("khakzar-placement", axioms_variants=variants(0.9, "fixed place")).value in (
        "direction", "undecided",
    )  # fmt: skip
    assert verdict("khakzar-placement", axioms_variants=variants(1.0, "pixels")).value == "not-run"
