"""A person's own models and methods: ``package.module:object``, from where the command was called.

Nothing is imported that the person did not name.
"""

import hashlib
import importlib
import os
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from sanitygap.errors import UsageError

#: holds the folder where a command was called, for the kernels that it starts elsewhere
CALLED_FROM = "SANITYGAP_CALLED_FROM"

OWN = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)


def is_own(name: str) -> bool:
    """Whether a name is written ``package.module:object``."""
    return OWN.fullmatch(name) is not None


def called_from() -> Path:
    """The folder where the command was called; paths and modules of a person are sought there."""
    return Path(os.environ.get(CALLED_FROM) or Path.cwd())


def from_here(path: str) -> Path:
    """A person's path, relative to where the command was called."""
    return Path(os.environ.get(CALLED_FROM, "")) / Path(path).expanduser()


@contextmanager
def telling_kernels() -> Iterator[None]:
    """Processes that are started meanwhile know from where this command was called."""
    before = os.environ.get(CALLED_FROM)
    os.environ[CALLED_FROM] = str(called_from())
    try:
        yield
    finally:
        if before is None:
            del os.environ[CALLED_FROM]
        else:
            os.environ[CALLED_FROM] = before


def load_own(name: str, kind: str) -> Any:
    """The object that ``package.module:object`` names.

    Args:
        name: as the person wrote it.
        kind: ``"method"`` or ``"model"``, for messages.

    Raises:
        UsageError: the module cannot be imported, or has no such object.
    """
    module_name, _, path = name.partition(":")
    if module_name.endswith(".py"):
        dotted = module_name.removesuffix(".py").replace("/", ".")
        raise UsageError(f"a {kind} of your own is a module's: write {dotted}:{path}, not {name!r}")
    if not is_own(name):
        raise UsageError(f"a {kind} of your own is written package.module:object, not {name!r}")
    # last, so that no file there takes the place of a library's; it stays for later imports
    if (here := str(called_from())) not in sys.path:
        sys.path.append(here)
    try:
        found: Any = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # a person's module may fail in any way
        raise UsageError(
            f"cannot import {module_name!r} for the {kind} {name}: {place_of_failure(error)}"
        ) from error
    for step in path.split("."):
        if not hasattr(found, step):
            raise UsageError(f"{module_name!r} has no {step!r}; name a {kind} that it defines")
        found = getattr(found, step)
    return found


@cache
def source_sha256(name: str) -> str:
    """SHA-256 of the file of the module that an own object is named by; empty if it has none.

    It is that of the first time, as the module is.
    """
    load_own(name, "object")
    path = getattr(sys.modules[name.partition(":")[0]], "__file__", None)
    return hashlib.sha256(Path(path).read_bytes()).hexdigest() if path else ""


def place_of_failure(error: BaseException) -> str:
    """What an exception says and where, in one short line."""
    said = " ".join(str(error).split())[:160]
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "site-packages" not in frame.filename]
    outside = [frame for frame in own if Path(__file__).parent not in Path(frame.filename).parents]
    where = next((f for f in reversed(outside) if not f.filename.startswith("<")), None)
    kind = type(error).__name__
    told = f"{kind}: {said}" if said else kind
    return f"{told} ({Path(where.filename).name}, line {where.lineno})" if where else told
