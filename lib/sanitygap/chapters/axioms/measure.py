"""Generated features: the sets that experiments share, and how well they do what they should."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, Literal, get_args

import pandas as pd
import torch
from pydantic import NonNegativeInt, PositiveInt

from sanitygap import fingerprint
from sanitygap.attribution import Sampling, attribute
from sanitygap.axioms import layers, metrics, placement, store
from sanitygap.axioms.metrics import region_sums, shared_sums
from sanitygap.axioms.placement import composed, regions, to_inputs
from sanitygap.axioms.recipes import Recipe
from sanitygap.axioms.samples import Sample, outputs
from sanitygap.axioms.scenarios import COALITIONS, NONE, SCENARIOS, Scenario, find_scenario
from sanitygap.files import file_sha256
from sanitygap.seeds import stable_seed
from sanitygap.table import Context, Cut, Piece, columns_of, cut_by, table
from sanitygap.theory.shapley import shapley_values

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


def blocks(first: int, last: int) -> Iterator[range]:
    """Numbers of the samples from ``first`` to below ``last`` that are generated together."""
    for start in range(first, last, BLOCK):
        yield range(start, min(start + BLOCK, last))


def carried_set(context: Context, scenario: Scenario, source: Source) -> Path | None:
    """The set of a scenario that the project carries for the network; None if new ones are made."""
    return store.kept(context.model, scenario) if source == "kept" else None


def sample_sets(
    context: Context,
    which: Sequence[str],
    first: int,
    samples: int,
    source: Source,
    max_steps: int = STEPS,
) -> Iterator[tuple[Scenario, list[Sample]]]:
    """The samples of some scenarios, set by set; accepted or not.

    Args:
        context: model and seed.
        which: scenarios.
        first, samples: numbers of the new ones that are tried, from ``first`` to below
            ``samples``; a set that is carried is taken whole.
        source: ``kept`` takes the set that the project carries for this network, if it has one.
        max_steps: of the generation.
    """
    code, recipe = fingerprint.of_module(store), Recipe(max_steps=max_steps)
    for scenario in map(find_scenario, which):
        if carried := carried_set(context, scenario, source):
            yield scenario, store.read(carried)
            continue
        for numbers in blocks(first, samples):
            generated = (context.model, scenario, numbers, recipe, context.seed, code)
            yield scenario, store.features(*generated, progress=True)


def accepted(samples: Sequence[Sample], limit: int | None) -> list[Sample]:
    """The accepted samples of a set, at most ``limit`` of them."""
    return [sample for sample in samples if sample.accepted][:limit]


def set_pieces(
    context: Context, scenario: Scenario, arguments: Mapping[str, Any]
) -> Iterator[Piece]:
    """Pieces of a table with the arguments of :func:`sample_sets`, one a set."""
    if carried := carried_set(context, scenario, arguments["source"]):
        yield Piece(arguments, also=file_sha256(carried))
        return
    for numbers in blocks(arguments["first"], arguments["samples"]):
        yield Piece({**arguments, "first": numbers.start, "samples": numbers.stop})


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
    new = Recipe(max_steps=max_steps)
    for scenario, made in sample_sets(context, which, first, samples, source, max_steps):
        carried = carried_set(context, scenario, source)
        recipe = store.read_recipe(carried) if carried else new
        chosen = accepted(made, limit) + [sample for sample in made if not sample.accepted]
        yield fresh_outputs(context, scenario, chosen, draws, given_up=0).assign(
            softmax_least=recipe.softmax, change_most=recipe.change,
            reference_least=recipe.least_reference, source="kept" if carried else "new",
        )  # fmt: skip


def described(sample: Sample) -> dict[str, Any]:
    """What the table says of a sample, whatever is measured on it."""
    return {
        "scenario": sample.scenario, "sample": sample.number, "class_a": sample.classes[0],
        "class_b": sample.classes[1], "accepted": sample.accepted, "steps": sample.steps,
        "seconds": sample.seconds, "side": sample.patches.shape[-1],
    }  # fmt: skip


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
        draws_shown = range(max(1, shown))
        places = [sample.place(size, context.seed, ("fresh", draw)) for draw in draws_shown]
        pixels = sample.pixels.to(model.device)
        logits, softmax = outputs(model, scenario, pixels, sample.classes, places)
        for draw, coalition in product(draws_shown, scenario.coalitions if shown else (NONE,)):
            (a, b), (p, q) = (values[draw, coalition].tolist() for values in (logits, softmax))
            rows.append(
                described(sample)
                | {"draw": draw, "coalition": COALITIONS[coalition]}
                | {"logit_a": a, "logit_b": b, "softmax_a": p, "softmax_b": q}
            )
    return pd.DataFrame(rows)


#: beside the paper's methods: those of Binder et al., and controls
FURTHER = (
    "gradient-x-input", "lrp-epsilon-plus", "lrp-alpha2-beta1", "lrp-gamma-box", "noise", "edges",
)  # fmt: skip

#: explainers that need no pixels: the same everywhere, and exact Shapley values of the patches
Reference = Literal["uniform", "patch-shapley"]
REFERENCES: tuple[Reference, ...] = get_args(Reference)


def cut_scores(context: Context, arguments: Mapping[str, Any]) -> Iterator[Piece]:
    """Parts of the table of scores: a set, a background, and what makes the maps."""
    yield from cut_sets("backgrounds", "methods")(context, {**arguments, "references": ()})
    yield from cut_sets("backgrounds")(context, {**arguments, "methods": ()})


@table(
    "axioms-scores",
    own=True,
    cut=cut_scores,
    smoke={"source": "new", "samples": 1, "max_steps": 2, "path_steps": 2, "extremal_steps": 2},
    quick={"samples": 4, "limit": 2, "max_steps": 4, "path_steps": 4, "extremal_steps": 10},
    full={"source": "new"},
)
def axioms_scores(
    context: Context,
    samples: PositiveInt = 1000,
    methods: Sequence[str] = (*PAPER_METHODS, *FURTHER),
    backgrounds: Sequence[str] = ("noise",),
    source: Source = "kept",
    max_steps: PositiveInt = STEPS,
    path_steps: PositiveInt = 50,
    extremal_steps: PositiveInt = 800,
    limit: int | None = None,
    which: Sequence[str] = tuple(SCENARIOS),
    first: NonNegativeInt = 0,
    references: Sequence[Reference] = REFERENCES,
) -> Iterator[pd.DataFrame]:
    """How attribution maps of generated inputs spread over the patches.

    Only accepted samples are scored. A set without any gives no rows.

    Args:
        context: model and seed.
        samples: attempts a scenario, as in ``axioms-samples``.
        methods: attribution methods and controls.
        backgrounds: what the patches lie on; see :func:`sanitygap.axioms.placement.draw_place`.
        source, max_steps, first: of the generation, as in ``axioms-samples``.
        path_steps: points of integrated gradients.
        extremal_steps: steps of extremal perturbation.
        limit: score at most that many accepted samples of a set; all by default.
        which: scenarios.
        references: explainers that need no pixels.
    """
    sampling, names = Sampling(path_steps), sized(methods, extremal_steps)
    yield empty_scores()
    for scenario, made in sample_sets(context, which, first, samples, source, max_steps):
        chosen = accepted(made, limit)
        for background in backgrounds:
            if names:
                yield from scored(context, scenario, chosen, names, sampling, background)
            if references:
                yield from reference_rows(context, scenario, chosen, background, references)


def composed_inputs(
    context: Context, scenario: Scenario, samples: Sequence[Sample], background: str = "noise"
) -> tuple[list[placement.Place], torch.Tensor]:
    """Places of the patches of some samples, and RGB pixels ``(N, 3, H, W)`` with all patches."""
    size, seed = context.model.preprocessing.size, context.seed
    places = [sample.place(size, seed, "scored", background) for sample in samples]
    everything = scenario.members(scenario.coalitions[-1])
    pairs = zip(places, samples, strict=True)
    return places, torch.stack([composed(p, s.pixels, everything) for p, s in pairs])


def scored(
    context: Context,
    scenario: Scenario,
    samples: Sequence[Sample],
    names: Sequence[str],
    sampling: Sampling,
    background: str = "noise",
) -> Iterator[pd.DataFrame]:
    """Sums over the patches of the maps of some methods."""
    model, step = context.model, context.batch_size
    for part in (samples[start : start + step] for start in range(0, len(samples), step)):
        places, pixels = composed_inputs(context, scenario, part, background)
        inputs = to_inputs(model.preprocessing, pixels.to(model.device))
        keys = [stable_seed(context.seed, scenario.name, s.number) for s in part]
        maps: dict[str, dict[int, torch.Tensor]] = {name: {} for name in names}
        for output in scenario.explained:
            targets = torch.tensor([s.classes[output] for s in part], device=model.device)
            again = [stable_seed(key, output) for key in keys]
            made = attribute(model, inputs, targets, names, again, sampling, step)
            for name, values in made.items():
                maps[name][output] = values.cpu()
        for name, found in maps.items():
            yield map_rows(scenario, part, places, found, plain(name), background)


def empty_scores() -> pd.DataFrame:
    """A table of scores without rows, with the right types."""
    words = ("scenario", "background", "method", "sign", "output")
    types = {name: "str" if name in words else "float64" for name in columns_of("axioms-scores")}
    return pd.DataFrame({n: pd.Series(dtype=t) for n, t in types.items()}).astype({"sample": int})


def map_rows(
    scenario: Scenario,
    samples: Sequence[Sample],
    places: Sequence[placement.Place],
    maps: Mapping[int, torch.Tensor],
    method: str,
    background: str,
) -> pd.DataFrame:
    """One row a sample, sign and explained output from the maps ``(N, H, W)`` of each output."""
    side = samples[0].patches.shape[-1]
    masks = torch.stack([regions(place, side) for place in places])
    pixels = masks[0, 0].numel()
    distance = [_distance(place) for place in places]
    frames = []
    for sign in metrics.SIGNS:
        shown = {o: values.abs() if sign == "absolute" else values for o, values in maps.items()}
        shared = shared_sums(shown[0], shown[1], masks) if len(shown) == 2 else {}
        for output, values in shown.items():
            sums = region_sums(values, masks) | shared
            frame = pd.DataFrame({name: found.numpy() for name, found in sums.items()}).assign(
                scenario=scenario.name, sample=[sample.number for sample in samples],
                background=background, method=method, sign=sign, output="ab"[output],
                inside=float(side * side), rest=float(pixels - side * side * masks.shape[1]),
                distance=distance,
            )  # fmt: skip
            frames.append(frame.reindex(columns=list(columns_of("axioms-scores"))))
    return pd.concat(frames, ignore_index=True).astype(empty_scores().dtypes.to_dict())


def _distance(place: placement.Place) -> float:
    if len(place.corners) < 2:
        return float("nan")
    return math.dist(*place.corners)


def reference_rows(
    context: Context,
    scenario: Scenario,
    samples: Sequence[Sample],
    background: str,
    references: Sequence[Reference],
) -> Iterator[pd.DataFrame]:
    """Rows of the explainers that need no pixels: uniform, and exact Shapley values of patches."""
    model, size = context.model, context.model.preprocessing.size
    for sample in samples:
        place = sample.place(size, context.seed, "scored", background)
        pixels = sample.pixels.to(model.device)
        logits, _ = outputs(model, scenario, pixels, sample.classes, [place])
        masks = regions(place, sample.patches.shape[-1])
        shares = shapley_values(logits[0].T)[..., None, None]  # outputs x patches
        spread = shares * masks / masks.sum((1, 2))[:, None, None]
        for name in references:
            maps = {output: spread[output].sum(0)[None] for output in scenario.explained}
            if name == "uniform":
                maps = dict.fromkeys(maps, torch.ones(1, size, size, dtype=torch.float64))
            yield map_rows(scenario, [sample], [place], maps, name, background)


@table(
    "axioms-layers",
    cut=cut_sets("methods"),
    smoke={"source": "new", "samples": 1, "max_steps": 2},
    # two samples have no correlation of levels, so the scenario single would show nothing
    quick={"samples": 4, "limit": 2, "max_steps": 4, "which": ("null", "double")},
    full={"source": "new"},
)
def axioms_layers(
    context: Context,
    samples: PositiveInt = 1000,
    methods: Sequence[str] = ("iba", "grad-cam-plus-plus"),
    depths: PositiveInt = layers.DEPTHS,
    source: Source = "kept",
    max_steps: PositiveInt = STEPS,
    limit: int | None = None,
    which: Sequence[str] = ("null", "single", "double"),
    first: NonNegativeInt = 0,
) -> Iterator[pd.DataFrame]:
    """The scores of methods that look at one layer, at layers of four resolutions.

    Args:
        context: model and seed.
        samples, source, max_steps, limit, which, first: as in ``axioms-scores``.
        methods: methods that take a layer.
        depths: how many resolutions, the last ones.
    """
    named = list(enumerate(layers.resolution_layers(context.model, depths), start=1))
    yield empty_scores().assign(layer="", depth=1)
    for scenario, made in sample_sets(context, which, first, samples, source, max_steps):
        chosen = accepted(made, limit)
        for method, (depth, layer) in product(methods, named):
            for rows in scored(context, scenario, chosen, [f"{method}@{layer}"], Sampling()):
                yield rows.assign(layer=layer, depth=depth)
