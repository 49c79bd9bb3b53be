"""The parameter randomisation test of Adebayo et al. (2018) under each choice that it leaves open.

Choices are the order of randomisation, the distribution of the redrawn weights, and the class that
the randomised network's map explains: the original one, or the one it now predicts, as in the
authors' code. Maps are scaled and compared as there (:mod:`sanitygap.adebayo_metrics`).
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import Literal

import pandas as pd
import torch
from torch import nn

from sanitygap import grey_networks as mnist_networks
from sanitygap.adebayo_metrics import Scaled, scaled
from sanitygap.attribution import Sampling, unpooled
from sanitygap.grey_networks import (
    ARCHITECTURES,
    NOISE_ON_COPIES,
    Architecture,
    Data,
    GreyImages,
    GreyNetwork,
    Plan,
    as_inputs,
    batches_inside,
    by_network,
    explainable,
    grey_images,
    grey_network,
    inside,
    labelled,
    network,
)
from sanitygap.models.explainable import Explainable
from sanitygap.randomization import Order, RandomTwin, Redraw, Weights, steps
from sanitygap.seeds import generator
from sanitygap.table import BATCH, Batch, Context, table

Explained = Literal["original", "random"]

#: order, distribution of the redrawn weights, and the class that is explained afterwards
Choice = tuple[Order, Weights, Explained]

#: the appendix: truncated normal, uniform "as well"; its code explains the randomised network's
#: class. Each choice differs from the first in one respect
CHOICES: tuple[Choice, ...] = (
    ("top-down", "truncated-normal", "original"),
    ("top-down", "uniform", "original"),
    ("top-down", "he-normal", "original"),
    ("top-down", "he-uniform", "original"),
    ("top-down", "permuted", "original"),
    ("top-down", "truncated-normal", "random"),
    ("bottom-up", "truncated-normal", "original"),
    ("independent", "truncated-normal", "original"),
)

METHODS = (
    "gradient", "gradient-x-input", "guided-backprop", "grad-cam", "guided-grad-cam", "smoothgrad",
    "vargrad", "integrated-gradients",
)  # fmt: skip

#: the methods of one or two passes
FAST_METHODS = METHODS[:5]

#: those of the appendix for MNIST, with the two of its Fig. 28
GREY_METHODS = (*METHODS, "deeplift", "lrp-epsilon")

#: learns a mask in many passes; compared under the first choice only
ONCE = ("perturbation-mask",)

#: methods of the table for grey images, and those of them that are for the CNN only
CASCADE_METHODS = (*GREY_METHODS, *ONCE)
CNN_ONLY = ("grad-cam", "guided-grad-cam", *ONCE)
SMOKE_METHODS = (
    "gradient", "gradient-x-input", "guided-backprop", "grad-cam", "integrated-gradients",
    "deeplift", "lrp-epsilon",
)  # fmt: skip

SCORES = {
    "ssim": "SSIM in uniform windows of 5 pixels, L = 2 (appendix)",
    "ssim_gaussian": "SSIM in Gaussian windows of 11 pixels, L = 2 (code)",
    "spearman": "Spearman's rank correlation over pixels",
    "hog_pearson": "Pearson correlation of HOG features (appendix); NaN below 48 pixels",
    "hog_spearman": "Spearman correlation of HOG features (code); NaN below 48 pixels",
}


@table(
    "parameter-test",
    by=["seeds", "methods"],
    smoke={
        "methods": FAST_METHODS, "choices": (CHOICES[0], CHOICES[-1]), "n_steps": 1,
        "max_images": 2,
    },
    quick={"methods": FAST_METHODS, "n_steps": 2, "max_images": 3},
    full={"max_images": 50},
)  # fmt: skip
def parameter_test(
    batch: Batch,
    methods: Sequence[str] = METHODS,
    choices: Sequence[Choice] = CHOICES,
    n_steps: int | None = None,
    path_steps: int = 50,
    noisy_copies: int = 50,
    seeds: Sequence[int] | None = None,
) -> Iterator[pd.DataFrame]:
    """Similarity of maps before and after randomisation of the run's model, choice by choice.

    Args:
        batch: images.
        methods: attribution methods.
        choices: order, weights and explained class.
        n_steps: that many steps of each order, evenly spread; all by default.
        path_steps: points of integrated gradients.
        noisy_copies: copies in SmoothGrad and VarGrad.
        seeds: seeds of the redrawn weights; the run's seed by default.
    """
    sampling = Sampling(path_steps, noisy_copies)
    for seed in seeds or [batch.seed]:
        yield from compare_choices(batch, methods, seed, choices, n_steps, sampling)


def compare_choices(
    batch: Batch,
    methods: Sequence[str],
    seed: int,
    choices: Sequence[Choice],
    n_steps: int | None,
    sampling: Sampling,
) -> Iterator[pd.DataFrame]:
    """The rows of all choices, steps and methods; choices share the maps of the trained network."""
    model = batch.model

    def maps(
        targets: torch.Tensor, step: str, names: Sequence[str]
    ) -> dict[str, dict[str, Scaled]]:
        keys = batch.seeds(seed, step)
        values = unpooled(model, batch.inputs, targets, names, keys, sampling, batch.size)
        return {name: scaled(found) for name, found in values.items()}

    base = maps(batch.targets, "base", methods)
    for number, (order, weights, explained) in enumerate(choices):
        names = [name for name in methods if not number or name not in ONCE]
        twin = RandomTwin(model, seed, Redraw(weights))
        for step in steps(model.stages, order, n_steps):
            with twin.redrawn(step.stages):
                predicted = model.predict(batch.inputs)
                targets = predicted if explained == "random" else batch.targets
                changed = maps(targets, step.name, names)
            for name, both in changed.items():
                for kind, other in both.items():
                    scores = base[name][kind].compare(other)
                    yield batch.rows(
                        {"same_class": predicted == batch.targets, **scores}, method=name,
                        order=order, weights=weights, explained=explained, step=step.number,
                        steps=len(model.stages), stage=step.name, seed=seed, maps=kind,
                    )  # fmt: skip


#: passes through all images of MNIST after which the networks classify more than 98 % correctly
EPOCHS: dict[Architecture, int] = {"MLP": 6, "CNN": 3}


@table(
    "parameter-test-grey",
    cut=by_network,
    modelled=False,
    smoke={
        "data": ("digits",), "shrink": 8, "epochs": 4, "train_images": 400, "seeds": (0,),
        "test_images": 4, "path_steps": 2, "noisy_copies": 2, "methods": SMOKE_METHODS,
        "choices": (CHOICES[0], CHOICES[1], CHOICES[-1]),
    },
    quick={
        "data": ("digits",), "shrink": 4, "epochs": 6, "seeds": (0, 1), "test_images": 20,
        "path_steps": 5, "noisy_copies": 5,
    },
)  # fmt: skip
def parameter_test_grey(
    context: Context,
    data: Sequence[Data] = ("mnist", "fashion-mnist"),
    architectures: Sequence[Architecture] = ARCHITECTURES,
    methods: Sequence[str] = CASCADE_METHODS,
    choices: Sequence[Choice] = CHOICES,
    shrink: int = 1,
    epochs: int | None = None,
    train_images: int | None = None,
    test_images: int = 50,
    path_steps: int = 20,
    noisy_copies: int = 20,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
) -> Iterator[pd.DataFrame]:
    """The same for the CNN and the MLP of the appendix, trained on grey images; no HOG.

    Args:
        context: seed, device, and the folder of the data if the run's images are the same.
        data: what the networks are trained on.
        architectures: which of the two.
        methods: attribution methods; some are for the CNN only.
        choices: order, weights and explained class.
        shrink: divides the widths of the networks.
        epochs: passes through the images; 6 for the MLP and 3 for the CNN by default.
        train_images, test_images: how many.
        path_steps: points of integrated gradients.
        noisy_copies: copies in SmoothGrad and VarGrad.
        seeds: seeds of the redrawn weights.

    Raises:
        UsageError: no data.
    """
    sampling = Sampling(path_steps, noisy_copies, Sampling().noise_level * NOISE_ON_COPIES)
    for name, architecture in itertools.product(data, architectures):
        chosen = [m for m in methods if architecture == "CNN" or m not in CNN_ONLY]
        plan = Plan(
            name, architecture, epochs=epochs or EPOCHS[architecture], count=train_images,
            shrink=shrink,
        )  # fmt: skip
        trained = grey_network(context, plan)
        accuracy = trained.test_right / trained.test_images
        shown = grey_images(context, name).test.take(test_images, context.seed)
        for batch in batches_inside(context, trained.model, shown):
            for seed in seeds:
                for rows in compare_choices(batch, chosen, seed, choices, None, sampling):
                    yield rows.assign(data=name, network=architecture, accuracy=accuracy)


#: passes through the images within which random labels have to be learnt
MOST_EPOCHS = 200

#: the number added to a seed for the second network with true labels
OTHER = 1000

#: the share of test images of ten classes that a guess gets right
CHANCE = 0.1


SMOKE = {"data": ("digits",), "shrink": 8, "epochs": 4, "train_images": 400, "memorized": 40}
QUICK = {"data": ("digits",), "shrink": 4, "epochs": 6, "memorized": 150}
#: random labels of all images take hours on a CPU; the parameter ``memorized`` asks for more
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


AGE_METHODS = ("gradient", "guided-backprop")
AGE_BATCH, RATE = 50, 1e-3


@table(
    "regression-surrogate",
    smoke={"epochs": 2, "test_images": 4, "seeds": (0,), "shrink": 16},
    quick={"epochs": 8, "test_images": 50, "seeds": (0, 1)},
    modelled=False,
)
def regression_surrogate(
    context: Context,
    epochs: int = 20,
    shrink: int = 4,
    test_images: int = 200,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
) -> Iterator[pd.DataFrame]:
    """Maps of a trained regression network, beside those of networks with random weights.

    Args:
        context: seed.
        epochs: passes through the embedded digits.
        shrink: divides the widths of the CNN.
        test_images: number of digits to explain.
        seeds: of the random weights, a truncated normal; each is also compared with the next.

    Yields:
        One row a test image, method, comparison, seed and scaling.
    """
    data = GreyImages.load("digits")
    model = regression_network(data, context.seed, epochs, shrink)
    truth = mnist_networks.labels_of(data.test).float()
    with torch.no_grad():
        error = float((model.module(as_inputs(data.test))[:, 0] - truth).abs().mean())
    guess = float(mnist_networks.labels_of(data.train).float().mean())
    shown = data.test.take(test_images, context.seed)
    own = inside(context, model, shown)
    batch = own.batch(range(len(shown)))

    def maps() -> dict[str, dict[str, Scaled]]:
        values = unpooled(model, batch.inputs, batch.targets, AGE_METHODS, batch.keys)
        return {name: scaled(found, False) for name, found in values.items()}

    def random(seed: int) -> dict[str, dict[str, Scaled]]:
        with RandomTwin(model, seed, Redraw("truncated-normal")).redrawn(model.stages):
            return maps()

    trained = maps()
    for seed in seeds:
        one, other = random(seed), random(seed + 1000)
        for compared, first in (("random network", trained), ("two random networks", other)):
            for method in AGE_METHODS:
                for kind, values in first[method].items():
                    found = values.compare(one[method][kind])
                    kept = {name: v for name, v in found.items() if not name.startswith("hog")}
                    yield batch.rows(
                        kept, method=method, compared=compared, maps=kind, seed=seed,
                        error=error, error_of_mean=float((guess - truth).abs().mean()),
                    )  # fmt: skip


def regression_network(data: GreyImages, seed: int, epochs: int, shrink: int) -> Explainable:
    """The CNN with one output, trained to estimate a digit with an L1 and an L2 loss in sum."""
    module = network("CNN", seed, shrink)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        last = module.get_submodule("logits")
        assert isinstance(last, nn.Linear)
        module.logits = nn.Linear(last.in_features, 1)
    inputs, truth = as_inputs(data.train), mnist_networks.labels_of(data.train).float()
    optimizer = torch.optim.Adam(module.parameters(), RATE)
    source = generator(seed, "regression")
    for _ in range(epochs):
        for chosen in torch.randperm(len(inputs), generator=source).split(AGE_BATCH):
            error = module(inputs[chosen])[:, 0] - truth[chosen]
            loss = (error.abs() + error.square()).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return explainable("CNN", module, "value of a digit")


@table("top-5")
def top_5(batch: Batch) -> pd.DataFrame:
    """Whether the run's model finds the label of each image, first and among the first five.

    Args:
        batch: images.
    """
    with torch.no_grad():
        logits = batch.model.module(batch.inputs)
    best = logits.topk(min(5, logits.shape[1]), dim=1).indices.tolist()

    def found(first: int) -> torch.Tensor:
        return torch.tensor(
            [
                float("nan") if label is None else float(label in classes[:first])
                for label, classes in zip(batch.labels, best, strict=True)
            ],
            dtype=torch.float64,
        )

    return batch.rows({"top_1": found(1), "top_5": found(5)})
