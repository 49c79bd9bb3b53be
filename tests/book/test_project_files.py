"""The files around the code agree with each other."""

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from sanitygap import __version__
from tests.book.toy import CHECKOUT

PROJECT: dict[str, Any] = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
PINS = {
    canonicalize_name(pin.name): str(pin.specifier).removeprefix("==")
    for pin in map(Requirement, (CHECKOUT / "constraints.txt").read_text().split())
}
INSTALLED_EXTRAS = ("book", "test")


def requirements() -> list[Requirement]:
    """What pyproject.toml asks for, in all extras that `make` installs."""
    extras = PROJECT["optional-dependencies"]
    texts = [*PROJECT["dependencies"], *(text for e in INSTALLED_EXTRAS for text in extras[e])]
    return [Requirement(text) for text in texts]


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_every_requirement_is_pinned_to_a_version_that_satisfies_it(
    requirement: Requirement,
) -> None:
    assert requirement.specifier.contains(PINS[canonicalize_name(requirement.name)])


def test_pins_are_exact_and_without_local_versions() -> None:
    for name, version in PINS.items():
        assert re.fullmatch(r"[0-9][0-9A-Za-z.]*", version), f"{name}=={version}"


def test_conda_installs_the_same_pins_and_extras() -> None:
    environment = yaml.safe_load((CHECKOUT / "environment.yml").read_text())
    [pip] = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    [python] = [e for e in environment["dependencies"] if str(e).startswith("python=")]
    assert SpecifierSet(PROJECT["requires-python"]).contains(python.partition("=")[2])
    assert "--constraint constraints.txt" in pip
    pinned = [Requirement(entry) for entry in pip if not entry.startswith("-")]
    assert {canonicalize_name(r.name): str(r.specifier) for r in pinned} == {
        name: f"=={PINS[name]}" for name in ("torch", "torchvision")
    }
    [editable] = [entry for entry in pip if entry.startswith("--editable")]
    assert editable == f"--editable .[{','.join(INSTALLED_EXTRAS)}]"


def test_every_extension_of_the_site_is_a_requirement() -> None:
    config = yaml.safe_load((CHECKOUT / "_config.yml").read_text())
    asked = {canonicalize_name(requirement.name) for requirement in requirements()}
    for extension in config["sphinx"]["extra_extensions"]:
        if not extension.startswith("sanitygap."):
            assert canonicalize_name(extension) in asked


def test_version_is_the_same_everywhere() -> None:
    citation = yaml.safe_load((CHECKOUT / "CITATION.cff").read_text())
    assert str(citation["version"]) == PROJECT["version"] == __version__
    assert citation["license"] == PROJECT["license"]


@pytest.mark.parametrize(
    "target",
    ["help", "install", "book", "test", "site", "full", "serve", "pdf", "linkcheck", "clean"],
)
def test_make_has_the_promised_target(target: str) -> None:
    asked = ["make", "--dry-run", "--no-print-directory", target, "MODEL=a", "IMAGES=b"]
    done = subprocess.run(
        [*asked, "REFERENCE=reference-a"], cwd=CHECKOUT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("given", ["MODEL=a", "IMAGES=b"])
def test_make_full_says_what_is_missing(given: str) -> None:
    done = subprocess.run(
        ["make", "--old-file=.venv/.installed", "full", given],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "say MODEL=… and IMAGES=…" in done.stderr


def test_continuous_integration_runs_the_test_command_with_a_browser() -> None:
    script = CHECKOUT / ".ci" / "run"
    text = script.read_text()
    assert script.stat().st_mode & 0o111
    assert "set -euo pipefail" in text
    assert "CI_REQUIRE_BROWSER=1" in text
    assert re.search(r"^make test$", text, re.MULTILINE)


def test_published_site_is_built_by_pinned_actions_from_the_recorded_runs() -> None:
    text = (CHECKOUT / ".github" / "workflows" / "pages.yml").read_text()
    jobs = yaml.safe_load(text)["jobs"]
    steps = [step for job in jobs.values() for step in job["steps"]]
    used = [step["uses"] for step in steps if "uses" in step]
    assert len(used) >= 4
    for action in used:
        assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", action), action
    (made,) = [step for step in steps if "run" in step]
    assert made["run"] == "make site"
    assert "SITE_URL" in made["env"]
    asked = ["make", "--dry-run", "--old-file=.venv/.installed", "site", "REFERENCE=reference-a"]
    shown = subprocess.run(
        [*asked, "SITE_URL=https://example.org/book"], cwd=CHECKOUT, capture_output=True, text=True
    )
    assert "build --run 'reference-a' --site-url 'https://example.org/book'" in shown.stdout


@pytest.mark.parametrize(
    "name",
    ["Makefile", ".ci/run", "README.md", "environment.yml", "constraints.txt", "_config.yml"],
)
def test_no_folder_of_a_machine_and_no_package_index_is_named(name: str) -> None:
    text = (CHECKOUT / name).read_text()
    named = re.search(r"(?<![\w.])/(tmp|work|home|root)\b|pypi\.org|--(extra-)?index-url", text)
    assert named is None, named


def test_every_page_of_the_contents_exists() -> None:
    def documents(toc: Any) -> list[str]:
        if isinstance(toc, list):
            return [name for entry in toc for name in documents(entry)]
        own = [toc[key] for key in ("root", "file") if key in toc]
        return own + [
            n for value in toc.values() if isinstance(value, list) for n in documents(value)
        ]

    for name in documents(yaml.safe_load((CHECKOUT / "_toc.yml").read_text())):
        assert Path(CHECKOUT / f"{name}.md").is_file(), name
