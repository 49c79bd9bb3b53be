"""Experiments: what measures a table. They are found by scanning this package and the theory."""

import importlib
import pkgutil

from sanitygap import theory
from sanitygap.table import TABLES

__all__ = ["TABLES"]

for _path, _package in ((__path__, __name__), (theory.__path__, theory.__name__)):
    for _module in pkgutil.walk_packages(_path, f"{_package}."):
        importlib.import_module(_module.name)
