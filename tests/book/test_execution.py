"""Executing notebooks: parameters, stamps, failures, kernels, and what must not leak."""

import errno
import hashlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import jupytext
import nbformat
import psutil
import pytest

from sanitygap.book import Project, execute, gate
from sanitygap.book.gatekeeper import STAMP, LocalPaths, problems
from sanitygap.book.kernels import INLINE, MANY
from sanitygap.errors import NotRecordedError, UsageError
from tests.book.toy import PAGES


def read(project: Project, name: str) -> nbformat.NotebookNode:
    return nbformat.read(project.executed("toy", name), as_version=4)


def printed(notebook: nbformat.NotebookNode) -> dict[str, str]:
    """First word -> rest of every line that the notebook printed."""
    lines = [
        line
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output.output_type == "stream"
        for line in output.text.splitlines()
    ]
    return {key: rest for key, _, rest in (line.partition(" ") for line in lines)}


def test_notebook_runs_in_this_interpreter(executed: Project) -> None:
    own = hashlib.sha256(sys.executable.encode()).hexdigest()
    assert printed(read(executed, "theorem-1"))["interpreter"] == own


def test_stamp_tells_what_was_executed(executed: Project) -> None:
    stamp = read(executed, "theorem-1").metadata[STAMP]
    source = executed.source("theorem-1").read_bytes()
    assert stamp.source_sha256 == hashlib.sha256(source).hexdigest()
    assert stamp.run == "toy"
    assert stamp.parameters.profile == "smoke"
    assert stamp.parameters.points == 5, "the default of a parameter that was not given"
    assert stamp.versions.python == ".".join(map(str, sys.version_info[:3]))
    assert stamp.versions.torch.startswith("2.")
    assert stamp.started <= stamp.finished
    assert 0 < stamp.duration_s < 120
    assert stamp.command.startswith("sanitygap execute theorem-1 --run toy --profile smoke")


def test_nothing_of_this_machine_is_published(executed: Project) -> None:
    for name in executed.chapters:
        text = executed.executed("toy", name).read_text(encoding="utf-8")
        assert str(executed.root) not in text
        assert sys.prefix not in text
    notebook = read(executed, "theorem-1")
    assert printed(notebook)["prefix"] == "<environment>"
    assert "input_path" not in notebook.metadata.papermill
    assert "output_path" not in notebook.metadata.papermill
    assert notebook.metadata.kernelspec.name == "python3"


def test_progress_bars_are_not_published_and_warnings_are(project: Project) -> None:
    path = project.source("theorem-1")
    text = path.read_text(encoding="utf-8")
    for line, said in (("    pass\n", "a warning"), ('print("points", points)\n', r"\r    ")):
        text = text.replace(line, f"{line}print('{said}', end='', file=sys.stderr)\n")
    path.write_text(text, encoding="utf-8")
    execute(project, ["theorem-1"], {}, "toy")
    outputs = [o for cell in read(project, "theorem-1").cells for o in cell.get("outputs", [])]
    shown = [o.text for o in outputs if o.output_type == "stream" and o.name == "stderr"]
    assert [text.strip() for text in shown] == ["a warning"]


def test_page_shows_the_values_that_were_used_and_no_defaults(executed: Project) -> None:
    def tagged(tag: str) -> nbformat.NotebookNode:
        cells = read(executed, "theorem-1").cells
        [cell] = [cell for cell in cells if tag in cell.metadata.get("tags", [])]
        return cell

    assert "remove-input" in tagged("parameters").metadata.tags
    injected = tagged("injected-parameters")
    assert "hide-input" in injected.metadata.tags
    assert 'run = "toy"' in injected.source


def test_unknown_parameter_is_refused_before_anything_runs(project: Project) -> None:
    with pytest.raises(UsageError, match=r"'gap' has no parameter 'ponits'.*divisor") as error:
        execute(project, ["gap"], {"ponits": 7}, "toy")
    assert "\n" not in str(error.value)
    assert not project.executed_folder("toy").exists()


