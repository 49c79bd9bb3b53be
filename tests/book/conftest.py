"""Books for the tests of the pipeline."""

import shutil
from pathlib import Path

import pytest

from sanitygap.book import Project, build
from tests.book.toy import ADDRESS, execute_all, invented_claims, make_project


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests that share a built site in one worker, so that it is built once."""
    for item in items:
        if {"site", "executed", "smoke"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.book)
            item.add_marker(pytest.mark.xdist_group("book"))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A fresh small book, not executed."""
    return make_project(tmp_path)


@pytest.fixture(scope="session")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The small book, executed; not to be changed."""
    project = make_project(tmp_path_factory.mktemp("executed"))
    execute_all(project)
    return project


@pytest.fixture
def copied(executed: Project, tmp_path: Path) -> Project:
    """A copy of the executed book that a test may spoil."""
    shutil.copytree(executed.root, tmp_path / "copy", ignore=shutil.ignore_patterns("_build"))
    return Project(tmp_path / "copy")


@pytest.fixture(scope="session")
def site(executed: Project) -> Path:
    """The site of the small book; not to be changed."""
    return build(executed, "toy", invented_claims(), address=ADDRESS).parent
