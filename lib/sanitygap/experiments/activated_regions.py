"""Maps of networks with a random top beside the activity of the last kept feature map."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from pydantic import PositiveInt

from sanitygap.attribution import Sampling
from sanitygap.attribution.applicable import defined
from sanitygap.errors import UsageError
from sanitygap.experiments.outlier_images import whole_batches
from sanitygap.models.explainable import Explainable, Stage
from sanitygap.preservation.activated_regions import (
    above_activations,
    has_positions,
    kept_features,
    mass_ratio,
    spread,
)
from sanitygap.preservation.feature_maps import energy
from sanitygap.randomization import RandomTwin, Step, steps
from sanitygap.similarity import pearson, ranks
from sanitygap.table import Batch, table

METHODS = (
    "gradient", "gradient-x-input", "guided-backprop", "lrp-epsilon-plus", "lrp-alpha2-beta1",
    "lrp-gamma-box", "noise",
)  # fmt: skip


@table(
    "activated-regions",
    cut=whole_batches,
    smoke={"n_steps": 3, "redraws": 1},
    quick={"n_steps": 4, "redraws": 1, "max_images": 8},
    full={"max_images": 100},
    everything=True,
)
def activated_regions(
    batch: Batch,
    methods: Sequence[str] = METHODS,
    n_steps: int | None = None,
    others: int = 5,
    redraws: PositiveInt = 5,
    path_steps: int = 50,
    noisy_copies: int = 50,
    max_images: int | None = None,
) -> Iterator[pd.DataFrame]:
    """Where maps lie after top-down randomisation, against the activity of the kept features.

    Of the lowest stage only the part above its first activation is redrawn, if it has one, so that
    the kept features are not negative. Steps are left out where nothing is kept, and where the kept
    features have no positions.

    Args:
        batch: images.
        methods: attribution methods and controls.
        n_steps: that many steps of the top-down order, evenly spread; all by default.
        others: the null comparison uses the next so many images of the set, cyclically.
        redraws: independent draws of the weights.
        path_steps: points of integrated gradients, if it is asked for.
        noisy_copies: copies in SmoothGrad, likewise.
        max_images: use at most that many images.

    Raises:
        UsageError: fewer than two images, or no step with a kept feature map.
    """
    model, context, positions = batch.model, batch.context, batch.positions
    batches = context.positions(max_images)
    everything = [position for places in batches for position in places]
    if len(everything) < 2:
        raise UsageError("the comparison with other images needs at least two images; use more")
    chosen = cuts(model, context.batch(batches[0]).inputs, n_steps)
    if not chosen:
        raise UsageError("no step leaves a feature map with positions; use more steps")
    methods, sampling = defined(model, methods), Sampling(path_steps, noisy_copies)
    partners = _partners(positions, everything, others)
    around = [batch.inputs, *([context.batch(partners).inputs] if partners else [])]
    size = (batch.inputs.shape[2], batch.inputs.shape[3])
    count, total = len(positions), len(positions) + len(partners)
    twins = [RandomTwin(model, seed) for seed in range(batch.seed, batch.seed + redraws)]
    for cut in chosen:
        step = cut.step
        features = torch.cat([kept_features(model, part, cut.lowest) for part in around])
        activity = spread(energy(features), size)
        order = ranks(activity)
        for twin in twins:
            with twin.redrawn(step.stages):
                maps = batch.maps(methods, twin.seed, step.name, sampling=sampling)
            for name, values in maps.items():
                own = ranks(values.abs())
                shifted = [
                    pearson(own, order[(torch.arange(count) + offset) % total])
                    for offset in range(1, min(others, total - 1) + 1)
                ]
                measured = {
                    "mass_ratio": mass_ratio(values, activity[:count]),
                    "spearman": pearson(own, order[:count]),
                    "spearman_others": torch.stack(shifted).mean(0),
                }
                yield batch.rows(
                    measured, method=name, step=step.number, stage=step.name, layer=cut.layer,
                    non_negative=cut.non_negative, height=features.shape[2], seed=twin.seed,
                )  # fmt: skip


@dataclass(frozen=True)
class Cut:
    """Where a network is cut into kept features and a random rest.

    Attributes:
        step: of the top-down order, with the part of its lowest stage that is redrawn.
        non_negative: whether the kept features have no negative value.
    """

    step: Step
    non_negative: bool

    @property
    def lowest(self) -> Stage:
        """The redrawn part of the lowest random stage."""
        return self.step.stages[-1]

    @property
    def layer(self) -> str:
        """The first random layer; what flows into it is the last kept feature map."""
        return self.lowest.modules[0]


def cuts(model: Explainable, inputs: torch.Tensor, n_steps: int | None = None) -> list[Cut]:
    """The cuts of a network that leave a feature map with positions.

    Args:
        model: the network.
        inputs: ``(N, 3, H, W)``, by which signs are told.
        n_steps: that many steps of the top-down order, evenly spread; all by default.
    """
    found = []
    for step in steps(model.stages, "top-down", n_steps):
        lowest = step.stages[-1]
        part = above_activations(model, inputs, lowest)
        whole = step.number == len(model.stages)
        if part is None and (whole or not has_positions(model, inputs[:1], lowest)):
            continue
        if whole and part is not None and part.modules == lowest.modules:
            continue  # the image itself is no feature map, even if its values are positive
        stages = (*step.stages[:-1], part or lowest)
        found.append(Cut(Step(step.number, step.name, stages), part is not None))
    return found


def _partners(positions: Sequence[int], everything: Sequence[int], others: int) -> tuple[int, ...]:
    """The images of the set that follow a batch, cyclically, and are not in it."""
    following = [
        everything[(positions[-1] + offset) % len(everything)] for offset in range(1, others + 1)
    ]
    return tuple(dict.fromkeys(p for p in following if p not in positions))
