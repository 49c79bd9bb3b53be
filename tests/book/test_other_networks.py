"""Six torchvision networks with random weights through every method and every chapter."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sanitygap.attribution import METHODS
from sanitygap.attribution.applicable import CONDITIONAL
from tests.book.one_process import SHORT
from tests.book.torchvision_small import SIZES
from tests.book.toy import CHECKOUT

PIECEWISE_LINEAR = {"fullgrad"}
"""Methods that a network with smooth activations has to be refused."""

MOST_STAGES = "densenet121"
"""Its figures are the most crowded ones; those of the other networks are not drawn."""


def test_methods_that_may_be_refused_exist() -> None:
    assert set(CONDITIONAL) <= set(METHODS)
    assert set(SHORT) <= set(METHODS)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder that is a project of its own, without recorded runs."""
    for name in ("pyproject.toml", "_config.yml", "_toc.yml"):
        shutil.copy(CHECKOUT / name, tmp_path)
    shutil.copytree(CHECKOUT / "data", tmp_path / "data", ignore=shutil.ignore_patterns("runs"))
    (tmp_path / "notebooks").mkdir()
    return tmp_path


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Parts of tables from one network to the next: those that no network enters are the same.

    A part's name is a hash of all that determines it, so no network can take another one's.
    """
    return tmp_path_factory.mktemp("parts")


@pytest.mark.parametrize("name", SIZES)
def test_every_method_and_every_chapter(name: str, elsewhere: Path, computed: Path) -> None:
    run = elsewhere / "data" / "runs" / name.replace("_", "-")
    shutil.copytree(computed, run / "parts")
    parameters = {
        "run": run.name, "profile": "smoke", "model": f"tests.book.torchvision_small:{name}",
        "images": "photos", "n_images": 2,
    }  # fmt: skip
    command = [sys.executable, "-m", "tests.book.one_process", elsewhere, json.dumps(parameters)]
    if name != MOST_STAGES:
        command.append("undrawn")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(CHECKOUT), *sys.path])}
    made = subprocess.run(
        command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, f"{made.stdout[-500:]}\n{made.stderr[-3000:]}"
    assert (run / "verdicts.json").is_file()
    refused = json.loads((elsewhere / "refused.json").read_text(encoding="utf-8"))
    smooth = name == "efficientnet_b0"
    assert set(refused) & PIECEWISE_LINEAR == (PIECEWISE_LINEAR if smooth else set())
    assert not {"guided-backprop", "guided-grad-cam"} & set(refused)
    assert set(refused) <= set(CONDITIONAL)
    shutil.copytree(run / "parts", computed, dirs_exist_ok=True)
