"""Amendments of criteria: what an entry must say, and verdicts that come from the history."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from sanitygap.claims.amendments import amended_verdicts, as_csv, load_amendments
from sanitygap.errors import UsageError
from tests.cases import cases

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


@pytest.mark.parametrize(("changes", "message"), cases("amendments"))
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
def test_the_committed_verdicts_are_those_of_the_history():
    try:
        text = as_csv(ROOT, load_amendments())
    except UsageError as error:
        pytest.skip(str(error))
    assert (ROOT / "data" / "amended-verdicts.csv").read_text(encoding="utf-8") == text, (
        "run python -m sanitygap.claims.amendments"
    )
