"""The two repairs of the sanity check that Binder et al. (2022) propose in Sec. 5."""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Annotated

import pandas as pd
import torch
from pydantic import Field, PositiveInt

from sanitygap import randomization, similarity
from sanitygap.attribution import Method, Sampling, attribute, select
from sanitygap.attribution.applicable import defined, families
from sanitygap.experiments.bottom_up import METHODS as ONE_PASS
from sanitygap.experiments.bottom_up import QUICK_METHODS, SMOKE_METHODS
from sanitygap.experiments.experiment import Chunk, Code, Context, experiment, image_rows
from sanitygap.experiments.irrelevance import redraw_seeds
from sanitygap.experiments.randomization_test import (
    COLUMNS,
    code_of,
    compare_with_random,
    sampling_of,
)
from sanitygap.models.explainable import Explainable, Stage
from sanitygap.preservation import partition, restriction, skips
from sanitygap.preservation.partition import cut_model, feature_sum
from sanitygap.preservation.restriction import local_ssim, mean_where, responsive
from sanitygap.preservation.skips import Residual, explicit_sums, only_through, residual_blocks
from sanitygap.randomization import RandomTwin, Step, steps

#: the methods of the paper's Figs. 1 and 2, and the control
METHODS = (*ONE_PASS, "lrp-gamma-box", "integrated-gradients")

#: shares of the mass of E(sum phi) that the dropped pixels hold
THRESHOLDS = (0.0, 0.1, 0.25, 0.5)

#: the method that attributes phi to the input, the same for all methods under test: which pixels
#: a network responds to is a property of the network. The paper uses LRP for that in Fig. 4
RESPONSE = "lrp-epsilon-plus"

Share = Annotated[float, Field(ge=0, lt=1)]


@experiment(
    "outlook-restrict",
    knobs={
        "smoke": {
            "methods": SMOKE_METHODS, "n_steps": 2, "thresholds": (0.0, 0.5), "redraws": 1,
            "max_images": 2,
        },
        "quick": {"methods": QUICK_METHODS, "n_steps": 3, "redraws": 1, "max_images": 4},
        "full": {"max_images": 100},
    },
    columns={
        name: COLUMNS[name]
        for name in ("image", "position", "method", "step", "steps", "stage", "seed")
    }
    | {
        "threshold": "share of the mass of the attribution of phi that the dropped pixels hold",
        "kept": "share of the windows whose centre is kept, 0 to 1; 1 where no stage is trained",
        "ssim": f"{COLUMNS['ssim']}; mean over all windows",
        "restricted": "mean of the same over the kept windows only; NaN if there is none",
    },
)  # fmt: skip
def restricted_test(
    context: Context,
    methods: Sequence[str] = METHODS,
    thresholds: Sequence[Share] = THRESHOLDS,
    n_steps: int | None = None,
    redraws: PositiveInt = 5,
    max_images: int | None = None,
) -> Iterator[Chunk]:
    """Top-down randomisation, measured only where the kept part of the network responds.

    Args:
        context: model, images and seed.
        methods: attribution methods and controls.
        thresholds: see the column.
        n_steps: that many steps, evenly spread; all by default.
        redraws: independent draws of the weights.
        max_images: use at most that many images.

    Yields:
        One chunk a draw and a batch of images: all methods share its masks.
    """
    methods = defined(context.model, methods)
    chosen = select(methods)
    chosen_steps = steps(context.model.stages, "top-down", n_steps)
    rooms = (partition, randomization, restriction, similarity)
    code: set[Code] = {*rooms, compare_where_responsive, response}
    for family in families([*methods, RESPONSE]):
        code |= {*code_of(family)}
    for seed in redraw_seeds(context, redraws):
        twin = RandomTwin(context.model, seed)
        for positions in context.positions(max_images):
            settings = {
                "methods": list(methods),
                "sampling": sampling_of(chosen, Sampling()),
                "response": RESPONSE,
                "thresholds": list(thresholds),
                "steps": [(step.number, step.name) for step in chosen_steps],
                "seed": seed,
            }

            def compute(
                positions: tuple[int, ...] = positions, twin: RandomTwin = twin
            ) -> pd.DataFrame:
                return compare_where_responsive(
                    context, methods, positions, twin, chosen_steps, thresholds
                )

            yield Chunk(settings, tuple(code), compute, positions)


