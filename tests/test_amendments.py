"""Amendments of criteria: what an entry must say, and verdicts that come from the history."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from sanitygap.claims.amendments import (
    amended_verdicts,
    as_csv,
    load_amendments,
    load_earlier,
    main,
    verdicts_at,
)
from sanitygap.errors import UsageError
from tests.book.test_results import git, record

ROOT = Path(__file__).parents[1]
FIRST, SECOND = "a" * 40, "b" * 40

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="there is no git")


def entry(**changes: object) -> dict[str, object]:
    texts = dict.fromkeys(("was", "now", "reason", "seen", "confirmed"), "Some words.")
    base = {"claims": ["binder-gap"], "date": "2026-11-28", "until": FIRST}
    return {key: value for key, value in {**base, **texts, **changes}.items() if value is not None}


def write(folder: Path, *entries: object) -> Path:
    path = folder / "amendments.yml"
    path.write_text(yaml.safe_dump(list(entries)), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"claims": []}, "claims"),
        ({"claims": ["binder-gop"]}, "unknown claim 'binder-gop'.*binder-gap"),
        ({"reason": "  "}, "reason"),
        ({"seen": None}, "seen: Field required"),
        ({"until": "a1b2c3d"}, "until"),
        ({"date": "yesterday"}, "date"),
        ({"before": {"reference-a": "holds"}}, "before: Extra inputs"),
    ],
)
def test_an_amendment_that_says_too_little_is_refused(tmp_path, changes, message):
    with pytest.raises(UsageError, match=message) as refusal:
        load_amendments(write(tmp_path, entry(), entry(**changes)))
    assert "\n" not in str(refusal.value)


def test_the_outcome_of_an_amendment_is_what_the_next_one_found(tmp_path):
    both = entry(claims=["binder-gap", "binder-fig2"])
    amendments = load_amendments(write(tmp_path, both, entry(until=SECOND)))
    earlier = {
        (FIRST, "binder-gap"): {"reference-a": "undecided"},
        (SECOND, "binder-gap"): {"reference-a": "direction", "reference-b": "direction"},
    }
    first, second = amended_verdicts(amendments, earlier)
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
def test_earlier_verdicts_are_those_of_the_last_commit_under_the_earlier_criterion(
    tmp_path, monkeypatch
):
    git(tmp_path, "init", "--quiet")
    record(tmp_path, "reference-a", "too early", **{"binder-gap": "holds"})
    until = record(
        tmp_path, "reference-a", "earlier", **{"binder-gap": "false", "binder-fig2": "slip"}
    )
    record(tmp_path, "reference-b", "another run", **{"binder-gap": "holds"})
    until_both = record(tmp_path, "reference-a", "too late", **{"binder-gap": "caveat"})
    assert verdicts_at(tmp_path, until) == {
        ("binder-gap", "reference-a"): "false",
        ("binder-fig2", "reference-a"): "slip",
    }
    amendments = load_amendments(
        write(tmp_path / "data", entry(until=until), entry(until=until_both))
    )
    assert as_csv(tmp_path, amendments).splitlines() == [
        "until,claim,run,verdict",
        f"{until},binder-gap,reference-a,false",
        f"{until_both},binder-gap,reference-a,caveat",
        f"{until_both},binder-gap,reference-b,holds",
    ]
    with pytest.raises(UsageError, match="no commit aaaaaaaaaaaa here; fetch the whole history"):
        verdicts_at(tmp_path, FIRST)
    ledger = tmp_path / "data" / "claims.yml"
    ledger.symlink_to(ROOT / "data" / "claims.yml")
    monkeypatch.setattr("sanitygap.claims.amendments.default_ledger", lambda: ledger)
    with pytest.raises(UsageError, match="python -m sanitygap.claims.amendments"):
        load_earlier()
    main()
    assert load_earlier()[until_both, "binder-gap"] == {
        "reference-a": "caveat",
        "reference-b": "holds",
    }


@needs_git
def test_the_committed_verdicts_are_those_of_the_history():
    try:
        text = as_csv(ROOT, load_amendments())
    except UsageError as error:
        pytest.skip(str(error))
    assert (ROOT / "data" / "amended-verdicts.csv").read_text(encoding="utf-8") == text, (
        "run python -m sanitygap.claims.amendments"
    )
