"""The chapters: a folder each, with what measures its tables, judges its claims and shows them.

Modules whose names begin with ``judge`` hold criteria, with ``show`` what notebooks call, with
``plots`` drawings, and ``pictures`` the few figures of single photographs that run the network as
a page is executed. All others measure, or are what a measurement rests on.
"""

import importlib
import pkgutil
from collections.abc import Iterator

OTHERS = ("judge", "pictures", "plots", "show")


def modules() -> Iterator[tuple[str, str]]:
    """Full name of every module of a chapter, and its last part."""
    for found in pkgutil.walk_packages(__path__, prefix=f"{__name__}.", onerror=_fail):
        if not found.ispkg:
            yield found.name, found.name.rpartition(".")[2]


def load_tables() -> None:
    """Import whatever registers a table with :func:`sanitygap.table.table`."""
    for name, leaf in modules():
        if not leaf.startswith(OTHERS):
            importlib.import_module(name)


def load_criteria() -> None:
    """Import whatever registers a criterion with :func:`sanitygap.claims.criterion`."""
    for name, leaf in modules():
        if leaf.startswith("judge"):
            importlib.import_module(name)


def load_figures() -> None:
    """Import whatever notebooks call, so that kernels which are forked later share it."""
    for name, leaf in modules():
        if leaf.startswith(("pictures", "show")):
            importlib.import_module(name)


def _fail(name: str) -> None:
    """Let the error that broke a package through; pkgutil would skip the package silently."""
    raise  # pkgutil calls this while it handles the exception
