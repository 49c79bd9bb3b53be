"""The multiverse of the gap on made-up tables whose answer is known."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sanitygap.chapters.gap import multiverse
from sanitygap.chapters.gap.multiverse import GRADIENTS, GUIDED, OCCLUSION, Gap
from sanitygap.claims import CriterionContext, judge
from tests.specification_tables import (
    CANCELLED,
    EVERYWHERE,
    IMAGES,
    NOWHERE,
    UNSIGNED,
    occlusion_table,
    randomization_table,
)

CONTEXT = CriterionContext("squeezenet1_1", "imagenet-sample-unseen", IMAGES)


def made_up(better):
    return occlusion_table(better), randomization_table()


def verdict(claim: str, better: dict[tuple[str, str], float]):
    occluded, randomized = made_up(better)
    tables = {
        "occlusion-specifications": occluded,
        "randomization-specifications": randomized,
        "randomization": pd.DataFrame({"mse": [1.0], "product": [0.5]}),
    }
    return judge(claim, tables, CONTEXT)


@pytest.mark.parametrize("claim", ["binder-gap", "binder-fig1", "binder-app1"])
def test_a_claim_that_holds_everywhere_has_the_direction_and_one_nowhere_is_not_reproduced(claim):
    assert verdict(claim, EVERYWHERE).value == "direction"
    assert verdict(claim, NOWHERE).value == "not-reproduced"


@pytest.mark.parametrize("claim", ["binder-gap", "binder-fig1", "binder-app1"])
def test_the_choice_that_decides_is_named_with_the_share_of_specifications(claim):
    found = verdict(claim, CANCELLED)
    assert found.value == "under-specified"
    assert found.numbers["share: all"] == pytest.approx(0.75)
    if claim == "binder-gap":
        assert found.numbers["share: guided backpropagation"] == pytest.approx(0.75)
        assert found.numbers["share: LRP"] == 1
    assert "The choice of reduction decides most whether it holds: it does with" in found.reason
    assert "signed 0%" in found.reason


def test_differences_are_paired_t_intervals():
    occluded, _ = made_up(UNSIGNED)
    found = multiverse.differences(OCCLUSION, multiverse.occlusion_scores(occluded))
    row = found[
        (found.part == "guided backpropagation") & (found.against == "gradient")
        & (found.reduction == "l2") & (found.images == "correct") & (found.patch == 8)
        & (found.output == "softmax") & (found.variant == "lrp-epsilon-plus")
        & (found.start == "one") & (found.biases == "in")
    ].iloc[0]  # fmt: skip
    rows = occluded[(occluded.patch == 8) & (occluded.reduction == "l2") & occluded.correct]
    a, b = (rows[rows.method == name].softmax.to_numpy() for name in (GUIDED, "gradient"))
    expected = stats.ttest_rel(a, b).confidence_interval(0.95)
    np.testing.assert_allclose([row.low, row.high], expected)
    assert row.n == IMAGES // 2


def test_tau_is_that_of_the_mean_scores():
    occluded, randomized = made_up(EVERYWHERE)
    rows = Gap.of(occluded, randomized).tau
    row = multiverse.at(rows, multiverse.CHOICES).iloc[0]
    methods = [GUIDED, "lrp-adaptive-beta", *GRADIENTS]
    first = occluded[(occluded.patch == 15) & (occluded.reduction == "signed")]
    second = randomized[randomized.reduction == "signed"]
    one = first[first.start == "one"].groupby("method").softmax.mean()[methods]
    other = second[second.start == "one"].groupby("method").ssim_L2.mean()[methods]
    assert row.tau == pytest.approx(stats.kendalltau(one, other).statistic)
    assert row.low <= row.tau <= row.high


def test_a_choice_that_few_images_have_takes_none_from_the_others():
    whole = randomization_table()
    few = whole[whole["position"] < 5].assign(norms="kept")
    scores = multiverse.randomization_scores(pd.concat([whole, few], ignore_index=True))
    tau = multiverse.agreement(multiverse.occlusion_scores(occlusion_table({})), scores)
    assert tau.groupby("norms")["n"].unique().map(list).to_dict() == {
        "kept": [5, 3], "reset": [IMAGES, IMAGES // 2],
    }  # fmt: skip


def test_labels_count_the_scores_of_the_prediction_where_it_is_the_label():
    occluded, _ = made_up(EVERYWHERE)
    wrong = occluded[~occluded.correct].assign(target="label", softmax=0.9)
    scores = multiverse.occlusion_scores(pd.concat([occluded, wrong], ignore_index=True))
    key = dict(multiverse.READING) | {"target": "label"}
    table = scores.of(key, (GUIDED, "gradient"))
    assert len(table) == IMAGES
    assert (table[GUIDED].iloc[1::2] == 0.9).all()
    own = scores.of(key | {"target": "predicted"}, (GUIDED,))
    assert (table[GUIDED].iloc[::2] == own[GUIDED].iloc[::2]).all()


def test_shares_of_variance_against_an_analysis_of_variance():
    table = pd.DataFrame(
        [{"a": a, "b": b, "c": 0, "value": 3.0 * a + b} for a in (0, 1) for b in (0, 1)]
    )
    found = multiverse.deciding(table, ("a", "b", "c"), "value")
    assert list(found.index) == ["a", "b"]
    np.testing.assert_allclose(found.to_numpy(), [0.9, 0.1])
