"""What skips alone do to a sanity check: two small networks (Binder et al. 2022, Sec. 4.2)."""

from collections.abc import Iterator, Sequence

import pandas as pd
import torch
from pydantic import PositiveInt

from sanitygap.attribution import Sampling, attribute
from sanitygap.images import load_images
from sanitygap.models.explainable import Explainable
from sanitygap.preservation.skips import Residual, one_layer, only_through, residual_blocks
from sanitygap.randomization import RandomTwin
from sanitygap.seeds import stable_seed
from sanitygap.similarity import Reference
from sanitygap.small_networks.residual_networks import (
    LAYERS,
    TRAINING_IMAGES,
    Digits,
    trained_network,
)
from sanitygap.table import Batch, Context, table


@table(
    "skip-networks",
    smoke={"trainings": 1, "redraws": 1, "test_images": 5, "path_steps": 2, "training_images": 200},
    quick={"trainings": 1, "redraws": 1, "test_images": 20, "path_steps": 8},
)
def skip_networks(
    seed: int,
    methods: Sequence[str] = ("gradient-x-input", "integrated-gradients"),
    trainings: PositiveInt = 5,
    redraws: PositiveInt = 5,
    test_images: PositiveInt = 100,
    path_steps: int = 16,
    training_images: PositiveInt = TRAINING_IMAGES,
) -> Iterator[pd.DataFrame]:
    """Sanity check of single layers in two small networks, one with skips and one without.

    Networks and digits come from :mod:`sanitygap.small_networks.residual_networks`, not the run.

    Args:
        seed: of the first training and the first redraw.
        methods: attribution methods.
        trainings: how often both networks are trained.
        redraws: independent draws of each layer.
        test_images: how many digits are explained.
        path_steps: points of integrated gradients.
        training_images: digits that the networks are trained on.
    """
    data = Digits.of(load_images("digits"), training_images)
    seeds, sampling = range(seed, seed + redraws), Sampling(path_steps)
    for training in range(seed, seed + trainings):
        for skips, network in ((True, "with skips"), (False, "without skips")):
            model = trained_network(skips, data.train, data.train_labels, training)
            accuracy = (model.predict(data.test) == data.test_labels).float().mean()
            for rows in check_layers(model, data, methods, seeds, test_images, sampling):
                yield rows.assign(training=training, network=network, accuracy=float(accuracy))


def check_layers(
    model: Explainable,
    data: Digits,
    methods: Sequence[str],
    seeds: Sequence[int],
    test_images: int,
    sampling: Sampling,
) -> Iterator[pd.DataFrame]:
    """Similarities after redrawing each layer of one network; without E{B} where there is one."""
    names = data.test_names[:test_images]
    inputs = data.test[: len(names)]
    keys = tuple(stable_seed(name) for name in names)
    context = Context(lambda: model, lambda: load_images("digits"), 0)
    batch = Batch(tuple(range(len(names))), inputs, model.predict(inputs), names, keys, context)
    blocks = {layer: residual for residual in residual_blocks(model) for layer in residual.branch}

    def maps(residual: Residual | None) -> dict[str, torch.Tensor]:
        if residual is None:
            return attribute(model, inputs, batch.targets, methods, keys, sampling, len(names))
        with only_through(model, residual, "branch"):
            return maps(None)

    for layer in LAYERS:
        parts = {"total": None} | ({"branch": blocks[layer]} if layer in blocks else {})
        for part, residual in parts.items():
            before = {name: Reference(values) for name, values in maps(residual).items()}
            for seed in seeds:
                with RandomTwin(model, seed).redrawn(one_layer(layer)):
                    after = maps(residual)
                for name, values in after.items():
                    scores = before[name].compare(values)
                    shown = {"ssim": scores["ssim"], "pearson": scores["pearson"]}
                    yield batch.rows(shown, layer=layer, method=name, seed=seed, part=part)
