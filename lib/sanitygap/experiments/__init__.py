"""Experiments: what measures a table. Every module of this package is found by scanning."""

import importlib
import pkgutil

from sanitygap.table import TABLES

__all__ = ["TABLES"]

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
