"""The data randomisation test of Adebayo et al. (2018): true against random training labels."""

from collections.abc import Iterator, Sequence

import pandas as pd

from sanitygap.adebayo_metrics import Scaled
from sanitygap.attribution import Sampling, unpooled
from sanitygap.experiments.grey_networks import (
    ARCHITECTURES,
    Architecture,
    Data,
    GreyNetwork,
    Plan,
    batches_inside,
    by_network,
    grey_images,
    grey_network,
    labelled,
)
from sanitygap.experiments.parameter_test import EPOCHS, GREY_METHODS, scaled
from sanitygap.models.explainable import Explainable
from sanitygap.small_networks.mnist_networks import NOISE_ON_COPIES
from sanitygap.table import BATCH, Context, table

#: passes through the images within which random labels have to be learnt
MOST_EPOCHS = 200

#: the number added to a seed for the second network with true labels
OTHER = 1000

#: the share of test images of ten classes that a guess gets right
CHANCE = 0.1


SMOKE = {"data": ("digits",), "shrink": 8, "epochs": 4, "train_images": 400, "memorized": 40}
QUICK = {"data": ("digits",), "shrink": 4, "epochs": 6, "memorized": 150}
#: random labels of all images take hours on a CPU; the knob ``memorized`` asks for more
FULL = {"memorized": 2000}


def plans(
    data: Sequence[Data],
    architectures: Sequence[Architecture],
    shrink: int,
    epochs: int | None,
    most_epochs: int,
    train_images: int | None,
    seeds: Sequence[int],
) -> list[tuple[Plan, Plan, Plan]]:
    """For each data set, network and seed: true labels, true labels again, random labels."""
    found = []
    for name in data:
        for architecture in architectures:
            passes = epochs or EPOCHS[architecture]
            for seed in seeds:
                plan = Plan(name, architecture, "true", seed, passes, train_images, shrink)
                again = labelled(plan, "true", seed + OTHER, passes)
                found.append((plan, again, labelled(plan, "random", seed, most_epochs)))
    return found


@table("trained-networks", cut=by_network, modelled=False, smoke=SMOKE, quick=QUICK, full=FULL,
       )  # fmt: skip
def trained_networks(
    context: Context,
    data: Sequence[Data] = ("mnist", "fashion-mnist"),
    architectures: Sequence[Architecture] = ARCHITECTURES,
    shrink: int = 1,
    epochs: int | None = None,
    most_epochs: int = MOST_EPOCHS,
    train_images: int | None = None,
    memorized: int | None = None,
    seeds: Sequence[int] = (0,),
) -> Iterator[dict[str, object]]:
    """Training and test accuracy of the networks of the appendix, with true and random labels.

    Args:
        context: seed, device, and the folder of the data if the run's images are the same.
        data: what the networks are trained on.
        architectures: which of the two.
        shrink: divides the widths of the networks.
        epochs: passes through the images with true labels; 6 for the MLP, 3 for the CNN by default.
        most_epochs: passes within which random labels have to be learnt.
        train_images: number of training images for the accuracy; all by default.
        memorized: number of training images for the comparison of labels; as many by default.
        seeds: seeds of the training.

    Raises:
        UsageError: no data.
    """
    common = (data, architectures, shrink, epochs, most_epochs)
    for triple in plans(*common, train_images, seeds):
        yield record(grey_network(context, triple[0]), "accuracy")
    for triple in plans(*common, memorized or train_images, seeds):
        for plan in triple:
            yield record(grey_network(context, plan), "labels")


def record(network: GreyNetwork, purpose: str) -> dict[str, object]:
    """One row of the table of networks."""
    plan, trained = network.plan, network.trained
    return {
        "data": plan.data,
        "network": plan.architecture,
        "purpose": purpose,
        "labels": plan.labels,
        "seed": plan.seed,
        "shrink": plan.shrink,
        "parameters": sum(p.numel() for p in network.model.module.parameters()),
        "epochs": trained.epochs,
        "train_images": trained.images,
        "train_right": trained.right,
        "test_images": network.test_images,
        "test_right": network.test_right,
    }


@table(
    "data-randomization",
    cut=by_network,
    modelled=False,
    smoke=SMOKE | {"test_images": 4, "path_steps": 2, "noisy_copies": 2},
    quick=QUICK | {"test_images": 30, "path_steps": 5, "noisy_copies": 5},
    full=FULL,
)
def data_randomization(
    context: Context,
    data: Sequence[Data] = ("mnist", "fashion-mnist"),
    architectures: Sequence[Architecture] = ARCHITECTURES,
    methods: Sequence[str] = GREY_METHODS,
    shrink: int = 1,
    epochs: int | None = None,
    most_epochs: int = MOST_EPOCHS,
    train_images: int | None = None,
    memorized: int | None = None,
    seeds: Sequence[int] = (0,),
    test_images: int = 200,
    path_steps: int = 50,
    noisy_copies: int = 50,
) -> Iterator[pd.DataFrame]:
    """Similarity of the maps of a network to those of one trained on random labels.

    All maps explain the class that the network with true labels predicts. The same similarity to a
    second network with true labels says what a difference of seeds alone does.

    Args:
        context: seed, device, and the folder of the data if the run's images are the same.
        data, architectures, shrink, epochs, most_epochs, train_images, memorized, seeds: as in the
            table ``trained-networks``.
        methods: attribution methods; those that look at a convolution are left out for the MLP.
        test_images: number of test images to explain.
        path_steps: points of integrated gradients.
        noisy_copies: copies in SmoothGrad and VarGrad.

    Raises:
        UsageError: no data.
    """
    sampling = Sampling(path_steps, noisy_copies, Sampling().noise_level * NOISE_ON_COPIES)
    count = memorized or train_images
    for triple in plans(data, architectures, shrink, epochs, most_epochs, count, seeds):
        plan = triple[0]
        chosen = [m for m in methods if plan.architecture == "CNN" or not m.endswith("grad-cam")]
        first, *others = (grey_network(context, each).model for each in triple)
        shown = grey_images(context, plan.data).test.take(test_images, context.seed)
        for batch in batches_inside(context, first, shown):

            def maps(model: Explainable, name: str) -> dict[str, dict[str, Scaled]]:
                keys = batch.seeds(plan.seed, name)  # noqa: B023  (called in this pass only)
                inputs, targets = batch.inputs, batch.targets  # noqa: B023
                values = unpooled(model, inputs, targets, chosen, keys, sampling, 5 * BATCH)  # noqa: B023
                return {method: scaled(found, False) for method, found in values.items()}

            base = maps(first, "true labels")
            for compared, model in zip(("true labels again", "random labels"), others, strict=True):
                same = {"same_class": model.predict(batch.inputs) == batch.targets}
                for method, both in maps(model, compared).items():
                    for kind, other in both.items():
                        yield batch.rows(
                            same | base[method][kind].compare(other), method=method,
                            compared=compared, maps=kind, data=plan.data,
                            network=plan.architecture, seed=plan.seed,
                        )  # fmt: skip
