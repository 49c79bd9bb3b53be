"""The files that make a book: notebooks, pages, settings and what its chapters read.

A wheel carries them in a folder of this package, where ``setup.py`` puts them by this module;
a checkout holds them itself. Nothing here needs more than Python.
"""

import shutil
from pathlib import Path

from sanitygap.errors import UsageError

#: what belongs to a book, as patterns below its root; no runs, which are about somebody's model
FILES = (
    "_config.yml", "_toc.yml", "CITATION.cff", "notebooks/*.md", "book/*.*", "book/_static/*",
    "data/*.*", "data/features/*.npz",
)  # fmt: skip

#: in a wheel, below this package
CARRIED = Path(__file__).parent / "_template"


def copy_files(root: Path, folder: Path) -> None:
    """Copy the files of the book in one folder into another one."""
    for path in sorted(path for pattern in FILES for path in root.glob(pattern)):
        target = folder / path.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def write_book(folder: Path) -> None:
    """Write a book into a folder, which is made if it is not there.

    Raises:
        UsageError: there is something in the folder.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is not an empty folder; name a new one for the book")
    copy_files(CARRIED if CARRIED.is_dir() else Path(__file__).resolve().parents[2], folder)
