"""The archive of runs: joining shards, freezing a run as a recorded one, discarding one."""

import json
import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from sanitygap.errors import UsageError
from sanitygap.files import find_root, read_json, replacing, write_atomically
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


def join(target: str, sources: Iterable[str], root: Path | None = None) -> int:
    """Copy the parts of other runs into one.

    Parts are addressed by all that determines their numbers, so parts that do not belong to the
    target's settings are simply never asked for.

    Args:
        target: the run that receives the parts; it need not exist.
        sources: runs that hold parts.
        root: the project's folder.

    Returns:
        How many parts were new.

    Raises:
        UsageError: a source without parts, or a recorded target.
    """
    goal = run_folder(target, root)
    if is_recorded(goal):
        raise UsageError(f"{target!r} is a recorded run, which receives no parts; use another name")
    folders = [run_folder(source, root) for source in sources]
    for folder in folders:
        if not (folder / "parts").is_dir():
            raise UsageError(f"the run {folder.name!r} has no parts to join")
    copied = 0
    for folder in folders:
        for path in sorted((folder / "parts").rglob("*.parquet")):
            place = goal / path.relative_to(folder)
            if not place.is_file():
                with replacing(place) as temporary:
                    shutil.copyfile(path, temporary)
                copied += 1
    return copied


def table_commits(folder: Path) -> list[str]:
    """The commits that a run's tables were made at, the one of most tables first."""
    made = [read_json(path.with_suffix(".json")).get("commit") for path in folder.glob("*.parquet")]
    return [commit for commit, _ in Counter(sorted(filter(None, made))).most_common()]


def record_run(run: str, name: str, root: Path | None = None) -> Path:
    """Freeze a run under another name: its tables, passports and verdicts, without the parts.

    A recorded run of that name is replaced as a whole.

    Args:
        run: a run that is not recorded.
        name: of the recorded run.
        root: the project's folder.

    Returns:
        The folder of the recorded run.

    Raises:
        UsageError: the run holds no table or is recorded itself, or ``name`` is a live run.
    """
    source, target = run_folder(run, root), run_folder(name, root)
    tables = sorted(
        path for path in source.glob("*.parquet") if path.with_suffix(".json").is_file()
    )
    if not tables:
        raise UsageError(f"the run {run!r} holds no finished table to record")
    if is_recorded(source):
        raise UsageError(f"{run!r} is a recorded run already")
    if target.is_dir() and not is_recorded(target):
        raise UsageError(f"there is a run {name!r} that is not recorded; choose another name")
    staging = target.parent.with_name(f".{name}.part")  # not among the runs while it is made
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    verdicts = [path for path in (source / "verdicts.json",) if path.is_file()]
    for path in [*tables, *(table.with_suffix(".json") for table in tables), *verdicts]:
        shutil.copyfile(path, staging / path.name)
    record = read_json(source / "run.json")
    record["recorded"] = True
    record["settings"]["run"] = name
    record["commits"] = table_commits(staging)
    write_atomically(staging / "run.json", json.dumps(record, indent=1))
    if target.is_dir():
        shutil.rmtree(target)
    staging.rename(target)
    return target
