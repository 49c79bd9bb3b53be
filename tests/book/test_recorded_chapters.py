"""What the published site shows: the chapters of the recorded runs, and their history."""

import os
import subprocess
import sys

import pytest

from sanitygap.book import Project
from sanitygap.book.results import recorded_claims, recorded_tables
from tests.book.toy import CHECKOUT
from tests.test_recorded import RUNS, study

RUN = "reference-squeezenet1_1"
MAPS_ALONE = {"attribution-maps", "gallery"}
"""Chapters that compute maps of photographs and read few tables; the smoke site executes them."""


def test_every_chapter_shows_what_the_recorded_run_holds() -> None:
    chapters = [chapter for chapter in Project(CHECKOUT).chapters if chapter not in MAPS_ALONE]
    made = subprocess.run(
        [sys.executable, "-m", "tests.book.recorded_process", RUN, *chapters],
        cwd=CHECKOUT, env=os.environ | {"PYTHONPATH": os.pathsep.join([str(CHECKOUT), *sys.path])},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, f"{made.stdout[-500:]}\n{made.stderr[-3000:]}"
    assert made.stdout.count("chapter ") >= len(chapters)
    assert "not recorded" not in made.stdout, "a page of the published site would be empty"


@pytest.mark.skipif(not (CHECKOUT / ".git").exists(), reason="the earlier recordings are in git")
def test_every_recording_can_be_compared_with_the_one_before() -> None:
    tables = recorded_tables(CHECKOUT, RUNS)
    for run in RUNS:
        held = {path.stem for path in study(run).folder.glob("*.parquet")}
        assert {entry["table"] for entry in tables if entry["run"] == run} == held
    assert {entry["run"] for entry in recorded_claims(CHECKOUT, RUNS)} == set(RUNS)
