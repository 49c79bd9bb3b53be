"""The files around the code agree with each other."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from sanitygap import __version__
from sanitygap.book import Project
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


def test_version_is_the_same_everywhere() -> None:
    citation = yaml.safe_load((CHECKOUT / "CITATION.cff").read_text())
    assert str(citation["version"]) == PROJECT["version"] == __version__
    assert citation["license"] == PROJECT["license"]


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


def test_every_moved_page_leads_to_a_page() -> None:
    sphinx = yaml.safe_load((CHECKOUT / "_config.yml").read_text())["sphinx"]
    redirects = sphinx["config"]["redirects"]
    pages = {(Path(old).parent / new).with_suffix("").as_posix() for old, new in redirects.items()}
    assert pages <= {*Project(CHECKOUT).documents}
    assert not redirects.keys() & {*Project(CHECKOUT).documents}
