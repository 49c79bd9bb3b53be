"""The randomisation-based sanity check (Adebayo et al. 2018; Binder et al. 2022, Fig. 2)."""

import sys
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd
import torch

from sanitygap import randomization, similarity
from sanitygap.attribution import Method, Sampling, attribute
from sanitygap.attribution import method as method_room
from sanitygap.attribution.applicable import families
from sanitygap.experiments.experiment import Chunk, Context, experiment, image_rows
from sanitygap.randomization import Norms, Order, RandomTwin, Redraw, Step, Weights, steps
from sanitygap.similarity import Reference

#: what a laptop compares in minutes; LRP stands there with one variant of each rule
CORE_METHODS = (
    "gradient",
    "gradient-x-input",
    "integrated-gradients",
    "smoothgrad",
    "vargrad",
    "guided-backprop",
    "lrp-epsilon-plus",
    "lrp-alpha2-beta1",
    "lrp-gamma-box",
    "lrp-gamma",
    "noise",
    "edges",
)

ALL_METHODS = (
    *CORE_METHODS[:-2],
    "lrp-zero",
    "lrp-epsilon",
    "lrp-z-plus",
    "lrp-adaptive-beta",
    "lrp-adaptive-beta-printed",
    *CORE_METHODS[-2:],
)

COLUMNS = {
    "image": "file name of the image",
    "position": "place of the image in the set",
    "method": "attribution method or control",
    "order": "order of randomisation: top-down, bottom-up or independent",
    "step": "number of the step; in a cumulative order, how many stages are random",
    "steps": "number of steps that would randomise the whole network",
    "stage": "name of the stage that the step redraws last",
    "random_parameters": "share of the parameters that are random in the step, 0 to 1",
    "seed": "seed of the redrawn weights and of all sampling",
    "sign": "signed maps, or their absolute values",
    "ssim": "SSIM of second-moment-normalised maps, window 7, L = joint range of the pair",
    "ssim_robust": "the same with L = joint range of the central 99.9 % of their pixels",
    "ssim_L1": "the same with L = 1",
    "ssim_L2": "the same with L = 2",
    "spearman": "Spearman's rank correlation over pixels",
    "pearson": "Pearson correlation over pixels",
    "mse": "mean squared difference of second-moment-normalised maps",
    "product": "mean product of second-moment-normalised maps; mse = 2 - 2 product",
    "means": "product of the means of second-moment-normalised maps",
}


def code_of(family: Sequence[Method]) -> tuple[Any, ...]:
    """The modules that make the maps of a family of methods.

    A module of methods that leaves part of the work to others names them in ``RELIES_ON``.
    """
    room = sys.modules[family[0].finish.__module__]
    return (method_room, room, *getattr(room, "RELIES_ON", ()))


def sampling_of(family: Sequence[Method], sampling: Sampling) -> dict[str, Any]:
    """The sampling settings that change this family's maps (none for most)."""
    noisy = {"noisy_copies": sampling.noisy_copies, "noise_level": sampling.noise_level}
    used: dict[str, dict[str, Any]] = {
        "integrated-gradients": {"path_steps": sampling.path_steps},
        "smoothgrad": noisy,
        "vargrad": noisy,
    }
    return {key: value for member in family for key, value in used.get(member.name, {}).items()}


@experiment(
    "randomization",
    knobs={
        "smoke": {"methods": CORE_METHODS, "n_steps": 2, "path_steps": 2, "noisy_copies": 2},
        "quick": {"methods": CORE_METHODS, "n_steps": 5, "path_steps": 8, "noisy_copies": 8},
        "full": {},
    },
    columns=COLUMNS,
)
def randomization_test(
    context: Context,
    methods: Sequence[str] = ALL_METHODS,
    order: Order = "top-down",
    n_steps: int | None = None,
    path_steps: int = 50,
    noisy_copies: int = 50,
    seeds: Sequence[int] | None = None,
    max_images: int | None = None,
    weights: Weights = "he-normal",
    norms: Norms = "reset",
) -> Iterator[Chunk]:
    """Similarity of each map to the same image's map after redrawing weights, step by step.

    Args:
        context: model, images and seed.
        methods: attribution methods and controls.
        order: ``top-down``, ``bottom-up`` or ``independent``.
        n_steps: that many steps, evenly spread; all by default.
        path_steps: points of integrated gradients.
        noisy_copies: copies in SmoothGrad.
        seeds: seeds of the redrawn weights; the run's seed by default.
        max_images: use at most that many images.
        weights, norms: see :class:`sanitygap.randomization.Redraw`.

    Yields:
        One chunk a family of methods, a seed and a batch of images.
    """
    sampling = Sampling(path_steps, noisy_copies)
    redraw = Redraw(weights, norms)
    chosen_steps = steps(context.model.stages, order, n_steps)
    for seed in seeds if seeds is not None else [context.seed]:
        twin = RandomTwin(context.model, seed, redraw)
        for family in families(methods, context.model):
            for positions in context.positions(max_images):
                settings = {
                    "methods": [member.name for member in family],
                    "sampling": sampling_of(family, sampling),
                    "order": order,
                    "steps": [(step.number, step.name) for step in chosen_steps],
                    "redraw": [weights, norms],
                    "seed": seed,
                }

                def compute(
                    family: list[Method] = family,
                    positions: tuple[int, ...] = positions,
                    twin: RandomTwin = twin,
                ) -> pd.DataFrame:
                    return compare_with_random(
                        context, family, positions, twin, chosen_steps, order, sampling
                    )

                code = (randomization, similarity, compare_with_random, *code_of(family))
                yield Chunk(settings, code, compute, positions)


def compare_with_random(
    context: Context,
    family: Sequence[Method],
    positions: Sequence[int],
    twin: RandomTwin,
    chosen_steps: Sequence[Step],
    order: str,
    sampling: Sampling,
) -> pd.DataFrame:
    """All steps for one family of methods and one batch of images; base maps computed once."""
    model, batch = context.model, context.batch(positions)
    names = [member.name for member in family]

    def maps(step: str) -> dict[str, torch.Tensor]:
        keys = batch.seeds(twin.seed, step)
        return attribute(
            model, batch.inputs, batch.targets, names, keys, sampling, context.batch_size
        )

    base = {
        (name, sign): Reference(values if sign == "signed" else values.abs())
        for name, values in maps("base").items()
        for sign in ("signed", "absolute")
    }
    total = sum(parameter.numel() for parameter in model.module.parameters())
    modules = dict(model.module.named_modules())
    rows = []
    for step in chosen_steps:
        random = sum(
            parameter.numel()
            for stage in step.stages
            for module in stage.modules
            for parameter in modules[module]._parameters.values()
            if parameter is not None
        )
        with twin.redrawn(step.stages):
            changed = maps(step.name)
        for name, values in changed.items():
            for sign in ("signed", "absolute"):
                other = values if sign == "signed" else values.abs()
                rows.append(
                    image_rows(
                        batch,
                        base[name, sign].compare(other),
                        method=name,
                        order=order,
                        step=step.number,
                        steps=len(model.stages),
                        stage=step.name,
                        random_parameters=random / total,
                        seed=twin.seed,
                        sign=sign,
                    )
                )
    return pd.concat(rows, ignore_index=True)
