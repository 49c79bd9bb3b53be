"""Six torchvision networks with random weights through every method and every chapter."""

import shutil
from pathlib import Path

import jupytext
import pytest
from IPython.core.interactiveshell import InteractiveShell
from matplotlib import pyplot

from sanitygap.book import Project
from tests.book.torchvision_small import SIZES
from tests.book.toy import CHECKOUT

PROJECT = Project(CHECKOUT)


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory that is a project of its own, without recorded runs."""
    for name in ("pyproject.toml", "_config.yml", "_toc.yml"):
        shutil.copy(CHECKOUT / name, tmp_path)
    shutil.copytree(CHECKOUT / "data", tmp_path / "data", ignore=shutil.ignore_patterns("runs"))
    (tmp_path / "data" / "runs").mkdir()
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def shell():
    """An IPython shell in this process: a kernel for each of the chapters would cost minutes."""
    pyplot.switch_backend("agg")
    yield InteractiveShell.instance()
    InteractiveShell.clear_instance()


def run_chapter(shell: InteractiveShell, chapter: str, parameters: dict[str, object]) -> None:
    """Execute a chapter's cells in turn, with these parameters behind its own."""
    shell.reset()
    cells = jupytext.read(PROJECT.source(chapter), fmt="md:myst").cells
    for cell in cells:
        if cell.cell_type != "code":
            continue
        shell.run_cell(cell.source, store_history=False).raise_error()
        if "parameters" in cell.metadata.get("tags", []):
            shell.push(parameters)
    pyplot.close("all")


@pytest.mark.parametrize("name", SIZES)
def test_every_chapter(name: str, elsewhere: Path, shell: InteractiveShell, capsys) -> None:
    parameters = {
        "run": name, "profile": "smoke", "model": f"tests.book.torchvision_small:{name}",
        "images": "photos", "n_images": 2,
    }  # fmt: skip
    for chapter in PROJECT.chapters:
        run_chapter(shell, chapter, parameters)
    assert (elsewhere / "data" / "runs" / name / "verdicts.json").is_file()
