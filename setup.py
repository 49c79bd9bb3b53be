"""Put the book into the wheel; everything else about the package stands in pyproject.toml."""

import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
sys.path.insert(0, str(ROOT / "lib"))

from sanitygap.template import CARRIED, copy_files  # noqa: E402


class BuildWithBook(build_py):
    """Copies the files of the book beside the modules, but not for an editable install."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            copy_files(ROOT, Path(self.build_lib) / "sanitygap" / CARRIED.name)


setup(cmdclass={"build_py": BuildWithBook})
