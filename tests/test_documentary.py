"""Sentences about the paper: the concordance, the rule, and the data they work on."""

import re
import shutil

import pandas as pd
import pytest
from bs4 import BeautifulSoup

from sanitygap.claims import (
    CriterionContext,
    Verdict,
    find_claim,
    judge,
    load_claims,
    read_verdicts,
    registry,
)
from sanitygap.claims.documentary import (
    SUMMARY,
    Concordance,
    Entry,
    Part,
    Substance,
    as_csv,
    counts,
    load_entries,
    main,
    occurrences,
    plain,
    sections,
    standing,
    substance,
    terms_sha256,
)
from sanitygap.claims.ledger import default_ledger
from sanitygap.criteria.documentary import anchored
from sanitygap.errors import UsageError
from sanitygap.pages.documentary import summary_table
from tests.test_recorded import RUNS, study

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
    shutil.copy(default_ledger().with_name("documentary.yml"), tmp_path)
    monkeypatch.setattr("sanitygap.claims.documentary.default_ledger", lambda: ledger)
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


def test_the_substance_never_moves_the_verdict_on_a_text():
    """A sentence that reports the paper rightly holds, whatever a run finds about the paper."""
    for value in ("direction", "not-reproduced", "undecided"):
        known = {"binder-gap": Verdict(value=value, evidence="1.", reason="Because.")}
        context = CriterionContext("tiny", "folder", 0, verdicts=known)
        assert judge("qa-gap-lrp", {}, context) == judge("qa-gap-lrp", {}, CONTEXT)
    assert judge("qa-gap-lrp", {}, CONTEXT).value == "holds"


def test_the_substance_is_that_of_the_claims_it_rests_on():
    found = substance(
        entry(part("bottom up"), rests_on=("binder-gap", "binder-thm1")),
        {"binder-gap": "not-reproduced", "binder-fig1": "direction"},
    )
    assert found == [
        Substance("binder-gap", "not-reproduced", ""),
        Substance("binder-thm1", "not-run", ""),
    ]
    assert standing(found) == "0 of 2 claims that it rests on hold in this run"
    assert standing([Substance("binder-thm1", "slip", "")]).startswith("1 of 1")
    assert substance(entry(part("bottom up")), {}) == []


def test_other_networks_say_nothing_about_the_network_of_a_run():
    """Networks trained for the purpose have skips; a network without any shows nothing of them."""
    skip = next(entry for entry in ENTRIES if entry.id == "qa-skip")
    verdicts = {"binder-fig7": "not-run", "binder-skip-predicts": "direction"}
    fig7, predicts = substance(skip, verdicts)
    assert (fig7.verdict, predicts.verdict) == ("not-run", "not-run")
    assert find_claim("binder-skip-predicts").networks in predicts.note


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


def test_the_page_shows_the_substance_in_a_column_of_its_own():
    recorded = study(RUNS[0])
    html = summary_table(recorded).to_html()
    judged = {r.claim: r.value for r in read_verdicts(recorded.folder / "verdicts.json")}
    rows = BeautifulSoup(html, "html.parser").select("tbody tr")
    shown = {row.a.get_text(): row for row in rows}
    assert set(shown) == {claim.id for claim in load_claims() if claim.paper == SUMMARY}
    for sentence in ENTRIES:
        if sentence.id in shown:
            verdict, _, cell = shown[sentence.id].select("td")[-3:]
            assert judged[sentence.id] in verdict.get_text()
            assert [link.get_text() for link in cell.select("a")] == list(sentence.rests_on)
            for name in sentence.rests_on:
                if not find_claim(name).networks:
                    assert judged[name] in cell.get_text()


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
