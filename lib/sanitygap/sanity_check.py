"""The randomisation-based sanity check (Adebayo et al. 2018; Binder et al. 2022, Fig. 2)."""

from collections.abc import Iterator, Sequence

import pandas as pd
import torch

from sanitygap.attribution import Sampling
from sanitygap.models.explainable import Explainable, Stage
from sanitygap.randomization import Norms, Order, RandomTwin, Redraw, Step, Weights, steps
from sanitygap.similarity import Reference
from sanitygap.table import Batch, table

#: what a laptop compares in minutes; LRP stands there with one variant of each rule
CORE_METHODS = (
    "gradient", "gradient-x-input", "integrated-gradients", "smoothgrad", "vargrad",
    "guided-backprop", "lrp-epsilon-plus", "lrp-alpha2-beta1", "lrp-gamma-box", "lrp-gamma",
    "noise", "edges",
)  # fmt: skip

ALL_METHODS = (
    *CORE_METHODS[:-2], "lrp-zero", "lrp-epsilon", "lrp-z-plus", "lrp-adaptive-beta",
    "lrp-adaptive-beta-printed", *CORE_METHODS[-2:],
)  # fmt: skip


@table(
    "randomization",
    by=["seeds", "methods"],
    smoke={"methods": CORE_METHODS, "n_steps": 2, "path_steps": 2, "noisy_copies": 2},
    quick={"methods": CORE_METHODS, "n_steps": 5, "path_steps": 5, "noisy_copies": 5},
)
def randomization_test(
    batch: Batch,
    methods: Sequence[str] = ALL_METHODS,
    order: Order = "top-down",
    n_steps: int | None = None,
    path_steps: int = 50,
    noisy_copies: int = 50,
    seeds: Sequence[int] | None = None,
    weights: Weights = "he-normal",
    norms: Norms = "reset",
) -> Iterator[pd.DataFrame]:
    """Similarity of each map to the same image's map after redrawing weights, step by step.

    Args:
        batch: images.
        methods: attribution methods and controls.
        order: ``top-down``, ``bottom-up`` or ``independent``.
        n_steps: that many steps, evenly spread; all by default.
        path_steps: points of integrated gradients.
        noisy_copies: copies in SmoothGrad.
        seeds: seeds of the redrawn weights; the run's seed by default.
        weights, norms: see :class:`sanitygap.randomization.Redraw`.
    """
    redraw, sampling = Redraw(weights, norms), Sampling(path_steps, noisy_copies)
    chosen_steps = steps(batch.model.stages, order, n_steps)
    for seed in seeds or [batch.seed]:
        twin = RandomTwin(batch.model, seed, redraw)
        yield from compare_with_random(batch, methods, twin, chosen_steps, order, sampling)


def compare_with_random(
    batch: Batch,
    methods: Sequence[str],
    twin: RandomTwin,
    chosen_steps: Sequence[Step],
    order: Order,
    sampling: Sampling,
) -> Iterator[pd.DataFrame]:
    """The rows of all steps; maps of the trained network are made once."""
    model = batch.model

    def maps(state: str) -> dict[tuple[str, str], torch.Tensor]:
        signed = batch.maps(methods, twin.seed, state, sampling=sampling)
        return {
            (name, sign): values if sign == "signed" else values.abs()
            for name, values in signed.items()
            for sign in ("signed", "absolute")
        }

    base = {key: Reference(values) for key, values in maps("base").items()}
    for step in chosen_steps:
        with twin.redrawn(step.stages):
            changed = maps(step.name)
        for (name, sign), values in changed.items():
            yield batch.rows(
                base[name, sign].compare(values), method=name, order=order, step=step.number,
                steps=len(model.stages), stage=step.name, seed=twin.seed, sign=sign,
                random_parameters=random_share(model, step.stages),
            )  # fmt: skip


def random_share(model: Explainable, stages: Sequence[Stage]) -> float:
    """Share of a model's parameters that some stages own, 0 to 1."""
    modules = dict(model.module.named_modules())
    names = {name for stage in stages for name in stage.modules}
    own = [parameter for name in names for parameter in modules[name].parameters(False)]
    return sum(p.numel() for p in own) / sum(p.numel() for p in model.module.parameters())


#: methods of one pass and the control
SHORT_METHODS = ("gradient", "gradient-x-input", "guided-backprop", "lrp-epsilon-plus", "noise")

#: the methods of the paper's figures and the control; the other sampling methods cost as much as
#: all of these together
REDRAWN_METHODS = (*SHORT_METHODS, "lrp-alpha2-beta1", "lrp-gamma-box", "integrated-gradients")

#: with the run's own seed 0, the five draws that the ledger asks for
SEEDS = (1, 2, 3, 4)

table(
    "randomization-seeds",
    by=["seeds", "methods"],
    # the same steps as the table randomization has in that profile
    smoke={"methods": SHORT_METHODS, "seeds": (1,), "n_steps": 2, "max_images": 2},
    quick={"methods": SHORT_METHODS, "seeds": (1, 2), "n_steps": 3, "max_images": 3},
    full={"methods": REDRAWN_METHODS, "seeds": SEEDS, "max_images": 100},
)(randomization_test)


TESTED_METHODS = (
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
        "methods": tuple(
            m for m in TESTED_METHODS if m not in ("lrp-alpha2-beta1", "lrp-gamma-box")
        ),
        "n_steps": 1,
        "path_steps": 2,
        "noisy_copies": 3,
    },
)
def retest(
    batch: Batch,
    methods: Sequence[str] = TESTED_METHODS,
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
