"""The data randomisation test of Adebayo et al. (2018): true against random training labels."""

from collections.abc import Iterator, Sequence

import pandas as pd
import torch

from sanitygap.adebayo_metrics import Scaled
from sanitygap.attribution import Sampling, unpooled
from sanitygap.experiments.experiment import CHUNK, Chunk, Context, experiment, image_rows
from sanitygap.experiments.grey_networks import (
    ARCHITECTURES,
    CODE,
    Architecture,
    Data,
    GreyNetwork,
    Plan,
    grey_images,
    grey_network,
    inside,
    labelled,
    own_images,
)
from sanitygap.experiments.parameter_test import (
    EPOCHS,
    GREY_METHODS,
    SCORES,
    code_for,
    scaled,
)
from sanitygap.models.explainable import Explainable
from sanitygap.small_networks.mnist_networks import NOISE_ON_COPIES

#: passes through the images within which random labels have to be learnt
MOST_EPOCHS = 200

#: the number added to a seed for the second network with true labels
OTHER = 1000

#: the share of test images of ten classes that a guess gets right
CHANCE = 0.1

NETWORK_COLUMNS = {
    "data": "what the network was trained on",
    "network": "MLP or CNN",
    "purpose": "accuracy: for the accuracy of the appendix; labels: for the comparison of labels",
    "labels": "true, or in random order",
    "seed": "seed of weights, order of images and random labels",
    "shrink": "what the widths of the hidden layers were divided by; 1 is the appendix",
    "parameters": "number of parameters",
    "epochs": "passes through the training images",
    "train_images": "number of training images",
    "train_right": "training images whose label, true or random, is predicted",
    "test_images": "number of test images",
    "test_right": "test images whose true label is predicted",
}

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


@experiment("trained-networks", knobs={"smoke": SMOKE, "quick": QUICK, "full": FULL},
            columns=NETWORK_COLUMNS)  # fmt: skip
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
) -> Iterator[Chunk]:
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

    Yields:
        One chunk a network.

    Raises:
        UsageError: no data.
    """
    common = (data, architectures, shrink, epochs, most_epochs)
    for purpose, count, kept in (
        ("accuracy", train_images, 1), ("labels", memorized or train_images, 3),
    ):  # fmt: skip
        for triple in plans(*common, count, seeds):
            for plan in triple[:kept]:
                images = grey_images(context, plan.data, plan.count)

                def compute(plan: Plan = plan, purpose: str = purpose) -> pd.DataFrame:
                    return pd.DataFrame([record(grey_network(context, plan), purpose)])

                settings = {
                    "plan": str(plan),
                    "purpose": purpose,
                    "images": [images.train.sha256, images.test.sha256],
                }
                yield Chunk(
                    settings, (*CODE, record), compute, own_images(context, plan.data),
                    needs_model=False,
                )  # fmt: skip


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


@experiment(
    "data-randomization",
    knobs={
        "smoke": SMOKE | {"test_images": 4, "path_steps": 2, "noisy_copies": 2},
        "quick": QUICK | {"test_images": 30, "path_steps": 5, "noisy_copies": 5},
        "full": FULL,
    },
    columns={
        "data": "what the networks were trained on",
        "network": "MLP or CNN",
        "seed": "seed of the training",
        "image": "name of the test image",
        "position": "place of the image in the set",
        "method": "attribution method",
        "compared": "random labels: with a network trained on random labels; true labels again: "
        "with one trained on the same true labels from another seed",
        "maps": "absolute or diverging scaling",
        "same_class": "whether the other network predicts the same class",
    }
    | {name: meaning for name, meaning in SCORES.items() if not name.startswith("hog")},
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
) -> Iterator[Chunk]:
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

    Yields:
        One chunk a data set, network and seed of the training.

    Raises:
        UsageError: no data.
    """
    sampling = Sampling(path_steps, noisy_copies, Sampling().noise_level * NOISE_ON_COPIES)
    count = memorized or train_images
    for triple in plans(data, architectures, shrink, epochs, most_epochs, count, seeds):
        plan = triple[0]
        images = grey_images(context, plan.data, plan.count)
        chosen = [m for m in methods if plan.architecture == "CNN" or not m.endswith("grad-cam")]

        def compute(
            triple: tuple[Plan, Plan, Plan] = triple, chosen: Sequence[str] = chosen
        ) -> pd.DataFrame:
            return compare_labels(context, triple, chosen, test_images, sampling)

        settings = {
            "plans": [str(plan) for plan in triple],
            "images": [images.train.sha256, images.test.sha256],
            "test_images": test_images,
            "methods": chosen,
            "sampling": str(sampling),
            "seed": context.seed,
        }
        yield Chunk(
            settings,
            (*code_for(chosen), *CODE, compare_labels),
            compute,
            own_images(context, plan.data),
            needs_model=False,
        )


def compare_labels(
    context: Context,
    triple: tuple[Plan, Plan, Plan],
    methods: Sequence[str],
    test_images: int,
    sampling: Sampling,
) -> pd.DataFrame:
    """One row a test image, method, other network and scaling."""
    plan = triple[0]
    first, again, random = (grey_network(context, each).model for each in triple)
    shown = grey_images(context, plan.data).test.take(test_images, context.seed)
    own = inside(context, first, shown)
    rows = []
    for start in range(0, len(shown), 5 * CHUNK):
        batch = own.batch(range(start, min(start + 5 * CHUNK, len(shown))))

        def maps(model: Explainable, name: str) -> dict[str, dict[str, Scaled]]:
            keys = batch.seeds(plan.seed, name)  # noqa: B023  (called in this pass only)
            inputs, targets = batch.inputs, batch.targets  # noqa: B023
            values = unpooled(model, inputs, targets, methods, keys, sampling, 5 * CHUNK)
            return {method: scaled(found, False) for method, found in values.items()}

        base = maps(first, "true labels")
        for compared, model in (("true labels again", again), ("random labels", random)):
            same: torch.Tensor = model.predict(batch.inputs) == batch.targets
            for method, both in maps(model, compared).items():
                for kind, other in both.items():
                    scores = base[method][kind].compare(other)
                    kept = {n: v for n, v in scores.items() if not n.startswith("hog")}
                    rows.append(
                        image_rows(
                            batch, {"same_class": same} | kept, method=method, compared=compared,
                            maps=kind, data=plan.data, network=plan.architecture, seed=plan.seed,
                        )
                    )  # fmt: skip
    order = ["data", "network", "seed", "image", "position", "method", "compared", "maps"]
    found = pd.concat(rows, ignore_index=True)
    return found[[*order, *(column for column in found if column not in order)]]
