"""Earlier and present recordings, told from the history of small repositories."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sanitygap.book.results import difference, recorded_claims, recorded_tables
from tests.book.test_results import git

RUN = "reference-a"
PATH = f"data/runs/{RUN}"

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="there is no git")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty repository."""
    git(tmp_path, "init", "--quiet")
    (tmp_path / PATH).mkdir(parents=True)
    return tmp_path


def commit(root: Path) -> None:
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--allow-empty", "--message", "m")


def say(root: Path, **verdicts: tuple[str, str, int]) -> None:
    """Write verdict, evidence and number of images of some claims."""
    rows = [
        {"claim": claim, "verdict": verdict, "evidence": evidence, "n_images": images}
        for claim, (verdict, evidence, images) in verdicts.items()
    ]
    (root / PATH / "verdicts.json").write_text(json.dumps(rows))


def scores(**values: list[float]) -> pd.DataFrame:
    """A table of three images."""
    fixed: dict[str, Any] = {"image": ["a", "b", "c"], "step": [1, 1, 2]}
    return pd.DataFrame(fixed | values)


def test_claims_are_told_with_their_last_two_sayings(root: Path) -> None:
    say(root, one=("holds", "x", 4), two=("false", "y", 4), gone=("slip", "z", 4))
    commit(root)
    say(root, one=("holds", "x", 4), two=("false", "y, of more", 8))
    commit(root)
    say(root, one=("holds", "x", 4), two=("caveat", "y, of more", 8), new=("slip", "", 8))
    commit(root)
    found = {entry["claim"]: entry for entry in recorded_claims(root, [RUN])}
    assert set(found) == {"one", "two", "new"}
    assert found["one"]["before"] is None
    assert found["new"]["before"] is None
    before, now = found["two"]["before"], found["two"]["now"]
    assert (before["verdict"], before["evidence"], before["n_images"]) == ("false", "y, of more", 8)
    assert (now["verdict"], now["evidence"]) == ("caveat", "y, of more")
    assert now["date"][:4] == git(root, "log", "-1", "--format=%cI")[:4]


def test_tables_are_told_with_their_last_two_recordings(root: Path) -> None:
    file = root / PATH / "randomization.parquet"
    scores(ssim=[9.0, 9.0, 9.0]).to_parquet(file)
    commit(root)
    scores(ssim=[0.1, 0.2, 0.3]).to_parquet(file)
    commit(root)
    scores(ssim=[0.1, 0.2, 0.6]).to_parquet(file)
    (root / PATH / "once.parquet").write_bytes(file.read_bytes())
    commit(root)
    once, told = recorded_tables(root, [RUN])
    assert (once["table"], once["before"]) == ("once", None)
    assert (told["paired"], told["changed"], told["column"]) == (3, 1, "ssim")
    assert told["mean_before"] == pytest.approx(0.2)
    assert told["mean_now"] == pytest.approx(0.3)
    assert (told["now"]["rows"], told["now"]["images"]) == (3, 3)


def test_only_rows_that_both_hold_are_compared() -> None:
    before = scores(ssim=[0.1, 0.2, 0.3])
    now = pd.concat([before, before.assign(image=["d", "e", "f"], ssim=[5.0, 5.0, 5.0])])
    told = difference(before, now)
    assert told == {
        "paired": 3, "changed": 0, "column": None, "mean_before": None, "mean_now": None,
    }  # fmt: skip


def test_noise_of_floats_and_run_time_are_no_change() -> None:
    before = scores(ssim=[0.1, 0.2, 0.3], seconds=[1.0, 2.0, 3.0])
    now = scores(ssim=[0.1 + 1e-9, 0.2, np.float32(0.3)], seconds=[4.0, 5.0, 6.0])
    assert difference(before, now)["changed"] == 0
    assert difference(before, scores(ssim=[0.1, 0.2, np.nan]))["changed"] == 1
