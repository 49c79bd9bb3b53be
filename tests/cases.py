"""Cases that are nothing but data."""

from pathlib import Path
from typing import Any

import yaml


def cases(name: str) -> list[list[Any]]:
    """The cases of ``cases.yml`` under a name."""
    text = Path(__file__).with_name("cases.yml").read_text(encoding="utf-8")
    return yaml.safe_load(text)[name]
