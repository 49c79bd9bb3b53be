"""Neighbours of the randomisation test on the same maps: MPRT, smooth MPRT, efficient MPRT."""

from collections.abc import Callable, Iterator, Sequence

import pandas as pd
import torch

from sanitygap import mprt
from sanitygap.attribution import attribute
from sanitygap.models.explainable import Stage
from sanitygap.randomization import RandomTwin
from sanitygap.similarity import Reference
from sanitygap.table import Batch, table

METHODS = ("gradient", "gradient-x-input", "guided-backprop", "edges", "noise")

#: what a smoke test looks at
SHORT = ("gradient", "edges", "noise")

#: two ways to draw the random weights
DRAWS = ("a seed for each layer", "one seed for all layers")


@table(
    "mprt-variants",
    smoke={"methods": SHORT, "n_steps": 1, "copies": 1, "max_images": 2},
    quick={"n_steps": 4, "copies": 2, "max_images": 3},
    full={"max_images": 100},
)
def mprt_variants(
    batch: Batch, methods: Sequence[str] = METHODS, n_steps: int | None = 10, copies: int = 10
) -> Iterator[pd.DataFrame]:
    """Scores of the neighbours and of this book for the same maps, layer by layer from the top.

    Args:
        batch: images.
        methods: attribution methods and controls.
        n_steps: so many numbers of random layers, evenly spread; all by default if None.
        copies: noisy copies of an image in smooth MPRT.
    """
    model = batch.model
    names = mprt.resettable(model.module)
    count = min(n_steps or len(names), len(names))
    spread = torch.linspace(1, len(names), count).round().long().unique().tolist()
    numbers = spread if count > 1 else [len(names)]
    twin, doubles = RandomTwin(model, batch.seed), mprt.twins_of_shape(model.module)

    def plain(state: str) -> dict[str, torch.Tensor]:
        keys = batch.seeds(batch.seed, state)
        return attribute(model, batch.inputs, batch.targets, methods, keys, None, batch.size)

    def smooth(state: str) -> dict[str, torch.Tensor]:
        total: dict[str, torch.Tensor] = {}
        for copy in range(copies):
            inputs = mprt.noisy(batch.inputs, batch.seeds(batch.seed, "smooth", copy))
            keys = batch.seeds(batch.seed, state, copy)
            found = attribute(model, inputs, batch.targets, methods, keys, None, batch.size)
            for name, values in found.items():
                total[name] = total.get(name, 0) + values / copies
        return total

    ways: list[tuple[str, Callable[[str], dict[str, torch.Tensor]]]] = [
        (DRAWS[0], plain), (DRAWS[1], plain), ("smooth", smooth),
    ]  # fmt: skip
    for draw, maps in ways:
        base = maps("base")
        references = {name: Reference(values) for name, values in base.items()}
        for number in (0, *numbers):
            if draw == DRAWS[0]:
                stages = [Stage(name, (name,)) for name in names[:number]]
                random = twin.redrawn(stages)
            else:
                random = mprt.reset_modules(model, names[:number], batch.seed + 1)
            with random:
                changed = maps("again" if number == 0 else f"{number}")
            for name, values in changed.items():
                first, second = mprt.normalised(base[name]), mprt.normalised(values)
                compared = references[name].compare(values)
                measured = {
                    "book": compared["ssim"],
                    "image_ssim": mprt.image_ssim(first, second),
                    "flat_ssim": mprt.flat_ssim(first, second),
                    "spearman_signed": compared["spearman"],
                    "spearman": mprt.rank_correlation(first, second),
                    "rise": mprt.complexity_rise(first, second),
                }
                yield batch.rows(
                    measured,
                    method=name,
                    draw=draw,
                    layers=number,
                    share=number / len(names),
                    doubles=doubles,
                )
