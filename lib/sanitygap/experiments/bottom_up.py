"""Other orders of randomisation (Binder et al. 2022, end of Sec. 4.3)."""

import itertools
from collections.abc import Iterator, Sequence

import pandas as pd

from sanitygap.experiments.randomization_test import random_share, randomization_test
from sanitygap.experiments.redraws import SEEDS as OTHER_SEEDS
from sanitygap.preservation.feature_maps import energy, feature_map, last_spatial_module
from sanitygap.randomization import Order, RandomTwin, steps
from sanitygap.similarity import pearson
from sanitygap.table import Batch, table

#: the methods of one pass that the paper's Figs. 1 and 2 show, and the control
METHODS = (
    "gradient",
    "gradient-x-input",
    "guided-backprop",
    "lrp-epsilon-plus",
    "lrp-alpha2-beta1",
    "noise",
)

#: the same without the rule that takes as long as the other methods together
QUICK_METHODS = tuple(name for name in METHODS if name != "lrp-alpha2-beta1")

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
        full={"methods": METHODS, "order": _order, "seeds": SEEDS, "max_images": 100},
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
                order=order,
                step=step.number,
                steps=len(model.stages),
                stage=step.name,
                random_parameters=random_share(model, step.stages),
                seed=seed,
            )
