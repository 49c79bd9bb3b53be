"""Sentences about the paper, and amendments of criteria."""

import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml

from sanitygap.claims import (
    CriterionContext,
    Verdict,
    amendments,
    find_claim,
    judge,
    load_claims,
    registry,
)
from sanitygap.claims.amendments import amended_verdicts, load_amendments
from sanitygap.claims.documentary import (
    SUMMARY,
    Concordance,
    Entry,
    Part,
    anchored,
    as_csv,
    counts,
    load_entries,
)
from sanitygap.errors import UsageError
from tests.book.toy import PAGES
from tests.cases import cases

PAPER_TEXT = (PAGES / "paper.md").read_text(encoding="utf-8")
SUMMARY_TEXT = "# T\n\n## What is the main contribution of this paper?\n\nSkip connections.\n"

ENTRIES = load_entries()
CONTEXT = CriterionContext("tiny", "folder", 0)


def concordance(tmp_path, terms: list[str]) -> Concordance:
    texts = {"binder-2022": PAPER_TEXT, "binder-2022-summary": SUMMARY_TEXT}
    path = tmp_path / "concordance.csv"
    path.write_text(as_csv(counts(texts, terms), {"binder-2022": "ab12"}), encoding="utf-8")
    return Concordance.read(path)


def part(*terms: str, stated_in: str = "§1", **more: object) -> Part:
    return Part(says="it", terms=terms, stated_in=(stated_in,), **more)


def entry(*parts: Part, rests_on: tuple[str, ...] = ()) -> Entry:
    return Entry(id="qa-sole", said=(), parts=parts, rests_on=rests_on)


# ---- the concordance


# ---- how a piece of a sentence is anchored


def test_grades(tmp_path):
    terms = ["bottom up", "guarantee", "skip connection", "activation paths"]
    made = concordance(tmp_path, terms)
    assert made.grade(part("bottom up", "activation paths")) == ("stated", ["§1"])
    assert made.grade(part("bottom up", "guarantee")) == ("absent", [])
    assert made.grade(part("guarantee", mentioned_in=("§2",))) == ("mentioned", ["§2"])
    assert made.grade(part("guarantee", stated_in="§2", omitted=True)) == ("stated", ["§2"])
    said = made.grade(part("skip connection", stated_in="A.1", omitted=True))
    assert said == ("absent", ["Main contribution"]), "the summary does say it"
    assert made.grade(part("guarantee", omitted=True)) == ("absent", []), "nor does the paper"


@pytest.mark.parametrize(
    ("parts", "value"),
    [
        ((part("bottom up"),), "holds"),
        ((part("bottom up"), part("guarantee")), "caveat"),
        ((part("guarantee", mentioned_in=("§2",)),), "caveat"),
        ((part("guarantee"), part("skip connection")), "false"),
    ],
)
def test_the_text_comes_first(tmp_path, parts, value):
    made = concordance(tmp_path, ["bottom up", "guarantee", "skip connection"])
    verdict = anchored(entry(*parts), made)
    assert verdict.value == value
    assert bool(verdict.reason) == (value != "holds")
    assert verdict.numbers["pieces"] == len(parts)


# ---- the substance


def test_the_substance_never_moves_the_verdict_on_a_text():
    """A sentence that reports the paper rightly holds, whatever a run finds about the paper."""
    for value in ("direction", "not-reproduced", "undecided"):
        known = {"binder-gap": Verdict(value=value, evidence="1.", reason="Because.")}
        context = CriterionContext("tiny", "folder", 0, verdicts=known)
        assert judge("qa-gap-lrp", {}, context) == judge("qa-gap-lrp", {}, CONTEXT)
    assert judge("qa-gap-lrp", {}, CONTEXT).value == "holds"


def test_minimising_the_mse_is_contradicted_by_measurement():
    def table(zero: float, positive: float) -> pd.DataFrame:
        rows = [(0.0, zero), (0.5, positive)]
        return pd.DataFrame(
            [{"process": "p", "correlation": c, "low": x - 0.01, "high": x + 0.01} for c, x in rows]
        )

    def value(zero: float, positive: float) -> str:
        return judge("qa-mse-min", {"theorem-4": table(zero, positive)}, CONTEXT).value

    assert value(2.0, 1.0) == "false"
    assert value(1.0, 2.0) == "caveat", "the text alone: the paper does not say so of the MSE"
    assert value(1.0, 1.0) == "undecided"


# ---- the families of tests


