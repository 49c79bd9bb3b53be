"""Kernels that are forks of one process: separate, watched, and gone when their notebook ends."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import nbformat
import psutil
import pytest

from sanitygap.book import Project, execute
from sanitygap.book.kernels import INLINE, MANY
from sanitygap.errors import UsageError
from tests.book.toy import PAGES


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """As many notebooks as share the imports."""
    root = tmp_path_factory.mktemp("forks")
    (root / "notebooks").mkdir()
    names = [f"chapter-{number}" for number in range(MANY)]
    chapters = "".join(f"  - file: notebooks/{name}\n" for name in names[1:])
    (root / "_toc.yml").write_text(
        f"format: jb-book\nroot: notebooks/{names[0]}\nchapters:\n{chapters}", encoding="utf-8"
    )
    page = (PAGES / "kernel.md").read_text(encoding="utf-8")
    for name in names:
        (root / "notebooks" / f"{name}.md").write_text(page.replace("NAME", name), encoding="utf-8")
    return Project(root)


def seen(path: Path) -> dict[str, object]:
    """What a notebook printed about its kernel."""
    for cell in nbformat.read(path, as_version=4).cells:
        for output in cell.get("outputs", []):
            if output.output_type == "stream" and output.text.startswith("{"):
                found: dict[str, object] = json.loads(output.text)
                return found
    raise AssertionError("nothing was printed")


def gone(pid: object) -> bool:
    """Whether a process ends within seconds."""
    try:
        psutil.Process(int(str(pid))).wait(timeout=10)
    except psutil.NoSuchProcess:
        return True
    except psutil.TimeoutExpired:
        return False
    return True


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    """No test leaves a process behind."""
    before = set(psutil.Process().children(recursive=True))
    yield
    late = set(psutil.Process().children(recursive=True)) - before
    _, alive = psutil.wait_procs(late, timeout=10)
    assert not alive


def test_kernels_are_forks_that_share_nothing_but_imports(book: Project) -> None:
    kernels = [seen(path) for path in execute(book, [], {}, "toy", jobs=2)]
    assert len({kernel["pid"] for kernel in kernels}) == MANY
    for kernel in kernels:
        assert kernel["there"]
        assert not kernel["leaked"]
        assert kernel["folder"] == book.root.name
        assert kernel["backend"] == INLINE
        assert kernel["threads"] == os.environ["OMP_NUM_THREADS"]
        assert gone(kernel["pid"])


def test_a_kernel_that_dies_or_takes_too_long_is_told_and_the_others_go_on(book: Project) -> None:
    folder = book.executed_folder("toy")
    with pytest.raises(UsageError) as error:
        execute(book, [], {"end": True}, "toy", timeout=4)
    assert "'chapter-1' failed: the kernel died" in str(error.value)
    assert "'chapter-2' failed: a cell took more than 4 s" in str(error.value)
    written = {path.name for path in folder.iterdir()}
    assert {"chapter-0.ipynb", "chapter-1.failed.ipynb"} <= written
    assert gone(seen(folder / "chapter-2.failed.ipynb")["pid"])
