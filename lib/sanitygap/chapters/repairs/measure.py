"""Other orders, the two repairs of Binder et al. (2022, Sec. 5), and false rejections."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Annotated

import pandas as pd
import torch
from pydantic import Field, PositiveInt
from torch import Tensor
from torch.nn.functional import avg_pool2d

from sanitygap.attribution import Sampling, attribute, controls
from sanitygap.attribution.method import Request
from sanitygap.models.explainable import Explainable, Stage
from sanitygap.partition import cut_model, energy, feature_map, feature_sum, last_spatial_module
from sanitygap.randomization import Order, RandomTwin, Step, steps
from sanitygap.residual_blocks import explicit_sums, only_through, residual_blocks
from sanitygap.sanity_check import SEEDS as OTHER_SEEDS
from sanitygap.sanity_check import compare_with_random, random_share, randomization_test
from sanitygap.seeds import normal
from sanitygap.similarity import WINDOW, joint_range, local_ssim, pearson, second_moment, ssim
from sanitygap.table import Batch, Context, table

#: the methods of one pass that the paper's Figs. 1 and 2 show, and the control
ONE_PASS = (
    "gradient", "gradient-x-input", "guided-backprop", "lrp-epsilon-plus", "lrp-alpha2-beta1",
    "noise",
)  # fmt: skip

#: the same without the rule that takes as long as the other methods together
QUICK_METHODS = tuple(name for name in ONE_PASS if name != "lrp-alpha2-beta1")

#: what the criteria cannot do without, and one more to be ranked
SMOKE_METHODS = ("gradient", "guided-backprop", "lrp-epsilon-plus")

#: the run's own seed, where that is 0, and those of the table randomization-seeds
SEEDS = (0, *OTHER_SEEDS)

for _order in ("bottom-up", "independent"):
    table(
        f"randomization-{_order}",
        by=["seeds", "methods"],
        smoke={"methods": SMOKE_METHODS, "order": _order, "n_steps": 1, "max_images": 2},
        quick={"methods": QUICK_METHODS, "order": _order, "n_steps": 4, "max_images": 4},
        full={"methods": ONE_PASS, "order": _order, "seeds": SEEDS, "max_images": 100},
    )(randomization_test)


@table(
    "feature-map",
    by=["seeds"],
    smoke={"n_steps": 2, "max_images": 2},
    quick={"n_steps": 8, "max_images": 4},
    full={"seeds": SEEDS, "max_images": 100},
)  # fmt: skip
def feature_map_test(
    batch: Batch, n_steps: int | None = None, seeds: Sequence[int] | None = None
) -> Iterator[pd.DataFrame]:
    """How much of the place of activations in the last feature map randomisation leaves.

    Args:
        batch: images.
        n_steps: that many steps an order, evenly spread; all by default.
        seeds: seeds of the redrawn weights; the run's seed by default.
    """
    model = batch.model
    place = last_spatial_module(model)
    trained = energy(feature_map(model, place, batch.inputs))
    orders: tuple[Order, ...] = ("top-down", "bottom-up")
    for seed, order in itertools.product(seeds or [batch.seed], orders):
        twin = RandomTwin(model, seed)
        for step in steps(model.stages, order, n_steps):
            with twin.redrawn(step.stages):
                changed = energy(feature_map(model, place, batch.inputs))
            yield batch.rows(
                {"correlation": pearson(trained, changed)},
                order=order, step=step.number, steps=len(model.stages), stage=step.name, seed=seed,
                random_parameters=random_share(model, step.stages),
            )  # fmt: skip


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
    quick={"methods": QUICK_METHODS, "n_steps": 3, "redraws": 1, "max_images": 3},
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
    twins = [RandomTwin(model, seed) for seed in range(batch.seed, batch.seed + redraws)]
    base = [batch.maps(methods, twin.seed, "base") for twin in twins]
    for step in steps(model.stages, "top-down", n_steps):
        relevance = response(model, inputs, len(step.stages), batch.size)
        masks = [responsive(relevance, threshold) for threshold in thresholds]
        if len(step.stages) == len(model.stages):  # nothing is kept, so nothing is inherited
            masks = [torch.ones_like(mask) for mask in masks]
        for twin, before in zip(twins, base, strict=True):
            with twin.redrawn(step.stages):
                changed = batch.maps(methods, twin.seed, step.name)
            for name, values in changed.items():
                local = window_scores(before[name], values)
                means = mean_where(local, masks)
                for threshold, (restricted, kept) in zip(thresholds, means, strict=True):
                    yield batch.rows(
                        {"kept": kept, "ssim": local.mean((1, 2)), "restricted": restricted},
                        method=name, step=step.number, steps=len(model.stages), stage=step.name,
                        seed=twin.seed, threshold=threshold,
                    )  # fmt: skip


def response(model: Explainable, inputs: Tensor, redrawn: int, batch_size: int) -> Tensor:
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


def responsive(relevance: Tensor, threshold: float) -> Tensor:
    """The pixels that are left when the least relevant ones are dropped.

    Args:
        relevance: attribution of the kept features, ``(N, H, W)``, any sign.
        threshold: share of the sum of absolute values that the dropped pixels may hold, 0 to
            below 1; 0 drops exactly the zeros.

    Returns:
        bool ``(N, H, W)``; False everywhere for an all-zero map.
    """
    mass = relevance.abs().flatten(1).double()
    ascending, order = mass.sort(dim=1)
    dropped = ascending.cumsum(1) <= threshold * ascending.sum(1, keepdim=True)
    keep = torch.zeros_like(mass, dtype=torch.bool).scatter_(1, order, ~dropped)
    return (keep & (mass > 0)).view_as(relevance)


def window_scores(first: Tensor, second: Tensor) -> Tensor:
    """SSIM of every window of two maps, each divided by the root of its mean square.

    Windows, constants and range are those of the randomisation test: its score is the mean of
    these values.

    Args:
        first, second: ``(N, H, W)``.

    Returns:
        float64 ``(N, H - 6, W - 6)``, one value a window of 7 x 7 pixels, at its centre; NaN for
        a map that is zero everywhere.
    """
    a, b = second_moment(first).cpu(), second_moment(second).cpu()
    return dict(local_ssim(a.double(), b.double(), {"ssim": joint_range(a, b)}))["ssim"]


def mean_where(local: Tensor, masks: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Mean of window scores over the windows whose centre a mask keeps.

    Args:
        local: of :func:`window_scores`, ``(N, h, w)``.
        masks: bool ``(N, H, W)`` each.

    Returns:
        For each mask the means ``(N,)``, NaN where no window is kept, and the shares of windows
        that are kept ``(N,)``.
    """
    margin = WINDOW // 2
    found = []
    for mask in masks:
        kept = mask[:, margin:-margin, margin:-margin].to(local)
        total = kept.sum((1, 2))
        found.append(((local * kept).sum((1, 2)) / total, total / kept[0].numel()))
    return found


