"""A small book in a folder of its own: the real pages, two quick notebooks, an invented ledger."""

import shutil
from pathlib import Path
from typing import Any

from sanitygap.book import Project, execute
from sanitygap.claims import ALLOWED, load_claims
from sanitygap.claims.documentary import load_entries, substance

SHARES = {"guided backpropagation": 0.874, "tau": 0.999, "all": 0.0}
"""Invented shares of specifications in which a part of the gap holds; LRP's is missing."""

CHECKOUT = Path(__file__).resolve().parents[2]

PAGES = Path(__file__).parent / "pages"

ADDRESS = "https://example.org/book/"


def make_project(root: Path) -> Project:
    """The prose and configuration of this checkout, with the notebooks made for tests."""
    shutil.copytree(CHECKOUT / "book", root / "book", ignore=shutil.ignore_patterns("_executed"))
    shutil.copytree(Path(__file__).parent / "notebooks", root / "notebooks")
    for name in ("_config.yml", "CITATION.cff"):
        shutil.copy(CHECKOUT / name, root)
    config, old = root / "_config.yml", "      ledger: book/ledger.html\n"
    assert old in config.read_text()
    config.write_text(config.read_text().replace(old, f"{old}      notebooks/old: gap.html\n"))
    shutil.copy(PAGES / "_toc.yml", root)
    shutil.copy(PAGES / "toy-part.md", root / "book")
    for page in (root / "book").glob("*.md"):  # the small book has no chapter on own methods
        page.write_text(page.read_text().replace("../notebooks/yours", "../notebooks/gap"))
    return Project(root)


def execute_all(project: Project, **parameters: Any) -> None:
    """Execute both notebooks as the run ``toy``."""
    execute(project, [], {"profile": "smoke", **parameters}, "toy")


def invented_claims() -> list[dict[str, Any]]:
    """Every real claim with invented verdicts, for two models; every seventh was not run.

    Every fifth of the others waits for a run on a third model, the paper's own.
    """
    entries = {entry.id: entry for entry in load_entries()}
    rows = []
    for number, claim in enumerate(load_claims()):
        shared = claim.model_dump(
            include={"id", "paper", "statement", "criterion"} | {"place", "kind", "networks"}
        )
        shared |= {"tier": list(claim.tier), "notebook": ("theorem-1", "gap", None)[number % 3]}
        if number % 7 == 6:
            rows.append(
                shared
                | {"run": None, "model": None, "verdict": "not-run"}
                | {"evidence": "", "reason": "Nobody ran it."}
            )
            continue
        for offset, model in enumerate(("efficientnet_lite0", "squeezenet1_1")):
            allowed = ALLOWED[claim.kind]
            rows.append(
                shared
                | {"run": f"reference-{model}", "model": model}
                | {"verdict": allowed[(number + offset) % len(allowed)]}
                | {"evidence": "The difference is 0.5, $n = 3$.", "reason": ""}
            )
            if claim.id == "binder-gap":
                rows[-1]["numbers"] = {f"share: {part}": share for part, share in SHARES.items()}
            if claim.id in entries:
                rows[-1]["substance"] = substance(entries[claim.id], {"binder-gap": "direction"})
        if number % 5 == 0:
            rows.append(
                shared
                | {"run": None, "model": "torchvision:resnet50", "verdict": "not-run"}
                | {"evidence": "", "reason": "Run `sanitygap execute gap`."}
            )
    return rows
