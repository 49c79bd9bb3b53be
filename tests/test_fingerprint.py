"""A fingerprint changes with what makes numbers, and with nothing else."""

import shutil
from pathlib import Path

import pytest

from sanitygap import fingerprint
from tests.cases import cases


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the package that a test may edit; fingerprints are taken of it."""
    ignore = shutil.ignore_patterns("*.npz", "*.pth", "*.jpg", "__pycache__")
    copy = Path(shutil.copytree(fingerprint.PACKAGE, tmp_path / "sanitygap", ignore=ignore))
    monkeypatch.setattr(fingerprint, "PACKAGE", copy)
    return copy


@pytest.fixture(autouse=True)
def read_anew():
    yield
    forget()


def forget() -> None:
    """A process reads a source once; a test edits it."""
    for name in ("closure", "_imports", "_is_module", "_source", "_syntax"):
        getattr(fingerprint, name).cache_clear()


def edit(package: Path, module: str, old: str, new: str) -> None:
    path = package / f"{module}.py"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    forget()


@pytest.mark.parametrize(("module", "old", "new"), cases("edits"))
def test_every_edit_that_moves_numbers_is_seen(package, module, old, new):
    before = fingerprint.of_module("sanitygap.chapters.theorem_1.measure")
    edit(package, module, old, new)
    assert fingerprint.of_module("sanitygap.chapters.theorem_1.measure") != before


def test_words_and_other_topics_are_not_seen(package):
    before = fingerprint.of_module("sanitygap.chapters.theorem_1.measure")
    edit(package, "seeds", '"""', '"""Other words. ')
    edit(package, "chapters/theorem_1/show", "def ", "def other_")
    edit(package, "axioms/balance", "def ", "def other_")
    assert fingerprint.of_module("sanitygap.chapters.theorem_1.measure") == before


def test_templates_and_lists_belong_to_the_library(package):
    before = fingerprint.of_library()
    page = package / "data" / "gallery.html"
    page.write_text(page.read_text() + "<!-- other -->")
    assert fingerprint.of_library() != before
