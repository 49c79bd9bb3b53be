"""The chapters of the real book: how their sources are written, and that they run."""

import json

import jupytext
import nbformat
import pytest

from sanitygap.book import Project
from sanitygap.book.execution import COMMAND_OPTIONS
from sanitygap.book.gatekeeper import STAMP, LocalPaths
from tests.book.smoke import RUN, smoke_project
from tests.book.toy import CHECKOUT

PROJECT = Project(CHECKOUT)
CHAPTERS = PROJECT.chapters
MOST_LINES = 12


@pytest.fixture(scope="session")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The book executed in the smoke profile."""
    return smoke_project(tmp_path_factory.getbasetemp())


def code_cells(chapter: str) -> list[nbformat.NotebookNode]:
    notebook = jupytext.read(PROJECT.source(chapter), fmt="md:myst")
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_every_notebook_is_a_chapter() -> None:
    assert sorted(CHAPTERS) == PROJECT.notebooks


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_chapter_is_short_and_holds_no_logic(chapter: str) -> None:
    cells = code_cells(chapter)
    assert cells
    for cell in cells:
        if "parameters" in cell.metadata.get("tags", []):
            continue
        lines = [line for line in cell.source.splitlines() if line.strip()]
        assert len(lines) <= MOST_LINES, cell.source
        starts = {line.split()[0] for line in lines}
        assert not starts & {"def", "class", "while", "try:", "async"}, cell.source


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_chapter_has_the_common_parameters(chapter: str) -> None:
    [cell] = [c for c in code_cells(chapter) if "parameters" in c.metadata.get("tags", [])]
    names = {line.split("=")[0].split(":")[0].strip() for line in cell.source.splitlines()}
    assert set(COMMAND_OPTIONS) <= names


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_source_names_no_folder_of_a_machine(chapter: str) -> None:
    text = PROJECT.source(chapter).read_text(encoding="utf-8")
    assert LocalPaths(CHECKOUT).find(text) is None


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_chapter_runs_in_the_smoke_profile(smoke: Project, chapter: str) -> None:
    stamp = nbformat.read(smoke.executed(RUN, chapter), as_version=4).metadata[STAMP]
    assert stamp.run == RUN
    assert stamp.parameters.profile == "smoke"


def test_verdicts_of_the_run_are_kept_with_it(smoke: Project) -> None:
    path = smoke.root / "data" / "runs" / RUN / "verdicts.json"
    verdicts = json.loads(path.read_text(encoding="utf-8"))
    assert {"binder-thm1", "binder-gap"} <= {record["claim"] for record in verdicts}