def compare_where_responsive(
    context: Context,
    methods: Sequence[str],
    positions: Sequence[int],
    twin: RandomTwin,
    chosen_steps: Sequence[Step],
    thresholds: Sequence[float],
) -> pd.DataFrame:
    """All steps and methods for one batch of images, with and without the restriction."""
    model, batch = context.model, context.batch(positions)

    def maps(step: str) -> dict[str, torch.Tensor]:
        keys = batch.seeds(twin.seed, step)
        return attribute(
            model, batch.inputs, batch.targets, methods, keys, Sampling(), context.batch_size
        )

    base = maps("base")
    rows = []
    for step in chosen_steps:
        relevance = response(model, batch.inputs, len(step.stages), context.batch_size)
        masks = [responsive(relevance, threshold) for threshold in thresholds]
        if len(step.stages) == len(model.stages):  # nothing is kept, so nothing is inherited
            masks = [torch.ones_like(mask) for mask in masks]
        with twin.redrawn(step.stages):
            changed = maps(step.name)
        for name, values in changed.items():
            local = local_ssim(base[name], values)
            means = mean_where(local, masks)
            for threshold, (restricted, kept) in zip(thresholds, means, strict=True):
                rows.append(
                    image_rows(
                        batch,
                        {"kept": kept, "ssim": local.mean((1, 2)), "restricted": restricted},
                        method=name,
                        step=step.number,
                        steps=len(model.stages),
                        stage=step.name,
                        seed=twin.seed,
                        threshold=threshold,
                    )
                )
    return pd.concat(rows, ignore_index=True)


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


BASELINE_COLUMNS = {
    name: meaning for name, meaning in COLUMNS.items() if name not in ("order", "steps")
} | {
    "step": "number of the block whose branch is redrawn, from the input",
    "stage": "name of the block whose branch is redrawn",
    "component": "total: the whole map; residual: what does not go through the block's skip",
}


@experiment(
    "outlook-baseline",
    knobs={
        "smoke": {"methods": SMOKE_METHODS, "blocks": 1, "redraws": 1, "max_images": 2},
        "quick": {"methods": QUICK_METHODS, "blocks": 2, "redraws": 1, "max_images": 4},
        "full": {"max_images": 100},
    },
    columns=BASELINE_COLUMNS,
)
def residual_test(
    context: Context,
    methods: Sequence[str] = METHODS,
    blocks: int | None = None,
    redraws: PositiveInt = 5,
    max_images: int | None = None,
) -> Iterator[Chunk]:
    """One branch beside a skip redrawn at a time; maps with and without what the skip carries.

    Args:
        context: model, images and seed.
        methods: attribution methods and controls.
        blocks: that many residual blocks, evenly spread; all by default.
        redraws: independent draws of the weights.
        max_images: use at most that many images.

    Yields:
        One chunk a draw, a family of methods and a batch of images; one without rows for a network
        that has no residual block.
    """
    with explicit_sums(context.model) as model:
        chosen = branch_steps(residual_blocks(model), blocks)
    blocks_redrawn = [step.name for step, _ in chosen]
    if not chosen:
        yield Chunk({"blocks": blocks_redrawn, "seed": context.seed}, (skips,), empty_table)
        return
    for seed, family in product(redraw_seeds(context, redraws), families(methods, context.model)):
        for positions in context.positions(max_images):

            def compute(
                seed: int = seed,
                family: list[Method] = family,
                positions: tuple[int, ...] = positions,
            ) -> pd.DataFrame:
                return compare_residuals(context, family, positions, chosen, seed)

            settings = {
                "methods": [member.name for member in family],
                "sampling": sampling_of(family, Sampling()),
                "blocks": blocks_redrawn,
                "seed": seed,
            }
            rooms = (randomization, similarity, skips)
            code = (*rooms, compare_with_random, compare_residuals, branch_steps, *code_of(family))
            yield Chunk(settings, code, compute, positions)


def empty_table() -> pd.DataFrame:
    """The table of a network without residual blocks."""
    return pd.DataFrame(columns=list(BASELINE_COLUMNS))


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


def compare_residuals(
    context: Context,
    family: Sequence[Method],
    positions: Sequence[int],
    chosen: Sequence[tuple[Step, Residual]],
    seed: int,
) -> pd.DataFrame:
    """Total and residual maps of one family of methods for one batch of images and all blocks."""
    with explicit_sums(context.model) as model:
        inside = Context(lambda: model, lambda: context.images, context.seed)
        twin = RandomTwin(model, seed)

        def compare(kept: list[Step], component: str) -> pd.DataFrame:
            names = [member.name for member in family]
            compared = compare_with_random(
                inside.batch(positions), names, twin, kept, "independent", Sampling()
            )
            rows = pd.concat(compared, ignore_index=True)
            return rows.drop(columns=["order", "steps"]).assign(component=component)

        tables = [compare([step for step, _ in chosen], "total")]
        for step, residual in chosen:
            with only_through(model, residual, "branch"):
                tables.append(compare([step], "residual"))
    return pd.concat(tables, ignore_index=True)
