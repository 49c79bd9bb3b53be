"""The ledger and its criteria: what is in them, what they refuse, and what runs keep."""

import hashlib
import json
import re
from graphlib import CycleError
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from sanitygap import judge as words
from sanitygap.claims import (
    _CRITERIA,
    OUTDATED,
    Criterion,
    CriterionContext,
    Record,
    Unjudged,
    Verdict,
    collect,
    combine,
    criterion,
    find_criterion,
    in_order,
    judge,
    load_claims,
    read_verdicts,
    verdict_from_interval,
    write_verdicts,
)
from sanitygap.errors import UsageError
from sanitygap.images import load_images
from sanitygap.inference import Interval, paired_difference, rank_agreement
from sanitygap.scores import need_methods
from sanitygap.table import Context
from sanitygap.tables import TABLES
from tests.cases import cases

SURROGATE = CriterionContext("squeezenet1_1", "photos", 12)
PAPER = CriterionContext(
    "torchvision:resnet50@w.pth", "imagenet-val:x", 1000, paper_model=True, paper_images=True
)
DIRECTION = Verdict(value="direction", evidence="0.3 [0.1, 0.5]")


@pytest.fixture
def criteria(monkeypatch):
    """The registry, emptied for the test and restored after it."""
    saved = dict(_CRITERIA)
    _CRITERIA.clear()
    monkeypatch.setattr("sanitygap.chapters.load_criteria", lambda: [])
    yield _CRITERIA
    _CRITERIA.clear()
    _CRITERIA.update(saved)


# ---- the ledger


def test_references_between_claims_exist():
    ids = {claim.id for claim in load_claims()}
    for claim in load_claims():
        text = " ".join(str(value) for value in claim.model_dump().values())
        for name in re.findall(r"`((?:binder|qa|adebayo|sriram|khakzar|x)-[A-Za-z0-9-]+)`", text):
            assert name in ids, (claim.id, name)


def test_verdicts_about_other_networks_need_no_network_of_a_run():
    """What the ledger calls trained for the check is computed without the model of a run."""

    def refuse() -> None:
        raise AssertionError("the model of the run is asked for")

    context = Context(refuse, lambda: load_images("photos"), 0)
    named = [claim for claim in load_claims() if claim.networks]
    assert "binder-skip-predicts" in {claim.id for claim in named}
    for claim in named:
        for name in find_criterion(claim.id).tables:
            entry = TABLES[name]
            chunks = list(entry.parts(context, **entry.profiles["smoke"]))
            assert chunks, claim.id
            assert not any(chunk.table.modelled for chunk in chunks), (claim.id, name)


def write_ledger(path: Path, entries: object) -> Path:
    path.write_text(yaml.safe_dump(entries, allow_unicode=True), encoding="utf-8")
    return path


def entry(**changes: object) -> dict[str, object]:
    base = {
        "id": "toy",
        "paper": "cross",
        "place": "nowhere",
        "tier": ["S"],
        "kind": "empirical",
        "statement": "A is lower than B.",
        "check": "The paired difference.",
        "criterion": "Its interval lies below 0.",
    }
    return {key: value for key, value in {**base, **changes}.items() if value is not None}


@pytest.mark.parametrize(("changes", "message"), cases("claims"))
def test_a_bad_entry_is_refused(tmp_path, changes, message):
    path = write_ledger(tmp_path / "claims.yml", [entry(id="fine"), entry(**changes)])
    with pytest.raises(UsageError, match=message) as refusal:
        load_claims(path)
    assert "\n" not in str(refusal.value)


def test_a_bad_file_is_refused(tmp_path):
    path = write_ledger(tmp_path / "claims.yml", [entry(), entry(id="other"), entry()])
    with pytest.raises(UsageError, match="several entries 'toy'"):
        load_claims(path)
    with pytest.raises(UsageError, match=r"claims\.yml"):
        load_claims(write_ledger(tmp_path / "claims.yml", {"toy": entry()}))
    (tmp_path / "claims.yml").write_text("- id: [unclosed", encoding="utf-8")
    with pytest.raises(UsageError, match="not valid YAML"):
        load_claims(tmp_path / "claims.yml")
    with pytest.raises(UsageError, match="there is no file"):
        load_claims(tmp_path / "absent.yml")


# ---- verdicts


@pytest.mark.parametrize(("low", "high", "direction", "expected"), cases("intervals"))
def test_verdict_from_interval(low, high, direction, expected):
    assert verdict_from_interval(low, high, 0, direction) == expected
    assert verdict_from_interval(low + 5, high + 5, 5, direction) == expected


