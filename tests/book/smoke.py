"""The real book in the smoke profile, made once a session in a copy of the checkout."""

import shutil
from functools import cache
from pathlib import Path

from sanitygap.book import Project, build, execute
from tests.book.toy import CHECKOUT

RUN = "smoke"
NOT_COPIED = (".git", ".venv", "_build", "_executed", "__pycache__", "parts", ".*_cache")


@cache
def smoke_project(folder: Path) -> Project:
    """A copy of the checkout, below a folder, with every chapter executed in the smoke profile."""
    root = folder / "smoke"
    shutil.copytree(CHECKOUT, root, ignore=shutil.ignore_patterns(*NOT_COPIED))
    project = Project(root)
    # the faster network, and as few images as intervals need
    settings = {"profile": "smoke", "model": "squeezenet1_1", "n_images": 3}
    execute(project, [], settings, RUN, timeout=900)
    return project


@cache
def smoke_site(folder: Path) -> Path:
    """The folder of the site that shows these chapters and the verdicts they reached."""
    return build(smoke_project(folder), RUN).parent
