"""The extended test of Sriram and Conati (2022): one layer at a time, and what it rests on."""

import time
from collections.abc import Iterator, Sequence

import pandas as pd
import torch

from sanitygap import randomization, similarity
from sanitygap.attribution import Method, Sampling
from sanitygap.attribution.applicable import families
from sanitygap.attribution.surrogate import SAMPLES, SURROGATES
from sanitygap.experiments.experiment import Chunk, Context, experiment
from sanitygap.experiments.randomization_test import (
    COLUMNS,
    code_of,
    compare_with_random,
    sampling_of,
)
from sanitygap.experiments.retest import COLUMNS as RETEST_COLUMNS
from sanitygap.experiments.retest import retest
from sanitygap.models import stages
from sanitygap.models.explainable import Explainable
from sanitygap.models.stages import LAYERS, network_name, with_schedule
from sanitygap.randomization import RandomTwin, Step, steps
from sanitygap.sensitivity.scores import METHODS

CONTROLS = ("noise", "noise-fixed", "edges", "centre")

#: the methods whose hooks are in question, as this library and as captum computes them
TWINS = (
    "gradient",
    "gradient-x-input",
    "guided-backprop",
    "captum-guided-backprop",
    "guided-grad-cam",
    "captum-guided-grad-cam",
    "deeplift",
    "captum-deeplift",
)

SHORT_TWINS = ("gradient", "guided-backprop", "captum-guided-backprop")

IPR_COLUMNS = COLUMNS | {
    "seconds": "time of the family of methods that share a pass, for one image and one network",
}


def paper_layers(model: Explainable) -> Explainable:
    """The model with the layers that the paper randomises; its own stages for other networks."""
    if network_name(model.module) in LAYERS:
        return with_schedule(model, "sriram-conati")
    return model


def sized(methods: Sequence[str], lime_samples: int) -> list[str]:
    """Names of methods, with LIME's number of samples."""
    return [f"{name}@{lime_samples}" if name in SURROGATES else name for name in methods]


def ipr_test(
    context: Context,
    methods: Sequence[str] = (*METHODS, *CONTROLS),
    n_steps: int | None = None,
    path_steps: int = 50,
    lime_samples: int = SAMPLES,
    max_images: int | None = None,
    seeds: Sequence[int] | None = None,
) -> Iterator[Chunk]:
    """Similarity of each map to that of the network with one redrawn layer, layer by layer.

    Args:
        context: model, images and seed.
        methods: attribution methods and controls; those that the network has no use for are left
            out.
        n_steps: that many layers, evenly spread; all by default.
        path_steps: points of integrated gradients.
        lime_samples: masked copies of an image in LIME.
        max_images: use at most that many images.
        seeds: seeds of the redrawn weights; the run's seed by default.

    Yields:
        One chunk a family of methods, a seed and a batch of images.
    """
    model, sampling = paper_layers(context.model), Sampling(path_steps)
    chosen = steps(model.stages, "independent", n_steps)
    for seed in seeds if seeds is not None else [context.seed]:
        twin = RandomTwin(model, seed)
        for family in families(sized(methods, lime_samples), context.model):
            for positions in context.positions(max_images):
                settings = {
                    "methods": [member.name for member in family],
                    "sampling": sampling_of(family, sampling),
                    "steps": [(step.number, step.stages[0].modules) for step in chosen],
                    "seed": seed,
                }

                def compute(
                    family: list[Method] = family,
                    positions: tuple[int, ...] = positions,
                    twin: RandomTwin = twin,
                ) -> pd.DataFrame:
                    return timed_comparison(
                        context, family, positions, twin, chosen, len(model.stages), sampling
                    )

                code = (
                    randomization, similarity, compare_with_random, timed_comparison, stages,
                    *code_of(family),
                )  # fmt: skip
                yield Chunk(settings, code, compute, positions)


