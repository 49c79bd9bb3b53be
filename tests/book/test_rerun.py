"""A new user's way: the three commands of the page "How to re-run", on their own network."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from bs4 import BeautifulSoup

from sanitygap.book import Project
from tests.book.toy import CHECKOUT, PAGES
from tests.models.tiny import photographs

CHAPTERS = ["occlusion"]
NOT_COPIED = (".git", ".venv", "_build", "_executed", "__pycache__", "runs", "cache", ".*_cache")


def commands() -> list[list[str]]:
    """The three commands as the page shows them."""
    page = (CHECKOUT / "book" / "rerun.md").read_text(encoding="utf-8")
    section = page[page.index("Then three commands") :]
    block = re.search(r"```bash\n(.*?)```", section, re.DOTALL)
    assert block is not None
    return [shlex.split(line) for line in block.group(1).splitlines()]


def leave_out_missing_pages(chapter: Path, root: Path) -> None:
    """Keep the words of references to chapters that this small book does not have."""
    kept = [*(root / "book").glob("*.md"), *(root / "notebooks" / f"{n}.md" for n in CHAPTERS)]
    labels = {
        label for path in kept for label in re.findall(r"^\(([\w-]+)\)=$", path.read_text(), re.M)
    }

    def words(found: re.Match[str]) -> str:
        return found.group() if found.group(2) in labels else found.group(1).strip()

    text = chapter.read_text(encoding="utf-8")
    chapter.write_text(re.sub(r"\{ref\}`([^`<]+)<([^`>]+)>`", words, text), encoding="utf-8")


@pytest.fixture
def book(tmp_path: Path) -> Path:
    """A checkout with one of the chapters, a user's package and four photographs."""
    root = tmp_path / "book"
    shutil.copytree(CHECKOUT, root, ignore=shutil.ignore_patterns(*NOT_COPIED))
    toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    for part in toc["parts"]:
        part["chapters"] = [
            page
            for page in part["chapters"]
            # an introduction names all pages of its part
            if not page["file"].startswith(("notebooks/", "book/part-"))
            or page["file"].removeprefix("notebooks/") in CHAPTERS
        ]
    toc["parts"] = [part for part in toc["parts"] if part["chapters"]]
    (root / "_toc.yml").write_text(yaml.safe_dump(toc), encoding="utf-8")
    for name in CHAPTERS:
        leave_out_missing_pages(root / "notebooks" / f"{name}.md", root)
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
    call(*execute, "--profile", "smoke", "--n-images", "4")
    index = Path(call(*build).strip())
    for page in (index.parent / f"{name}.html" for name in Project(book).documents):
        soup = BeautifulSoup(page.read_bytes(), "html.parser")
        line = soup.select_one("article .shown-run")
        assert line is not None, page.name
        assert "my_models:network" in line.get_text(), page.name
        assert "4 images" in line.get_text(), page.name
