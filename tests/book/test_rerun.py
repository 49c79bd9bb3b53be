"""A new user's way: the three commands of the page "How to re-run", on their own network."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

from sanitygap.book import Project
from tests.book.toy import CHECKOUT, PAGES
from tests.models.tiny import photographs

NOT_COPIED = (".git", ".venv", "_build", "_executed", "__pycache__", "runs", "cache", ".*_cache")


def commands() -> list[list[str]]:
    """The three commands as the page shows them."""
    page = (CHECKOUT / "book" / "rerun.md").read_text(encoding="utf-8")
    section = page[page.index("Then three commands") :]
    block = re.search(r"```bash\n(.*?)```", section, re.DOTALL)
    assert block is not None
    return [shlex.split(line) for line in block.group(1).splitlines()]


@pytest.fixture
def book(tmp_path: Path) -> Path:
    """A checkout with a user's package and four photographs."""
    root = tmp_path / "book"
    shutil.copytree(CHECKOUT, root, ignore=shutil.ignore_patterns(*NOT_COPIED))
    (root / "my_models").mkdir()
    shutil.copy(PAGES / "my_models.py.txt", root / "my_models" / "__init__.py")
    photographs(root / "my-photographs", 4)
    return root


@pytest.mark.book
def test_three_commands_lead_to_a_book_about_the_own_model(book: Path) -> None:
    def call(*arguments: str) -> str:
        # -P: the installed command does not look for modules where it is called, either
        done = subprocess.run(
            [sys.executable, "-P", "-m", *arguments],
            cwd=book,
            env={**os.environ, "PYTHONPATH": str(CHECKOUT / "lib")},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    check, execute, build = commands()
    assert [words[:2] for words in (check, execute, build)] == [
        ["sanitygap", "check-model"],
        ["sanitygap", "execute"],
        ["sanitygap", "build"],
    ]
    assert "FAILED" not in call(*check)
    call(*execute, "occlusion", "--profile", "smoke", "--n-images", "4")
    index = Path(call(*build).strip())
    for page in (index.parent / f"{name}.html" for name in Project(book).documents):
        soup = BeautifulSoup(page.read_bytes(), "html.parser")
        line = " ".join(one.get_text() for one in soup.select("article .shown-run"))
        for words in ("random weights", "my_models:network", "4 images"):
            assert words in line, page.name
