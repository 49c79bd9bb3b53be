"""The occlusion of one photograph, to be looked at."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from sanitygap.attribution import Sampling, attribute
from sanitygap.attribution.applicable import defined
from sanitygap.faithfulness import blurred, occlusion_steps, replacement_curves, scaled
from sanitygap.images import ImageSet
from sanitygap.models.explainable import Explainable
from sanitygap.seeds import stable_seed


@dataclass(frozen=True)
class ExampleOcclusion:
    """One photograph as the regions that each map ranks highest are blurred.

    Attributes:
        picture: what the model sees, RGB ``(H, W, 3)`` in ``[0, 1]``.
        soft: its blurred copy, of the same shape.
        name: of the photograph.
        class_name: the explained class.
        patch: side of a region in pixels.
        counts: how many regions are blurred in each step, ascending from 0.
        maps: method -> signed map ``(H, W)``.
        boxes: method -> left, top, width and height of its regions in pixels, the highest first.
        scores: columns ``method``, ``regions``, ``softmax``, ``logit``.
    """

    picture: np.ndarray
    soft: np.ndarray
    name: str
    class_name: str
    patch: int
    counts: tuple[int, ...]
    maps: dict[str, Tensor]
    boxes: dict[str, list[tuple[int, int, int, int]]]
    scores: pd.DataFrame


def example_occlusion(
    model: Explainable,
    images: ImageSet,
    position: int,
    methods: Sequence[str],
    counts: Sequence[int],
    seed: int = 0,
    sampling: Sampling | None = None,
    patch: int = 15,
    batch_size: int = 10,
) -> ExampleOcclusion:
    """Occlude one photograph as the occlusion test does (Binder et al. 2022, Fig. 1).

    Args:
        model: the network.
        images: where the photograph is.
        position: which it is.
        methods: attribution methods and controls; those that the network has no use for are
            left out.
        counts: how many regions to blur, ascending; those beyond the number of regions that the
            photograph has are left out. 0 is always among the steps.
        seed: of all sampling.
        sampling: sizes of the sampling methods.
        patch: side of a region, in pixels of a 224-pixel input.
        batch_size: occluded images in one pass.
    """
    methods = defined(model, methods)
    inputs = model.prepare([images.open(position)])
    target = model.predict(inputs)
    keys = [stable_seed(images.keys[position], seed, "base")]
    maps = attribute(model, inputs, target, methods, keys, sampling)
    height, width = inputs.shape[2:]
    side = scaled(patch, width)
    most = height // side * (width // side)
    wanted = (0, *(count for count in counts if 0 < count <= most))
    order = occlusion_steps(torch.cat(list(maps.values())), side, wanted[-1])
    soft = blurred(inputs)

    # an image for each method; nothing is hidden in the first state, whatever the method
    many = (len(order), -1, -1, -1)
    curves = replacement_curves(
        model, inputs.expand(many), target.expand(len(order)), soft.expand(many), order, wanted,
        batch_size,
    )  # fmt: skip
    scores = pd.DataFrame(
        {
            "method": np.repeat(list(maps), len(wanted)),
            "regions": np.tile(wanted, len(order)),
            "softmax": curves.softmax.flatten().double().cpu().numpy(),
            "logit": curves.logit.flatten().double().cpu().numpy(),
        }
    )
    rgb = model.preprocessing.to_rgb(torch.cat([inputs, soft])).permute(0, 2, 3, 1).cpu().numpy()
    return ExampleOcclusion(
        picture=rgb[0],
        soft=rgb[1],
        name=images.names[position],
        class_name=model.class_name(int(target[0])),
        patch=side,
        counts=wanted,
        maps={name: values[0].cpu() for name, values in maps.items()},
        boxes={
            name: [_box(steps == number) for number in range(1, wanted[-1] + 1)]
            for name, steps in zip(maps, order, strict=True)
        },
        scores=scores,
    )


def _box(inside: Tensor) -> tuple[int, int, int, int]:
    """Left, top, width and height of the rectangle of the true pixels of ``(H, W)``."""
    rows, columns = inside.any(1).nonzero(), inside.any(0).nonzero()
    left, top = int(columns[0]), int(rows[0])
    return left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1
