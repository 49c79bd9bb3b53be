"""Execute the Markdown notebooks with the parameters of a run."""

from __future__ import annotations

import contextlib
import os
import platform
import shlex
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil
from tqdm import tqdm

from sanitygap import fingerprint
from sanitygap.book.gatekeeper import (
    KERNELSPEC,
    STAMP,
    LocalPaths,
    checksums,
    map_strings,
    publishable,
)
from sanitygap.book.kernels import KERNEL, kernels, logging_reads
from sanitygap.book.project import Project
from sanitygap.claims import one_line
from sanitygap.errors import NotRecordedError, UsageError
from sanitygap.files import file_sha256
from sanitygap.importing import telling_kernels
from sanitygap.provenance import checked_out

COMMAND_OPTIONS = ("run", "profile", "model", "images", "n_images", "device", "seed", "methods")
"""Parameters that every notebook has; each is an option of ``sanitygap execute``.

One of them may be repeated: ``--method`` gives the items of ``methods``.
"""


def execute(
    project: Project,
    notebooks: Sequence[str],
    parameters: Mapping[str, Any],
    run: str,
    out: Path | None = None,
    timeout: float | None = None,
    progress: bool = False,
    jobs: int = 1,
) -> list[Path]:
    """Execute notebooks, each in a fresh kernel of this interpreter.

    Notebooks that ask for the same table at the same time wait for each other (see
    :meth:`Study.table <sanitygap.runs.Study.table>`). A notebook's older copy goes when its
    execution begins, so none is there if it does not end. A notebook that fails does not stop the
    others. Its partly executed copy stays beside the good ones as ``NAME.failed.ipynb``, and all
    failures are reported together at the end.

    Args:
        project: the checkout. Its root is the working directory of the notebooks.
        notebooks: names of notebooks; empty for every notebook of the table of contents.
        parameters: values for names that the notebook's parameters cell defines.
        run: name of the run; passed on as the parameter ``run``.
        out: folder for the executed copies, default ``book/_executed/<run>``.
        timeout: most seconds one cell may take; None for no limit.
        progress: show progress bars on the terminal.
        jobs: how many notebooks run at a time; they share the processor's cores.

    Returns:
        The executed copies, in the order of ``notebooks``.

    Raises:
        UsageError: an unknown notebook or parameter name, or a cell that failed.
        OSError: a copy cannot be written, as on a full disk.
    """
    names = list(notebooks) or project.chapters
    sources = {name: project.source(name) for name in names}
    values = {**parameters, "run": run}
    prepared = {name: _prepare(source, values) for name, source in sources.items()}
    folder = project.executed_folder(run) if out is None else out
    folder.mkdir(parents=True, exist_ok=True)

    def run_one(name: str, bar: bool) -> str | None:
        """What went wrong in a notebook, or None."""
        try:
            _execute_one(project, name, prepared[name], values, folder, timeout, bar)
        except UsageError as failure:
            return str(failure)
        return None

    with telling_kernels(), kernels(max(1, (os.cpu_count() or 1) // jobs), len(names)):
        if jobs == 1:
            failures = [run_one(name, progress) for name in names]
        else:
            failures = _side_by_side(lambda name: run_one(name, False), names, jobs, progress)
    if any(failures):
        raise UsageError("; ".join(failure for failure in failures if failure))
    return [folder / f"{name}.ipynb" for name in names]


def _side_by_side(
    run_one: Callable[[str], str | None], names: Sequence[str], jobs: int, progress: bool
) -> list[str | None]:
    """Results of a function for each name, ``jobs`` at a time; an interrupt ends their kernels."""
    with ThreadPoolExecutor(jobs) as pool:
        running = {pool.submit(run_one, name): name for name in names}
        bar = tqdm(as_completed(running), "notebooks", len(names), disable=not progress)
        try:
            for future in bar:
                bar.set_postfix_str(running[future])
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for kernel in psutil.Process().children():
                kernel.terminate()
            raise
        return [future.result() for future in running]


def _prepare(source: Path, values: Mapping[str, Any]) -> Any:
    """A notebook read from its Markdown source, ready for papermill.

    Raises:
        UsageError: it is malformed, or its parameters cell does not define one of the names.
    """
    import jupytext
    from nbformat import ValidationError

    try:
        notebook = jupytext.read(source, fmt={"extension": ".md", "format_name": "myst"})
    except (ValidationError, ValueError) as error:
        said = str(error).splitlines()[0]
        raise UsageError(
            f"notebook {source.stem!r} is not a MyST Markdown notebook: {said}"
        ) from error
    notebook.metadata.kernelspec = dict(KERNELSPEC)
    known = _known_parameters(notebook)
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise UsageError(
            f"notebook {source.stem!r} has no parameter {', '.join(map(repr, unknown))}; "
            f"its parameters cell defines: {', '.join(known) or 'none'}"
        )
    notebook.metadata[STAMP] = {
        "source": f"notebooks/{source.name}",
        "source_sha256": file_sha256(source),
        "library_sha256": fingerprint.of_library(),
        "parameters": {**known, **values},
    }
    return notebook


def _known_parameters(notebook: Any) -> dict[str, Any]:
    """Names and default values in the notebook's parameters cell, as papermill reads them."""
    import ast

    import nbformat
    from papermill.inspection import inspect_notebook

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "notebook.ipynb"
        nbformat.write(notebook, path)
        inspected = inspect_notebook(str(path))

    def value(default: str) -> Any:
        try:
            return ast.literal_eval(default)
        except (SyntaxError, ValueError):  # an expression: shown as it is written
            return default

    return {name: value(parameter["default"]) for name, parameter in inspected.items()}


def _execute_one(
    project: Project,
    name: str,
    notebook: Any,
    values: Mapping[str, Any],
    folder: Path,
    timeout: float | None,
    progress: bool,
) -> None:
    """Execute one prepared notebook into ``folder``.

    Raises:
        UsageError: a cell failed; the message names the cell and the exception.
        OSError: the copy cannot be written.
    """
    import nbformat
    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError

    page, partial, failed = (
        folder / f"{file}.ipynb" for file in (name, f".{name}.partial", f"{name}.failed")
    )
    local = LocalPaths(project.root)
    commit, dirty = checked_out(project.root)
    started = datetime.now(UTC)
    for old in (page, partial):
        old.unlink(missing_ok=True)

    def stamp(opened: Sequence[Path] = ()) -> None:
        executed = nbformat.read(partial, as_version=4)
        finished = datetime.now(UTC)
        executed.metadata[STAMP] |= {
            "run": values["run"],
            "started": started.isoformat(timespec="seconds"),
            "finished": finished.isoformat(timespec="seconds"),
            "duration_s": round((finished - started).total_seconds(), 1),
            "commit": commit,
            "dirty": dirty,
            "versions": versions(),
            "command": command(name, executed.metadata[STAMP]["parameters"]),
            "run_record": project.run_record(values["run"]),
        }
        executed.metadata[STAMP] = map_strings(executed.metadata[STAMP], local.hide)
        publishable(executed, local)
        executed.metadata[STAMP] |= checksums(project, executed, values["run"], opened)
        nbformat.write(executed, partial)

    def keep_failed() -> None:
        # Papermill saves after every cell, so what ran is on disk whatever stopped the notebook,
        # unless the disk is full.
        with contextlib.suppress(OSError, ValueError, UsageError):
            stamp()
        if partial.exists():
            partial.replace(failed)

    try:
        with tempfile.TemporaryDirectory() as temporary:
            source, log = (Path(temporary) / file for file in (f"{name}.ipynb", "opened"))
            nbformat.write(notebook, source)
            try:
                papermill.execute_notebook(
                    str(source),
                    str(partial),
                    dict(values),
                    kernel_name=KERNEL,
                    language="python",
                    # papermill's own way to say where would move this whole process there
                    resources={"metadata": {"path": str(project.root)}},
                    progress_bar={"desc": name} if progress else False,
                    execution_timeout=timeout,
                    stderr_file=sys.stderr if progress else None,
                    extra_arguments=logging_reads(project.data.resolve(), log),
                )
            except papermill.PapermillExecutionError as error:
                if error.ename != NotRecordedError.__name__:
                    raise
                settings = project.run_record(values["run"]).get("settings", {})
                anew = command(name, {**settings, "run": "mine"})
                _end_page(partial, one_line(error.evalue), anew)
            opened = log.read_text(encoding="utf-8").splitlines()
        stamp([Path(path) for path in opened])
        partial.replace(page)
    except BaseException as error:
        keep_failed()
        see = f"(see {_shown(project, failed)})"
        if isinstance(error, papermill.PapermillExecutionError):
            what = f"{error.ename}: {one_line(error.evalue)}"
            words = f"notebook {name!r} failed in cell {error.exec_count}: {what} {see}"
            raise UsageError(words) from error
        if isinstance(error, CellTimeoutError | DeadKernelError):
            late = f"a cell took more than {timeout} s"
            dead = "the kernel died, perhaps for want of memory"
            what = late if isinstance(error, CellTimeoutError) else dead
            raise UsageError(f"notebook {name!r} failed: {what} {see}") from error
        raise
    failed.unlink(missing_ok=True)


def _end_page(path: Path, message: str, anew: str) -> None:
    """Let an executed notebook say why its results end where a recorded run holds no more.

    The cell that failed and the code behind it go; the text stays. ``anew`` is the command that
    computes what is missing.
    """
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    cells = [
        cell
        for cell in notebook.cells
        if not {"papermill-error-cell-tag"} & set(cell.metadata.get("tags", []))
    ]
    place = next(
        number
        for number, cell in enumerate(cells)
        if any(output.output_type == "error" for output in cell.get("outputs", []))
    )
    note = nbformat.v4.new_markdown_cell(
        f"````{{note}}\nNot recorded: {message}:\n\n```bash\n{anew}\n```\n\n"
        "What stands below is about figures and tables that such a run shows.\n````"
    )
    rest = [cell for cell in cells[place + 1 :] if cell.cell_type != "code"]
    notebook.cells = [*cells[:place], note, *rest]
    notebook.metadata.papermill.exception = None
    nbformat.write(notebook, path)


def versions() -> dict[str, str]:
    """The versions of Python, of this package and of the libraries that numbers depend on."""
    own = {"python": platform.python_version(), "sanitygap": metadata.version("sanitygap")}
    return own | fingerprint.versions()


def command(notebook: str, parameters: Mapping[str, Any]) -> str:
    """The command line that executes a notebook with the same parameters again."""
    words = ["sanitygap", "execute", notebook]
    for method in parameters.get("methods") or ():
        words += ["--method", str(method)]
    for name in COMMAND_OPTIONS:
        if name != "methods" and parameters.get(name) is not None:
            words += [f"--{name.replace('_', '-')}", str(parameters[name])]
    return shlex.join(words)


def _shown(project: Project, path: Path) -> str:
    """A path as a person would type it: relative to the checkout where it lies inside."""
    return str(path.relative_to(project.root) if path.is_relative_to(project.root) else path)
