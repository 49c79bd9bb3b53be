"""Runs, history and drift of the results, against repositories made for the purpose."""

import json
import shutil
import subprocess
import urllib.request
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sanitygap.archive import run_records
from sanitygap.book import Project
from sanitygap.book.results import (
    changes,
    difference,
    drift,
    recorded_claims,
    recorded_tables,
    results,
    shown_runs,
)
from sanitygap.book.site import make_server
from sanitygap.errors import UsageError


def git(root: Path, *arguments: str) -> str:
    if shutil.which("git") is None:
        pytest.skip("there is no git")
    names = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    done = subprocess.run(
        ["git", "-C", str(root), *names, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def record(root: Path, run: str, message: str, **verdicts: str) -> str:
    """Commit these verdicts of a run; returns the commit."""
    folder = root / "data" / "runs" / run
    folder.mkdir(parents=True, exist_ok=True)
    rows = [{"claim": claim, "verdict": verdict} for claim, verdict in verdicts.items()]
    (folder / "verdicts.json").write_text(json.dumps(rows))
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--allow-empty", "--message", message)
    return git(root, "rev-parse", "HEAD")


def test_history_tells_what_moved_and_when(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    first = record(tmp_path, "reference-a", "one", a="holds", b="direction")
    record(tmp_path, "reference-a", "nothing moved", b="direction", a="holds")
    last = record(tmp_path, "reference-a", "two", a="false", c="slip")
    newest, oldest = changes(tmp_path)
    assert (oldest["commit"], oldest["moved"]) == (first, [])
    assert oldest["counts"] == {"holds": 1, "direction": 1}
    assert newest["commit"] == last
    assert newest["moved"] == [
        ["a", "holds", "false"],
        ["b", "direction", None],
        ["c", None, "slip"],
    ]
    assert newest["run"] == "reference-a"
    assert newest["date"][:4] == git(tmp_path, "log", "-1", "--format=%cI")[:4]


def test_without_git_there_is_no_history(tmp_path: Path) -> None:
    assert changes(tmp_path) == []


def test_runs_are_told_from_their_records(tmp_path: Path) -> None:
    for run, recorded, n in (("reference-a", True, 100), ("mine", False, 4), ("other", False, 5)):
        folder = tmp_path / "data" / "runs" / run
        folder.mkdir(parents=True)
        settings = {"model": "my:net", "images": "folder", "profile": "smoke"}
        made = {"settings": settings, "recorded": recorded, "images": {"n": n}}
        (folder / "run.json").write_text(json.dumps(made))
    project = Project(tmp_path)
    found = [(one["name"], one["recorded"], one["n_images"]) for one in shown_runs(project, "mine")]
    assert found == [("mine", False, 4), ("reference-a", True, 100)]
    assert results(project, "nowhere")["drift"] == {"notes": [], "rows": [], "old": {}}
    told = drift(Project(tmp_path), "reference-a")
    assert told["notes"][0] == "This site shows a recorded run itself."


@pytest.mark.parametrize(
    "text",
    [
        '{"settings": {"model": "my:net"}, "reco',
        "[1, 2]",
        '{"recorded": true}',
        '{"settings": {"model": "my:net", "color": "red"}, "recorded": true}',
    ],
    ids=["truncated", "a list", "without settings", "of another version"],
)
def test_a_damaged_neighbour_is_left_out_and_named(tmp_path: Path, text: str) -> None:
    for run in ("mine", "reference-a", "reference-b"):
        folder = tmp_path / "data" / "runs" / run
        folder.mkdir(parents=True)
        made = {"settings": {"model": "my:net"}, "recorded": run != "mine", "images": {"n": 4}}
        (folder / "run.json").write_text(json.dumps(made))
    damaged = tmp_path / "data" / "runs" / "reference-a"
    (damaged / "run.json").write_text(text)
    project = Project(tmp_path)
    assert [one["name"] for one in shown_runs(project, "mine")] == ["mine", "reference-b"]
    _, [line] = run_records(tmp_path)
    assert "the run 'reference-a' is damaged or of another version; restore it, or" in line
    assert "\n" not in line
    with pytest.raises(UsageError, match="of the run 'reference-a' is damaged"):
        project.run_record("reference-a")


def test_server_is_reached_on_this_machine_only(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no site"):
        make_server(tmp_path)
    (tmp_path / "index.html").write_text("the site")
    with make_server(tmp_path) as server:
        assert server.server_address[0] == "127.0.0.1"
        Thread(target=server.serve_forever, daemon=True).start()
        with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/") as answer:
            assert answer.read() == b"the site"
        with pytest.raises(UsageError, match="is taken; choose another one"):
            make_server(tmp_path, server.server_port)
        server.shutdown()


RUN = "reference-a"
PATH = f"data/runs/{RUN}"


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
