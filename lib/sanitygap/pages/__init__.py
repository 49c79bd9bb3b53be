"""What the pages show: a study's tables as plates and tables for display.

Notebooks call these functions and hold no logic. Every number is computed here from a run's
tables; the drawing is in :mod:`sanitygap.figures`.
"""

import importlib
import pkgutil

from sanitygap.show import about as about

for _entry in pkgutil.iter_modules(__path__, f"{__name__}."):
    _module = importlib.import_module(_entry.name)
    globals().update(
        {
            name: value
            for name, value in vars(_module).items()
            if not name.startswith("_") and getattr(value, "__module__", "") == _module.__name__
        }
    )  # of two pages with functions of one name, the later is meant: the skips' layer_plate