def timed_comparison(
    context: Context,
    family: Sequence[Method],
    positions: Sequence[int],
    twin: RandomTwin,
    chosen: Sequence[Step],
    layers: int,
    sampling: Sampling,
) -> pd.DataFrame:
    """The comparison of one family and one batch of images, and how long it took."""
    started = time.perf_counter()
    batch, names = context.batch(positions), [member.name for member in family]
    compared = compare_with_random(batch, names, twin, chosen, "independent", sampling)
    rows = pd.concat(compared, ignore_index=True)
    seconds = (time.perf_counter() - started) / (len(positions) * (len(chosen) + 1))
    named = rows["method"].where(
        ~rows["method"].str.partition("@")[0].isin(list(SURROGATES)),
        rows["method"].str.partition("@")[0],
    )
    return rows.assign(method=named, steps=layers, seconds=seconds)


experiment(
    "ipr-test",
    knobs={
        "smoke": {
            "methods": (*METHODS, *CONTROLS), "n_steps": 1, "path_steps": 1, "lime_samples": 4,
            "max_images": 2,
        },
        "quick": {"n_steps": 2, "path_steps": 4, "lime_samples": 16, "max_images": 4},
        "full": {},
    },
    columns=IPR_COLUMNS,
)(ipr_test)  # fmt: skip

experiment(
    "ipr-captum",
    knobs={
        "smoke": {"methods": SHORT_TWINS, "n_steps": 1, "max_images": 2},
        "quick": {"methods": TWINS, "n_steps": 2, "max_images": 4},
        "full": {"methods": TWINS},
    },
    columns=IPR_COLUMNS,
)(ipr_test)

experiment(
    "ipr-retest",
    knobs={
        "smoke": {
            "methods": ("gradient", "lime@4", "noise"),
            "n_steps": 1, "max_images": 2,
        },
        "quick": {
            "methods": (*METHODS[:-1], "smoothgrad", "lime@12", "noise", "edges"),
            "n_steps": 1, "path_steps": 2, "noisy_copies": 3, "max_images": 2,
        },
        "full": {
            "methods": (*METHODS[:-1], "smoothgrad", f"lime@{SAMPLES}", "noise", "edges"),
            "n_steps": 1,
        },
    },
    columns=RETEST_COLUMNS,
)(retest)  # fmt: skip


@experiment(
    "ipr-models",
    knobs={"smoke": {}, "quick": {}, "full": {}},
    columns={
        "stage": "the layer that is to be redrawn",
        "layers": "how many layers, and so how many randomised networks, there are",
        "changed": "how many layers differ from the trained network",
        "itself": "whether the layer itself is one of them",
        "outside": "how many modules outside all layers differ",
    },
)
def ipr_models(context: Context) -> Iterator[Chunk]:
    """Which layers each randomised network of the independent order changes, by comparing tensors.

    Args:
        context: model and seed.
    """

    def compute() -> pd.DataFrame:
        return changed_layers(paper_layers(context.model), context.seed)

    settings = {"seed": context.seed}
    yield Chunk(settings, (randomization, stages, changed_layers), compute)


def changed_layers(model: Explainable, seed: int) -> pd.DataFrame:
    """One row a layer: what differs when it is redrawn."""
    modules = dict(model.module.named_modules())

    def state() -> dict[str, list[torch.Tensor]]:
        return {
            name: [
                tensor.detach().clone()
                for tensor in (*module._parameters.values(), *module._buffers.values())
                if tensor is not None
            ]
            for name, module in modules.items()
        }

    before, twin, rows = state(), RandomTwin(model, seed), []
    for step in steps(model.stages, "independent"):
        with twin.redrawn(step.stages):
            after = state()
        differing = {
            name
            for name in modules
            if any(not torch.equal(a, b) for a, b in zip(before[name], after[name], strict=True))
        }
        changed = [stage.name for stage in model.stages if differing & set(stage.modules)]
        owned = {name for stage in model.stages for name in stage.modules}
        rows.append(
            {
                "stage": step.name,
                "layers": len(model.stages),
                "changed": len(changed),
                "itself": step.name in changed,
                "outside": len(differing - owned),
            }
        )
    return pd.DataFrame(rows)
