"""Generated features: the sets that experiments share, and how well they do what they should."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import pandas as pd
from pydantic import PositiveInt

from sanitygap import fingerprint
from sanitygap.attribution import Method, Sampling
from sanitygap.attribution.applicable import families
from sanitygap.axioms import placement, scenarios, store
from sanitygap.axioms import samples as samples_room
from sanitygap.axioms.recipes import Recipe
from sanitygap.axioms.samples import Sample, outputs
from sanitygap.axioms.scenarios import COALITIONS, NONE, SCENARIOS, Scenario, find_scenario
from sanitygap.experiments.experiment import Chunk, Code, Context, experiment
from sanitygap.experiments.randomization_test import code_of, sampling_of
from sanitygap.files import file_sha256
from sanitygap.models.explainable import Explainable

Source = Literal["kept", "new"]

#: samples that are generated, kept and resumed together
BLOCK = 8

#: steps of an optimisation after which a sample is given up
STEPS = Recipe.max_steps

#: the paper's nine methods, in the order of its Table 1
PAPER_METHODS = (
    "grad-cam",
    "grad-cam-plus-plus",
    "gradient",
    "fullgrad",
    "guided-backprop",
    "integrated-gradients",
    "deepshap",
    "iba",
    "extremal-perturbation",
)

SAMPLE_COLUMNS = {
    "scenario": "null, single, double or saturation",
    "sample": "number of the sample",
    "class_a": "index of output a",
    "class_b": "index of output b",
    "accepted": "whether the thresholds were met when it was generated",
    "steps": "steps of its optimisation",
    "seconds": "processor seconds of its optimisation",
    "side": "side of a patch in pixels",
}

Loader = Callable[[], list[Sample]]


@dataclass(frozen=True)
class Panel:
    """Attribution methods that are tried on generated inputs.

    Attributes:
        names: as the registry takes them, some with a size.
        families: the methods, grouped by the pass they share.
        sampling: sizes that they share.
    """

    names: tuple[str, ...]
    families: tuple[tuple[Method, ...], ...]
    sampling: Sampling

    @property
    def code(self) -> tuple[Code, ...]:
        """The modules that make the maps."""
        return tuple({piece: None for family in self.families for piece in code_of(family)})

    @property
    def used(self) -> dict[str, Any]:
        """The sampling settings that change the maps."""
        found = [sampling_of(family, self.sampling) for family in self.families]
        return {key: value for each in found for key, value in each.items()}


def panel(
    model: Explainable,
    methods: Sequence[str],
    path_steps: int = Sampling.path_steps,
    extremal_steps: int | None = None,
) -> Panel:
    """The methods that are defined for a network; a warning names the others.

    Args:
        model: the network.
        methods: names from the registry.
        path_steps: points of integrated gradients.
        extremal_steps: steps of extremal perturbation; its own number by default.
    """
    named = [
        f"{name}@{extremal_steps}" if name == EXTREMAL and extremal_steps else name
        for name in methods
    ]
    groups = tuple(tuple(family) for family in families(named, model))
    left = {member.name for family in groups for member in family}
    names = tuple(name for name in named if name in left)
    return Panel(names, groups, Sampling(path_steps))


EXTREMAL = "extremal-perturbation"


def plain(name: str) -> str:
    """A method's name as tables have it: without the number of steps."""
    return EXTREMAL if name.startswith(f"{EXTREMAL}@") else name


def sample_sets(
    context: Context, scenario: Scenario, samples: int, source: Source, recipe: Recipe
) -> list[tuple[dict[str, Any], Loader]]:
    """The sets that hold the first samples of a scenario, with what determines them.

    Args:
        context: model and seed.
        scenario: what the patches have to do.
        samples: how many new ones are tried; a set that is carried is taken whole.
        source: ``kept`` takes the set that the project carries for this network, if it has one.
        recipe: of the generation.
    """
    carried = store.kept(context.model, scenario) if source == "kept" else None
    if carried is not None:
        return [({"kept": file_sha256(carried)}, partial(store.read, carried))]
    made = fingerprint.of_module(store)
    found: list[tuple[dict[str, Any], Loader]] = []
    for start in range(0, samples, BLOCK):
        numbers = range(start, min(start + BLOCK, samples))
        settings = {"numbers": list(numbers), "recipe": recipe.settings(), "generation": made}
        load = partial(
            store.features, context.model, scenario, numbers, recipe, context.seed, made,
            progress=True,
        )  # fmt: skip
        found.append((settings, load))
    return found


def accepted_sets(
    context: Context,
    scenario: Scenario,
    samples: int,
    source: Source,
    recipe: Recipe,
    limit: int | None,
) -> list[tuple[dict[str, Any], Loader]]:
    """The same sets without the samples that were given up, at most ``limit`` of each."""

    return [
        (made | {"limit": limit}, partial(first_accepted, load, limit))
        for made, load in sample_sets(context, scenario, samples, source, recipe)
    ]


