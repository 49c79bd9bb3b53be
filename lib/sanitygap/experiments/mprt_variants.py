"""Neighbours of the randomisation test on the same maps: MPRT, smooth MPRT, efficient MPRT."""

from collections.abc import Callable, Iterator, Sequence

import pandas as pd
import torch

from sanitygap import mprt, randomization, similarity
from sanitygap.attribution import attribute, controls, gradient
from sanitygap.attribution import method as method_room
from sanitygap.experiments.experiment import Chunk, Context, experiment, image_rows
from sanitygap.models.explainable import Stage
from sanitygap.randomization import RandomTwin
from sanitygap.similarity import Reference

METHODS = ("gradient", "gradient-x-input", "guided-backprop", "edges", "noise")

#: what a smoke test looks at
SHORT = ("gradient", "edges", "noise")

#: two ways to draw the random weights
DRAWS = ("a seed for each layer", "one seed for all layers")

COLUMNS = {
    "image": "file name of the image",
    "position": "place of the image in the set",
    "method": "attribution method or control",
    "draw": "he-normal weights with a seed for each layer, as in this book, or the layers' own "
    "initialisers with one seed for all, as in the peer; smooth: the latter, smoothed maps",
    "layers": "how many layers are random, from the top; 0 is the trained network asked again",
    "share": "the same over the number of layers",
    "book": "SSIM of this book: signed maps over their root mean square, windows of 7 x 7",
    "image_ssim": "SSIM of absolute maps over their maximum, windows of 7 x 7",
    "flat_ssim": "the same for maps written as one row of pixels",
    "spearman_signed": "Spearman's correlation of signed maps",
    "spearman": "Spearman's correlation of absolute maps, the peer's default",
    "rise": "relative rise of the histogram's entropy (efficient MPRT)",
    "doubles": "share of the weight tensors whose shape an earlier one has too",
}


@experiment(
    "mprt-variants",
    knobs={
        "smoke": {"methods": SHORT, "n_steps": 1, "copies": 1, "max_images": 2},
        "quick": {"n_steps": 4, "copies": 2, "max_images": 3},
        "full": {},
    },
    columns=COLUMNS,
)
def mprt_variants(
    context: Context,
    methods: Sequence[str] = METHODS,
    n_steps: int | None = 10,
    copies: int = 10,
    max_images: int | None = 100,
) -> Iterator[Chunk]:
    """Scores of the neighbours and of this book for the same maps, layer by layer from the top.

    Args:
        context: model, images and seed.
        methods: attribution methods and controls.
        n_steps: so many numbers of random layers, evenly spread; all by default if None.
        copies: noisy copies of an image in smooth MPRT.
        max_images: use at most that many images.
    """
    names = mprt.resettable(context.model.module)
    count = min(n_steps or len(names), len(names))
    spread = torch.linspace(1, len(names), count).round().long().unique().tolist()
    numbers = spread if count > 1 else [len(names)]
    for positions in context.positions(max_images):
        settings = {
            "methods": list(methods),
            "numbers": numbers,
            "copies": copies,
            "seed": context.seed,
        }

        def compute(positions: tuple[int, ...] = positions) -> pd.DataFrame:
            return all_variants(context, positions, methods, numbers, copies)

        code = (
            mprt, randomization, similarity, method_room, gradient, controls, all_variants,
        )  # fmt: skip
        yield Chunk(settings, code, compute, positions)


def all_variants(
    context: Context,
    positions: Sequence[int],
    methods: Sequence[str],
    numbers: Sequence[int],
    copies: int,
) -> pd.DataFrame:
    """One row an image, method, draw and number of random layers."""
    model, batch = context.model, context.batch(positions)
    names = mprt.resettable(model.module)
    twin, rows = RandomTwin(model, context.seed), []
    doubles = mprt.twins_of_shape(model.module)

    def plain(state: str) -> dict[str, torch.Tensor]:
        keys = batch.seeds(context.seed, state)
        return attribute(
            model, batch.inputs, batch.targets, methods, keys, None, context.batch_size
        )

    def smooth(state: str) -> dict[str, torch.Tensor]:
        total: dict[str, torch.Tensor] = {}
        for copy in range(copies):
            seeds = batch.seeds(context.seed, "smooth", copy)
            inputs = mprt.noisy(batch.inputs, seeds)
            keys = batch.seeds(context.seed, state, copy)
            found = attribute(model, inputs, batch.targets, methods, keys, None, context.batch_size)
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
                random = mprt.reset_modules(model, names[:number], context.seed + 1)
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
                rows.append(
                    image_rows(
                        batch,
                        measured,
                        method=name,
                        draw=draw,
                        layers=number,
                        share=number / len(names),
                        doubles=doubles,
                    )  # fmt: skip
                )
    return pd.concat(rows, ignore_index=True)[list(COLUMNS)]