@table(
    "outlook-baseline",
    by=["methods"],
    smoke={"methods": SMOKE_METHODS, "blocks": 1, "redraws": 1, "max_images": 2},
    quick={"methods": QUICK_METHODS, "blocks": 2, "redraws": 1, "max_images": 3},
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
        residuals = residual_blocks(model)
        stages = [Stage(residual.block, residual.branch) for residual in residuals]
        chosen = steps(stages, "independent", blocks)
        own = Context(lambda: model, lambda: batch.context.images, batch.seed)
        inside = replace(batch, context=own)

        def compare(twin: RandomTwin, kept: list[Step], component: str) -> Iterator[pd.DataFrame]:
            for rows in compare_with_random(inside, methods, twin, kept, "independent", Sampling()):
                yield rows.assign(component=component)

        for seed in range(batch.seed, batch.seed + redraws):
            twin = RandomTwin(model, seed)
            yield from compare(twin, chosen, "total")
            for step in chosen:
                with only_through(model, residuals[step.number - 1], "branch"):
                    yield from compare(twin, [step], "residual")


@table(
    "false-rejections",
    # at most 13 images keep the tests exact
    smoke={"simulations": 20, "max_images": 10},
    quick={"max_images": 10},
    full={"max_images": 10},
)
def false_rejections(
    batch: Batch, simulations: int = 200, noise_level: float = 0.15, shrink: int = 4
) -> Iterator[pd.DataFrame]:
    """Simulated tests of explainers that know nothing of the model, for the rate of false alarms.

    Every map is drawn anew, so that test and retest have the same distribution.

    Args:
        batch: images; of the model only the preprocessing is used.
        simulations: how many tests.
        noise_level: standard deviation of the noise on an image over its value range.
        shrink: images are averaged over squares of so many pixels first, to save time.
    """
    inputs = avg_pool2d(batch.inputs, shrink)
    deviation = noise_level * (inputs.amax((1, 2, 3)) - inputs.amin((1, 2, 3)))

    def edges(keys: list[int]) -> torch.Tensor:
        noisy = inputs + deviation.view(-1, 1, 1, 1) * normal(tuple(inputs.shape[1:]), keys, inputs)
        request = Request(batch.model, noisy, batch.targets, tuple(keys))
        return controls.edge_pass(request)[:, 0]

    def noise(keys: list[int]) -> torch.Tensor:
        return normal(tuple(inputs.shape[2:]), keys, inputs)

    for explainer, draw in (("noisy edges", edges), ("noise", noise)):
        for simulation in range(simulations):
            first, randomized, retest = (
                second_moment(draw(batch.seeds(batch.seed, explainer, simulation, state)))
                for state in ("base", "randomized", "retest")
            )
            measured = {
                name: ssim(first, other, joint_range(first, other))
                for name, other in (("randomized", randomized), ("retest", retest))
            }
            yield batch.rows(measured, explainer=explainer, simulation=simulation)