def first_accepted(load: Loader, limit: int | None) -> list[Sample]:
    """The accepted samples of a set, at most ``limit`` of them."""
    return [sample for sample in load() if sample.accepted][:limit]


@experiment(
    "axioms-samples",
    knobs={
        "smoke": {"samples": 1, "draws": 2, "max_steps": 2, "limit": 1},
        "quick": {"samples": 4, "max_steps": 4},
        "full": {"source": "new"},
    },
    columns=SAMPLE_COLUMNS
    | {
        "draw": "number of a fresh background and fresh positions",
        "coalition": "which patches are present: none, first, second or both",
        "logit_a": "logit of output a",
        "logit_b": "logit of output b",
        "softmax_a": "softmax of output a",
        "softmax_b": "softmax of output b",
        "softmax_least": "threshold of acceptance: softmax of every goal above this",
        "change_most": "threshold of acceptance: relative change of every constraint below this",
        "reference_least": "given up at once below this: a bare background's logit that a "
        "constraint compares with, in standard deviations of all its logits",
        "source": "kept with the project, or new",
    },
)
def axioms_samples(
    context: Context,
    samples: PositiveInt = 1000,
    draws: PositiveInt = 10,
    source: Source = "kept",
    max_steps: PositiveInt = STEPS,
    limit: int | None = None,
    which: Sequence[str] = tuple(SCENARIOS),
) -> Iterator[Chunk]:
    """Outputs for every coalition of generated patches, on fresh backgrounds and positions.

    Args:
        context: model and seed.
        samples: attempts a scenario; those that were given up are in the table too.
        draws: fresh backgrounds an accepted sample; of the others, only one bare background.
        source: ``kept`` or ``new``, see :func:`sample_sets`.
        max_steps: of the optimisation, after which a sample is given up.
        limit: measure at most that many accepted samples of a set; all by default.
        which: scenarios.

    Yields:
        One chunk a scenario and set.
    """
    recipe = Recipe(max_steps=max_steps)
    for scenario in map(find_scenario, which):
        carried = store.kept(context.model, scenario) if source == "kept" else None
        used = store.read_recipe(carried) if carried else recipe
        for made, load in sample_sets(context, scenario, samples, source, recipe):
            settings = {**made, "scenario": scenario.name, "draws": draws, "limit": limit}
            settings |= {"seed": context.seed, "reference_least": used.least_reference}

            def compute(
                scenario: Scenario = scenario,
                load: Loader = load,
                used: Recipe = used,
                origin: Source = "kept" if carried else "new",
            ) -> pd.DataFrame:
                samples = load()
                chosen = first_accepted(load, limit)
                chosen += [sample for sample in samples if not sample.accepted]
                rows = fresh_outputs(context, scenario, chosen, draws, given_up=0)
                return rows.assign(
                    softmax_least=used.softmax,
                    change_most=used.change,
                    reference_least=used.least_reference,
                    source=origin,
                )

            yield Chunk(settings, (placement, samples_room, scenarios, fresh_outputs), compute)


def described(sample: Sample) -> dict[str, Any]:
    """What the table says of a sample, whatever is measured on it."""
    values = (
        sample.scenario,
        sample.number,
        *sample.classes,
        sample.accepted,
        sample.steps,
        sample.seconds,
        sample.patches.shape[-1],
    )
    return dict(zip(SAMPLE_COLUMNS, values, strict=True))


def fresh_outputs(
    context: Context,
    scenario: Scenario,
    samples: Sequence[Sample],
    draws: int,
    given_up: int | None = None,
) -> pd.DataFrame:
    """Outputs of some samples for every coalition on fresh backgrounds and positions.

    Args:
        context: model and seed.
        scenario: of the samples.
        samples: accepted or not.
        draws: fresh backgrounds a sample.
        given_up: likewise for samples that are not accepted; 0 is one bare background.
    """
    model, rows = context.model, []
    given_up = draws if given_up is None else given_up
    for sample in samples:
        size = model.preprocessing.size
        shown = draws if sample.accepted else given_up
        places = [
            sample.place(size, context.seed, ("fresh", draw)) for draw in range(max(1, shown))
        ]
        pixels = sample.pixels.to(model.device)
        logits, softmax = outputs(model, scenario, pixels, sample.classes, places)
        for draw in range(len(places)):
            for coalition in scenario.coalitions if shown else (NONE,):
                a, b = (float(value) for value in logits[draw, coalition])
                p, q = (float(value) for value in softmax[draw, coalition])
                rows.append(
                    described(sample)
                    | {"draw": draw, "coalition": COALITIONS[coalition]}
                    | {"logit_a": a, "logit_b": b, "softmax_a": p, "softmax_b": q}
                )
    return pd.DataFrame(rows)
