"""The gate: every unsound notebook is refused with its reason, and a sound one is let through."""

import json
import shutil
from collections.abc import Callable
from typing import Any

import nbformat
import pytest

from sanitygap.book import Project, gate
from sanitygap.book.gatekeeper import STAMP, moved_verdicts
from sanitygap.claims import as_json
from sanitygap.errors import UsageError
from sanitygap.runs import Study

RECORD: dict[str, Any] = {
    "recorded": False,
    "settings": {
        "run": "toy",
        "profile": "smoke",
        "model": "efficientnet_lite0",
        "images": "photos",
        "seed": 0,
    },
    "images": {"n": 3},
}


@pytest.fixture
def project(copied: Project) -> Project:
    return copied


Spoil = Callable[[Project], Any]


def spoil(project: Project, name: str, change: Callable[[nbformat.NotebookNode], None]) -> None:
    """Change an executed notebook."""
    path = project.executed("toy", name)
    notebook = nbformat.read(path, as_version=4)
    change(notebook)
    nbformat.write(notebook, path)


def gap(change: Callable[[nbformat.NotebookNode], Any]) -> Spoil:
    """Change the executed copy of one chapter."""
    return lambda project: spoil(project, "gap", change)


def code(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def record(project: Project, **changes: Any) -> None:
    path = project.root / "data" / "runs" / "toy" / "run.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(RECORD | changes), encoding="utf-8")


def test_sound_notebooks_pass_in_the_order_of_the_book(project: Project) -> None:
    assert list(gate(project, "toy")) == ["theorem-1", "gap"]


def test_chapters_that_nobody_executed_are_left_out(project: Project) -> None:
    project.executed("toy", "theorem-1").unlink()
    assert list(gate(project, "toy")) == ["gap"]
    project.executed("toy", "gap").unlink()
    with pytest.raises(UsageError, match="no chapter is executed for the run 'toy'; .*execute"):
        gate(project, "toy")


ERROR = nbformat.v4.new_output("error", ename="ValueError", evalue="no", traceback=[])


def failed_copy(project: Project) -> None:
    good = project.executed("toy", "gap")
    shutil.copy(good, good.with_name("gap.failed.ipynb"))


def names_a_folder(project: Project) -> None:
    stream = nbformat.v4.new_output("stream", name="stdout", text=f"read {project.root}/x\n")
    spoil(project, "gap", lambda nb: code(nb)[2].outputs.append(stream))


def edited_source(project: Project) -> None:
    project.source("gap").write_text(project.source("gap").read_text() + "\nMore.\n")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (gap(lambda nb: code(nb)[2].outputs.append(ERROR)), "cell 3 shows an error: ValueError"),
        (gap(lambda nb: nb.metadata.papermill.update(exception=True)), "ended with an exception"),
        (gap(lambda nb: code(nb)[2].update(execution_count=None)), "a code cell was not executed"),
        (gap(lambda nb: code(nb)[2].update(execution_count=9)), "cells were not executed once"),
        (edited_source, "its source has changed"),
        (
            gap(lambda nb: nb.metadata[STAMP].parameters.update(model="squeezenet1_1")),
            "executed with model 'squeezenet1_1', but the run",
        ),
        (failed_copy, "its last execution failed"),
        (gap(lambda nb: nb.metadata.pop(STAMP)), "not executed by sanitygap"),
        (names_a_folder, "it names the local folder"),
        (
            gap(lambda nb: code(nb)[3].metadata.mystnb.image.update(alt=" ")),
            "the figure of cell 4 has no alternative text",
        ),
        (
            gap(lambda nb: code(nb)[3].outputs.append(code(nb)[3].outputs[0])),
            "cell 4 shows 2 figures",
        ),
    ],
)
def test_an_unsound_notebook_is_refused(project: Project, change: Spoil, words: str) -> None:
    change(project)
    with pytest.raises(UsageError, match=f"gap: .*{words}"):
        gate(project, "toy")


def test_pages_that_disagree_with_the_record_of_the_run(project: Project) -> None:
    record(project)
    gate(project, "toy")
    shutil.rmtree(project.root / "data")
    record(project, settings=RECORD["settings"] | {"seed": 1})
    with pytest.raises(UsageError, match="theorem-1: executed with seed 0, but the run has 1"):
        gate(project, "toy")


def test_recorded_run_has_settings_of_its_own(project: Project) -> None:
    record(project, recorded=True, settings=RECORD["settings"] | {"profile": "full"})
    gate(project, "toy")


def test_all_reasons_of_all_pages_are_told_at_once(project: Project) -> None:
    for name in ("gap", "theorem-1"):
        spoil(project, name, lambda nb: code(nb)[2].update(execution_count=None))
    with pytest.raises(UsageError) as error:
        gate(project, "toy")
    assert "theorem-1: a code cell was not executed" in str(error.value)
    assert "gap: a code cell was not executed" in str(error.value)
    assert "\n" not in str(error.value)
    shutil.copytree(project.executed_folder("toy"), project.executed_folder("other"))
    with pytest.raises(UsageError, match="gap: .*executed for run 'toy', not 'other'"):
        gate(project, "other")


def test_recorded_verdicts_that_the_criteria_of_today_do_not_reach(project: Project) -> None:
    record(project, recorded=True, settings=RECORD["settings"] | {"run": "toy"})
    study = Study(run="toy", root=project.root)
    held = [one for one in study.judge_again() if one.claim in ("qa-question", "qa-scale")]
    path = study.folder / "verdicts.json"
    path.write_text(as_json(held), encoding="utf-8")
    assert list(moved_verdicts(project, "toy")) == []

    shutil.rmtree(study.folder / "parts")  # as in a fresh checkout
    assert list(moved_verdicts(project, "toy")) == []
    assert all(one.is_sealed(study.folder) for one in held), "it is not judged at every build"

    first, second = held
    others = [first.model_copy(update={"value": "false"}), second]
    path.write_text(as_json(others), encoding="utf-8")
    with pytest.raises(UsageError, match="holds other .*, on qa-question; .* sanitygap judge toy"):
        gate(project, "toy")


def test_paths_of_weights_and_images_are_no_disagreement(project: Project) -> None:
    given = {"model": "my_models:network@weights.pth", "images": "folder:my-photographs"}
    for name in ("theorem-1", "gap"):
        spoil(project, name, lambda nb: nb.metadata[STAMP].parameters.update(given))
    stored = {"model": "my_models:network", "images": "folder"}  # what a run keeps of them
    record(project, settings=RECORD["settings"] | stored)
    assert list(gate(project, "toy")) == ["theorem-1", "gap"]
    shutil.rmtree(project.root / "data")
    record(project, settings=RECORD["settings"] | stored | {"images": "imagenet-val"})
    with pytest.raises(UsageError, match="executed with images 'folder', but the run has"):
        gate(project, "toy")
