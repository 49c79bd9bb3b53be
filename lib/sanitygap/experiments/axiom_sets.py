"""Generated features: the sets that experiments share, and how well they do what they should."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import pandas as pd
from pydantic import NonNegativeInt, PositiveInt

from sanitygap import fingerprint
from sanitygap.axioms import store
from sanitygap.axioms.recipes import Recipe
from sanitygap.axioms.samples import Sample, outputs
from sanitygap.axioms.scenarios import COALITIONS, NONE, SCENARIOS, Scenario, find_scenario
from sanitygap.files import file_sha256
from sanitygap.table import Context, Cut, Piece, cut_by, table

Source = Literal["kept", "new"]

#: samples that are generated, kept and resumed together
BLOCK = 8

#: steps of an optimisation after which a sample is given up
STEPS = Recipe.max_steps

#: the paper's nine methods, in the order of its Table 1
PAPER_METHODS = (
    "grad-cam", "grad-cam-plus-plus", "gradient", "fullgrad", "guided-backprop",
    "integrated-gradients", "deepshap", "iba", "extremal-perturbation",
)  # fmt: skip


EXTREMAL = "extremal-perturbation"


def sized(methods: Sequence[str], extremal_steps: int) -> list[str]:
    """Names of methods, with the number of steps of extremal perturbation."""
    return [f"{name}@{extremal_steps}" if name == EXTREMAL else name for name in methods]


def plain(name: str) -> str:
    """A method's name as tables have it: without the number of steps."""
    return EXTREMAL if name.startswith(f"{EXTREMAL}@") else name


def sample_sets(
    context: Context, scenario: Scenario, first: int, samples: int, source: Source, recipe: Recipe
) -> Iterator[list[Sample]]:
    """The samples of a scenario, set by set; accepted or not.

    Args:
        context: model and seed.
        scenario: what the patches have to do.
        first, samples: numbers of the new ones that are tried, from ``first`` to below
            ``samples``; a set that is carried is taken whole.
        source: ``kept`` takes the set that the project carries for this network, if it has one.
        recipe: of the generation.
    """
    carried = store.kept(context.model, scenario) if source == "kept" else None
    if carried is not None:
        yield store.read(carried)
        return
    code = fingerprint.of_module(store)
    for start in range(first, samples, BLOCK):
        numbers = range(start, min(start + BLOCK, samples))
        yield store.features(
            context.model, scenario, numbers, recipe, context.seed, code, progress=True
        )


def accepted(samples: Sequence[Sample], limit: int | None) -> list[Sample]:
    """The accepted samples of a set, at most ``limit`` of them."""
    return [sample for sample in samples if sample.accepted][:limit]


def checksum(context: Context, scenario: Scenario, source: Source) -> str | None:
    """SHA-256 of the set that is carried for a scenario; None if new ones are made."""
    carried = store.kept(context.model, scenario) if source == "kept" else None
    return None if carried is None else file_sha256(carried)


def set_pieces(
    context: Context, scenario: Scenario, arguments: Mapping[str, Any]
) -> Iterator[Piece]:
    """Pieces of a table with the arguments of :func:`sample_sets`, one a set."""
    carried = checksum(context, scenario, arguments["source"])
    if carried is not None:
        yield Piece(arguments, also=carried)
        return
    for start in range(arguments["first"], arguments["samples"], BLOCK):
        end = min(start + BLOCK, arguments["samples"])
        yield Piece({**arguments, "first": start, "samples": end})


def cut_sets(*names: str) -> Cut:
    """Cut a table by the scenarios ``which``, their sets, and the items of other parameters."""

    def cut(context: Context, arguments: Mapping[str, Any]) -> Iterator[Piece]:
        for name in arguments["which"]:
            shared = {**arguments, "which": (name,)}
            for one in set_pieces(context, find_scenario(name), shared):
                for piece in cut_by(False, names)(context, one.arguments):
                    yield replace(piece, also=one.also)

    return cut


@table(
    "axioms-samples",
    cut=cut_sets(),
    smoke={"samples": 1, "draws": 2, "max_steps": 2, "limit": 1},
    quick={"samples": 4, "max_steps": 4},
    full={"source": "new"},
)
def axioms_samples(
    context: Context,
    samples: PositiveInt = 1000,
    draws: PositiveInt = 10,
    source: Source = "kept",
    max_steps: PositiveInt = STEPS,
    limit: int | None = None,
    which: Sequence[str] = tuple(SCENARIOS),
    first: NonNegativeInt = 0,
) -> Iterator[pd.DataFrame]:
    """Outputs for every coalition of generated patches, on fresh backgrounds and positions.

    Args:
        context: model and seed.
        samples: attempts a scenario; those that were given up are in the table too.
        draws: fresh backgrounds an accepted sample; of the others, only one bare background.
        source: ``kept`` or ``new``, see :func:`sample_sets`.
        max_steps: of the optimisation, after which a sample is given up.
        limit: measure at most that many accepted samples of a set; all by default.
        which: scenarios.
        first: number of the first attempt.
    """
    recipe = Recipe(max_steps=max_steps)
    for scenario in map(find_scenario, which):
        carried = store.kept(context.model, scenario) if source == "kept" else None
        used = store.read_recipe(carried) if carried else recipe
        for made in sample_sets(context, scenario, first, samples, source, recipe):
            chosen = accepted(made, limit) + [sample for sample in made if not sample.accepted]
            yield fresh_outputs(context, scenario, chosen, draws, given_up=0).assign(
                softmax_least=used.softmax, change_most=used.change,
                reference_least=used.least_reference, source="kept" if carried else "new",
            )  # fmt: skip


def described(sample: Sample) -> dict[str, Any]:
    """What the table says of a sample, whatever is measured on it."""
    class_a, class_b = sample.classes
    return {
        "scenario": sample.scenario,
        "sample": sample.number,
        "class_a": class_a,
        "class_b": class_b,
        "accepted": sample.accepted,
        "steps": sample.steps,
        "seconds": sample.seconds,
        "side": sample.patches.shape[-1],
    }


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
