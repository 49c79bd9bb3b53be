"""Executing notebooks: parameters, stamps, failures, and what must not leak."""

import errno
import hashlib
import json
import sys
from pathlib import Path

import jupytext
import nbformat
import pytest

from sanitygap.book import Project, execute, gate
from sanitygap.book.execution import command
from sanitygap.book.gatekeeper import STAMP, problems
from sanitygap.book.publishable import LocalPaths
from sanitygap.errors import NotRecordedError, UsageError
from sanitygap.provenance import checked_out


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


def test_commit_is_stamped_with_uncommitted_changes(project: Project) -> None:
    import subprocess

    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=t", "-c", "user.email=t@t.invalid"]
        subprocess.run(["git", "-C", str(project.root), *identity, *arguments], check=True)

    assert checked_out(project.root) == (None, False)
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "all")
    commit, dirty = checked_out(project.root)
    assert commit is not None
    assert len(commit) == 40
    assert not dirty
    (project.root / "new").touch()
    assert checked_out(project.root) == (commit, True)


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


@pytest.mark.parametrize(
    ("said", "published"), [("a warning", ["a warning"]), (r"\r    ", [])], ids=["warning", "blank"]
)
def test_progress_bars_are_not_published_and_warnings_are(
    project: Project, said: str, published: list[str]
) -> None:
    path = project.source("theorem-1")
    text = path.read_text(encoding="utf-8").replace(
        "    pass\n", f"    pass\nimport sys; print('{said}', end='', file=sys.stderr)\n"
    )
    path.write_text(text, encoding="utf-8")
    execute(project, ["theorem-1"], {}, "toy")
    outputs = [o for cell in read(project, "theorem-1").cells for o in cell.get("outputs", [])]
    shown = [o.text for o in outputs if o.output_type == "stream" and o.name == "stderr"]
    assert [text.strip() for text in shown] == published


def test_page_shows_the_values_that_were_used_and_no_defaults(executed: Project) -> None:
    def tagged(tag: str) -> nbformat.NotebookNode:
        cells = read(executed, "theorem-1").cells
        [cell] = [cell for cell in cells if tag in cell.metadata.get("tags", [])]
        return cell

    assert "remove-input" in tagged("parameters").metadata.tags
    injected = tagged("injected-parameters")
    assert "hide-input" in injected.metadata.tags
    assert 'run = "toy"' in injected.source


def test_values_reach_the_notebook(project: Project) -> None:
    [path] = execute(project, ["theorem-1"], {"points": 7}, "toy", out=project.root / "elsewhere")
    assert path == project.root / "elsewhere" / "theorem-1.ipynb"
    assert printed(nbformat.read(path, as_version=4))["points"] == "7"


def test_unknown_parameter_is_refused_before_anything_runs(project: Project) -> None:
    with pytest.raises(UsageError, match=r"'gap' has no parameter 'ponits'.*divisor") as error:
        execute(project, ["gap"], {"ponits": 7}, "toy")
    assert "\n" not in str(error.value)
    assert not project.executed_folder("toy").exists()


def test_unknown_notebook_is_refused_with_the_nearest_name(project: Project) -> None:
    with pytest.raises(UsageError, match=r"unknown notebook 'theorem1'.*theorem-1"):
        execute(project, ["theorem1"], {}, "toy")


@pytest.mark.parametrize("run", ["../outside", "a/b", "", ".hidden", "a b"])
def test_run_must_be_a_plain_name(project: Project, run: str) -> None:
    with pytest.raises(UsageError, match="cannot name a run"):
        execute(project, ["gap"], {}, run)


def test_malformed_notebook_is_refused(project: Project) -> None:
    path = project.source("gap")
    text = path.read_text(encoding="utf-8").replace("  display_name: Python 3\n", "")
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match="'gap' is not a MyST Markdown notebook"):
        execute(project, ["gap"], {}, "toy")


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


def test_one_failure_does_not_stop_the_others(project: Project) -> None:
    path = project.source("theorem-1")
    text = path.read_text(encoding="utf-8").replace("import hashlib\n", "import no_such_module\n")
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match="'theorem-1' failed .*no_such_module"):
        execute(project, [], {}, "toy")
    assert project.executed("toy", "gap").exists()
    assert not project.executed("toy", "theorem-1").exists()


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


def test_interruption_keeps_what_ran(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    import papermill

    complete = papermill.execute_notebook

    def interrupted(*args: object, **options: object) -> None:
        complete(*args, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(papermill, "execute_notebook", interrupted)
    with pytest.raises(KeyboardInterrupt):
        execute(project, ["gap"], {}, "toy")
    assert [path.name for path in project.executed_folder("toy").iterdir()] == ["gap.failed.ipynb"]


@pytest.mark.parametrize(
    "at", ["papermill.execute_notebook", "sanitygap.book.execution.publishable"]
)
def test_no_older_page_passes_for_one_that_a_full_disk_cut_off(
    project: Project, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    execute(project, [], {}, "toy")
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


def test_command_quotes_what_a_shell_would_split() -> None:
    text = command("gap", {"model": "a b", "n_images": None, "seed": 0, "points": 3})
    assert text == "sanitygap execute gap --model 'a b' --seed 0"


def test_project_is_found_from_a_folder_inside_it(project: Project) -> None:
    assert Project.find(project.root / "book") == Project(project.root.resolve())


def test_outside_a_project_the_message_says_where_to_go(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="run this inside the book"):
        Project.find(tmp_path)


def test_chapters_are_those_of_the_table_of_contents(project: Project) -> None:
    assert project.chapters == ["theorem-1", "gap"]
    assert project.notebooks == ["gap", "theorem-1"]


def test_chapters_without_a_caption_belong_to_the_part_before_them(project: Project) -> None:
    first, last = project.parts
    assert first == {
        "caption": "The statements",
        "pages": ["book/toy-part", "notebooks/theorem-1", "notebooks/gap"],
    }
    assert last["caption"] == "The companion"
    assert [project.documents[0], *first["pages"], *last["pages"]] == project.documents
