"""Logits before and after redrawing a single layer (Binder et al. 2022, Fig. 5)."""

from collections.abc import Iterator, Sequence

import pandas as pd
import torch
from pydantic import PositiveInt

from sanitygap import randomization, similarity
from sanitygap.experiments.experiment import Chunk, Context, experiment, image_rows
from sanitygap.experiments.irrelevance import redraw_seeds
from sanitygap.preservation import partition, skips
from sanitygap.preservation.partition import below, centred, resumed, stage_outputs
from sanitygap.preservation.skips import Residual, blocks_of, layers_of, one_layer, path_of
from sanitygap.randomization import RandomTwin
from sanitygap.similarity import pearson, spearman

LOGIT_COLUMNS = {
    "image": "file name of the image",
    "position": "place of the image in the set",
    "layer": "redrawn layer; the normalisation behind it is kept as trained",
    "depth": "place of the layer in the forward pass, from 0",
    "path": "where the layer lies: in a residual branch, on a skip (projection), or neither",
    "block": "residual block of the layer; empty if it is in none",
    "seed": "seed of the redrawn weights",
    "pearson": "Pearson correlation over classes of the logits before and after",
    "spearman": "Spearman's rank correlation over classes",
    "change": "norm of the change of the logits over their norm, both without their mean",
    "kept_class": "1 if the predicted class stays the same, else 0",
}


@experiment(
    "layer-logits",
    knobs={
        "smoke": {"redraws": 2, "every": 12, "max_images": 2},
        "quick": {"redraws": 5, "max_images": 2},
        "full": {},
    },
    columns=LOGIT_COLUMNS,
)
def layer_logits(
    context: Context,
    redraws: PositiveInt = 10,
    every: PositiveInt = 1,
    max_images: int | None = None,
) -> Iterator[Chunk]:
    """Fig. 5: correlation of the logits before and after redrawing a single layer.

    Args:
        context: model, images and seed.
        redraws: independent draws of each layer.
        every: take every so many layers only, from the output.
        max_images: use at most that many images.

    Yields:
        One chunk a redraw and a batch of images.
    """
    names = layers_of(context.model)
    chosen = names[::-every][::-1]
    blocks = blocks_of(context.model)
    for seed in redraw_seeds(context, redraws):
        for positions in context.positions(max_images):

            def compute(seed: int = seed, positions: tuple[int, ...] = positions) -> pd.DataFrame:
                return logits_after(context, positions, seed, chosen, blocks)

            settings = {"layers": chosen, "seed": seed}
            code = (
                randomization, partition, skips, similarity, logits_after,
            )  # fmt: skip
            yield Chunk(settings, code, compute, positions)


@torch.no_grad()
def logits_after(
    context: Context,
    positions: Sequence[int],
    seed: int,
    chosen: Sequence[str],
    blocks: Sequence[Residual],
) -> pd.DataFrame:
    """Logits of one batch of images with one layer redrawn, compared with the trained ones."""
    model, batch = context.model, context.batch(positions)
    names, twin = layers_of(model), RandomTwin(model, seed)
    outputs = stage_outputs(model, batch.inputs)
    trained = model.module(batch.inputs)
    frames = []
    for layer in chosen:
        path, block = path_of(layer, blocks)
        with resumed(model, outputs, below(model, layer)), twin.redrawn(one_layer(layer)):
            logits = model.module(batch.inputs)
        values = {
            "pearson": pearson(trained, logits),
            "spearman": spearman(trained, logits),
            "change": centred(logits - trained).norm(dim=1) / centred(trained).norm(dim=1),
            "kept_class": (logits.argmax(1) == trained.argmax(1)).float(),
        }
        rows = image_rows(
            batch, values, layer=layer, depth=names.index(layer), path=path, block=block, seed=seed
        )
        frames.append(rows)
    return pd.concat(frames, ignore_index=True)[list(LOGIT_COLUMNS)]
