"""Makes the sets that the project carries, so that a quick run need not generate any.

    python -m sanitygap.experiments.keep_features squeezenet1_1 --attempts 24

Blocks that are done lie in the cache folder, so this can be stopped and started again. Samples that
were given up are listed without their patches: they are counted, and nothing is measured on them.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from sanitygap.axioms import store
from sanitygap.axioms.recipes import Recipe
from sanitygap.axioms.samples import Sample
from sanitygap.axioms.scenarios import SCENARIOS, Scenario, find_scenario
from sanitygap.experiments.axiom_sets import BLOCK
from sanitygap.experiments.experiment import code_sha256
from sanitygap.models import load_model
from sanitygap.models.explainable import Explainable


def keep(
    model: Explainable,
    scenario: Scenario,
    samples: Sequence[Sample],
    root: Path | None = None,
) -> Path:
    """Write a set where :func:`sanitygap.axioms.store.kept` finds it.

    Args:
        model: the network that made the samples.
        scenario: theirs.
        samples: all attempts, accepted or not.
        root: the project's folder.
    """
    path = store.kept_path(model, scenario, root)
    path.parent.mkdir(parents=True, exist_ok=True)
    store.write(
        path,
        [s if s.accepted else replace(s, patches=torch.zeros_like(s.patches)) for s in samples],
    )
    return path


def main(arguments: Sequence[str] | None = None) -> None:
    """Generate and keep sets for one network."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="such as squeezenet1_1")
    parser.add_argument("--scenario", action="append", choices=list(SCENARIOS), help="all of them")
    parser.add_argument("--attempts", type=int, default=24, help="samples a scenario")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args(arguments)
    model = load_model(options.model, options.device)
    for scenario in map(find_scenario, options.scenario or SCENARIOS):
        made: list[Sample] = []
        for start in range(0, options.attempts, BLOCK):
            numbers = range(start, min(start + BLOCK, options.attempts))
            code = code_sha256(store.CODE)
            made += store.features(
                model, scenario, numbers, Recipe(), options.seed, code, progress=True
            )
        accepted = sum(sample.accepted for sample in made)
        path = keep(model, scenario, made)
        print(f"{path.name}: {accepted} of {len(made)} accepted, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
