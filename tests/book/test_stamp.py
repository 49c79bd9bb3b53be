"""A page passes only as long as everything that it was made from is as it was."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import pytest

from sanitygap import fingerprint
from sanitygap.book import Project, execute, gate
from sanitygap.book.gatekeeper import STAMP
from sanitygap.claims import Record, as_json
from sanitygap.errors import UsageError
from sanitygap.files import write_table
from tests.book.toy import PAGES

TOC = "format: jb-book\nroot: notebooks/counts\n"

SETTINGS = {"run": "toy", "model": "efficientnet_lite0", "profile": "quick", "images": "photos"}
RUN = {"settings": SETTINGS | {"seed": 0}, "recorded": True, "model": {"weights_sha256": "ab"},
       "images": {"n": 3}}  # fmt: skip


def record(claim: str, **changes: Any) -> Record:
    told = {"verdict": "direction", "evidence": "0.3", "model": "m", "images": "i", "n_images": 3}
    return Record(**{"claim": claim, **told, **changes})


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A book of one chapter that reads one of two tables of its run; not to be changed."""
    project = Project(tmp_path_factory.mktemp("stamped"))
    (project.root / "notebooks").mkdir()
    project.toc.write_text(TOC, encoding="utf-8")
    shutil.copy(PAGES / "counts.md", project.root / "notebooks")
    folder = project.run_folder("toy")
    for name in ("step-counts", "occlusion"):
        write_table(folder / f"{name}.parquet", pd.DataFrame({"n": [1, 2]}))
        passport = {"table": name, "images": 0, "parameters": {}, "code": {}}
        (folder / f"{name}.json").write_text(json.dumps(passport), encoding="utf-8")
    (folder / "run.json").write_text(json.dumps(RUN), encoding="utf-8")
    (folder / "verdicts.json").write_text(as_json([record("binder-fig2")]), encoding="utf-8")
    (project.data / "claims.yml").write_text("one claim", encoding="utf-8")
    execute(project, ["counts"], {}, "toy")
    return project


@pytest.fixture
def project(executed: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy that a test may spoil, of a book whose recorded verdicts are not judged again."""
    monkeypatch.setattr(Record, "is_sealed", lambda *_: True)
    shutil.copytree(executed.root, tmp_path / "copy")
    return Project(tmp_path / "copy")


def test_the_stamp_names_what_the_page_reads(executed: Project) -> None:
    stamp = nbformat.read(executed.executed("toy", "counts"), as_version=4).metadata[STAMP]
    names = ["data/claims.yml"] + [
        f"data/runs/toy/step-counts.{ending}" for ending in ("json", "parquet")
    ]
    assert list(stamp.files) == names
    assert list(stamp.verdicts) == ["binder-fig2"]


def run_file(project: Project, name: str) -> Path:
    return project.run_folder("toy") / name


def another_table(project: Project) -> None:
    write_table(run_file(project, "step-counts.parquet"), pd.DataFrame({"n": [1, 3]}))


def replace(name: str, old: str, new: str) -> Callable[[Project], None]:
    """Change the text of a file of the run."""

    def change(project: Project) -> None:
        path = run_file(project, name)
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")

    return change


def page(change: Callable[[nbformat.NotebookNode], None]) -> Callable[[Project], None]:
    """Change the executed notebook by hand."""

    def changed(project: Project) -> None:
        path = project.executed("toy", "counts")
        notebook = nbformat.read(path, as_version=4)
        change(notebook)
        nbformat.write(notebook, path)

    return changed


def shown(notebook: nbformat.NotebookNode) -> Any:
    return notebook.cells[-1].outputs[-1].data


def killed(project: Project) -> None:
    """Another execution begins, and its process is killed."""
    process = os.fork()
    if process == 0:
        import papermill

        papermill.execute_notebook = lambda _, target, *__, **___: (
            Path(target).touch(),
            os._exit(9),
        )
        execute(project, ["counts"], {}, "toy")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 9


CHANGES = {
    "the library": (lambda p: None, "the library has changed"),
    "the notebook": (
        lambda p: p.source("counts").write_text("# Other counts"),
        "its source has changed",
    ),
    "the text of the criteria": (
        lambda p: (p.data / "claims.yml").write_text("another claim"),
        "data/claims.yml changed",
    ),
    "a table": (another_table, "data/runs/toy/step-counts.parquet changed"),
    "a table deleted": (
        lambda p: run_file(p, "step-counts.parquet").unlink(),
        "step-counts.parquet changed",
    ),
    "how a table was made": (replace("step-counts.json", "{}", "[]"), "step-counts.json changed"),
    "a verdict flipped": (
        replace("verdicts.json", '"direction"', '"not-reproduced"'),
        "the run has other verdicts now on binder-fig2",
    ),
    "the evidence of a verdict": (replace("verdicts.json", "0.3", "0.4"), "on binder-fig2"),
    "verdicts deleted": (lambda p: run_file(p, "verdicts.json").unlink(), "on binder-fig2"),
    "weights": (replace("run.json", '"ab"', '"cd"'), "about other weights"),
    "the run": (lambda p: shutil.rmtree(p.run_folder("toy")), "the folder of its run is gone"),
    "an output": (
        page(lambda nb: shown(nb).update({"text/html": "3 rows"})),
        "its cells or outputs were edited",
    ),
    "a code cell": (page(lambda nb: nb.cells[-1].update(source="3")), "cells or outputs"),
    "a text": (page(lambda nb: nb.cells[0].update(source="# 3")), "cells or outputs"),
    "an execution killed": (killed, "its last execution did not end"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_page_is_refused_after_a_change_of(
    project: Project, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    change, words = CHANGES[what]
    change(project)
    if what == "the library":
        monkeypatch.setattr(fingerprint, "PACKAGE", project.root)
    with pytest.raises(UsageError, match=f"counts: .*{words}") as error:
        gate(project, "toy")
    assert "\n" not in str(error.value)
    assert str(error.value).count("; ") == 0, "one thing was changed, and one is told"
