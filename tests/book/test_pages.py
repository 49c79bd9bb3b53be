"""Passport, citation, local paths and figure settings: text in, text out."""

import sys
from pathlib import Path
from typing import Any

import pytest

from sanitygap.book.citation import Citation
from sanitygap.book.directives import TEMPLATES
from sanitygap.book.passport import code, duration, passport, rows_of, when
from sanitygap.book.publishable import LocalPaths, map_strings, strings

CITATION = Citation(("A Person", "A Group"), "A Book", "1.2", 2026)

STAMP: dict[str, Any] = {
    "source": "notebooks/gap.md",
    "source_sha256": "a" * 64,
    "run": "live",
    "parameters": {
        "run": "live",
        "profile": "quick",
        "model": "small",
        "images": "photos",
        "n_images": None,
        "device": "cpu",
        "seed": 0,
        "points": 5,
    },
    "started": "2026-01-02T03:04:05+00:00",
    "duration_s": 61.0,
    "commit": "0123456789abcdef0123",
    "dirty": True,
    "versions": {"python": "3.11.7", "torch": "2.13.0"},
    "command": "sanitygap execute gap --run live",
    "run_record": {},
}

RECORD: dict[str, Any] = {
    "recorded": True,
    "settings": {
        "run": "reference",
        "profile": "full",
        "model": "large",
        "images": "imagenet-sample",
        "n_images": None,
        "device": "cuda",
        "seed": 3,
    },
    "model": {"weights_sha256": "b" * 64},
    "images": {"n": 1000, "sha256": "c" * 64},
    "provenance": {
        "started": "2026-01-01T00:00:00+02:00",
        "device": "A card",
        "commit": "fedcba9876543210+changes",
    },
}


def test_passport_tells_everything_about_a_page() -> None:
    rows = dict(rows_of(STAMP))
    assert rows["Run"] == "`live`"
    assert rows["Model"] == "`small`"
    assert rows["Settings of this page"] == "`points = 5`"
    assert rows["Page executed"] == "2026-01-02 03:04 UTC, in 1 min 1 s"
    assert rows["Page executed at commit"] == "`0123456789ab`, with uncommitted changes"
    assert "torch `2.13.0`" in rows["Versions"]
    assert "Number of images, n" not in rows, "nobody knows it without the record of the run"
    assert "sanitygap execute gap --run live" in passport("gap", "The gap", STAMP, CITATION)


def test_passport_of_a_recorded_run_tells_the_settings_of_the_run() -> None:
    stamp = STAMP | {"run_record": RECORD}
    rows = dict(rows_of(stamp))
    assert rows["Model"] == "`large`"
    assert rows["Profile"] == "`full`"
    assert rows["Number of images, n"] == "`1000`"
    assert rows["Weights"] == f"SHA-256 `{'b' * 16}`"
    assert rows["Results computed"] == "2025-12-31 22:00 UTC, on A card"
    assert rows["Results computed at commit"] == "`fedcba987654`, with uncommitted changes"
    anew = "sanitygap execute gap --run mine --profile full --model large --images imagenet-sample"
    assert f"{anew} --n-images 1000 --device cuda --seed 3" in passport("gap", "G", stamp, CITATION)


def test_passport_of_a_recorded_run_lists_the_commits_of_its_tables() -> None:
    record = RECORD | {"commits": ["a" * 40, "b" * 40 + "+changes"]}
    rows = dict(rows_of(STAMP | {"run_record": record}))
    shown = f"`{'a' * 12}`, `{'b' * 12}`, with uncommitted changes"
    assert rows["Results computed at commit"] == shown


def test_passport_of_a_run_without_a_commit_says_so() -> None:
    record = RECORD | {"provenance": RECORD["provenance"] | {"commit": ""}}
    rows = dict(rows_of(STAMP | {"run_record": record}))
    assert rows["Results computed at commit"].startswith("not known: the run does not say")
    assert rows["Page executed at commit"].startswith("`0123456789ab`")


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a", "`a`"), ("a|b", "`a|b`"), ("a`b", "``a`b``"), ("`a`", "`` `a` ``"), ("a\nb", "`a b`")],
)
def test_code_is_shown_whatever_it_holds(text: str, shown: str) -> None:
    assert code(text) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(3.4, "3 s"), (119.6, "2 min 0 s"), (7265, "2 h 1 min")]
)
def test_duration(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def test_when_is_in_utc() -> None:
    assert when("2026-01-02T03:04:05+02:00") == "2026-01-02 01:04 UTC"


def test_citation_is_read_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "CITATION.cff").write_text(
        "title: A Book\nversion: 1.2\ndate-released: 2026-11-01\n"
        "authors: [{given-names: A, family-names: Person}, {name: A Group}]\n"
    )
    assert Citation.read(tmp_path / "CITATION.cff") == CITATION


def test_citation_of_a_page_names_run_commit_and_address() -> None:
    placed = Citation(("A Person",), "A Book", "1.2", 2026, "https://example.org/book")
    entry = placed.bibtex("key", "The gap", "notebooks/gap.html", STAMP)
    assert entry.startswith("@misc{key,")
    assert "title = {{The gap}. In: A Book}" in entry
    assert "note = {Version 1.2, run live, model small, commit 0123456789ab}" in entry
    assert "url = {https://example.org/book/notebooks/gap.html}" in entry
    assert "url" not in CITATION.bibtex("key")
    assert CITATION.sentence() == "A Person, A Group (2026). *A Book*, version 1.2."


def test_local_folders_are_hidden_and_found(tmp_path: Path) -> None:
    local = LocalPaths(tmp_path)
    text = f"{tmp_path}/data {sys.prefix}/lib, {Path.home()}/photos"
    hidden = local.hide(text)
    assert hidden == "./data <environment>/lib, ~/photos"
    assert local.find(text) == str(tmp_path)
    assert local.find(hidden) is None


@pytest.mark.parametrize("text", ["/srv/book2/x", "/srv/book-b", "/other/srv/book", "book"])
def test_only_the_folder_itself_is_hidden(text: str) -> None:
    local = LocalPaths(Path("/srv/book"))
    assert local.hide(text) == text
    assert local.hide(f"'/srv/book'/{text}") == f"'.'/{text}"


def test_strings_of_a_nesting() -> None:
    value = {"a": ["x", {"b": "y"}], "c": 1}
    assert sorted(strings(value)) == ["x", "y"]
    assert map_strings(value, str.upper) == {"a": ["X", {"b": "Y"}], "c": 1}


def test_templates_escape_what_a_run_says_of_itself() -> None:
    run = {"name": "mine", "model": "<b>", "n_images": 3, "images": "folder", "started": None}
    run |= {"device": "<svg onload=alert(1)>", "commits": ["a" * 40 + "+changes"]}
    shown = TEMPLATES.get_template("site.html").make_module({"columns": []}).runs([run])
    assert "&lt;svg onload=alert(1)&gt;" in shown
    assert "<svg" not in shown
    assert "<b>" not in shown
    assert f"{'a' * 12} +changes" in shown
