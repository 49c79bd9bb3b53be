"""The chapters of the real book, and the files around the code."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from sanitygap import __version__
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


PYPROJECT: dict[str, Any] = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
PINS = {
    canonicalize_name(pin.name): str(pin.specifier).removeprefix("==")
    for pin in map(Requirement, (CHECKOUT / "constraints.txt").read_text().split())
}
INSTALLED_EXTRAS = ("book", "test")


def requirements() -> list[Requirement]:
    """What pyproject.toml asks for, in all extras that `make` installs."""
    extras = PYPROJECT["optional-dependencies"]
    texts = [*PYPROJECT["dependencies"], *(text for e in INSTALLED_EXTRAS for text in extras[e])]
    return [Requirement(text) for text in texts]


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_every_requirement_is_pinned_to_a_version_that_satisfies_it(
    requirement: Requirement,
) -> None:
    assert requirement.specifier.contains(PINS[canonicalize_name(requirement.name)])


def test_version_is_the_same_everywhere() -> None:
    citation = yaml.safe_load((CHECKOUT / "CITATION.cff").read_text())
    assert str(citation["version"]) == PYPROJECT["version"] == __version__
    assert citation["license"] == PYPROJECT["license"]


@pytest.mark.parametrize(
    "name",
    ["Makefile", ".ci/run", "README.md", "environment.yml", "constraints.txt", "_config.yml"],
)
def test_no_folder_of_a_machine_and_no_package_index_is_named(name: str) -> None:
    text = (CHECKOUT / name).read_text()
    named = re.search(r"(?<![\w.])/(tmp|work|home|root)\b|pypi\.org|--(extra-)?index-url", text)
    assert named is None, named


def test_every_moved_page_leads_to_a_page() -> None:
    sphinx = yaml.safe_load((CHECKOUT / "_config.yml").read_text())["sphinx"]
    redirects = sphinx["config"]["redirects"]
    pages = {(Path(old).parent / new).with_suffix("").as_posix() for old, new in redirects.items()}
    assert pages <= {*PROJECT.documents}
    assert not redirects.keys() & {*PROJECT.documents}
