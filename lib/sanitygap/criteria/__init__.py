"""Criteria: from the tables of a run to a verdict on a claim; one module or folder a topic.

Each module registers its functions with :func:`sanitygap.claims.criterion` when it is imported.
"""

from __future__ import annotations

import importlib
import pkgutil


def load_criteria() -> list[str]:
    """Import every module of this package, so that all criteria are registered.

    Returns:
        The names of the modules.
    """
    found = pkgutil.walk_packages(__path__, prefix=f"{__name__}.", onerror=_fail)
    return [importlib.import_module(module.name).__name__ for module in found]


def _fail(name: str) -> None:
    """Let the error that broke a package through; pkgutil would skip the package silently."""
    raise  # pkgutil calls this while it handles the exception
