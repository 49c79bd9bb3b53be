"""Activations of real networks (Binder et al. 2022, App. I and J) and the end of App. G."""

from collections.abc import Iterator, Sequence

import pandas as pd
import torch

from sanitygap import activations
from sanitygap.attribution import Sampling, attribute, gradient, lrp
from sanitygap.experiments.experiment import Chunk, Context, experiment, image_rows
from sanitygap.randomization import RandomTwin, steps
from sanitygap.seeds import stable_seed

CONSERVATIVE = ("gradient-x-input", "lrp-epsilon-plus", "lrp-alpha2-beta1", "lrp-gamma-box")


def _named(rows: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Positions in a batch replaced by file names."""
    return rows.assign(image=[names[position] for position in rows["image"]])


@experiment(
    "activation-overtaking",
    knobs={
        "smoke": {"neurons": 5},
        "quick": {"neurons": 20, "max_images": 6},
        "full": {"max_images": 100},
    },
    columns={},
)
def activation_overtaking(
    context: Context, neurons: int = 100, max_images: int | None = None
) -> Iterator[Chunk]:
    """Bound on overtaking and its simulated frequency, for every layer and pair of quantiles.

    Args:
        context: model, images and seed.
        neurons: random neurons drawn for each image, layer and pair.
        max_images: use at most that many images.
    """
    for positions in context.image_chunks(max_images):

        def compute(positions: tuple[int, ...] = positions) -> pd.DataFrame:
            batch, module = context.batch(positions), context.model.module
            seed = stable_seed(context.seed, *batch.keys)
            layers = activations.activation_layers(module)
            rows = activations.overtaking(module, batch.inputs, layers, neurons=neurons, seed=seed)
            return _named(rows, batch.names)

        yield Chunk({"neurons": neurons, "seed": context.seed}, (activations,), compute, positions)


@experiment(
    "activation-sparsity",
    knobs={"smoke": {}, "quick": {}, "full": {}},
    columns={},
)
def activation_sparsity(context: Context, max_images: int | None = None) -> Iterator[Chunk]:
    """Fraction of activations that are not positive, layer by layer.

    Args:
        context: model and images.
        max_images: use at most that many images.
    """
    for positions in context.image_chunks(max_images):

        def compute(positions: tuple[int, ...] = positions) -> pd.DataFrame:
            batch, module = context.batch(positions), context.model.module
            layers = activations.activation_layers(module)
            return _named(activations.sparsity(module, batch.inputs, layers), batch.names)

        yield Chunk({}, (activations,), compute, positions)


@experiment(
    "positive-evidence",
    knobs={"smoke": {}, "quick": {"max_images": 6}, "full": {"max_images": 100}},
    columns={
        "image": "file name of the image",
        "position": "place of the image in the set",
        "method": "attribution method",
        "state": "trained, upper half of the stages redrawn, or all redrawn",
        "logit": "logit of the target in that state",
        "relevance": "sum of the map",
    },
)
def positive_evidence(context: Context, max_images: int | None = None) -> Iterator[Chunk]:
    """Sums of maps beside the logit they explain, before and after randomisation.

    Args:
        context: model, images and seed.
        max_images: use at most that many images.
    """
    for positions in context.image_chunks(max_images):

        def compute(positions: tuple[int, ...] = positions) -> pd.DataFrame:
            return sums_of_maps(context, positions)

        yield Chunk({"seed": context.seed}, (gradient, lrp, sums_of_maps), compute, positions)


def sums_of_maps(context: Context, positions: Sequence[int]) -> pd.DataFrame:
    """Sum of each map and the explained logit, in three states of the model."""
    batch, model = context.batch(positions), context.model
    half, whole = (steps(model.stages, "top-down", 3)[index] for index in (1, 2))
    twin = RandomTwin(model, context.seed)
    states = {"trained": (), "upper half redrawn": half.stages, "all redrawn": whole.stages}
    rows = []
    for state, stages in states.items():
        with twin.redrawn(stages):
            keys = batch.seeds(context.seed, state)
            maps = attribute(
                model, batch.inputs, batch.targets, CONSERVATIVE, keys, Sampling(),
                context.batch_size,
            )  # fmt: skip
            with torch.no_grad():
                logit = model.module(batch.inputs).gather(1, batch.targets[:, None])[:, 0]
        rows += [
            image_rows(
                batch,
                {"logit": logit, "relevance": values.double().sum((1, 2))},
                method=name,
                state=state,
            )
            for name, values in maps.items()
        ]
    return pd.concat(rows, ignore_index=True)
