"""Other orders of randomisation (Binder et al. 2022, end of Sec. 4.3)."""

from collections.abc import Iterator, Sequence

import pandas as pd

from sanitygap import randomization, similarity
from sanitygap.experiments.experiment import Chunk, Context, experiment, image_rows
from sanitygap.experiments.randomization_test import COLUMNS, randomization_test
from sanitygap.experiments.redraws import SEEDS as OTHER_SEEDS
from sanitygap.models.explainable import Explainable, Stage
from sanitygap.preservation import feature_maps
from sanitygap.preservation.feature_maps import energy, feature_map, last_spatial_module
from sanitygap.randomization import Order, RandomTwin, steps
from sanitygap.similarity import pearson
from sanitygap.table import table

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
        columns=COLUMNS,
    )(randomization_test)


@experiment(
    "feature-map",
    knobs={
        "smoke": {"n_steps": 2, "max_images": 2},
        "quick": {"n_steps": 8, "max_images": 4},
        "full": {"seeds": SEEDS, "max_images": 100},
    },
    columns={
        name: COLUMNS[name]
        for name in (
            "image", "position", "order", "step", "steps", "stage", "random_parameters", "seed",
        )
    }
    | {
        "correlation": "Pearson correlation over positions of the last feature map's energy "
        "before and after; NaN if it became constant"
    },
)  # fmt: skip
def feature_map_test(
    context: Context,
    n_steps: int | None = None,
    seeds: Sequence[int] | None = None,
    max_images: int | None = None,
) -> Iterator[Chunk]:
    """How much of the place of activations in the last feature map randomisation leaves.

    Args:
        context: model, images and seed.
        n_steps: that many steps an order, evenly spread; all by default.
        seeds: seeds of the redrawn weights; the run's seed by default.
        max_images: use at most that many images.
    """
    orders: tuple[Order, ...] = ("top-down", "bottom-up")
    for seed in seeds if seeds is not None else [context.seed]:
        twin = RandomTwin(context.model, seed)
        for positions in context.positions(max_images):
            settings = {"orders": orders, "n_steps": n_steps, "seed": seed}

            def compute(
                positions: tuple[int, ...] = positions, twin: RandomTwin = twin
            ) -> pd.DataFrame:
                return compare_feature_maps(context, positions, twin, orders, n_steps)

            code = (feature_maps, randomization, similarity, compare_feature_maps, random_share)
            yield Chunk(settings, code, compute, positions)


def compare_feature_maps(
    context: Context,
    positions: Sequence[int],
    twin: RandomTwin,
    orders: Sequence[Order],
    n_steps: int | None,
) -> pd.DataFrame:
    """All steps of some orders for one batch of images."""
    model, batch = context.model, context.batch(positions)
    place = last_spatial_module(model)
    trained = energy(feature_map(model, place, batch.inputs))
    rows = []
    for order in orders:
        for step in steps(model.stages, order, n_steps):
            with twin.redrawn(step.stages):
                changed = energy(feature_map(model, place, batch.inputs))
            rows.append(
                image_rows(
                    batch,
                    {"correlation": pearson(trained, changed)},
                    order=order,
                    step=step.number,
                    steps=len(model.stages),
                    stage=step.name,
                    random_parameters=random_share(model, step.stages),
                    seed=twin.seed,
                )
            )
    return pd.concat(rows, ignore_index=True)


def random_share(model: Explainable, stages: Sequence[Stage]) -> float:
    """Share of a model's parameters that some stages own, 0 to 1."""
    modules = dict(model.module.named_modules())
    names = {name for stage in stages for name in stage.modules}
    own = [p for name in names for p in modules[name]._parameters.values() if p is not None]
    return sum(p.numel() for p in own) / sum(p.numel() for p in model.module.parameters())
