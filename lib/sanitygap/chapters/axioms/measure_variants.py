"""Other ways to generate features, other backgrounds, and what needs no network."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from pydantic import NonNegativeInt, PositiveInt

from sanitygap import fingerprint
from sanitygap.attribution import Sampling, attribute
from sanitygap.attribution.applicable import defined
from sanitygap.axioms import placement, statements, store
from sanitygap.axioms.generate import Generation
from sanitygap.axioms.placement import composed, to_inputs
from sanitygap.axioms.recipes import Recipe
from sanitygap.axioms.samples import Sample
from sanitygap.axioms.scenarios import GOAL_ONLY, SCENARIOS, Scenario
from sanitygap.chapters.axioms.measure import (
    BLOCK,
    PAPER_METHODS,
    STEPS,
    Source,
    accepted,
    axioms_scores,
    cut_scores,
    fresh_outputs,
    plain,
    sample_sets,
    set_pieces,
    sized,
)
from sanitygap.models.explainable import Explainable
from sanitygap.randomization import RandomTwin
from sanitygap.seeds import stable_seed
from sanitygap.similarity import spearman
from sanitygap.table import Batch, Context, table

table("axioms-statements")(statements.statements)


@dataclass(frozen=True)
class Variant:
    """One way to generate features.

    Attributes:
        scenario: what the patches have to do.
        changes: of the recipe.
        trained: False for the network with all weights redrawn.
    """

    scenario: Scenario
    changes: dict[str, Any]
    trained: bool = True


VARIANTS = {
    "as used": Variant(SCENARIOS["single"], {}),
    "pixels": Variant(SCENARIOS["single"], {"prior": "pixels"}),
    "fixed place": Variant(SCENARIOS["single"], {"moving": False}),
    "plain key": Variant(SCENARIOS["single"], {"balance": "key"}),
    "complement": Variant(SCENARIOS["single"], {"balance": "complement"}),
    "Eq. 1": Variant(GOAL_ONLY, {"warm_up": 1}),
    "Eq. 2": Variant(GOAL_ONLY, {"warm_up": 1, "constant": 0.95, "softmax": 0.9}),
    "Eq. 1, untrained": Variant(GOAL_ONLY, {"warm_up": 1}, trained=False),
    "Eq. 3-4, untrained": Variant(SCENARIOS["null"], {"least_reference": 0.0}, trained=False),
}


@table(
    "axioms-variants",
    by=["variants"],
    smoke={"samples": 1, "max_steps": 1, "draws": 2, "variants": ("Eq. 1", "Eq. 2")},
    quick={"samples": 1, "max_steps": 8, "draws": 3, "variants": ("Eq. 1", "Eq. 2")},
)
def axioms_variants(
    context: Context,
    samples: PositiveInt = 100,
    max_steps: PositiveInt = STEPS,
    draws: PositiveInt = 10,
    variants: Sequence[str] = tuple(VARIANTS),
) -> Iterator[pd.DataFrame]:
    """Features generated with other priors, places, balances, goals, and from an untrained network.

    Args:
        context: model and seed.
        samples: attempts a variant; the same classes and starts for all variants of a scenario.
        max_steps: of the optimisation.
        draws: fresh backgrounds and positions a sample.
        variants: names of :data:`VARIANTS`.
    """
    model, twin = context.model, RandomTwin(context.model, context.seed)
    for name in variants:
        variant = VARIANTS[name]
        recipe = replace(Recipe(max_steps=max_steps), **variant.changes)
        with contextlib.nullcontext() if variant.trained else twin.redrawn(model.stages):
            made = Generation(model, variant.scenario, range(samples), recipe, context.seed).run()
            rows = fresh_outputs(context, variant.scenario, made, draws)
        variation = {
            sample.number: float(
                (sample.pixels.diff(dim=2).abs().mean() + sample.pixels.diff(dim=3).abs().mean())
                / 2
            )
            for sample in made
        }
        yield rows.assign(
            variant=name, variation=rows["sample"].map(variation), softmax_least=recipe.softmax,
            change_most=recipe.change, reference_least=recipe.least_reference, source="new",
        )  # fmt: skip


#: methods that need few passes
CHEAP = ("grad-cam", "grad-cam-plus-plus", "gradient", "fullgrad", "guided-backprop", "iba")

table(
    "axioms-backgrounds",
    own=True,
    cut=cut_scores,
    smoke={"source": "new", "samples": 1, "max_steps": 2, "methods": CHEAP[:2],
           "backgrounds": ("noise",), "which": ("null",)},
    quick={"samples": 4, "limit": 4, "max_steps": 4, "methods": CHEAP[:4],
           "backgrounds": ("noise", "grey"), "which": ("null",)},
    full={"source": "new", "methods": CHEAP, "samples": 100, "which": ("null",),
          "backgrounds": placement.BACKGROUNDS},
)(axioms_scores)  # fmt: skip


CELL = 8


@table(
    "axioms-agreement",
    own=True,
    cut=lambda context, arguments: set_pieces(context, SCENARIOS["null"], arguments),
    smoke={"source": "new", "samples": 1, "max_steps": 2, "path_steps": 2, "extremal_steps": 2},
    quick={"samples": 4, "limit": 4, "max_steps": 4, "path_steps": 4, "extremal_steps": 10},
    full={"source": "new", "samples": 100},
)
def axioms_agreement(
    context: Context,
    samples: PositiveInt = 1000,
    methods: Sequence[str] = PAPER_METHODS,
    source: Source = "kept",
    max_steps: PositiveInt = STEPS,
    path_steps: PositiveInt = 50,
    extremal_steps: PositiveInt = 800,
    limit: int | None = None,
    first: NonNegativeInt = 0,
) -> pd.DataFrame:
    """Do maps of different methods point to the same places of an input with a null feature?

    Args:
        context: model and seed.
        samples, source, max_steps, first: as in ``axioms-scores``.
        methods: every pair of them is compared.
        path_steps, extremal_steps: sizes of two methods.
        limit: compare on at most that many accepted samples of a set; all by default.
    """
    model, scenario, rows = context.model, SCENARIOS["null"], []
    names, sampling = sized(defined(model, methods), extremal_steps), Sampling(path_steps)
    sets = sample_sets(context, scenario, first, samples, source, Recipe(max_steps=max_steps))
    for sample in (one for made in sets for one in accepted(made, limit)):
        place = sample.place(model.preprocessing.size, context.seed, "scored", "noise")
        image = composed(place, sample.pixels, (True, True))[None].to(model.device)
        inputs = to_inputs(model.preprocessing, image)
        targets = torch.tensor([sample.classes[0]], device=model.device)
        key = stable_seed(context.seed, scenario.name, sample.number, 0)
        maps = attribute(model, inputs, targets, names, [key], sampling, context.batch_size)
        cells = {
            plain(name): torch.nn.functional.avg_pool2d(values.abs()[:, None], CELL)
            for name, values in maps.items()
        }
        for one, other in combinations(cells, 2):
            found = spearman(cells[one][:, 0], cells[other][:, 0])
            rows.append((sample.number, one, other, float(found)))
    columns = {"sample": "int64", "first": "str", "second": "str", "spearman": "float64"}
    return pd.DataFrame(rows, columns=list(columns)).astype(columns)


@table(
    "axioms-edges",
    own=False,
    by=["methods"],
    smoke={"max_images": 2},
    quick={"max_images": 12},
    full={"max_images": 200},
)
def axioms_edges(
    batch: Batch, methods: Sequence[str] = ("gradient", "guided-backprop")
) -> Iterator[pd.DataFrame]:
    """Do methods reconstruct the image? Absolute maps of photographs beside their edges.

    Args:
        batch: images.
        methods: attribution methods.
    """
    maps = batch.maps([*methods, "edges"], batch.seed, "edges")
    for name in methods:
        found = spearman(maps[name].abs(), maps["edges"].abs())
        yield batch.rows({"spearman": found}, method=name)


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
