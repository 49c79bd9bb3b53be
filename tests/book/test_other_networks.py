"""Six torchvision networks with random weights through every method and the paper's chapters."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import jupytext
import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell
from matplotlib import pyplot

from sanitygap.attribution import METHODS, Sampling, attribute
from sanitygap.attribution.applicable import CONDITIONAL, undefined
from sanitygap.book import Project
from sanitygap.images import load_images
from sanitygap.models import load_model
from tests.book.torchvision_small import SIZES
from tests.book.toy import CHECKOUT

PROJECT = Project(CHECKOUT)

SHORT = {"lime": 8, "lime-ridge": 8, "perturbation-mask": 2, "extremal-perturbation": 2}
"""Methods with a sample or a number of steps -> a small one."""

WITHOUT_RELU = {"guided-backprop", "guided-grad-cam", "fullgrad"}
"""Methods that a network of sigmoid units has to be refused."""


OTHER_PAPERS = (
    "parameter-test", "data-randomization", "calibration", "adebayo-definitions",
    "sensitivity", "guidance", "neighbours", "what-tests-tell",
    "features", "axioms", "axioms-layers", "three-judges",
)  # fmt: skip
"""Chapters about the neighbours of the main paper: one network goes through them.

They ask for guided backpropagation by name, which a network without ReLU cannot give.
"""


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
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory that is a project of its own, without recorded runs."""
    for name in ("pyproject.toml", "_config.yml", "_toc.yml"):
        shutil.copy(CHECKOUT / name, tmp_path)
    shutil.copytree(CHECKOUT / "data", tmp_path / "data", ignore=shutil.ignore_patterns("runs"))
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Parts of tables from one network to the next: those that no network enters are the same.

    A part's name is a hash of all that determines it, so no network can take another one's.
    """
    return tmp_path_factory.mktemp("parts")


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    """An IPython shell in this process: a kernel for each of the chapters would cost minutes."""
    pyplot.switch_backend("agg")
    yield InteractiveShell.instance()
    InteractiveShell.clear_instance()


def run_chapter(shell: InteractiveShell, chapter: str, parameters: dict[str, object]) -> None:
    """Execute a chapter's cells in turn, with these parameters behind its own."""
    shell.reset()
    for cell in jupytext.read(PROJECT.source(chapter), fmt="md:myst").cells:
        if cell.cell_type != "code":
            continue
        shell.run_cell(cell.source, store_history=False).raise_error()
        if "parameters" in cell.metadata.get("tags", []):
            shell.push(parameters)
    pyplot.close("all")


@pytest.mark.parametrize("name", SIZES)
def test_chapters(name: str, elsewhere: Path, computed: Path, shell: InteractiveShell) -> None:
    run = elsewhere / "data" / "runs" / name.replace("_", "-")
    shutil.copytree(computed, run / "parts")
    parameters = {
        "run": run.name, "profile": "smoke", "model": spec(name), "images": "photos", "n_images": 2,
    }  # fmt: skip
    assert set(OTHER_PAPERS) <= set(PROJECT.chapters)
    for chapter in PROJECT.chapters:
        if chapter in OTHER_PAPERS and name != "resnet34":
            continue
        run_chapter(shell, chapter, parameters)
    assert (run / "verdicts.json").is_file()
    shutil.copytree(run / "parts", computed, dirs_exist_ok=True)
