"""Provenance: which commit, libraries and machine a result comes from."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from sanitygap.errors import UsageError
from sanitygap.files import find_root

VERSIONS = ("torch", "torchvision", "zennit", "captum", "numpy", "scipy", "scikit-image", "pandas")


def provenance(device: str) -> dict[str, Any]:
    """Commit, versions, machine and time, as far as they can be told.

    Args:
        device: the torch device that computes.
    """
    kind = torch.cuda.get_device_name(device) if device.startswith("cuda") else processor()
    return {
        "commit": commit(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in VERSIONS},
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
        root = find_root()
        head = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True
        ).stdout.strip()
        status = subprocess.run(
            ["git", "status", "--porcelain"], cwd=root, capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError, UsageError):
        return ""
    return head + ("+changes" if status else "")
