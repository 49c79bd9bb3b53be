"""What generated features look like, as they grow and under the methods; and a known truth."""

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from pydantic import PositiveInt
from torch import Tensor

from sanitygap.attribution import Sampling, attribute
from sanitygap.attribution.applicable import defined
from sanitygap.axioms import layers, toy
from sanitygap.axioms.generate import Generation, Look
from sanitygap.axioms.metrics import region_sums
from sanitygap.axioms.placement import composed, to_inputs
from sanitygap.axioms.recipes import Recipe
from sanitygap.axioms.samples import Sample
from sanitygap.axioms.scenarios import SCENARIOS, Scenario, find_scenario
from sanitygap.chapters.axioms.measure import (
    PAPER_METHODS,
    STEPS,
    Source,
    accepted,
    checksum,
    plain,
    sample_sets,
    sized,
)
from sanitygap.seeds import stable_seed
from sanitygap.table import Context, Piece, columns_of, table

#: samples among which the first that is begun is watched
TRIES = 100


def png(pixels: Tensor) -> bytes:
    """RGB values in [0, 1], ``(3, H, W)``, as a PNG file."""
    values = (255 * pixels).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, format="PNG")
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
                "scenario": scenario,
                "step": look.step,
                "patch": patch + 1,
                "pixels": png(pixels),
                "softmax": look.softmax[patch],
                "change": change,
            }


#: samples in the paper's Figs. 1 and 6, and 5
SHOWN = {"null": 4, "saturation": 2}


def _cut(context: Context, arguments: Mapping[str, Any]) -> Iterator[Piece]:
    for name in arguments["which"]:
        also = checksum(context, find_scenario(name), arguments["source"])
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
    recipe, sampling = Recipe(max_steps=max_steps), Sampling(path_steps)
    for scenario in map(find_scenario, which):
        made = next(sample_sets(context, scenario, 0, samples, source, recipe))
        chosen = accepted(made, min(shown, SHOWN.get(scenario.name, 1)))
        yield example_maps(context, scenario, chosen, names, sampling)


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
    recipe = Recipe(max_steps=max_steps)
    for scenario in map(find_scenario, which):
        made = next(sample_sets(context, scenario, 0, samples, source, recipe))
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
        place = sample.place(model.preprocessing.size, context.seed, "scored", "noise")
        everything = scenario.members(scenario.coalitions[-1])
        image = composed(place, sample.pixels, everything)
        about = {"scenario": scenario.name, "sample": sample.number}
        rows.append(
            about
            | {"output": "", "class_index": -1, "method": "input", "side": image.shape[-1]}
            | {"values": png(image)}
        )
        inputs = to_inputs(model.preprocessing, image[None].to(model.device))
        for output in scenario.explained:
            target = sample.classes[output]
            key = stable_seed(context.seed, scenario.name, sample.number, output)
            targets = torch.tensor([target], device=model.device)
            maps = attribute(model, inputs, targets, names, [key], sampling, context.batch_size)
            for name, values in maps.items():
                small = torch.nn.functional.avg_pool2d(values[:, None].cpu(), 2)[0, 0]
                scaled = (127 * small / small.abs().max().clamp_min(1e-30)).round()
                rows.append(
                    about
                    | {"output": "ab"[output], "class_index": target}
                    | {"method": plain(name)}
                    | {"side": small.shape[-1], "values": scaled.to(torch.int8).numpy().tobytes()}
                )
    made = pd.DataFrame(rows, columns=list(columns_of("axioms-examples")))
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
        yield rows("patch-shapley", sign, found[:, 0], found[:, 1])
