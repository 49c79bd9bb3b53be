"""The randomisation test of the same methods on several tasks (Binder et al. 2022, §1.1)."""

from collections.abc import Iterator, Sequence

import pandas as pd

from sanitygap import randomization, similarity
from sanitygap.attribution import Sampling
from sanitygap.attribution.applicable import families
from sanitygap.errors import unknown_name
from sanitygap.experiments.experiment import CHUNK, Chunk, Context, experiment
from sanitygap.experiments.randomization_test import code_of, compare_with_random, sampling_of
from sanitygap.randomization import RandomTwin, steps
from sanitygap.small_networks import tasks
from sanitygap.small_networks.tasks import TASKS, accuracy, examples, trained_network

METHODS = (
    "gradient",
    "gradient-x-input",
    "integrated-gradients",
    "smoothgrad",
    "vargrad",
    "guided-backprop",
    "lrp-epsilon-plus",
    "lrp-alpha2-beta1",
    "lrp-gamma-box",
)

COLUMNS = {
    "task": "what the small network was trained on",
    "network": "number of the trained network; also the seed of the redrawn weights",
    "accuracy": "share of the shown test images that it classifies correctly",
    "image": "name of the test image",
    "method": "attribution method",
    "sign": "signed maps, or their absolute values",
    "ssim": "mean SSIM over all steps of top-down randomisation, L = joint range",
    "spearman": "mean rank correlation over all steps",
}


@experiment(
    "task-dependence",
    knobs={
        "smoke": {
            "networks": 1,
            "epochs": 1,
            "examples_to_train": 200,
            "examples_to_test": 10,
            "path_steps": 2,
            "noisy_copies": 2,
        },
        "quick": {
            "networks": 2,
            "epochs": 4,
            "examples_to_train": 1000,
            "examples_to_test": 40,
            "path_steps": 5,
            "noisy_copies": 5,
        },
        "full": {},
    },
    columns=COLUMNS,
)
def task_dependence(
    context: Context,
    trained_on: Sequence[str] = tuple(TASKS),
    methods: Sequence[str] = METHODS,
    networks: int = 5,
    epochs: int = 12,
    examples_to_train: int = 2000,
    examples_to_test: int = 100,
    path_steps: int = 20,
    noisy_copies: int = 20,
) -> Iterator[Chunk]:
    """Similarity after randomisation of small networks trained on several tasks.

    It needs neither the run's model nor its images.

    Args:
        context: seed.
        trained_on: names from :data:`sanitygap.small_networks.tasks.TASKS`.
        methods: attribution methods.
        networks: how many are trained on each task.
        epochs: passes through the training examples.
        examples_to_train, examples_to_test: how many.
        path_steps: points of integrated gradients.
        noisy_copies: copies in SmoothGrad and VarGrad.

    Yields:
        One chunk a task and a network.

    Raises:
        UsageError: an unknown task.
    """
    for task in trained_on:
        if task not in TASKS:
            raise unknown_name("task", task, list(TASKS))
    sampling = Sampling(path_steps, noisy_copies)
    groups = families(methods)
    code = (
        tasks, randomization, similarity, compare_with_random, scores_on_task,
        *dict.fromkeys(piece for family in groups for piece in code_of(family)),
    )  # fmt: skip
    for task in trained_on:
        for number in range(networks):
            settings = {
                "task": task,
                "network": number,
                "epochs": epochs,
                "examples": [examples_to_train, examples_to_test],
                "methods": list(methods),
                "sampling": [sampling_of(family, sampling) for family in groups],
                "seed": context.seed,
            }

            def compute(task: str = task, number: int = number) -> pd.DataFrame:
                counts = examples_to_train, examples_to_test
                return scores_on_task(task, number, context.seed, epochs, counts, methods, sampling)

            yield Chunk(settings, code, compute, needs_model=False)


def scores_on_task(
    task: str,
    network: int,
    seed: int,
    epochs: int,
    counts: tuple[int, int],
    methods: Sequence[str],
    sampling: Sampling,
) -> pd.DataFrame:
    """One row a test image, method and sign for one freshly trained network."""
    model = trained_network(task, seed + network, epochs, counts[0])
    # the same test images for every network of a task
    shown = examples(task, counts[1], seed, train=False)
    inner = Context(lambda: model, lambda: shown.as_set(task), seed)
    twin = RandomTwin(model, seed + network)
    order = steps(model.stages, "top-down")
    frames = [
        rows
        for start in range(0, counts[1], 5 * CHUNK)
        for rows in compare_with_random(
            inner.batch(range(start, min(start + 5 * CHUNK, counts[1]))), methods, twin, order,
            "top-down", sampling,
        )
    ]  # fmt: skip
    found = pd.concat(frames, ignore_index=True)
    means = found.groupby(["image", "method", "sign"], sort=False)[["ssim", "spearman"]]
    rows = means.mean(skipna=False).reset_index()
    rows = rows.assign(task=task, network=network, accuracy=accuracy(model, shown))
    return rows[list(COLUMNS)]
