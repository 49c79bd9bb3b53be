"""The randomisation test of the same methods on several tasks (Binder et al. 2022, §1.1)."""

import itertools
from collections.abc import Iterator, Sequence

import pandas as pd

from sanitygap.attribution import Sampling
from sanitygap.errors import unknown_name
from sanitygap.experiments.randomization_test import compare_with_random
from sanitygap.randomization import RandomTwin, steps
from sanitygap.small_networks.tasks import TASKS, accuracy, examples, trained_network
from sanitygap.table import BATCH, Context, table

METHODS = (
    "gradient", "gradient-x-input", "integrated-gradients", "smoothgrad", "vargrad",
    "guided-backprop", "lrp-epsilon-plus", "lrp-alpha2-beta1", "lrp-gamma-box",
)  # fmt: skip


@table(
    "task-dependence",
    by=["trained_on"],
    smoke={
        "networks": 1,
        "epochs": 1,
        "examples_to_train": 200,
        "examples_to_test": 10,
        "path_steps": 2,
        "noisy_copies": 2,
    },
    quick={
        "networks": 2,
        "epochs": 4,
        "examples_to_train": 1000,
        "examples_to_test": 40,
        "path_steps": 5,
        "noisy_copies": 5,
    },
)
def task_dependence(
    seed: int,
    trained_on: Sequence[str] = tuple(TASKS),
    methods: Sequence[str] = METHODS,
    networks: int = 5,
    epochs: int = 12,
    examples_to_train: int = 2000,
    examples_to_test: int = 100,
    path_steps: int = 20,
    noisy_copies: int = 20,
) -> Iterator[pd.DataFrame]:
    """Similarity after randomisation of small networks trained on several tasks.

    It needs neither the run's model nor its images.

    Args:
        seed: of the first network and of the examples.
        trained_on: names from :data:`sanitygap.small_networks.tasks.TASKS`.
        methods: attribution methods.
        networks: how many are trained on each task.
        epochs: passes through the training examples.
        examples_to_train, examples_to_test: how many.
        path_steps: points of integrated gradients.
        noisy_copies: copies in SmoothGrad and VarGrad.

    Raises:
        UsageError: an unknown task.
    """
    for task in trained_on:
        if task not in TASKS:
            raise unknown_name("task", task, list(TASKS))
    sampling, size = Sampling(path_steps, noisy_copies), 5 * BATCH
    for task, number in itertools.product(trained_on, range(networks)):
        model = trained_network(task, seed + number, epochs, examples_to_train)
        # the same test images for every network of a task
        shown = examples(task, examples_to_test, seed, train=False)
        inner = Context(lambda: model, lambda: shown.as_set(task), seed)  # noqa: B023
        twin, order = RandomTwin(model, seed + number), steps(model.stages, "top-down")
        frames = [
            rows
            for start in range(0, examples_to_test, size)
            for rows in compare_with_random(
                inner.batch(range(start, min(start + size, examples_to_test))),
                methods,
                twin,
                order,
                "top-down",
                sampling,
            )
        ]
        found = pd.concat(frames, ignore_index=True)
        means = found.groupby(["image", "method", "sign"], sort=False)[["ssim", "spearman"]]
        rows = means.mean(skipna=False).reset_index()
        yield rows.assign(task=task, network=number, accuracy=accuracy(model, shown))