def test_failure_names_cell_and_exception_and_keeps_what_ran(project: Project) -> None:
    with pytest.raises(UsageError) as error:
        execute(project, ["gap"], {"divisor": 0}, "toy")
    assert "notebook 'gap' failed in cell 3: ZeroDivisionError: division by zero" in str(
        error.value
    )
    assert "\n" not in str(error.value)
    folder = project.executed_folder("toy")
    failed = nbformat.read(folder / "gap.failed.ipynb", as_version=4)
    assert failed.metadata[STAMP].run == "toy"
    assert any("ZeroDivisionError" in json.dumps(cell) for cell in failed.cells)
    assert str(project.root) not in json.dumps(failed)

    execute(project, ["gap"], {"divisor": 2}, "toy")
    assert sorted(path.name for path in folder.iterdir()) == ["gap.ipynb"]


def test_a_page_ends_where_a_recorded_run_holds_no_more(project: Project) -> None:
    source = project.source("gap")
    text = source.read_text(encoding="utf-8")
    failing = f"raise type('{NotRecordedError.__name__}', (Exception,), {{}})('no table')"
    source.write_text(text.replace("print(1 / divisor)", failing), encoding="utf-8")
    [path] = execute(project, ["gap"], {}, "toy")
    notebook = nbformat.read(path, as_version=4)
    assert list(problems(notebook, source, "toy", LocalPaths(project.root))) == []
    (note,) = [cell.source for cell in notebook.cells if "Not recorded: no table" in cell.source]
    assert "sanitygap execute gap --run mine" in note
    assert not any("raise" in cell.source for cell in notebook.cells)
    texts = [c.source for c in jupytext.read(source, fmt="md:myst").cells if c.cell_type != "code"]
    assert set(texts) <= {cell.source for cell in notebook.cells}


def test_side_by_side_the_same_notebooks_run_and_all_failures_are_told(project: Project) -> None:
    written = execute(project, [], {"profile": "smoke"}, "toy", jobs=2)
    assert written == [project.executed("toy", name) for name in ("theorem-1", "gap")]
    periods = [
        (stamp.started, stamp.finished)
        for stamp in (nbformat.read(path, as_version=4).metadata[STAMP] for path in written)
    ]
    assert max(start for start, _ in periods) <= min(finish for _, finish in periods)

    for name, good, bad in (
        ("theorem-1", "import hashlib", "import no_such"),
        ("gap", "divisor = 1", "divisor = 0"),
    ):
        text = project.source(name).read_text(encoding="utf-8")
        assert good in text
        project.source(name).write_text(text.replace(good, bad), encoding="utf-8")
    with pytest.raises(UsageError, match="'theorem-1' failed .*; notebook 'gap' failed"):
        execute(project, [], {}, "toy", jobs=2)


def test_a_cell_may_not_take_longer_than_the_limit(project: Project) -> None:
    with pytest.raises(UsageError, match="'gap' failed: a cell took more than 1 s"):
        execute(project, ["gap"], {"pause": 60}, "toy", timeout=1)
    assert (project.executed_folder("toy") / "gap.failed.ipynb").exists()


@pytest.mark.parametrize(
    "at", ["papermill.execute_notebook", "sanitygap.book.execution.publishable"]
)
def test_no_older_page_passes_for_one_that_a_full_disk_cut_off(
    copied: Project, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    project = copied
    partial = project.executed_folder("toy") / ".gap.partial.ipynb"

    def full(*_args: object, **_options: object) -> None:
        partial.write_text('{"cells": [')
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(at, full)
    with pytest.raises(OSError, match="No space left"):
        execute(project, ["gap"], {}, "toy")
    names = {path.name for path in project.executed_folder("toy").iterdir()}
    assert names == {"theorem-1.ipynb", "gap.failed.ipynb"}
    with pytest.raises(UsageError, match="gap: its last execution failed"):
        gate(project, "toy")


def test_local_folders_are_hidden_and_found(tmp_path: Path) -> None:
    local = LocalPaths(tmp_path)
    text = f"{tmp_path}/data {sys.prefix}/lib, {Path.home()}/photos"
    hidden = local.hide(text)
    assert hidden == "./data <environment>/lib, ~/photos"
    assert local.find(text) == str(tmp_path)
    assert local.find(hidden) is None


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
