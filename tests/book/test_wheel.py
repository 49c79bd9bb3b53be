"""What is installed from a wheel works in an empty folder, away from every checkout."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sanitygap.book import Project
from sanitygap.errors import UsageError
from sanitygap.template import FILES, write_book
from tests.book.toy import CHECKOUT

pytestmark = pytest.mark.book

OWN = '''
import torch
from torch import nn


def network():
    """A tiny network of its own, with the same weights at each call."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(),
        nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, 5),
    )
    from sanitygap import Preprocessing

    net.preprocessing = Preprocessing(size=32, resize=32)
    return net


def slope(model, inputs, targets):
    """The gradient."""
    leaf = inputs.requires_grad_()
    score = model(leaf).gather(1, targets[:, None]).sum()
    return torch.autograd.grad(score, leaf)[0]
'''


def call(*command: object, folder: Path, status: int = 0) -> str:
    """What a command prints, in an environment that knows nothing of this checkout."""
    known = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "SANITYGAP"))}
    if "PYTHONDONTWRITEBYTECODE" in os.environ:  # or each process would compile all libraries
        known["PYTHONPYCACHEPREFIX"] = str(folder.parent / "bytecode")
    done = subprocess.run(
        [str(part) for part in command], cwd=folder, env=known, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == status, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel, built from a copy of what git would hold."""
    source = tmp_path_factory.mktemp("source") / "checkout"
    leave = shutil.ignore_patterns("__pycache__", "*.egg-info", "runs", "cache", "_executed")
    source.mkdir()
    for name in ("lib", "book", "notebooks", "data"):
        shutil.copytree(CHECKOUT / name, source / name, ignore=leave)
    for path in CHECKOUT.glob("*.*"):
        if path.is_file():
            shutil.copy(path, source)
    (source / "LICENSE").write_text("MIT")
    (source / "data" / "runs" / "mine").mkdir(parents=True)
    (source / "data" / "runs" / "mine" / "run.json").write_text("{}")
    pip = (sys.executable, "-m", "pip", "wheel", ".", "--no-deps", "--no-build-isolation", "-q")
    call(*pip, "-w", source / "dist", folder=source)
    (made,) = (source / "dist").glob("*.whl")
    return made


def test_a_wheel_holds_the_book_and_no_runs(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    carried = {n.removeprefix("sanitygap/_template/") for n in names if "/_template/" in n}
    ours = {p.relative_to(CHECKOUT).as_posix() for f in FILES for p in CHECKOUT.glob(f)}
    assert carried == ours
    assert {"_toc.yml", "data/claims.yml", "notebooks/theorem-1.md", "book/index.md"} <= ours
    assert not [name for name in names if "runs/" in name or name.startswith("tests")]


def test_a_checkout_writes_the_same_book(tmp_path: Path) -> None:
    write_book(tmp_path / "new" / "book")
    book = Project(tmp_path / "new" / "book")
    assert book.documents == Project(CHECKOUT).documents
    assert all((book.root / f"{name}.md").is_file() for name in book.documents)
    for taken in (book.root, book.toc):
        with pytest.raises(UsageError, match="is not an empty folder; name a new one"):
            write_book(taken)


def test_in_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    call(sys.executable, "-m", "venv", "--without-pip", tmp_path / "env", folder=folder)
    python = tmp_path / "env" / "bin" / "python"
    (site,) = (tmp_path / "env").glob("lib/python*/site-packages")
    (site / "others.pth").write_text(sysconfig.get_path("purelib"))
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index")
    call(*pip, "--ignore-installed", "--no-compile", "--quiet", wheel, folder=folder)
    command = python.with_name("sanitygap")

    page = (CHECKOUT / "book" / "library.md").read_text(encoding="utf-8")
    script = re.search(r"^```python\n(.*?)^```", page, re.M | re.S)
    assert script is not None
    assert "lrp-epsilon-plus" in call(python, "-c", script[1], folder=folder)
    where = "import sanitygap; print(sanitygap.__file__)"
    assert call(python, "-c", where, folder=folder).startswith(str(site))
    assert "report" in call(command, "--help", folder=folder)

    call(command, "init", "book", folder=folder)
    refused = call(command, "init", "book", folder=folder, status=2)
    assert refused == "sanitygap: book is not an empty folder; name a new one for the book\n"
    for place in (folder, folder / "book"):
        (place / "mine.py").write_text(OWN)
    own = ("--profile", "smoke", "--model", "mine:network", "--n-images", "2")
    with ThreadPoolExecutor() as pool:
        report = ("report", "report", "--method", "mine:slope", *own)
        reported = pool.submit(call, command, *report, folder=folder)
        execute = ("execute", "theorem-1", *own)
        executed = pool.submit(call, command, *execute, folder=folder / "book")
    assert "report/report.html" in reported.result()
    assert "mine:slope" in (folder / "report" / "methods.md").read_text()
    assert executed.result().endswith("book/_executed/live/theorem-1.ipynb\n")
