"""Sentences about the paper: the concordance, the rule, and the data they work on."""

import re

import pandas as pd
import pytest

from sanitygap.claims import CriterionContext, Verdict, find_claim, judge, load_claims, registry
from sanitygap.claims.concordance import (
    as_csv,
    counts,
    main,
    occurrences,
    plain,
    sections,
    terms_sha256,
)
from sanitygap.claims.documentary import SUMMARY, Concordance, Entry, Part, load_entries
from sanitygap.claims.ledger import default_ledger
from sanitygap.criteria.documentary import anchored, with_substance
from sanitygap.errors import UsageError

PAPER_TEXT = """\
# A Title of Words

**Abstract.** The scale is preserved.

## 1 Introduction

Bottom-up randomization, and activation_paths.## 2 Glued Heading

No guarantees here.

### A.1 Details

Skip connections; a skip-connection.

## References

1. Someone.
"""
SUMMARY_TEXT = "# T\n\n## What is the main contribution of this paper?\n\nSkip connections.\n"

ENTRIES = load_entries()
CONCORDANCE = Concordance.read()
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


def test_sections_are_named_by_their_numbers():
    found = sections(PAPER_TEXT)
    assert list(found) == ["Abstract", "§1", "§2", "A.1", "References"]
    assert found["Abstract"] == "a title of words abstract the scale is preserved"
    assert "no guarantees here" in found["§2"]
    assert list(sections(SUMMARY_TEXT))[-1] == "Main contribution"


def test_terms_are_found_at_the_beginning_of_words():
    text = plain("Skip connections; a skip-connection, not unskip connections. Skipping")
    assert occurrences(text, "skip connection") == 2
    assert occurrences(text, "skip") == 3
    assert occurrences(text, "connections") == 2
    assert occurrences(text, "kip") == 0


def test_counts_say_how_many_words_were_read():
    rows = list(counts({"binder-2022": PAPER_TEXT}, ["skip connection", "guarantee", "absent"]))
    assert ("binder-2022", "A.1", "skip connection", 2) in rows
    assert ("binder-2022", "§2", "guarantee", 1) in rows
    assert not [row for row in rows if row[2] == "absent"]
    words = {row[1]: row[3] for row in rows if row[2] == ""}
    assert words["References"] == 3  # its heading, a number and a name
    assert len(words) == 5


def test_the_concordance_is_made_by_the_command(tmp_path, monkeypatch):
    ledger = tmp_path / "claims.yml"
    monkeypatch.setattr("sanitygap.claims.concordance.default_ledger", lambda: ledger)
    paths = []
    for name, text in (("binder-2022", PAPER_TEXT), (SUMMARY, SUMMARY_TEXT)):
        (tmp_path / f"{name}.md").write_text(text, encoding="utf-8")
        paths.append(f"{name}={tmp_path / name}.md")
    main(paths)
    made = Concordance.read(tmp_path / "concordance.csv")
    assert made.sections(SUMMARY) == ["Abstract", "Main contribution"]
    assert made.stands("binder-2022", "§1", ("bottom up randomization",))
    for wrong in ([], ["nowhere"], [f"binder-2022={tmp_path / 'absent.md'}"]):
        with pytest.raises(UsageError, match="DOCUMENT=FILE"):
            main(wrong)


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


def test_a_section_that_was_not_read_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no section '§7'"):
        concordance(tmp_path, ["bottom up"]).grade(part("bottom up", stated_in="§7"))
    with pytest.raises(UsageError, match="there is no absent.csv"):
        Concordance.read(tmp_path / "absent.csv")


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


def verdicts(**values: str) -> dict[str, Verdict]:
    return {
        name.replace("_", "-"): Verdict(value=value, evidence="1.", reason="Because.")
        for name, value in values.items()
    }


TEXT = Verdict(value="holds", evidence="1 of 1.")
BOTH = ("binder-gap", "binder-thm1")


@pytest.mark.parametrize(
    ("known", "value"),
    [
        (verdicts(binder_gap="direction", binder_thm1="holds"), "holds"),
        (verdicts(binder_gap="reproduced", binder_thm1="slip"), "holds"),
        (verdicts(binder_gap="direction", binder_thm1="caveat"), "caveat"),
        (verdicts(binder_gap="not-reproduced", binder_thm1="holds"), "caveat"),
        (verdicts(binder_gap="direction", binder_thm1="false"), "caveat"),
        (verdicts(binder_gap="undecided", binder_thm1="holds"), "undecided"),
        (verdicts(binder_gap="under-specified", binder_thm1="holds"), "undecided"),
        (verdicts(binder_thm1="holds"), "undecided"),
        ({}, "not-run"),
    ],
)
def test_the_substance_is_that_of_the_claims_it_rests_on(known, value):
    verdict = with_substance(TEXT, known, BOTH)
    assert verdict.value == value
    assert bool(verdict.reason) == (value != "holds")
    if value == "not-run":
        assert "sanitygap execute gap" in verdict.reason


def test_substance_cannot_mend_a_text():
    text = Verdict(value="false", evidence="0 of 1.", reason="It is not there.")
    good = verdicts(binder_gap="direction", binder_thm1="holds")
    assert with_substance(text, good, BOTH).value == "false"
    assert with_substance(TEXT, {}, ()) is TEXT


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
    for name in ours:
        assert registry()[name].rests_on == next(e.rests_on for e in ENTRIES if e.id == name)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.id)
def test_entries_rest_on_the_claims_that_the_ledger_names(entry):
    claim = find_claim(entry.id)
    named = set(re.findall(r"`(binder-[a-z0-9-]+)`", claim.caveat or ""))
    outlook = {"binder-bottomup", "binder-outlook-restrict", "binder-outlook-baseline"}
    assert named - outlook <= set(entry.rests_on), "a suggestion is neither true nor false"
    for name in entry.rests_on:
        assert find_claim(name).paper == "binder-2022"


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.id)
def test_the_summary_says_what_the_ledger_says_it_does(entry):
    place = find_claim(entry.id).place.lower()
    where = [name for name in CONCORDANCE.sections(SUMMARY) if name.lower() in place]
    assert bool(where) == bool(entry.said)
    for term in entry.said:
        assert any(CONCORDANCE.stands(SUMMARY, name, (term,)) for name in where), term


def test_the_committed_concordance_was_made_for_these_terms():
    text = default_ledger().with_name("concordance.csv").read_text(encoding="utf-8")
    terms = {term for entry in ENTRIES for term in entry.terms()}
    assert f"# terms sha256 {terms_sha256(terms)}\n" in text


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.id)
def test_every_entry_gets_a_verdict_from_the_committed_concordance(entry):
    verdict = anchored(entry, CONCORDANCE)
    assert verdict.numbers["pieces"] == len(entry.parts)


def test_the_omission_would_be_refused_if_the_summary_said_it():
    (omitted,) = next(entry for entry in ENTRIES if entry.id == "qa-binary-omitted").parts
    assert CONCORDANCE.grade(omitted)[0] == "stated"
    said = pd.DataFrame(
        [(SUMMARY, "Main contribution", "binary", 1)], columns=CONCORDANCE.table.columns
    )
    changed = Concordance(pd.concat([CONCORDANCE.table, said], ignore_index=True))
    assert changed.grade(omitted) == ("absent", ["Main contribution"])


def test_no_sentence_of_the_texts_is_in_the_data():
    """Terms are words or short phrases, not sentences."""
    terms = {term for entry in ENTRIES for term in entry.terms()}
    assert max(len(term.split()) for term in terms) <= 6