def measured(value: str, **numbers: float) -> Verdict:
    return Verdict(value=value, evidence=f"{value}: 1.", numbers=numbers)


@pytest.mark.parametrize(("parts", "whole"), cases("verdicts joined"))
def test_combine(parts, whole):
    combined = combine([measured(value, **{f"n{i}": i}) for i, value in enumerate(parts)])
    assert combined.value == whole
    assert all(f"{value}: 1." in combined.evidence for value in parts)
    assert combined.numbers == {f"n{i}": i for i in range(len(parts))}


# ---- criteria


@pytest.mark.parametrize(
    ("model", "images", "reason"),
    [
        (True, True, ""),
        (True, False, "Not the paper's own images."),
        (False, True, "Not the paper's own model."),
        (False, False, "Not the paper's own model and images."),
    ],
)
def test_reproduced_needs_the_papers_own_setting(criteria, model, images, reason):
    criterion("binder-fig2")(lambda tables, context: measured("reproduced"))
    context = CriterionContext("m", "i", 1, paper_model=model, paper_images=images)
    verdict = judge("binder-fig2", {}, context)
    value = "reproduced" if model and images else "direction"
    assert (verdict.value, verdict.reason) == (value, reason)
    assert verdict.evidence == "reproduced: 1."


@pytest.mark.parametrize(
    ("name", "value"),
    [("binder-fig2", "holds"), ("binder-thm2", "direction"), ("binder-a1-counts", "reproduced")],
)
def test_judge_refuses_the_other_kind_of_verdict(criteria, name, value):
    criterion(name)(lambda tables, context: measured(value))
    with pytest.raises(ValueError, match=f"cannot have the verdict '{value}'"):
        judge(name, {}, PAPER)


@pytest.mark.parametrize(
    ("ask", "rows", "value", "words"),
    [
        (
            lambda t: rank_agreement(t, t * 0),  # all methods tie in the second ranking
            {"gradient": [0.1, 0.2], "gbp": [0.5, 0.7]},
            "undecided",
            "2 images the statistic is undefined",
        ),
        (  # nothing measured is not the same as measured and not settled
            lambda t: paired_difference(t["gradient"], t["gbp"]),
            {"gradient": [], "gbp": []},
            "no-data",
            "not 0",
        ),
        (
            lambda t: need_methods(t, "gradient", "guided-backprop", "noise"),
            {"gradient": [0.1]},
            "not-run",
            "hold no guided-backprop, noise, which the criterion needs on sq",
        ),
    ],
)
def test_a_criterion_that_cannot_answer_says_why(criteria, ask, rows, value, words):
    criterion("binder-gap", tables=("scores",))(lambda tables, context: ask(tables["scores"]))
    verdict = judge("binder-gap", {"scores": pd.DataFrame(rows)}, SURROGATE)
    assert verdict.value == value
    assert words in verdict.evidence + verdict.reason


@pytest.mark.parametrize("key", ["gradient", ["gradient"]])
def test_a_defect_of_a_criterion_is_none_of_the_tables(criteria, key):
    """It asks the wrong thing for a method, with pandas's words or with Python's."""
    criterion("binder-gap")(lambda tables, context: pd.DataFrame({"noise": [1.0]})[key])
    with pytest.raises(KeyError):
        judge("binder-gap", {}, SURROGATE)


def test_judge_refuses_unusable_requests(criteria):
    criterion("binder-fig2", tables=("randomization", "occlusion"))(lambda t, c: DIRECTION)
    with pytest.raises(UsageError, match=r"table\(s\) occlusion"):
        judge("binder-fig2", {"randomization": pd.DataFrame()}, SURROGATE)
    with pytest.raises(UsageError, match="no criterion"):
        judge("binder-fig1", {}, SURROGATE)
    with pytest.raises(UsageError, match="unknown claim"):
        judge("binder-fig99", {}, SURROGATE)


