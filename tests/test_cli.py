"""The command line: what it prints, and one clear line with exit status 2 for bad input."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import sanitygap
from sanitygap import cli
from sanitygap.comparison import METRICS
from tests.book.toy import PAGES
from tests.cases import cases
from tests.models.tiny import TINY, project

SMALL = ["-p", 'methods=["gradient", "noise"]']


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """A book with one page, which is the working directory."""
    made = project(tmp_path / "book")
    shutil.copy(PAGES / "page.md", made / "notebooks")
    monkeypatch.chdir(made)
    return made


@pytest.fixture
def sanitygap_(root, monkeypatch, capfd):
    """Runs a command here: exit status, standard output, standard error."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["sanitygap", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capfd.readouterr()
        return ended.value.code or 0, printed.out, printed.err

    return call


@pytest.fixture
def compute(sanitygap_, folder):
    """``sanitygap compute randomization`` on the tiny network."""

    def call(*more: str, images: str = f"folder:{folder}", model: str = TINY):
        return sanitygap_(
            "compute", "randomization", "--profile", "smoke", "--model", model, "--images", images,
            *SMALL, *more,
        )  # fmt: skip

    return call


@pytest.fixture
def refused(sanitygap_):
    """Runs a command that must be refused; returns its one line."""

    def call(*arguments: str) -> str:
        status, out, err = sanitygap_(*arguments)
        return assert_refused(status, out, err)

    return call


def assert_refused(status: int, out: str, err: str) -> str:
    assert status == 2, (status, out, err)
    assert out == ""
    assert re.fullmatch(r"sanitygap: [^\n]+\n", err), err
    assert "Traceback" not in err
    return err.removeprefix("sanitygap: ").strip()


# --- a process of its own ------------------------------------------------------------------------


def test_bad_input_to_the_command_as_it_is_installed(root):
    library = Path(sanitygap.__file__).parents[1]
    ended = subprocess.run(
        [sys.executable, "-m", "sanitygap", "check-model", "efficientnet_light0"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(library)},
    )
    line = assert_refused(ended.returncode, ended.stdout, ended.stderr)
    assert "did you mean efficientnet_lite0" in line


# --- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("arguments", "words"), cases("commands"))
def test_bad_input(refused, arguments, words):
    assert words in refused(*arguments)


# --- good input ----------------------------------------------------------------------------------


def rows(text: str) -> list[list[str]]:
    return [line.split("\t") for line in text.splitlines()]


@pytest.mark.parametrize(
    ("factory", "check"),
    [
        ("active_dropout", "repeatable"),
        ("batch_dependent", "an image's logits do not depend on its batch"),
    ],
)
def test_check_model_lists_what_failed(sanitygap_, factory, check):
    status, out, err = sanitygap_("check-model", f"tests.models.tiny:{factory}")
    assert status == 2
    failed = [row[1] for row in rows(out) if row[0] == "FAILED"]
    assert check in failed
    total = len(rows(out))
    assert err == (f"sanitygap: {len(failed)} of {total} checks failed: {'; '.join(failed)}\n")


def test_record_and_verify(compute, sanitygap_, refused, root):
    assert compute("--n-images", "8", "--run", "first")[0] == 0
    assert sanitygap_("record", "first", "reference") == (0, "data/runs/reference\n", "")
    again = ("record", "first", "reference", "--table", "randomization")
    assert sanitygap_(*again) == (0, "data/runs/reference\n", "")
    assert refused("judge", "first").startswith("'first' is not a recorded run")
    assert compute("--n-images", "12")[0] == 0
    status, out, err = sanitygap_("verify")
    assert (status, err) == (0, "")
    head, *table = out.splitlines()
    metrics = [name for name, (held, _) in METRICS.items() if held == "randomization"]
    assert head == f"live against reference: 0 of {2 * len(metrics)} means differ beyond chance"
    assert [row.split("\t")[:2] for row in table] == [
        [metric, method] for metric in metrics for method in ("gradient", "noise")
    ]
    assert sanitygap_("verify", "--against", "first")[1].startswith("live against first: ")
    assert "unknown run 'secnd'" in refused("verify", "--against", "secnd")
    line = refused("verify", "--run", "reference")
    assert line == "there is no recorded run of tests.models.tiny:network to compare with"
    line = assert_refused(*compute("--run", "reference"))
    assert "is a recorded run" in line


def test_verify_tells_by_its_exit_status_what_it_found(compute, sanitygap_, refused, root):
    assert compute("--n-images", "12", "--run", "first")[0] == 0
    assert sanitygap_("record", "first", "reference")[0] == 0
    downloaded = shutil.copytree(root / "data/runs/first", root.parent / "downloaded")
    status, out, err = sanitygap_("verify", "--run", str(downloaded), "--json")
    assert (status, err) == (0, "")
    assert {row["verdict"] for row in json.loads(out)} == {"agrees"}
    table = pd.read_parquet(downloaded / "randomization.parquet")
    table.loc[table["method"] == "noise", "ssim"] += 0.5
    table.to_parquet(downloaded / "randomization.parquet")
    status, out, err = sanitygap_("verify", "--run", str(downloaded), "--json")
    assert (status, err) == (1, "")
    assert {
        (row["score"].partition(",")[0], row["method"])
        for row in json.loads(out)
        if row["verdict"] == "differs beyond chance"
    } == {("mean SSIM", "noise"), ("mean SSIM of absolute maps", "noise")}
    (downloaded / "run.json").unlink()
    assert "holds no run" in refused("verify", "--run", str(downloaded))


def test_execute_runs_a_page_and_fresh_starts_over(sanitygap_, root, compute, refused):
    made = root / "data/runs/live"
    assert compute("--n-images", "3")[0] == 0
    assert "unknown model" in refused("execute", "page", "--fresh", "--model", "nonsense")
    assert made.is_dir(), "nothing is deleted for input that is unusable"
    status, out, err = sanitygap_(
        "execute", "page", "--fresh", "--model", TINY, "--profile", "smoke", "--n-images", "2"
    )
    assert (status, out) == (0, "book/_executed/live/page.ipynb\n"), err
    assert not made.exists()
    assert (root / "book/_executed/live/page.ipynb").is_file()


def test_help(sanitygap_):
    verbs = [command.name or command.callback.__name__ for command in cli.app.registered_commands]
    assert set(verbs) >= {
        "execute", "build", "models", "methods", "images", "check-model", "fetch", "claims",
        "verify", "serve", "compute", "record", "judge", "features",
    }  # fmt: skip
    for arguments in ([], ["--help"], *([verb, "--help"] for verb in verbs)):
        status, out, err = sanitygap_(*arguments)
        assert (status, err) == (0, "")
        assert "Usage:" in out
    assert all(verb in sanitygap_()[1] for verb in verbs)


def test_the_package_and_its_help_load_nothing_heavy():
    code = (
        "import sys, sanitygap.cli\n"
        "sys.argv = ['sanitygap', '--help']\n"
        "try:\n    sanitygap.cli.main()\nexcept SystemExit:\n    print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "sanitygap.cli" in loaded
    assert not loaded & {"torch", "torchvision", "numpy", "pandas", "scipy", "pydantic", "yaml"}


def test_torchvision_can_be_imported_after_the_package():
    code = "import sanitygap, torchvision, zennit; print(torchvision.models.resnet18.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "resnet18"
