"""Tables that are measured in this process."""

from pathlib import Path

import pandas as pd

from sanitygap.images import load_images
from sanitygap.models import load_model
from sanitygap.table import Context
from sanitygap.tables import TABLES
from tests.models.tiny import TINY


def tiny_context(folder: Path, n: int | None = None, seed: int = 0, spec: str = TINY) -> Context:
    """The tiny network, or another one, and so many photographs of a folder."""
    return Context(lambda: load_model(spec), lambda: load_images(f"folder:{folder}", n), seed)


def measure(name: str, context: Context, **parameters: object) -> pd.DataFrame:
    """All rows of a table."""
    parts = TABLES[name].parts(context, **parameters)
    return pd.concat([part.compute() for part in parts], ignore_index=True)