def test_claims_are_judged_after_those_that_they_rest_on(criteria):
    criterion("qa-gap-lrp", rests_on=("binder-gap", "binder-fig1"))(lambda t, c: DIRECTION)
    criterion("binder-gap", rests_on=("binder-fig2",))(lambda t, c: DIRECTION)
    criterion("binder-fig2")(lambda t, c: DIRECTION)
    order = in_order(["qa-gap-lrp", "binder-gap", "binder-fig2", "qa-gap-lrp"])
    assert order == ["binder-fig2", "binder-gap", "qa-gap-lrp"]
    assert in_order(["qa-gap-lrp"]) == ["qa-gap-lrp"], "only what was asked for"
    criterion("binder-fig1", rests_on=("qa-gap-lrp",))(lambda t, c: DIRECTION)
    with pytest.raises(CycleError):
        in_order(["qa-gap-lrp", "binder-fig1"])
    with pytest.raises(UsageError, match="no criterion"):
        in_order(["binder-app1"])


def test_a_claim_has_one_criterion(criteria):
    def first(tables, context):
        return DIRECTION

    for claim in ("binder-fig2", "binder-fig2", "binder-app2"):  # a reload, and several claims
        criterion(claim)(first)
    with pytest.raises(ValueError, match="already judges"):
        criterion("binder-fig2")(lambda tables, context: DIRECTION)


# ---- what runs keep


def record(claim: str = "binder-fig2", model: str = "squeezenet1_1", **changes: object) -> Record:
    base = {"images": "photos", "n_images": 12, "verdict": "direction", "evidence": "0.3"}
    return Record(**{"claim": claim, "model": model, **base, **changes})


def test_a_verdict_of_another_criterion_is_not_current(tmp_path, criteria):
    """Its code has changed since, or another function has taken its place."""

    def shown() -> set[str]:
        rows = [row for row in collect([tmp_path]) if row["run"] and row["id"] == "binder-fig2"]
        return {f"{row['verdict']} {row['reason']}" for row in rows}

    path = tmp_path / "verdicts.json"
    criterion("binder-fig2")(lambda tables, context: DIRECTION)
    write_verdicts(path, [record()])
    assert shown() == {"direction "}
    criteria["binder-fig2"] = Criterion("binder-fig2", (), paired_difference)
    assert shown() == {f"not-run {OUTDATED}"}
    write_verdicts(path, [record()])
    assert shown() == {"direction "}
    flipped = path.read_text(encoding="utf-8").replace("direction", "not-reproduced")
    path.write_text(flipped, encoding="utf-8")
    assert shown() == {f"not-run {OUTDATED}"}
    (tmp_path / "run.json").write_text('{"recorded": true}', encoding="utf-8")
    assert shown() == {"not-reproduced "}, "what a recorded run holds is compared at a build"


def test_writing_merges_by_claim_and_model(tmp_path):
    path = tmp_path / "verdicts.json"
    write_verdicts(path, [record(), record("binder-fig1"), record(model="other")])
    write_verdicts(path, [record(evidence="0.9", verdict="undecided")])
    kept = {(r.claim, r.model): (r.value, r.evidence) for r in read_verdicts(path)}
    assert kept == {
        ("binder-fig2", "squeezenet1_1"): ("undecided", "0.9"),
        ("binder-fig1", "squeezenet1_1"): ("direction", "0.3"),
        ("binder-fig2", "other"): ("direction", "0.3"),
    }


def test_unreadable_verdicts_are_refused_and_kept(tmp_path):
    path = tmp_path / "verdicts.json"
    path.write_text('[{"claim": "binder-fig2"', encoding="utf-8")
    with pytest.raises(UsageError, match="not JSON"):
        write_verdicts(path, [record()])
    assert path.read_text(encoding="utf-8").startswith('[{"claim"')
    path.write_text('[{"claim": "binder-fig2", "verdict": "direction"}]', encoding="utf-8")
    with pytest.raises(UsageError, match="'binder-fig2'"):
        read_verdicts(path)
    assert read_verdicts(tmp_path / "absent.json") == []


def test_collect_lists_every_claim(tmp_path):
    first, second = tmp_path / "live", tmp_path / "reference-a"
    write_verdicts(first / "verdicts.json", [record()])
    write_verdicts(second / "verdicts.json", [record(model="efficientnet_lite0")])
    rows = collect([first, second])
    assert list(dict.fromkeys(row["id"] for row in rows)) == [claim.id for claim in load_claims()]
    found = [row for row in rows if row["id"] == "binder-fig2"]
    assert [(row["run"], row["model"], row["verdict"]) for row in found] == [
        ("live", "squeezenet1_1", "direction"),
        ("reference-a", "efficientnet_lite0", "direction"),
        (None, "torchvision:resnet50", "not-run"),
    ]
    others = [row for row in rows if row["id"] != "binder-fig2"]
    assert {row["verdict"] for row in others} == {"not-run"}
    assert all(row["reason"] for row in others)
    json.dumps(rows, allow_nan=False)


