"""Logits before and after redrawing a single layer (Binder et al. 2022, Fig. 5)."""

import itertools
from collections.abc import Iterator

import pandas as pd
import torch
from pydantic import PositiveInt

from sanitygap.preservation.partition import below, centred, resumed, stage_outputs
from sanitygap.preservation.skips import blocks_of, layers_of, one_layer, path_of
from sanitygap.randomization import RandomTwin
from sanitygap.similarity import pearson, spearman
from sanitygap.table import Batch, table


@table(
    "layer-logits",
    smoke={"redraws": 2, "every": 12, "max_images": 2},
    quick={"redraws": 5, "max_images": 2},
)
def layer_logits(
    batch: Batch, redraws: PositiveInt = 10, every: PositiveInt = 1
) -> Iterator[pd.DataFrame]:
    """Fig. 5: correlation of the logits before and after redrawing a single layer.

    Args:
        batch: images.
        redraws: independent draws of each layer.
        every: take every so many layers only, from the output.
    """
    model, inputs, seeds = batch.model, batch.inputs, range(batch.seed, batch.seed + redraws)
    names, blocks, outputs = layers_of(model), blocks_of(model), stage_outputs(model, inputs)
    with torch.no_grad():
        trained = model.module(inputs)
    for seed, layer in itertools.product(seeds, names[::-every][::-1]):
        path, block = path_of(layer, blocks)
        twin = RandomTwin(model, seed).redrawn(one_layer(layer))
        with torch.no_grad(), resumed(model, outputs, below(model, layer)), twin:
            logits = model.module(inputs)
        values = {
            "pearson": pearson(trained, logits),
            "spearman": spearman(trained, logits),
            "change": centred(logits - trained).norm(dim=1) / centred(trained).norm(dim=1),
            "kept_class": (logits.argmax(1) == trained.argmax(1)).float(),
        }
        yield batch.rows(
            values, layer=layer, depth=names.index(layer), path=path, block=block, seed=seed
        )
