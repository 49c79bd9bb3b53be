"""Torchvision networks with random weights: one through the whole book, others through its engine.

A chapter adds figures to what its tables hold, so one network with awkward ones is enough for them:
it has skips, gates, smooth activations and no ReLU, which the network of the smoke book has not.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sanitygap.attribution.applicable import CONDITIONAL
from sanitygap.images import load_images
from sanitygap.models import load_model
from sanitygap.table import Context
from sanitygap.tables import TABLES
from tests.book.one_process import run_methods
from tests.book.torchvision_small import SIZES
from tests.book.toy import CHECKOUT

AWKWARD = "efficientnet_b0"

STRUCTURE = (
    "activated-regions", "activation-overtaking", "activation-sparsity", "feature-map",
    "ignored-tiles", "ipr-models", "layer-logits", "outlook-baseline", "randomization-bottom-up",
    "redrawn-overtaking", "relevance-flow", "skip-relevance", "skip-surrogate",
)  # fmt: skip
"""Tables that look at layers, blocks or activations, which networks have in their own ways."""


def test_every_chapter(tmp_path: Path) -> None:
    """In a folder that is a project of its own, without recorded runs."""
    for name in ("pyproject.toml", "_config.yml", "_toc.yml"):
        shutil.copy(CHECKOUT / name, tmp_path)
    shutil.copytree(CHECKOUT / "data", tmp_path / "data", ignore=shutil.ignore_patterns("runs"))
    (tmp_path / "notebooks").mkdir()
    parameters = {
        "run": "awkward", "profile": "smoke", "model": f"tests.book.torchvision_small:{AWKWARD}",
        "images": "photos", "n_images": 2,
    }  # fmt: skip
    made = subprocess.run(
        [sys.executable, "-m", "tests.book.one_process", tmp_path, json.dumps(parameters)],
        cwd=CHECKOUT, env=os.environ | {"PYTHONPATH": os.pathsep.join([str(CHECKOUT), *sys.path])},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, f"{made.stdout[-500:]}\n{made.stderr[-3000:]}"
    assert (tmp_path / "data" / "runs" / "awkward" / "verdicts.json").is_file()


@pytest.mark.parametrize("name", SIZES)
def test_every_method(name: str) -> None:
    refused = set(run_methods(f"tests.book.torchvision_small:{name}"))
    assert ("fullgrad" in refused) == (name == AWKWARD), "it needs piecewise linear activations"
    assert not {"guided-backprop", "guided-grad-cam"} & refused
    assert refused <= set(CONDITIONAL)


@pytest.mark.parametrize("name", [name for name in SIZES if name != AWKWARD])
def test_tables_about_structure(name: str) -> None:
    model = load_model(f"tests.book.torchvision_small:{name}")
    context = Context(lambda: model, lambda: load_images("photos", 2), 0)
    for table in STRUCTURE:
        entry = TABLES[table]
        rows = sum(len(part.compute()) for part in entry.parts(context, **entry.profiles["smoke"]))
        assert rows or table.startswith(("skip-", "outlook-")), f"{table} of {name} is empty"
