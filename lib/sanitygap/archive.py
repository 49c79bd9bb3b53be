"""The archive of runs: freezing a run as a recorded one, discarding one."""

import json
import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sanitygap.claims import Record, as_json, find_criterion, read_verdicts
from sanitygap.errors import UsageError
from sanitygap.files import find_root, read_json, write_atomically
from sanitygap.settings import Settings


def run_folder(run: str, root: Path | None = None) -> Path:
    """The folder of a run, whether or not it exists.

    Args:
        run: its name.
        root: the project's folder; found from the working directory by default.

    Raises:
        UsageError: the name cannot be the name of a folder, or there is no project here.
    """
    return (root or find_root()) / "data" / "runs" / Settings.checked(run=run).run


def run_record(folder: Path) -> dict[str, Any]:
    """The content of a run's ``run.json``, with all settings; empty if there is none.

    Raises:
        UsageError: it is damaged, or of a version with other settings.
    """
    path = folder / "run.json"
    if not path.is_file():
        return {}
    try:
        record = dict(json.loads(path.read_text(encoding="utf-8")))
        record["settings"] = Settings.checked(**record["settings"]).model_dump(mode="json")
        bool(record["recorded"])
    except (ValueError, TypeError, KeyError, UsageError):
        raise UsageError(
            f"the run.json of the run {folder.name!r} is damaged or of another version; restore "
            f"it, or delete the folder data/runs/{folder.name} and compute the run again"
        ) from None
    return record


def run_records(root: Path) -> tuple[dict[Path, dict[str, Any]], list[str]]:
    """The runs of a project, sorted by name, and what is said of those that cannot be used.

    Args:
        root: the project's folder.

    Returns:
        Folder -> content of its ``run.json``; and a line for each that :func:`run_record` refuses.
    """
    records, refused = {}, []
    for path in sorted((root / "data" / "runs").glob("*/run.json")):
        try:
            records[path.parent] = run_record(path.parent)
        except UsageError as error:
            refused.append(f"{error}; it is left out")
    return records, refused


def is_recorded(folder: Path) -> bool:
    """Whether a run's folder holds a recorded run."""
    return bool(read_json(folder / "run.json").get("recorded"))


def discard(run: str, root: Path | None = None) -> None:
    """Delete a run's folder, so that the name can be used for something else.

    Raises:
        UsageError: it is a recorded run.
    """
    folder = run_folder(run, root)
    if not folder.is_dir():
        return
    if is_recorded(folder):
        raise UsageError(
            f"{run!r} is a recorded run, which is never started over; use another name"
        )
    shutil.rmtree(folder)


def table_commits(folder: Path) -> list[str]:
    """The commits that a run's tables were made at, the one of most tables first."""
    made = [read_json(path.with_suffix(".json")).get("commit") for path in folder.glob("*.parquet")]
    return [commit for commit, _ in Counter(sorted(filter(None, made))).most_common()]


def record_run(
    run: str, name: str, root: Path | None = None, tables: Iterable[str] | None = None
) -> Path:
    """Freeze a run under another name: its tables, passports and verdicts, without the parts.

    A recorded run of that name is replaced as a whole, or receives some tables. Then it keeps its
    other tables, and its verdicts of the claims that read none of the new ones.

    Args:
        run: a run that is not recorded.
        name: of the recorded run.
        root: the project's folder.
        tables: names of tables of ``run`` to put into an existing recorded run; by default the
            whole run is recorded.

    Returns:
        The folder of the recorded run.

    Raises:
        UsageError: the run holds no table, or none of a name, or is recorded itself; ``name`` is a
            live run; tables are to be put into no recorded run, or one about other weights.
    """
    source, target = run_folder(run, root), run_folder(name, root)
    # neither is among the runs: what is being made, and what it replaces
    staging, older = (target.parent.with_name(f".{name}.{end}") for end in ("part", "old.part"))
    if older.is_dir() and not target.is_dir():  # a recording was killed as it changed them over
        older.rename(target)
    held = {path.stem for path in source.glob("*.parquet") if path.with_suffix(".json").is_file()}
    if not held:
        raise UsageError(f"the run {run!r} holds no finished table to record")
    if is_recorded(source):
        raise UsageError(f"{run!r} is a recorded run already")
    if target.is_dir() and not is_recorded(target):
        raise UsageError(f"there is a run {name!r} that is not recorded; choose another name")
    record = read_json(source / "run.json")
    chosen = sorted(set(tables or held))
    if missing := [table for table in chosen if table not in held]:
        raise UsageError(f"the run {run!r} holds no finished table {missing[0]!r} to record")
    for folder in (staging, older):
        shutil.rmtree(folder, ignore_errors=True)
    if tables:
        record = _record_of(target, record)
        shutil.copytree(target, staging, ignore=shutil.ignore_patterns("parts", "verdicts.json"))
        if verdicts := _verdicts_without(target, chosen):
            write_atomically(staging / "verdicts.json", as_json(verdicts))
    else:
        staging.mkdir(parents=True)
        if (source / "verdicts.json").is_file():
            shutil.copyfile(source / "verdicts.json", staging / "verdicts.json")
    for file in (f"{table}.{ending}" for table in chosen for ending in ("parquet", "json")):
        shutil.copyfile(source / file, staging / file)
    record["recorded"] = True
    record["settings"]["run"] = name
    record["commits"] = table_commits(staging)
    write_atomically(staging / "run.json", json.dumps(record, indent=1))
    if target.is_dir():
        target.rename(older)
    staging.rename(target)
    shutil.rmtree(older, ignore_errors=True)
    return target


def _record_of(recorded: Path, source: dict[str, Any]) -> dict[str, Any]:
    """``run.json`` of the recorded run that is to receive tables of a run.

    Raises:
        UsageError: there is no such recorded run, or it is about other weights.
    """
    name, record = recorded.name, read_json(recorded / "run.json")
    if not record:
        raise UsageError(f"there is no recorded run {name!r} to put tables into; record one whole")
    if record["model"]["weights_sha256"] != source["model"]["weights_sha256"]:
        raise UsageError(
            f"the recorded run {name!r} is about other weights, of {record['model']['spec']!r}; "
            "choose another name"
        )
    return record


def _verdicts_without(recorded: Path, tables: Iterable[str]) -> list[Record]:
    """The verdicts of a recorded run on claims that read none of these tables."""
    new = set(tables)
    return [
        record
        for record in read_verdicts(recorded / "verdicts.json")
        if not new & {*record.tables, *find_criterion(record.claim).tables}
    ]
