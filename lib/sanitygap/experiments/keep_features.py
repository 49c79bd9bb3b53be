"""Makes the sets that the project carries, so that a quick run need not generate any."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from sanitygap import fingerprint
from sanitygap.axioms import store
from sanitygap.axioms.recipes import Recipe
from sanitygap.axioms.samples import Sample
from sanitygap.axioms.scenarios import Scenario
from sanitygap.experiments.axiom_sets import BLOCK
from sanitygap.models.explainable import Explainable

OURS = Recipe()


def keep_features(
    model: Explainable,
    scenarios: Sequence[Scenario],
    attempts: int,
    seed: int = 0,
    recipe: Recipe = OURS,
    root: Path | None = None,
) -> Iterator[tuple[Path, list[Sample]]]:
    """Generate features, kept where :func:`sanitygap.axioms.store.kept` looks for them.

    Blocks that are done lie in the cache folder, so this can be stopped and started again.

    Args:
        model: the network.
        scenarios: what the patches have to do.
        attempts: samples that are tried in each scenario.
        seed: of every draw.
        recipe: of the generation.
        root: the project's folder.

    Yields:
        The file of each scenario, and all attempts, accepted or not.
    """
    code = fingerprint.of_module(store)
    for scenario in scenarios:
        made: list[Sample] = []
        for start in range(0, attempts, BLOCK):
            numbers = range(start, min(start + BLOCK, attempts))
            made += store.features(model, scenario, numbers, recipe, seed, code, progress=True)
        yield store.keep(model, scenario, made, recipe, root), made
