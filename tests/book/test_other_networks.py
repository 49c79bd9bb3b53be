"""Six torchvision networks with random weights through every method and every chapter."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from sanitygap.attribution import METHODS, Sampling, attribute
from sanitygap.attribution.applicable import CONDITIONAL, undefined
from sanitygap.book import Project
from sanitygap.images import load_images
from sanitygap.models import load_model
from tests.book.torchvision_small import SIZES
from tests.book.toy import CHECKOUT

SHORT = {"lime": 8, "lime-ridge": 8, "perturbation-mask": 2, "extremal-perturbation": 2}
"""Methods with a sample or a number of steps -> a small one."""

WITHOUT_RELU = {"guided-backprop", "guided-grad-cam", "fullgrad"}
"""Methods that a network of sigmoid units has to be refused."""


def spec(name: str) -> str:
    return f"tests.book.torchvision_small:{name}"


def test_methods_that_may_be_refused_exist() -> None:
    assert set(CONDITIONAL) <= set(METHODS)
    assert set(SHORT) <= set(METHODS)


@pytest.mark.parametrize("name", SIZES)
def test_every_method(name: str) -> None:
    model = load_model(spec(name))
    refused = undefined(model, list(METHODS))
    assert set(refused) & WITHOUT_RELU == (WITHOUT_RELU if name == "efficientnet_b0" else set())
    assert set(refused) <= set(CONDITIONAL)
    methods = [f"{m}@{SHORT[m]}" if m in SHORT else m for m in METHODS if m not in refused]
    inputs = model.prepare([load_images("photos").open(0)])
    maps = attribute(model, inputs, model.predict(inputs), methods, [0], Sampling(2, 2))
    assert list(maps) == methods
    for values in maps.values():
        assert values.shape == (1, SIZES[name], SIZES[name])
        assert torch.isfinite(values).all()


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
def test_chapters(name: str, elsewhere: Path, computed: Path) -> None:
    run = elsewhere / "data" / "runs" / name.replace("_", "-")
    shutil.copytree(computed, run / "parts")
    parameters = {
        "run": run.name, "profile": "smoke", "model": spec(name), "images": "photos", "n_images": 2,
    }  # fmt: skip
    command = [
        sys.executable, "-m", "tests.book.one_process", str(elsewhere), json.dumps(parameters),
        *Project(CHECKOUT).chapters,
    ]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(CHECKOUT), *sys.path])}
    made = subprocess.run(
        command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, f"{made.stdout[-500:]}\n{made.stderr[-3000:]}"
    assert (run / "verdicts.json").is_file()
    shutil.copytree(run / "parts", computed, dirs_exist_ok=True)