def test_a_verdict_on_other_tables_is_not_shown(tmp_path):
    table = tmp_path / "occlusion.parquet"
    table.write_bytes(b"as judged")
    digest = hashlib.sha256(b"as judged").hexdigest()
    judged = record().model_copy(update={"tables": {"occlusion": digest}})
    write_verdicts(tmp_path / "verdicts.json", [judged])

    def shown() -> dict[str, object]:
        return next(row for row in collect([tmp_path]) if row["id"] == "binder-fig2")

    assert shown()["verdict"] == "direction"
    table.write_bytes(b"made again")
    assert (shown()["verdict"], shown()["run"]) == ("not-run", tmp_path.name)
    assert "have changed" in str(shown()["reason"])
    table.unlink()
    assert shown()["verdict"] == "not-run"


MET, REFUTED, OPEN = (
    Verdict(value=value, evidence=f"{number}.", numbers={f"n{number}": number})
    for number, value in enumerate(("direction", "not-reproduced", "undecided"))
)


@pytest.mark.parametrize(("low", "high", "above", "reached"), cases("bounds"))
def test_an_interval_that_touches_a_bound_reaches_it_and_is_not_above(low, high, above, reached):
    interval = Interval((low + high) / 2, low, high, 9)
    assert words.condition(interval, 1, "above", "it").value == above
    assert words.at_least(interval, 1, "direction") == reached


def test_pairs_are_images_that_have_both():
    scores = pd.DataFrame({"a": [1.0, 2.0, np.nan], "b": [0.0, 1.0, 1.0]})
    assert words.paired(scores, "a", "b") == Interval(1.0, 1.0, 1.0, 2)
    assert words.paired_condition(scores, "a", "b", "a − b").value == "direction"
    few = words.paired_condition(scores[1:], "a", "b", "a − b")
    assert few.value == "no-data"
    assert few.evidence == "a − b: 1 images with both maps."


def test_guards_carry_the_verdict_that_is_given_instead():
    words.need_all({"a", "b"}, ["b"], "the run lacks {}")
    with pytest.raises(Unjudged) as stopped:
        words.need_all({"a"}, ["c", "a", "b"], "the run lacks {}")
    assert stopped.value.verdict == words.not_run("the run lacks c, b")
    words.need_images(pd.DataFrame({"image": ["i", "j"]}))
    with pytest.raises(Unjudged, match="at least two images"):
        words.need_images(pd.DataFrame({"image": ["i", "i"]}))


def test_joined_conditions_share_an_outcome_and_tell_their_own_story():
    verdicts = [MET, REFUTED, OPEN]
    assert words.all_met(verdicts).evidence == "1 of 3 conditions are met. Not met: 1. 2."
    assert words.summary(verdicts, "x").numbers == {"held": 1, "against": 1, "open": 1}
    assert words.some_of(verdicts, "x").numbers == {"met": 1, "refuted": 1, "conditions": 3}
    joined = {words.all_met(verdicts).value, words.summary(verdicts, "x").value}
    assert joined == {words.some_of(verdicts, "x").value} == {"not-reproduced"}
    assert words.joint_value(MET, MET) == "direction"
    many = [MET.model_copy(update={"numbers": {}})] * 5
    assert words.all_met(many).evidence.endswith("0. 0. 0. … and 2 more.")


def test_readings_that_disagree_leave_a_claim_under_specified():
    assert words.one_verdict({"a": MET, "b": MET}, "x").value == "direction"
    assert words.one_verdict({"a": MET, "b": OPEN}, "x").value == "undecided"
    apart = words.one_verdict({"a": MET, "b": REFUTED}, "x")
    assert apart.value == "under-specified"
    assert apart.numbers == {"a, n0": 0, "b, n1": 1}


def test_a_map_without_a_score_is_not_skipped_in_a_strict_mean():
    rows = pd.DataFrame(
        {"image": ["j", "j", "i", "i"], "method": "m", "score": [1.0, np.nan, 2.0, 4.0]}
    )
    assert words.scores_by(rows, "score")["m"].to_dict() == {"i": 3.0, "j": 1.0}
    strict = words.scores_by(rows, "score", mean=words.strict_mean, sort=False)
    assert strict["m"].isna().tolist() == [True, False]
    assert list(strict.index) == ["j", "i"]
