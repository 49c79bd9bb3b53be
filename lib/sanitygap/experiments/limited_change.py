"""How far randomisation can change a faithful map (Binder et al. 2022, end of Sec. 4.1)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
import torch
from pydantic import PositiveInt

from sanitygap.attribution import Sampling, attribute
from sanitygap.attribution.applicable import families
from sanitygap.experiments.irrelevance import redraw_seeds
from sanitygap.experiments.randomization_test import ALL_METHODS
from sanitygap.models.explainable import Explainable
from sanitygap.randomization import RandomTwin
from sanitygap.similarity import joint_range, normalized_mse, second_moment, ssim
from sanitygap.small_networks.planted import PixelNetwork, planted_model
from sanitygap.table import Batch, Context, Piece, table


def _cut(context: Context, arguments: Mapping[str, Any]) -> Iterator[Piece]:
    """As tables are cut by methods, but none is left out: the network is not the run's."""
    for family in families(arguments["methods"]):
        names = tuple(member.name for member in family)
        for positions in context.positions(arguments["max_images"]):
            shared = {name: value for name, value in arguments.items() if name != "max_images"}
            yield Piece({**shared, "methods": names}, positions)


@table(
    "limited-change",
    cut=_cut,
    smoke={"redraws": 2, "path_steps": 2, "noisy_copies": 2},
    quick={"redraws": 5, "path_steps": 8, "noisy_copies": 8, "max_images": 6},
    modelled=False,
)
def limited_change(
    batch: Batch,
    methods: Sequence[str] = ALL_METHODS,
    redraws: PositiveInt = 10,
    path_steps: int = 50,
    noisy_copies: int = 50,
) -> Iterator[pd.DataFrame]:
    """A network with known contributions: how much change is attainable, and who reaches it.

    The network is :class:`sanitygap.small_networks.planted.PixelNetwork`, not the run's model.

    Args:
        batch: images.
        methods: attribution methods and controls.
        redraws: networks, each with one redraw of its g.
        path_steps: points of integrated gradients.
        noisy_copies: copies in SmoothGrad.
    """
    sampling = Sampling(path_steps, noisy_copies)
    pictures = [batch.context.images.open(position) for position in batch.positions]
    for seed in redraw_seeds(batch.context, redraws):
        model = planted_model(seed)
        module = model.module
        assert isinstance(module, PixelNetwork)
        inputs = model.prepare(pictures)
        batch = replace(batch, inputs=inputs, targets=model.predict(inputs))

        def state(
            name: str, model: Explainable = model, module: PixelNetwork = module,
            batch: Batch = batch, seed: int = seed,
        ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:  # fmt: skip
            truth = module.contributions(batch.inputs, batch.targets)
            keys = batch.seeds(seed, name)
            maps = attribute(model, batch.inputs, batch.targets, methods, keys, sampling)
            scores = model.scores(batch.inputs).gather(1, batch.targets[:, None])[..., None]
            # the truth is what pixels add to a score; LRP tells which share of it each one has
            return truth, {
                method: values * scores if method.startswith("lrp-") else values
                for method, values in maps.items()
            }

        before, maps = state("before")
        with RandomTwin(model, seed).redrawn(model.stages[:-1]):
            after, changed = state("after")
        attainable = _alike(before, after)
        for name in methods:
            error = normalized_mse(maps[name], before) + normalized_mse(changed[name], after)
            values = {
                "ssim": _alike(maps[name], changed[name]),
                "attainable": attainable,
                "error": error / 2,
            }
            yield batch.rows(values, seed=seed, method=name)


def _alike(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """SSIM of second-moment-normalised maps, L = joint range."""
    a, b = second_moment(first), second_moment(second)
    return ssim(a, b, joint_range(a, b))
