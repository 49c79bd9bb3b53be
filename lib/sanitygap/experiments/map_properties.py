"""Complexity, robustness and localisation of maps: one statistic a family of tests."""

from collections.abc import Iterator, Sequence

import pandas as pd
import torch

from sanitygap import map_properties as room
from sanitygap.attribution import Method, Sampling, attribute
from sanitygap.attribution.applicable import families
from sanitygap.errors import UsageError
from sanitygap.experiments.experiment import Chunk, Context, experiment, image_rows
from sanitygap.experiments.randomization_test import code_of, sampling_of
from sanitygap.map_properties import focus, gini, mosaics, relative_change
from sanitygap.seeds import normal

METHODS = (
    "gradient",
    "gradient-x-input",
    "integrated-gradients",
    "smoothgrad",
    "guided-backprop",
    "lrp-epsilon-plus",
    "lrp-alpha2-beta1",
    "lrp-gamma-box",
    "noise",
    "edges",
)

COLUMNS = {
    "image": "file name of the image",
    "position": "place of the image in the set",
    "method": "attribution method or control",
    "seed": "seed of all sampling and of the disturbance",
    "complexity": "1 - Gini index of the absolute map: low for a map of few pixels",
    "robustness": "relative change of the map under weak noise on the image: low is robust",
    "localization": "share of positive attribution outside the explained image of a mosaic",
}


@experiment(
    "map-properties",
    knobs={
        "smoke": {
            "methods": ("gradient", "guided-backprop", "noise", "edges"),
            "path_steps": 2,
            "noisy_copies": 2,
        },
        "quick": {"path_steps": 2, "noisy_copies": 2, "max_images": 6},
        "full": {"max_images": 100},
    },
    columns=COLUMNS,
)
def map_properties(
    context: Context,
    methods: Sequence[str] = METHODS,
    noise_level: float = 0.01,
    path_steps: int = 50,
    noisy_copies: int = 50,
    max_images: int | None = None,
) -> Iterator[Chunk]:
    """How sparse and how stable maps are, and how well they find an image in a mosaic.

    In all three columns low is good.

    Args:
        context: model, images and seed.
        methods: attribution methods and controls.
        noise_level: standard deviation of the disturbance over the image's value range.
        path_steps: points of integrated gradients.
        noisy_copies: copies in SmoothGrad.
        max_images: use at most that many images.

    Yields:
        One chunk a family of methods and a batch of images.

    Raises:
        UsageError: fewer than two images.
    """
    batches = context.positions(max_images)
    everything = [position for positions in batches for position in positions]
    if len(everything) < 2:
        raise UsageError("a mosaic needs at least two images; use more")
    sampling = Sampling(path_steps, noisy_copies)
    for family in families(methods, context.model):
        for positions in batches:
            around = [_others(position, everything) for position in positions]
            settings = {
                "methods": [member.name for member in family],
                "sampling": sampling_of(family, sampling),
                "noise_level": noise_level,
                "positions": positions,
                "seed": context.seed,
            }

            def compute(
                family: list[Method] = family,
                positions: tuple[int, ...] = positions,
                around: list[tuple[int, ...]] = around,
            ) -> pd.DataFrame:
                return measure(context, family, positions, around, noise_level, sampling)

            shown = tuple(dict.fromkeys((*positions, *(p for group in around for p in group))))
            yield Chunk(settings, (room, measure, *code_of(family)), compute, shown)


def _others(position: int, everything: Sequence[int]) -> tuple[int, ...]:
    """Three images that follow one in the set, cyclically and without itself."""
    rest = [other for other in everything if other != position]
    start = sum(other < position for other in rest)
    return tuple(rest[(start + offset) % len(rest)] for offset in range(3))


def measure(
    context: Context,
    family: Sequence[Method],
    positions: Sequence[int],
    around: Sequence[Sequence[int]],
    noise_level: float,
    sampling: Sampling,
) -> pd.DataFrame:
    """One row an image and method of a family."""
    model, batch = context.model, context.batch(positions)
    needed = sorted({position for group in around for position in group})
    neighbours = dict(zip(needed, context.batch(needed).inputs, strict=True))
    others = [torch.stack([neighbours[group[k]] for group in around]) for k in range(3)]
    # an image's quadrant depends on its place in the set, not in the batch
    shift = positions[0] % 4
    extent = (batch.inputs.amax((1, 2, 3)) - batch.inputs.amin((1, 2, 3))).view(-1, 1, 1, 1)
    weak = normal(
        tuple(batch.inputs.shape[1:]), batch.seeds(context.seed, "disturbance"), batch.inputs
    )
    disturbed = batch.inputs + noise_level * extent * weak

    def maps(state: str, inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        keys = batch.seeds(context.seed, state)
        return attribute(
            model, inputs, batch.targets, [member.name for member in family], keys, sampling,
            context.batch_size,
        )  # fmt: skip

    base, near = maps("base", batch.inputs), maps("disturbed", disturbed)
    found = maps("mosaic", mosaics(batch.inputs, others, shift))
    rows = []
    for name, values in base.items():
        measured = {
            "complexity": 1 - gini(values),
            "robustness": relative_change(values, near[name]),
            "localization": 1 - focus(found[name], shift),
        }
        rows.append(image_rows(batch, measured, method=name, seed=context.seed))
    return pd.concat(rows, ignore_index=True)[list(COLUMNS)]
