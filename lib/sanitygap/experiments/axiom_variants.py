"""Other ways to generate features, other backgrounds, and what needs no network."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import pandas as pd
import torch
from pydantic import PositiveInt

from sanitygap import fingerprint, randomization, similarity
from sanitygap.attribution import attribute
from sanitygap.axioms import metrics, placement, scenarios, statements, store
from sanitygap.axioms import samples as samples_room
from sanitygap.axioms.generate import Generation
from sanitygap.axioms.placement import composed, to_inputs
from sanitygap.axioms.recipes import Recipe
from sanitygap.axioms.scenarios import GOAL_ONLY, SCENARIOS, Scenario
from sanitygap.experiments.axiom_sets import (
    PAPER_METHODS,
    STEPS,
    Loader,
    Panel,
    Source,
    accepted_sets,
    fresh_outputs,
    panel,
    plain,
)
from sanitygap.experiments.axioms import SCORE_COLUMNS, axioms_scores
from sanitygap.experiments.experiment import (
    Chunk,
    Context,
    experiment,
    image_rows,
)
from sanitygap.randomization import RandomTwin
from sanitygap.seeds import stable_seed
from sanitygap.similarity import spearman
from sanitygap.table import TABLES
from sanitygap.theory import shapley
from sanitygap.theory.proofs import prover


@experiment(
    "axioms-statements",
    knobs={},
    columns={
        "claim": "id in the ledger",
        "case": "what it was tried on",
        "quantity": "what was computed",
        "value": "its value; 1 and 0 for proved and not",
    },
)
def axioms_statements(context: Context) -> Iterator[Chunk]:
    """Games, metrics and keys: what can be decided without a network."""
    code = (statements, metrics, prover, shapley)
    yield Chunk({}, code, statements.statements, needs_model=False)


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


@experiment(
    "axioms-variants",
    knobs={
        "smoke": {"samples": 1, "max_steps": 1, "draws": 2, "variants": ("Eq. 1", "Eq. 2")},
        "quick": {"samples": 1, "max_steps": 8, "draws": 3, "variants": ("Eq. 1", "Eq. 2")},
        "full": {},
    },
    columns=dict(TABLES["axioms-samples"].columns)
    | {
        "variant": "way to generate",
        "variation": "mean absolute difference of neighbouring pixels of a patch",
    },
)
def axioms_variants(
    context: Context,
    samples: PositiveInt = 100,
    max_steps: PositiveInt = STEPS,
    draws: PositiveInt = 10,
    variants: Sequence[str] = tuple(VARIANTS),
) -> Iterator[Chunk]:
    """Features generated with other priors, places, balances, goals, and from an untrained network.

    Args:
        context: model and seed.
        samples: attempts a variant; the same classes and starts for all variants of a scenario.
        max_steps: of the optimisation.
        draws: fresh backgrounds and positions a sample.
        variants: names of :data:`VARIANTS`.

    Yields:
        One chunk a variant.
    """
    for name in variants:
        variant = VARIANTS[name]
        recipe = replace(Recipe(max_steps=max_steps), **variant.changes)

        def compute(name: str = name, recipe: Recipe = recipe) -> pd.DataFrame:
            return generated_variant(context, name, recipe, samples, draws)

        settings = {
            "variant": name,
            "scenario": variant.scenario.name,
            "trained": variant.trained,
            "recipe": recipe.settings(),
            "samples": samples,
            "draws": draws,
            "seed": context.seed,
            "generation": fingerprint.of_module(store),
        }
        yield Chunk(settings, (randomization, generated_variant, fresh_outputs), compute)


def generated_variant(
    context: Context, name: str, recipe: Recipe, samples: int, draws: int
) -> pd.DataFrame:
    """Samples of one variant with their outputs on fresh backgrounds."""
    variant = VARIANTS[name]
    model = context.model
    twin = RandomTwin(model, context.seed)
    everything = tuple(model.stages)
    with contextlib.nullcontext() if variant.trained else twin.redrawn(everything):
        made = Generation(model, variant.scenario, range(samples), recipe, context.seed).run()
        rows = fresh_outputs(context, variant.scenario, made, draws)
    variation = {
        sample.number: float(
            (sample.pixels.diff(dim=2).abs().mean() + sample.pixels.diff(dim=3).abs().mean()) / 2
        )
        for sample in made
    }
    return rows.assign(
        variant=name,
        variation=rows["sample"].map(variation),
        softmax_least=recipe.softmax,
        change_most=recipe.change,
        source="new",
    )


#: methods that need few passes
CHEAP = ("grad-cam", "grad-cam-plus-plus", "gradient", "fullgrad", "guided-backprop", "iba")

experiment(
    "axioms-backgrounds",
    knobs={
        "smoke": {"source": "new", "samples": 1, "max_steps": 2, "methods": CHEAP[:2],
                  "backgrounds": ("noise",), "which": ("null",)},
        "quick": {"samples": 4, "limit": 4, "max_steps": 4, "methods": CHEAP[:4],
                  "backgrounds": ("noise", "grey"), "which": ("null",)},
        "full": {"source": "new", "methods": CHEAP, "samples": 100, "which": ("null",),
                 "backgrounds": placement.BACKGROUNDS},
    },
    columns=SCORE_COLUMNS,
)(axioms_scores)  # fmt: skip


@experiment(
    "axioms-agreement",
    knobs={
        "smoke": {
            "source": "new",
            "samples": 1,
            "max_steps": 2,
            "path_steps": 2,
            "extremal_steps": 2,
        },
        "quick": {"samples": 4, "limit": 4, "max_steps": 4, "path_steps": 4, "extremal_steps": 10},
        "full": {"source": "new", "samples": 100},
    },
    columns={
        "sample": "number of the sample",
        "first": "attribution method",
        "second": "another one",
        "spearman": "rank correlation of absolute maps, averaged over cells of 8 x 8 pixels",
    },
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
) -> Iterator[Chunk]:
    """Do maps of different methods point to the same places of an input with a null feature?

    Args:
        context: model and seed.
        samples, source, max_steps: as in ``axioms-scores``.
        methods: every pair of them is compared.
        path_steps, extremal_steps: sizes of two methods.
        limit: compare on at most that many accepted samples of a set; all by default.

    Yields:
        One chunk a set.
    """
    scenario = SCENARIOS["null"]
    tried = panel(context.model, methods, path_steps, extremal_steps)
    recipe = Recipe(max_steps=max_steps)
    for made, load in accepted_sets(context, scenario, samples, source, recipe, limit):

        def compute(load: Loader = load) -> pd.DataFrame:
            return pair_correlations(context, scenario, load, tried)

        settings = {
            **made,
            "methods": list(tried.names),
            "sampling": tried.used,
            "seed": context.seed,
        }
        rooms = (similarity, placement, samples_room, scenarios, pair_correlations)
        yield Chunk(settings, (*rooms, *tried.code), compute)


CELL = 8


def pair_correlations(
    context: Context,
    scenario: Scenario,
    load: Loader,
    tried: Panel,
) -> pd.DataFrame:
    """Rank correlations between the maps of every pair of methods."""
    model, rows = context.model, []
    for sample in load():
        place = sample.place(model.preprocessing.size, context.seed, "scored", "noise")
        image = composed(place, sample.pixels, (True, True))[None].to(model.device)
        inputs = to_inputs(model.preprocessing, image)
        targets = torch.tensor([sample.classes[0]], device=model.device)
        key = stable_seed(context.seed, scenario.name, sample.number, 0)
        maps = attribute(
            model, inputs, targets, tried.names, [key], tried.sampling, context.batch_size
        )
        cells = {
            plain(name): torch.nn.functional.avg_pool2d(values.abs()[:, None], CELL)
            for name, values in maps.items()
        }
        for first, second in combinations(cells, 2):
            found = spearman(cells[first][:, 0], cells[second][:, 0])
            rows.append((sample.number, first, second, float(found)))
    columns = {"sample": "int64", "first": "str", "second": "str", "spearman": "float64"}
    return pd.DataFrame(rows, columns=list(columns)).astype(columns)


@experiment(
    "axioms-edges",
    knobs={"smoke": {"max_images": 2}, "quick": {"max_images": 12}, "full": {"max_images": 200}},
    columns={
        "image": "file name",
        "position": "place in the image set",
        "method": "attribution method",
        "spearman": "rank correlation of its absolute map with the image's Sobel edges",
    },
)
def axioms_edges(
    context: Context,
    methods: Sequence[str] = ("gradient", "guided-backprop"),
    max_images: int | None = None,
) -> Iterator[Chunk]:
    """Do methods reconstruct the image? Absolute maps of photographs beside their edges.

    Args:
        context: model, images and seed.
        methods: attribution methods.
        max_images: use at most that many images.

    Yields:
        One chunk a batch of images.
    """
    tried = panel(context.model, [*methods, "edges"])
    for positions in context.positions(max_images):

        def compute(positions: tuple[int, ...] = positions) -> pd.DataFrame:
            return edge_correlations(context, positions, tried.names)

        settings = {"methods": list(tried.names)}
        yield Chunk(settings, (similarity, edge_correlations, *tried.code), compute, positions)


def edge_correlations(
    context: Context, positions: Sequence[int], names: Sequence[str]
) -> pd.DataFrame:
    """Rank correlation of each method's absolute maps with those of the last one, the edges."""
    batch = context.batch(positions)
    keys = batch.seeds(context.seed, "edges")
    maps = attribute(
        context.model, batch.inputs, batch.targets, names, keys, batch_size=context.batch_size
    )
    edges = maps[names[-1]].abs()
    rows = [
        image_rows(batch, {"spearman": spearman(maps[name].abs(), edges)}, method=name)
        for name in names[:-1]
    ]
    return pd.concat(rows, ignore_index=True)
