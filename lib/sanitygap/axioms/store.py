"""Generated sets on disk: made once, reused for every method that comes later.

A set lies in the cache folder under a hash of all that determines it: weights, preprocessing,
recipe, seed, numbers and the code that made it. It is a NumPy archive without pickles.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from sanitygap.axioms import balance, generate, placement, prior, recipes, samples, scenarios, terms
from sanitygap.axioms.generate import Generation
from sanitygap.axioms.recipes import Recipe
from sanitygap.axioms.samples import Sample
from sanitygap.axioms.scenarios import Scenario
from sanitygap.downloads import cache_folder
from sanitygap.errors import UsageError
from sanitygap.files import find_root, replacing
from sanitygap.models.explainable import Explainable

#: the modules whose code decides what is generated
CODE = (balance, generate, placement, prior, recipes, samples, scenarios, terms)


def features(
    model: Explainable,
    scenario: Scenario,
    numbers: Sequence[int],
    recipe: Recipe,
    seed: int,
    code: str,
    folder: Path | None = None,
    progress: bool = False,
) -> list[Sample]:
    """The samples of these numbers, from disk if they were generated before.

    Args:
        model: the network.
        scenario: what the patches have to do.
        numbers: of the samples; they are generated and kept together.
        recipe: numbers of the optimisation.
        seed: of every draw.
        code: hash over :data:`CODE`; a set that other code made is not used.
        folder: where sets are kept; the cache folder by default.
        progress: whether to show a bar.
    """
    path = (
        folder or cache_folder() / "features"
    ) / f"{_name(model, scenario, numbers, recipe, seed, code)}.npz"
    if path.is_file():
        return read(path)
    samples = Generation(model, scenario, numbers, recipe, seed).run(progress)
    write(path, samples)
    return samples


def _name(
    model: Explainable,
    scenario: Scenario,
    numbers: Sequence[int],
    recipe: Recipe,
    seed: int,
    code: str,
) -> str:
    identity = {
        "weights": model.weights_sha256,
        "preprocessing": repr(model.preprocessing),
        "scenario": scenario.name,
        "numbers": list(numbers),
        "recipe": recipe.settings(),
        "seed": seed,
        "code": code,
    }
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return f"{scenario.name}-{digest[:24]}"


def kept(model: Explainable, scenario: Scenario, root: Path | None = None) -> Path | None:
    """The set that the project carries for a network and a scenario, if there is one.

    :func:`keep` puts it there; what it is worth is measured afresh by whoever uses it.
    """
    path = kept_path(model, scenario, root)
    return path if path.is_file() else None


def keep(
    model: Explainable,
    scenario: Scenario,
    samples: Sequence[Sample],
    root: Path | None = None,
) -> Path:
    """Write a set where :func:`kept` finds it.

    Samples that were given up are listed without their patches: they are counted, and nothing is
    measured on them.

    Args:
        model: the network that made the samples.
        scenario: theirs.
        samples: all attempts, accepted or not.
        root: the project's folder.
    """
    path = kept_path(model, scenario, root)
    path.parent.mkdir(parents=True, exist_ok=True)
    write(
        path,
        [s if s.accepted else replace(s, patches=torch.zeros_like(s.patches)) for s in samples],
    )
    return path


def kept_path(model: Explainable, scenario: Scenario, root: Path | None = None) -> Path:
    """Where the project carries a set for a network and a scenario."""
    name = f"{scenario.name}-{model.weights_sha256[:16]}.npz"
    return (root or find_root()) / "data" / "features" / name


def write(path: Path, samples: Sequence[Sample]) -> None:
    """Keep a set: whole or not at all."""
    arrays = {
        "scenario": np.array([s.scenario for s in samples]),
        "number": np.array([s.number for s in samples], dtype=np.int64),
        "classes": np.array([s.classes for s in samples], dtype=np.int64),
        "patches": torch.stack([s.patches for s in samples]).numpy(),
        "accepted": np.array([s.accepted for s in samples]),
        "steps": np.array([s.steps for s in samples], dtype=np.int64),
        "seconds": np.array([s.seconds for s in samples]),
    }
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def read(path: Path) -> list[Sample]:
    """A set that was kept.

    Raises:
        UsageError: the file is damaged.
    """
    names = ("scenario", "number", "classes", "patches", "accepted", "steps", "seconds")
    try:
        with np.load(path, allow_pickle=False) as file:
            columns = [file[name] for name in names]
    except (ValueError, KeyError, OSError, zipfile.BadZipFile):
        raise UsageError(
            f"the generated set {path.name} is damaged; delete it and run the same command again"
        ) from None
    return [
        Sample(
            str(scenario),
            int(number),
            (int(classes[0]), int(classes[1])),
            torch.from_numpy(patches.copy()),
            bool(accepted),
            int(steps),
            float(seconds),
        )
        for scenario, number, classes, patches, accepted, steps, seconds in zip(
            *columns, strict=True
        )
    ]
