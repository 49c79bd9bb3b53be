"""What generated features look like, as they grow and under the methods; other ways to make them.

And what needs no network of the run: a network whose truth is known, and formal statements.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from PIL import Image
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor
from torch.nn.functional import avg_pool2d

from sanitygap import fingerprint
from sanitygap.attribution import Sampling, attribute
from sanitygap.attribution.applicable import defined
from sanitygap.axioms import layers, placement, statements, store, toy
from sanitygap.axioms.generate import Generation, Look
from sanitygap.axioms.metrics import region_sums
from sanitygap.axioms.placement import to_inputs
from sanitygap.axioms.recipes import Recipe
from sanitygap.axioms.samples import Sample
from sanitygap.axioms.scenarios import GOAL_ONLY, SCENARIOS, Scenario, find_scenario
from sanitygap.chapters.axioms.measure import (
    PAPER_METHODS,
    STEPS,
    Source,
    accepted,
    axioms_scores,
    blocks,
    carried_set,
    composed_inputs,
    cut_scores,
    fresh_outputs,
    plain,
    sample_sets,
    set_pieces,
    sized,
)
from sanitygap.files import file_sha256
from sanitygap.models.explainable import Explainable
from sanitygap.randomization import RandomTwin
from sanitygap.seeds import stable_seed
from sanitygap.similarity import spearman
from sanitygap.table import Batch, Context, Piece, columns_of, table

#: samples among which the first that is begun is watched
TRIES = 100


def png(pixels: Tensor) -> bytes:
    """RGB values in [0, 1], ``(3, H, W)``, as a PNG file."""
    values, buffer = (255 * pixels).round().to(torch.uint8), io.BytesIO()
    Image.fromarray(values.permute(1, 2, 0).cpu().numpy()).save(buffer, format="PNG")
    return buffer.getvalue()


def from_png(data: bytes) -> Tensor:
    """The RGB values of :func:`png`."""
    values = np.array(Image.open(io.BytesIO(data)).convert("RGB"))
    return torch.from_numpy(values).permute(2, 0, 1).float() / 255


@table(
    "axioms-growth", smoke={"max_steps": 2, "snapshots": 2}, quick={"max_steps": 80, "snapshots": 6}
)
def axioms_growth(
    context: Context,
    scenario: str = "null",
    max_steps: PositiveInt = STEPS,
    snapshots: PositiveInt = 7,
) -> Iterator[dict[str, Any]]:
    """How the patches of one sample come into being, step by step: the first that is begun.

    Args:
        context: model and seed.
        scenario: which one.
        max_steps: of the optimisation.
        snapshots: pictures, from the first step to the last, ever further apart.
    """
    looks: list[Look] = []
    chosen, recipe = find_scenario(scenario), Recipe(max_steps=max_steps, at_once=1)
    run = Generation(context.model, chosen, range(TRIES), recipe, context.seed, looks.append)
    while any(run.slots) and not run.advance():
        pass
    places = np.linspace(0, 1, min(snapshots, len(looks))) ** 1.5 * (len(looks) - 1)
    for place in dict.fromkeys(places.round().astype(int)):
        look = looks[place]
        change = max((c for c in look.change if c == c), default=float("nan"))
        for patch, pixels in enumerate(look.patches):
            yield {
                "scenario": scenario, "step": look.step, "patch": patch + 1,
                "pixels": png(pixels), "softmax": look.softmax[patch], "change": change,
            }  # fmt: skip


#: samples in the paper's Figs. 1 and 6, and 5
SHOWN = {"null": 4, "saturation": 2}


def _cut(context: Context, arguments: Mapping[str, Any]) -> Iterator[Piece]:
    for name in arguments["which"]:
        carried = carried_set(context, find_scenario(name), arguments["source"])
        also = carried and file_sha256(carried)
        yield Piece({**arguments, "which": (name,)}, also=also)


@table(
    "axioms-examples",
    own=True,
    cut=_cut,
    smoke={"source": "new", "samples": 1, "max_steps": 2, "path_steps": 2, "extremal_steps": 2},
    quick={"samples": 4, "shown": 1, "max_steps": 4, "path_steps": 4, "extremal_steps": 10},
    full={"source": "new"},
)
def axioms_examples(
    context: Context,
    samples: PositiveInt = 1000,
    shown: PositiveInt = 4,
    methods: Sequence[str] = PAPER_METHODS,
    source: Source = "kept",
    max_steps: PositiveInt = STEPS,
    path_steps: PositiveInt = 50,
    extremal_steps: PositiveInt = 800,
    which: Sequence[str] = tuple(SCENARIOS),
) -> Iterator[pd.DataFrame]:
    """Maps of the first accepted samples of every scenario, to be looked at.

    Args:
        context: model and seed.
        samples, source, max_steps: as in ``axioms-scores``.
        shown: how many of the accepted samples of the first set, at most; the paper's figures
            have four with a null feature, two that saturate, and one of the others.
        methods: attribution methods.
        path_steps, extremal_steps: sizes of two methods.
        which: scenarios.
    """
    names = sized(defined(context.model, methods), extremal_steps)
    for scenario, made in first_sets(context, which, samples, source, max_steps):
        chosen = accepted(made, min(shown, SHOWN.get(scenario.name, 1)))
        yield example_maps(context, scenario, chosen, names, Sampling(path_steps))


def first_sets(
    context: Context, which: Sequence[str], samples: int, source: Source, max_steps: int
) -> Iterator[tuple[Scenario, list[Sample]]]:
    """The first set of each of some scenarios."""
    for name in which:
        yield next(sample_sets(context, (name,), 0, samples, source, max_steps))


@table(
    "axioms-layer-examples",
    cut=_cut,
    smoke={"source": "new", "samples": 1, "max_steps": 2},
    quick={"samples": 4, "max_steps": 4},
    full={"source": "new"},
)
def axioms_layer_examples(
    context: Context,
    samples: PositiveInt = 1000,
    methods: Sequence[str] = ("iba", "grad-cam-plus-plus"),
    depths: PositiveInt = layers.DEPTHS,
    source: Source = "kept",
    max_steps: PositiveInt = STEPS,
    which: Sequence[str] = ("null",),
) -> Iterator[pd.DataFrame]:
    """Maps of one sample with a null feature, from methods that look at one layer, at four layers.

    Args:
        context: model and seed.
        samples, source, max_steps: as in ``axioms-scores``.
        methods: methods that take a layer.
        depths: how many resolutions, the last ones.
        which: scenarios.
    """
    at = layers.resolution_layers(context.model, depths)
    names = defined(context.model, [f"{method}@{layer}" for method in methods for layer in at])
    for scenario, made in first_sets(context, which, samples, source, max_steps):
        yield example_maps(context, scenario, accepted(made, 1), names, Sampling())


def example_maps(
    context: Context,
    scenario: Scenario,
    samples: Sequence[Sample],
    names: Sequence[str],
    sampling: Sampling,
) -> pd.DataFrame:
    """Inputs and maps of a few samples."""
    model, rows = context.model, []
    for sample in samples:
        _, image = composed_inputs(context, scenario, [sample])
        about = scenario.name, sample.number
        rows.append((*about, "", -1, "input", image.shape[-1], png(image[0])))
        inputs = to_inputs(model.preprocessing, image.to(model.device))
        for output in scenario.explained:
            target = sample.classes[output]
            key = stable_seed(context.seed, *about, output)
            targets = torch.tensor([target], device=model.device)
            maps = attribute(model, inputs, targets, names, [key], sampling, context.batch_size)
            for name, values in maps.items():
                small = avg_pool2d(values[:, None].cpu(), 2)[0, 0]
                scaled = (127 * small / small.abs().max().clamp_min(1e-30)).round()
                data = scaled.to(torch.int8).numpy().tobytes()
                rows.append((*about, "ab"[output], target, plain(name), small.shape[-1], data))
    columns = ["scenario", "sample", "output", "class_index", "method", "side", "values"]
    made = pd.DataFrame(rows, columns=columns)[list(columns_of("axioms-examples"))]
    return made.astype({"sample": "int64", "class_index": "int64", "side": "int64"})


TOY_METHODS = (
    "gradient", "gradient-x-input", "integrated-gradients", "guided-backprop", "fullgrad",
    "grad-cam", "deeplift", "noise",
)  # fmt: skip


@table("axioms-toy", own=True, smoke={"samples": 4})
def axioms_toy(
    methods: Sequence[str] = TOY_METHODS, samples: PositiveInt = 20, seed: int = 0
) -> Iterator[pd.DataFrame]:
    """Attribution in a network in which one of two features is null by its wiring.

    Args:
        methods: attribution methods.
        samples: inputs, with patches of different strength.
        seed: of the inputs and all sampling.

    Yields:
        Sums over the patches of maps of output a, and exact Shapley values.
    """
    model = toy.wired_model()
    images, covered = toy.coloured_inputs(samples, seed)
    keys = [stable_seed(seed, "toy", number) for number in range(samples)]
    targets = torch.zeros(samples, dtype=torch.int64)
    maps = attribute(model, images[:, 3], targets, methods, keys, Sampling(8), samples)
    masks = covered[None].expand(samples, -1, -1, -1)

    def rows(method: str, sign: str, first: Tensor, second: Tensor) -> pd.DataFrame:
        about = {"sample": range(samples), "method": method, "sign": sign}
        return pd.DataFrame(about | {"first": first.numpy(), "second": second.numpy()})

    for name, values in maps.items():
        for sign, found in (("signed", values), ("absolute", values.abs())):
            sums = region_sums(found, masks)
            yield rows(name, sign, sums["first"], sums["second"])
    exact = toy.exact_shares(model, images, 0)
    for sign, found in (("signed", exact), ("absolute", exact.abs())):
        yield rows("patch-shapley", sign, *found.T)


table("axioms-statements")(statements.statements)


class Variant(NamedTuple):
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
        with nullcontext() if variant.trained else twin.redrawn(model.stages):
            made = Generation(model, variant.scenario, range(samples), recipe, context.seed).run()
            rows = fresh_outputs(context, variant.scenario, made, draws)
        variation = {
            sample.number: float(sum(sample.pixels.diff(dim=d).abs().mean() for d in (2, 3)) / 2)
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
    sets = sample_sets(context, (scenario.name,), first, samples, source, max_steps)
    for sample in (one for _, made in sets for one in accepted(made, limit)):
        _, image = composed_inputs(context, scenario, [sample])
        inputs = to_inputs(model.preprocessing, image.to(model.device))
        targets = torch.tensor([sample.classes[0]], device=model.device)
        key = stable_seed(context.seed, scenario.name, sample.number, 0)
        maps = attribute(model, inputs, targets, names, [key], sampling, context.batch_size)
        cells = {plain(name): avg_pool2d(v.abs()[:, None], CELL)[:, 0] for name, v in maps.items()}
        for one, other in combinations(cells, 2):
            found = float(spearman(cells[one], cells[other]))
            rows.append((sample.number, one, other, found))
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


def keep_features(
    model: Explainable,
    scenarios: Sequence[Scenario],
    attempts: int,
    seed: int = 0,
    recipe: Recipe = Recipe(),  # noqa: B008  (it is frozen)
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
        for numbers in blocks(0, attempts):
            made += store.features(model, scenario, numbers, recipe, seed, code, progress=True)
        yield store.keep(model, scenario, made, recipe, root), made
