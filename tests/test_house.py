"""How the library is laid out, and what its fingerprints see."""

import ast
import shutil
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import sanitygap
from sanitygap import fingerprint
from tests.cases import cases

LIBRARY = Path(sanitygap.__file__).parent
CHAPTERS = "sanitygap.chapters."

#: what runs a network or makes maps of one
ENGINE = (
    "attribution", "faithfulness", "grey_networks", "models.loading", "partition",
    "occlusion", "randomization", "residual_blocks", "sanity_check",
)  # fmt: skip

FILES = {
    ".".join(("sanitygap", *path.relative_to(LIBRARY).with_suffix("").parts)).removesuffix(
        ".__init__"
    ): path
    for path in LIBRARY.rglob("*.py")
}
ROOMS = [name for name in FILES if name.startswith(CHAPTERS)]


def leaf(name: str) -> str:
    return name.rpartition(".")[2]


@cache
def imports(name: str) -> frozenset[str]:
    """Modules of the library that a module imports as it is loaded; not those for types alone."""
    asked: set[str] = set()
    waiting: list[ast.stmt] = list(ast.parse(FILES[name].read_text(encoding="utf-8")).body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" not in ast.unparse(node.test):
            waiting += node.body
        elif isinstance(node, ast.Import):
            asked |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            below = {f"{node.module}.{alias.name}" for alias in node.names}
            asked |= {module for module in below if module in FILES} or {node.module or ""}
    return frozenset(asked & FILES.keys() - {name})


def test_no_import_closes_a_circle() -> None:
    TopologicalSorter({name: imports(name) for name in FILES}).prepare()


@pytest.mark.parametrize("name", ROOMS)
def test_no_chapter_imports_another(name: str) -> None:
    own = name.split(".")[2]
    others = {module for module in imports(name) if module.startswith(CHAPTERS)}
    assert {module for module in others if module.split(".")[2] != own} == set()


@pytest.mark.parametrize("name", [n for n in ROOMS if leaf(n).startswith(("judge", "show"))])
def test_judging_and_showing_run_no_network(name: str) -> None:
    engine = tuple(f"sanitygap.{room}" for room in ENGINE)
    tree = ast.parse(FILES[name].read_text(encoding="utf-8"))
    asked = {
        f"{node.module}.{alias.name}"
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if not alias.name.isupper()  # a constant says what was measured
    }
    assert not {each for each in asked if each.startswith(engine)}


def test_no_module_is_long() -> None:
    from benchmarks.lines import lines_of_code

    long = {
        name: lines
        for name, path in FILES.items()
        if (lines := lines_of_code(path.read_text(encoding="utf-8"))) > 500
    }
    assert long == {}


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
