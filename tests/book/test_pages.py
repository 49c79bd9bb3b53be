"""Citation and local paths: text in, text out."""

import sys
from pathlib import Path
from typing import Any

from sanitygap.book.citation import Citation
from sanitygap.book.gatekeeper import LocalPaths

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
