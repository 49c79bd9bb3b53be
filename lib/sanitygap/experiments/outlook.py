"""The two repairs of the sanity check that Binder et al. (2022) propose in Sec. 5."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Annotated

import pandas as pd
import torch
from pydantic import Field, PositiveInt

from sanitygap.attribution import Sampling, attribute
from sanitygap.experiments.bottom_up import METHODS as ONE_PASS
from sanitygap.experiments.bottom_up import QUICK_METHODS, SMOKE_METHODS
from sanitygap.experiments.randomization_test import compare_with_random
from sanitygap.models.explainable import Explainable, Stage
from sanitygap.preservation.partition import cut_model, feature_sum
from sanitygap.preservation.restriction import local_ssim, mean_where, responsive
from sanitygap.preservation.skips import Residual, explicit_sums, only_through, residual_blocks
from sanitygap.randomization import RandomTwin, Step, steps
from sanitygap.table import Batch, Context, table

#: the methods of the paper's Figs. 1 and 2, and the control
METHODS = (*ONE_PASS, "lrp-gamma-box", "integrated-gradients")

#: shares of the mass of E(sum phi) that the dropped pixels hold
THRESHOLDS = (0.0, 0.1, 0.25, 0.5)

#: the method that attributes phi to the input, the same for all methods under test: which pixels
#: a network responds to is a property of the network. The paper uses LRP for that in Fig. 4
RESPONSE = "lrp-epsilon-plus"

Share = Annotated[float, Field(ge=0, lt=1)]


@table(
    "outlook-restrict",
    by=["methods"],
    smoke={
        "methods": SMOKE_METHODS, "n_steps": 2, "thresholds": (0.0, 0.5), "redraws": 1,
        "max_images": 2,
    },
    quick={"methods": QUICK_METHODS, "n_steps": 3, "redraws": 1, "max_images": 4},
    full={"max_images": 100},
)  # fmt: skip
def restricted_test(
    batch: Batch,
    methods: Sequence[str] = METHODS,
    thresholds: Sequence[Share] = THRESHOLDS,
    n_steps: int | None = None,
    redraws: PositiveInt = 5,
) -> Iterator[pd.DataFrame]:
    """Top-down randomisation, measured only where the kept part of the network responds.

    Args:
        batch: images.
        methods: attribution methods and controls.
        thresholds: see the column.
        n_steps: that many steps, evenly spread; all by default.
        redraws: independent draws of the weights.
    """
    model, inputs = batch.model, batch.inputs

    def maps(seed: int, step: str) -> dict[str, torch.Tensor]:
        keys = batch.seeds(seed, step)
        return attribute(model, inputs, batch.targets, methods, keys, Sampling(), batch.size)

    twins = [RandomTwin(model, seed) for seed in range(batch.seed, batch.seed + redraws)]
    base = [maps(twin.seed, "base") for twin in twins]
    for step in steps(model.stages, "top-down", n_steps):
        relevance = response(model, inputs, len(step.stages), batch.size)
        masks = [responsive(relevance, threshold) for threshold in thresholds]
        if len(step.stages) == len(model.stages):  # nothing is kept, so nothing is inherited
            masks = [torch.ones_like(mask) for mask in masks]
        for twin, before in zip(twins, base, strict=True):
            with twin.redrawn(step.stages):
                changed = maps(twin.seed, step.name)
            for name, values in changed.items():
                local = local_ssim(before[name], values)
                means = mean_where(local, masks)
                for threshold, (restricted, kept) in zip(thresholds, means, strict=True):
                    yield batch.rows(
                        {"kept": kept, "ssim": local.mean((1, 2)), "restricted": restricted},
                        method=name,
                        step=step.number,
                        steps=len(model.stages),
                        stage=step.name,
                        seed=twin.seed,
                        threshold=threshold,
                    )


def response(
    model: Explainable, inputs: torch.Tensor, redrawn: int, batch_size: int
) -> torch.Tensor:
    """E(sum phi): what each pixel adds to the activations below the redrawn stages.

    Args:
        model: the network with its trained weights.
        inputs: float ``(N, 3, H, W)``.
        redrawn: how many stages, from the top, are redrawn. The lowest stage counts as kept if all
            are, and the caller has to know that nothing is.
        batch_size: inputs in one pass.

    Returns:
        ``(N, H, W)``.
    """
    kept = len(model.stages) - redrawn
    features = feature_sum(model, cut_model(model, kept / len(model.stages)))
    targets = torch.zeros(len(inputs), dtype=torch.long, device=inputs.device)
    keys = range(len(inputs))  # the method draws nothing
    made = attribute(features, inputs, targets, [RESPONSE], keys, batch_size=batch_size)
    return made[RESPONSE]


@table(
    "outlook-baseline",
    by=["methods"],
    smoke={"methods": SMOKE_METHODS, "blocks": 1, "redraws": 1, "max_images": 2},
    quick={"methods": QUICK_METHODS, "blocks": 2, "redraws": 1, "max_images": 4},
    full={"max_images": 100},
)
def residual_test(
    batch: Batch,
    methods: Sequence[str] = METHODS,
    blocks: int | None = None,
    redraws: PositiveInt = 5,
) -> Iterator[pd.DataFrame]:
    """One branch beside a skip redrawn at a time; maps with and without what the skip carries.

    Args:
        batch: images.
        methods: attribution methods and controls.
        blocks: that many residual blocks, evenly spread; all by default.
        redraws: independent draws of the weights.

    Yields:
        Nothing for a network that has no residual block.
    """
    with explicit_sums(batch.model) as model:
        chosen = branch_steps(residual_blocks(model), blocks)
        inside = replace(
            batch, context=Context(lambda: model, lambda: batch.context.images, batch.seed)
        )

        def compare(twin: RandomTwin, kept: list[Step], component: str) -> Iterator[pd.DataFrame]:
            for rows in compare_with_random(inside, methods, twin, kept, "independent", Sampling()):
                yield rows.assign(component=component)

        for seed in range(batch.seed, batch.seed + redraws):
            twin = RandomTwin(model, seed)
            yield from compare(twin, [step for step, _ in chosen], "total")
            for step, residual in chosen:
                with only_through(model, residual, "branch"):
                    yield from compare(twin, [step], "residual")


def branch_steps(
    residuals: Sequence[Residual], count: int | None = None
) -> list[tuple[Step, Residual]]:
    """Steps that redraw the weighted branch of one residual block each, with that block.

    Args:
        residuals: in the order of the forward pass.
        count: keep that many, evenly spread.
    """
    stages = [Stage(residual.block, residual.branch) for residual in residuals]
    kept = steps(stages, "independent", count)
    return [(step, residuals[step.number - 1]) for step in kept]
