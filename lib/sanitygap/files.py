"""Files: where the project lies, and how files are written so that a killed process harms none.

Nothing here needs torch, so the ledger and the command line can use it cheaply.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from platform import node
from typing import Any

import pandas as pd
from filelock import FileLock

from sanitygap.errors import DamagedError, UsageError


def find_root(start: Path | None = None) -> Path:
    """The project's folder: the nearest one upwards with ``_toc.yml`` and ``notebooks``.

    Args:
        start: where to begin; the working directory by default.

    Raises:
        UsageError: outside the project.
    """
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / "_toc.yml").is_file() and (folder / "notebooks").is_dir():
            return folder
    raise UsageError("run this inside the book's folder (the one with _toc.yml and notebooks/)")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside ``path``; what was written there takes its place on success.

    A reader sees the old file or the new one, never a part of it. Folders are made as needed, and
    an exception leaves neither a temporary nor a changed file behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{node()}.{os.getpid()}.part")
    try:
        yield temporary
        with temporary.open("rb") as file:  # on the disk before it has the name
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(paths: Iterable[Path]) -> None:
    """Remove temporary files and folders of processes of this machine that were killed.

    Args:
        paths: their names hold the number of the process between the last two hyphens or dots.
    """
    for path in paths:
        number = re.split("[-.]", path.name)[-2]
        try:
            os.kill(int(number), 0)
        except (ProcessLookupError, ValueError):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        except PermissionError:  # alive, and somebody else's
            pass


def write_atomically(path: Path, text: str) -> None:
    """Write a text file, in UTF-8, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a Parquet file, with the table's ``attrs``, whole or not at all."""
    with replacing(path) as temporary:
        table.to_parquet(temporary, compression="zstd", index=False, write_page_checksum=True)


#: what Arrow raises over damaged bytes, among them types and sizes that no table has
UNREADABLE = (OSError, ValueError, KeyError, TypeError, NotImplementedError, MemoryError)


def read_table(path: Path) -> pd.DataFrame:
    """Read a Parquet file.

    Raises:
        DamagedError: it is no Parquet file, or its bytes are not those that were written.
    """
    try:
        return pd.read_parquet(path, page_checksum_verification=True)
    except UNREADABLE as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise DamagedError(
            f"{path.parent.name}/{path.name} is damaged; delete it and run the same command again"
        ) from None


def content_sha256(table: pd.DataFrame) -> str:
    """SHA-256 of what a table says, whatever file it lies in."""
    return hashlib.sha256(table.to_csv(index=False).encode()).hexdigest()


def locked(folder: Path, name: str) -> FileLock:
    """A context that one process at a time can be in; the others wait for it.

    The lock is an empty file in ``folder``, which the system unlocks when its holder dies.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / f".{name}.lock")


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file of a run; empty if there is no such file.

    Raises:
        UsageError: the file is damaged.
    """
    if not path.is_file():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError):
        raise UsageError(
            f"{path.parent.name}/{path.name} is damaged; delete it and run the same command again"
        ) from None


def git_output(root: Path, *arguments: str) -> bytes:
    """What git prints in a folder; nothing where it fails, as outside a repository."""
    try:
        return subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return b""