def families(**constant: str) -> dict[str, pd.DataFrame]:
    """Tables in which every family's statistic tells the gradient from noise."""
    methods = ("gradient", "guided-backprop", "noise")
    images = [f"image {number}" for number in range(8)]
    rows = pd.DataFrame(
        [
            {"image": image, "method": method, "level": 0.1 * place + 0.01 * number}
            for place, method in enumerate(methods)
            for number, image in enumerate(images)
        ]
    )

    def column(name: str) -> pd.Series:
        return rows["level"] * 0 + 0.5 if name in constant.values() else rows["level"]

    names = ("complexity", "robustness", "localization")
    properties = rows.assign(**{name: column(name) for name in names})
    return {
        "map-properties": properties,
        "occlusion": rows.assign(patch=15, softmax=column("softmax")),
        "randomization": rows.assign(
            order="top-down", sign="signed", ssim=column("ssim"), step=1, steps=1
        ),
    }


def test_related_needs_a_telling_statistic_for_every_family():
    found = judge("binder-related", families(), CONTEXT)
    assert found.value == "holds"
    assert found.numbers["families"] == found.numbers["with statistic"] == 5
    for name in ("robustness", "softmax"):
        useless = judge("binder-related", families(constant=name), CONTEXT)
        assert useless.value == "caveat"
        assert useless.numbers["with statistic"] == 4


# ---- the data


def test_every_sentence_of_the_summary_has_an_entry_and_a_criterion():
    ours = [claim.id for claim in load_claims() if claim.paper == SUMMARY]
    assert [entry.id for entry in ENTRIES if entry.id.startswith("qa-")] == ours
    assert set(ours) <= set(registry())
    assert not any(registry()[name].rests_on for name in ours), "a text is judged by itself"


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.id)
def test_entries_rest_on_the_claims_that_the_ledger_names(entry):
    claim = find_claim(entry.id)
    named = set(re.findall(r"`(binder-[a-z0-9-]+)`", claim.caveat or ""))
    outlook = {"binder-bottomup", "binder-outlook-restrict", "binder-outlook-baseline"}
    assert named - outlook <= set(entry.rests_on), "a suggestion is neither true nor false"
    for name in entry.rests_on:
        assert find_claim(name).paper == "binder-2022"


ROOT = Path(__file__).parents[1]
FIRST, SECOND = "a" * 40, "b" * 40

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="there is no git")


def amendment(**changes: object) -> dict[str, object]:
    texts = dict.fromkeys(("was", "now", "reason", "seen", "confirmed"), "Some words.")
    base = {"claims": ["binder-gap"], "date": "2026-11-28", "until": FIRST}
    return {key: value for key, value in {**base, **texts, **changes}.items() if value is not None}


def write(folder: Path, *entries: object) -> Path:
    path = folder / "amendments.yml"
    path.write_text(yaml.safe_dump(list(entries)), encoding="utf-8")
    return path


@pytest.mark.parametrize(("changes", "message"), cases("amendments"))
def test_an_amendment_that_says_too_little_is_refused(tmp_path, changes, message):
    with pytest.raises(UsageError, match=message) as refusal:
        load_amendments(write(tmp_path, amendment(), amendment(**changes)))
    assert "\n" not in str(refusal.value)


def test_the_outcome_of_an_amendment_is_what_the_next_one_found(tmp_path):
    both = amendment(claims=["binder-gap", "binder-fig2"])
    loaded = load_amendments(write(tmp_path, both, amendment(until=SECOND)))
    earlier = {
        (FIRST, "binder-gap"): {"reference-a": "undecided"},
        (SECOND, "binder-gap"): {"reference-a": "direction", "reference-b": "direction"},
    }
    first, second = amended_verdicts(loaded, earlier)
    assert first["verdicts"] == {
        "binder-gap": {
            "before": {"reference-a": "undecided"},
            "after": {"reference-a": "direction", "reference-b": "direction"},
        },
        "binder-fig2": {"before": {}, "after": None},
    }
    assert second["verdicts"]["binder-gap"]["after"] is None
    assert second["verdicts"]["binder-gap"]["before"]["reference-b"] == "direction"
    json.dumps([first, second])


@needs_git
def test_the_committed_verdicts_are_those_of_the_history():
    try:
        text = amendments.as_csv(ROOT, load_amendments())
    except UsageError as error:
        pytest.skip(str(error))
    assert (ROOT / "data" / "amended-verdicts.csv").read_text(encoding="utf-8") == text, (
        "run python -m sanitygap.claims.amendments"
    )
