"""The words that criteria are written in: bounds, guards, and how conditions join."""

import numpy as np
import pandas as pd
import pytest

from sanitygap import judge
from sanitygap.claims.verdicts import Unjudged
from sanitygap.inference import Interval
from sanitygap.judge import Verdict
from tests.cases import cases

MET, REFUTED, OPEN = (
    Verdict(value=value, evidence=f"{number}.", numbers={f"n{number}": number})
    for number, value in enumerate(("direction", "not-reproduced", "undecided"))
)


@pytest.mark.parametrize(("low", "high", "above", "reached"), cases("bounds"))
def test_an_interval_that_touches_a_bound_reaches_it_and_is_not_above(low, high, above, reached):
    interval = Interval((low + high) / 2, low, high, 9)
    assert judge.condition(interval, 1, "above", "it").value == above
    assert judge.at_least(interval, 1, "direction") == reached


def test_pairs_are_images_that_have_both():
    scores = pd.DataFrame({"a": [1.0, 2.0, np.nan], "b": [0.0, 1.0, 1.0]})
    assert judge.paired(scores, "a", "b") == Interval(1.0, 1.0, 1.0, 2)
    assert judge.paired_condition(scores, "a", "b", "a − b").value == "direction"
    few = judge.paired_condition(scores[1:], "a", "b", "a − b")
    assert few.value == "no-data"
    assert few.evidence == "a − b: 1 images with both maps."


def test_guards_carry_the_verdict_that_is_given_instead():
    judge.need_all({"a", "b"}, ["b"], "the run lacks {}")
    with pytest.raises(Unjudged) as stopped:
        judge.need_all({"a"}, ["c", "a", "b"], "the run lacks {}")
    assert stopped.value.verdict == judge.not_run("the run lacks c, b")
    judge.need_images(pd.DataFrame({"image": ["i", "j"]}))
    with pytest.raises(Unjudged, match="at least two images"):
        judge.need_images(pd.DataFrame({"image": ["i", "i"]}))


def test_joined_conditions_share_an_outcome_and_tell_their_own_story():
    verdicts = [MET, REFUTED, OPEN]
    assert judge.all_met(verdicts).evidence == "1 of 3 conditions are met. Not met: 1. 2."
    assert judge.summary(verdicts, "x").numbers == {"held": 1, "against": 1, "open": 1}
    assert judge.some_of(verdicts, "x").numbers == {"met": 1, "refuted": 1, "conditions": 3}
    joined = {judge.all_met(verdicts).value, judge.summary(verdicts, "x").value}
    assert joined == {judge.some_of(verdicts, "x").value} == {"not-reproduced"}
    assert judge.joint_value(MET, MET) == "direction"
    many = [MET.model_copy(update={"numbers": {}})] * 5
    assert judge.all_met(many).evidence.endswith("0. 0. 0. … and 2 more.")


def test_readings_that_disagree_leave_a_claim_under_specified():
    assert judge.one_verdict({"a": MET, "b": MET}, "x").value == "direction"
    assert judge.one_verdict({"a": MET, "b": OPEN}, "x").value == "undecided"
    apart = judge.one_verdict({"a": MET, "b": REFUTED}, "x")
    assert apart.value == "under-specified"
    assert apart.numbers == {"a, n0": 0, "b, n1": 1}


def test_a_map_without_a_score_is_not_skipped_in_a_strict_mean():
    rows = pd.DataFrame(
        {"image": ["j", "j", "i", "i"], "method": "m", "score": [1.0, np.nan, 2.0, 4.0]}
    )
    assert judge.scores_by(rows, "score")["m"].to_dict() == {"i": 3.0, "j": 1.0}
    strict = judge.scores_by(rows, "score", mean=judge.strict_mean, sort=False)
    assert strict["m"].isna().tolist() == [True, False]
    assert list(strict.index) == ["j", "i"]
