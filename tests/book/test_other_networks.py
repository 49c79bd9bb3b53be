"""An awkward network and a recorded run through the whole book, others through its engine.

A chapter adds figures to what its tables hold, so one network with awkward ones is enough for them:
it has skips, gates, smooth activations and no ReLU, which the network of the smoke book has not.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sanitygap.attribution.applicable import CONDITIONAL
from sanitygap.book.results import recorded_claims, recorded_tables
from sanitygap.images import load_images
from sanitygap.models import load_model
from sanitygap.table import Context
from sanitygap.tables import TABLES
from tests.book.one_process import run_methods
from tests.book.torchvision_small import SIZES
from tests.book.toy import CHECKOUT
from tests.test_recorded import RUNS, study

AWKWARD = "efficientnet_b0"

STRUCTURE = (
    "activated-regions", "activation-overtaking", "activation-sparsity", "feature-map",
    "ignored-tiles", "ipr-models", "layer-logits", "outlook-baseline", "randomization-bottom-up",
    "redrawn-overtaking", "relevance-flow", "skip-relevance", "skip-surrogate",
)  # fmt: skip
"""Tables that look at layers, blocks or activations, which networks have in their own ways."""


def execute_all(folder: Path, **parameters: object) -> None:
    """Execute every chapter in a process of its own; none may fail."""
    made = subprocess.run(
        [sys.executable, "-m", "tests.book.one_process", folder, json.dumps(parameters)],
        cwd=CHECKOUT, env=os.environ | {"PYTHONPATH": os.pathsep.join([str(CHECKOUT), *sys.path])},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, f"{made.stdout[-500:]}\n{made.stderr[-3000:]}"


def test_every_chapter_of_an_awkward_network(tmp_path: Path) -> None:
    """In a folder that is a project of its own, without recorded runs."""
    for name in ("pyproject.toml", "_config.yml", "_toc.yml"):
        shutil.copy(CHECKOUT / name, tmp_path)
    shutil.copytree(CHECKOUT / "data", tmp_path / "data", ignore=shutil.ignore_patterns("runs"))
    (tmp_path / "notebooks").mkdir()
    execute_all(
        tmp_path, run="awkward", profile="smoke", images="photos", n_images=2,
        model=f"tests.book.torchvision_small:{AWKWARD}",
    )  # fmt: skip
    assert (tmp_path / "data" / "runs" / "awkward" / "verdicts.json").is_file()


def test_every_chapter_shows_what_a_recorded_run_holds() -> None:
    """A chapter that the run holds too little for would be an empty page of the published site."""
    execute_all(CHECKOUT, run="reference-squeezenet1_1")


@pytest.mark.skipif(not (CHECKOUT / ".git").exists(), reason="the earlier recordings are in git")
def test_every_recording_can_be_compared_with_the_one_before() -> None:
    tables = recorded_tables(CHECKOUT, RUNS)
    for run in RUNS:
        held = {path.stem for path in study(run).folder.glob("*.parquet")}
        assert {entry["table"] for entry in tables if entry["run"] == run} == held
    assert {entry["run"] for entry in recorded_claims(CHECKOUT, RUNS)} == set(RUNS)


@pytest.mark.parametrize("name", SIZES)
def test_every_method(name: str) -> None:
    refused = set(run_methods(f"tests.book.torchvision_small:{name}"))
    assert ("fullgrad" in refused) == (name == AWKWARD), "it needs piecewise linear activations"
    assert not {"guided-backprop", "guided-grad-cam"} & refused
    assert refused <= set(CONDITIONAL)


@pytest.mark.parametrize("name", [name for name in SIZES if name != AWKWARD])
def test_tables_about_structure(name: str) -> None:
    model = load_model(f"tests.book.torchvision_small:{name}")
    context = Context(lambda: model, lambda: load_images("photos", 2), 0)
    for table in STRUCTURE:
        entry = TABLES[table]
        rows = sum(len(part.compute()) for part in entry.parts(context, **entry.profiles["smoke"]))
        assert rows or table.startswith(("skip-", "outlook-")), f"{table} of {name} is empty"
