"""Both tests for a person's own methods, beside the usual ones and controls."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from torch.nn.functional import interpolate

from sanitygap.chapters.yours import COMPARED
from sanitygap.reductions import reduce
from sanitygap.specifications import (
    cut_occlusion,
    cut_randomization,
    occlusion_specifications,
    randomization_specifications,
)
from sanitygap.table import Batch, Context, Piece, cut_by, table

SETTINGS = {"methods": COMPARED}

table(
    "yours-occlusion",
    cut=cut_occlusion,
    smoke=SETTINGS | {"path_steps": 2, "every": 30, "patches": (15,), "level_images": 1},
    quick=SETTINGS
    | {"path_steps": 8, "every": 10, "patches": (15,), "level_images": 10, "max_images": 5},
    full=SETTINGS,
)(occlusion_specifications)

table(
    "yours-randomization",
    cut=cut_randomization,
    smoke=SETTINGS | {"path_steps": 2, "n_steps": 2, "level_images": 1},
    quick=SETTINGS | {"path_steps": 8, "n_steps": 4, "level_images": 10, "max_images": 5},
    full=SETTINGS,
)(randomization_specifications)


def cut_maps(context: Context, arguments: Mapping[str, Any]) -> Iterator[Piece]:
    """A part a batch, which holds for these precomputed maps alone."""
    for piece in cut_by(True, ())(context, arguments):
        yield replace(piece, also=context.precomputed_address)


@table(
    "yours-maps",
    cut=cut_maps,
    smoke={"max_images": 1},
    quick={"max_images": 3},
    full={"max_images": 6},
)
def maps(
    batch: Batch,
    methods: tuple[str, ...] = ("gradient", "lrp-epsilon-plus", "noise"),
    side: int = 64,
) -> pd.DataFrame:
    """Photographs and maps, small, so that pages need not run a network.

    Args:
        batch: images.
        methods: attribution methods and controls.
        side: of the pictures in pixels; each is the mean of those that it covers.
    """
    rgb = batch.model.preprocessing.to_rgb(batch.inputs)
    pictures = {name: rgb[:, place] for place, name in enumerate(("red", "green", "blue"))}
    pictures |= batch.maps(methods, batch.seed, "base")
    pictures |= {name: reduce(maps, "signed") for name, maps in batch.precomputed.items()}
    size = (side, side)
    frames = []
    for name, values in pictures.items():
        small = interpolate(values[:, None].float(), size, mode="area")[:, 0].cpu().numpy()
        for place, picture in enumerate(small):
            row, column = np.indices(size)
            frames.append(
                pd.DataFrame(
                    {
                        "image": batch.names[place], "method": name, "row": row.ravel(),
                        "column": column.ravel(), "value": picture.ravel().astype(np.float32),
                    }
                )
            )  # fmt: skip
    return pd.concat(frames, ignore_index=True)


#: how long both tests take on one image with the profile ``quick``, in gradient passes: measured on
#: squeezenet1_1 with one own method that costs a gradient, 6 images, one thread (228)
PASSES = 230


def seconds(context: Context) -> float:
    """About how long both tests will take, from the time of one gradient pass."""
    batch = context.batch(range(min(2, len(context.images))))
    started = time.perf_counter()
    batch.maps(["gradient"])
    each = (time.perf_counter() - started) / len(batch.names)
    return PASSES * len(context.images) * each
