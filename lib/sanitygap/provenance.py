"""Provenance: which commit, libraries and machine a result comes from."""

import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sanitygap import fingerprint
from sanitygap.errors import UsageError
from sanitygap.files import find_root, git_output


def provenance(device: str) -> dict[str, Any]:
    """Commit, versions, machine and time, as far as they can be told.

    Args:
        device: the torch device that computes.
    """
    import torch

    kind = torch.cuda.get_device_name(device) if device.startswith("cuda") else processor()
    return {
        "commit": commit(),
        "python": platform.python_version(),
        "versions": fingerprint.versions(),
        "device": kind,
        "threads": torch.get_num_threads(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def processor() -> str:
    """The processor's name and number of cores."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        model = platform.processor() or platform.machine()
    return f"{model}, {os.cpu_count()} cores"


def commit() -> str:
    """The checked-out commit, with ``+changes`` if files differ from it; empty outside git."""
    try:
        head, changed = checked_out(find_root())
    except UsageError:
        return ""
    return (head or "") + ("+changes" if changed else "")


def commits_of(record: Mapping[str, Any]) -> list[str]:
    """The commits behind a run's numbers, most tables first; empty if nobody knows.

    A recorded run lists those of its tables: it may have been computed over many days, and a run's
    own commit is only that of its first one.

    Args:
        record: what ``run.json`` holds.
    """
    own = record.get("provenance", {}).get("commit")
    return list(record.get("commits") or filter(None, [own]))


def checked_out(root: Path) -> tuple[str | None, bool]:
    """The commit that is checked out in a folder, and whether files differ from it.

    Returns:
        The full hash, None outside a git repository or before its first commit; and True where a
        tracked file was changed or a file that git does not ignore was added.
    """

    def git(*arguments: str) -> str:
        return git_output(root, *arguments).decode().strip()

    return git("rev-parse", "--verify", "--quiet", "HEAD") or None, bool(
        git("status", "--porcelain")
    )
