"""Kernels that are forks of one process: separate, watched, and gone when their notebook ends."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import jupytext
import nbformat
import psutil
import pytest

from sanitygap.book import Project, execute
from sanitygap.book.kernels import INLINE, MANY
from sanitygap.errors import UsageError

PARAMETERS = "run = 'live'\nprofile = 'quick'\nend = ''"

LOOK = """\
import os
import sys
print(json.dumps(dict(
    pid=os.getpid(), there="sanitygap.pages" in sys.modules, folder=os.path.basename(os.getcwd()),
    threads=os.environ["OMP_NUM_THREADS"], backend=os.environ["MPLBACKEND"],
    leaked=hasattr(sys, "leaked"))))
sys.leaked = True
"""

ENDS = {
    "dies": "os._exit(9)",
    "sleeps": "import time; time.sleep(600)",
    "draws": "from matplotlib import pyplot; pyplot.plot([1, 2]);",
}


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
    for name in names:
        cells = [PARAMETERS, f"import json\n{LOOK}", f"if end == {name!r}:\n    raise SystemExit"]
        cells += [f"if end == {kind!r} + {name!r}:\n    {code}" for kind, code in ENDS.items()]
        made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        made.cells[0].metadata["tags"] = ["parameters"]
        made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
        jupytext.write(made, root / "notebooks" / f"{name}.md", fmt="md:myst")
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


def test_the_death_of_one_kernel_is_told_and_the_others_go_on(book: Project) -> None:
    with pytest.raises(UsageError, match="'chapter-1' failed: the kernel died"):
        execute(book, [], {"end": "dieschapter-1"}, "toy")
    written = {path.name for path in book.executed_folder("toy").iterdir()}
    assert {"chapter-0.ipynb", "chapter-2.ipynb", "chapter-1.failed.ipynb"} <= written


def test_a_kernel_ends_when_its_time_is_over(book: Project) -> None:
    with pytest.raises(UsageError, match="'chapter-2' failed: a cell took more than 4 s"):
        execute(book, [], {"end": "sleepschapter-2"}, "toy", timeout=4)
    failed = book.executed_folder("toy") / "chapter-2.failed.ipynb"
    assert gone(seen(failed)["pid"])
