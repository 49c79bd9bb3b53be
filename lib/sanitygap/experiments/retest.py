"""Is there an effect of randomisation at all? Similarity after it, beside that without it.

Binder et al. (2022, §5) keep the similarity score as a binary test only. A test needs a null
distribution: the similarity of two maps of the same, unchanged network.
"""

from collections.abc import Iterator, Sequence

import pandas as pd
import torch
from torch.nn.functional import avg_pool2d

from sanitygap.attribution import Sampling, controls
from sanitygap.attribution.method import Request
from sanitygap.randomization import RandomTwin, steps
from sanitygap.seeds import normal
from sanitygap.similarity import Reference, joint_range, second_moment, ssim
from sanitygap.table import Batch, table

METHODS = (
    "gradient", "gradient-x-input", "integrated-gradients", "smoothgrad", "vargrad",
    "guided-backprop", "lrp-epsilon-plus", "lrp-alpha2-beta1", "lrp-gamma-box", "noise", "edges",
)  # fmt: skip


@table(
    "test-retest",
    by=["seeds", "methods"],
    smoke={
        "methods": ("gradient", "smoothgrad", "guided-backprop", "noise", "edges"),
        "n_steps": 1,
        "noisy_copies": 2,
    },
    quick={
        "methods": tuple(m for m in METHODS if m not in ("lrp-alpha2-beta1", "lrp-gamma-box")),
        "n_steps": 1,
        "path_steps": 2,
        "noisy_copies": 3,
    },
)
def retest(
    batch: Batch,
    methods: Sequence[str] = METHODS,
    n_steps: int | None = None,
    path_steps: int = 50,
    noisy_copies: int = 50,
    seeds: Sequence[int] | None = None,
) -> Iterator[pd.DataFrame]:
    """Similarity of each map to a second map of the same network, and of randomised ones.

    The second map of the trained network differs in nothing but the draws of sampling methods.

    Args:
        batch: images.
        methods: attribution methods and controls.
        n_steps: that many steps of the top-down order, evenly spread; all by default.
        path_steps: points of integrated gradients.
        noisy_copies: copies in SmoothGrad and VarGrad.
        seeds: seeds of the redrawn weights; the run's seed by default.
    """
    model, sampling = batch.model, Sampling(path_steps, noisy_copies)
    states = [(0, "retest", ())] + [
        (step.number, step.name, step.stages) for step in steps(model.stages, "top-down", n_steps)
    ]

    for seed in seeds or [batch.seed]:
        twin = RandomTwin(model, seed)
        base = batch.maps(methods, seed, "base", sampling=sampling)
        first = {name: Reference(values) for name, values in base.items()}
        for number, state, stages in states:
            with twin.redrawn(stages):
                second = batch.maps(methods, seed, state, sampling=sampling)
            for name, values in second.items():
                yield batch.rows(
                    first[name].compare(values), method=name, step=number, stage=state, seed=seed
                )


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
