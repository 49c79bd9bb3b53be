"""The parameter randomisation test of Adebayo et al. (2018) under each choice that it leaves open.

Choices are the order of randomisation, the distribution of the redrawn weights, and the class that
the randomised network's map explains: the original one, or the one it now predicts, as in the
authors' code. Maps are scaled and compared as there (:mod:`sanitygap.adebayo_metrics`).
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any, Literal

import pandas as pd
import torch
from torch import Tensor, nn

from sanitygap import grey_networks as grey
from sanitygap.adebayo_metrics import Scaled, scaled
from sanitygap.attribution import Sampling, unpooled
from sanitygap.grey_networks import ARCHITECTURES, Architecture, Data, Plan
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

#: method -> its maps in both scalings
Maps = Mapping[str, Mapping[str, Scaled]]


def scaled_maps(*request: Any, hog: bool = True) -> Maps:
    """What :func:`~sanitygap.attribution.unpooled` gives, in both scalings."""
    return {name: scaled(values, hog) for name, values in unpooled(*request).items()}


def comparisons(base: Maps, other: Maps) -> Iterator[tuple[str, str, dict[str, Tensor]]]:
    """Method, scaling, and the scores of two maps, for all that the second one holds."""
    for name, both in other.items():
        for kind, values in both.items():
            yield name, kind, base[name][kind].compare(values)


def on_copies(path_steps: int, noisy_copies: int) -> Sampling:
    """Sizes for networks of grey images, whose three channels get independent noise."""
    return Sampling(path_steps, noisy_copies, Sampling().noise_level * grey.NOISE_ON_COPIES)


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

    def maps(targets: Tensor, step: str, names: Sequence[str]) -> Maps:
        keys = batch.seeds(seed, step)
        return scaled_maps(model, batch.inputs, targets, names, keys, sampling, batch.size)

    base = maps(batch.targets, "base", methods)
    for number, (order, weights, explained) in enumerate(choices):
        names = [name for name in methods if not number or name not in ONCE]
        twin = RandomTwin(model, seed, Redraw(weights))
        for step in steps(model.stages, order, n_steps):
            with twin.redrawn(step.stages):
                predicted = model.predict(batch.inputs)
                targets = predicted if explained == "random" else batch.targets
                changed = maps(targets, step.name, names)
            for name, kind, scores in comparisons(base, changed):
                yield batch.rows(
                    {"same_class": predicted == batch.targets, **scores}, method=name,
                    order=order, weights=weights, explained=explained, step=step.number,
                    steps=len(model.stages), stage=step.name, seed=seed, maps=kind,
                )  # fmt: skip


#: passes through all images of MNIST after which the networks classify more than 98 % correctly
EPOCHS: dict[Architecture, int] = {"MLP": 6, "CNN": 3}


@table(
    "parameter-test-grey",
    cut=grey.by_network,
    modelled=False,
    smoke={
        "data": ("digits",), "shrink": 8, "epochs": 4, "train_images": 400, "seeds": (0,),
        "test_images": 4, "path_steps": 2, "noisy_copies": 2, "methods": SMOKE_METHODS,
        "choices": (CHOICES[0], CHOICES[1], CHOICES[-1]),
    },
    quick={
        "data": ("digits",), "shrink": 4, "epochs": 6, "seeds": (0, 1), "test_images": 10,
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
    sampling = on_copies(path_steps, noisy_copies)
    for name, architecture in product(data, architectures):
        chosen = [m for m in methods if architecture == "CNN" or m not in CNN_ONLY]
        passes = epochs or EPOCHS[architecture]
        plan = Plan(name, architecture, epochs=passes, count=train_images, shrink=shrink)
        trained = grey.grey_network(context, plan)
        accuracy = trained.test_right / trained.test_images
        shown = grey.grey_images(context, name).test.take(test_images, context.seed)
        for batch, seed in product(grey.batches_inside(context, trained.model, shown), seeds):
            for rows in compare_choices(batch, chosen, seed, choices, None, sampling):
                yield rows.assign(data=name, network=architecture, accuracy=accuracy)


#: passes through the images within which random labels have to be learnt
MOST_EPOCHS = 200

#: the number added to a seed for the second network with true labels
OTHER = 1000

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
    for name, architecture, seed in product(data, architectures, seeds):
        passes = epochs or EPOCHS[architecture]
        plan = Plan(name, architecture, "true", seed, passes, train_images, shrink)
        again = grey.labelled(plan, "true", seed + OTHER, passes)
        found.append((plan, again, grey.labelled(plan, "random", seed, most_epochs)))
    return found


@table("trained-networks", cut=grey.by_network, modelled=False, smoke=SMOKE, quick=QUICK, full=FULL,
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
    for purpose, count in (("accuracy", train_images), ("labels", memorized or train_images)):
        for triple in plans(data, architectures, shrink, epochs, most_epochs, count, seeds):
            for plan in triple if purpose == "labels" else triple[:1]:
                network = grey.grey_network(context, plan)
                weights, trained = network.model.module.parameters(), network.trained
                yield {
                    "data": plan.data, "network": plan.architecture, "purpose": purpose,
                    "labels": plan.labels, "seed": plan.seed, "shrink": plan.shrink,
                    "parameters": sum(values.numel() for values in weights),
                    "epochs": trained.epochs, "train_images": trained.images,
                    "train_right": trained.right, "test_images": network.test_images,
                    "test_right": network.test_right,
                }  # fmt: skip


@table(
    "data-randomization",
    cut=grey.by_network,
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
    sampling, count = on_copies(path_steps, noisy_copies), memorized or train_images
    for triple in plans(data, architectures, shrink, epochs, most_epochs, count, seeds):
        plan = triple[0]
        chosen = [m for m in methods if plan.architecture == "CNN" or not m.endswith("grad-cam")]
        first, *others = (grey.grey_network(context, each).model for each in triple)
        shown = grey.grey_images(context, plan.data).test.take(test_images, context.seed)
        for batch in grey.batches_inside(context, first, shown):

            def maps(model: Explainable, name: str) -> Maps:
                keys = batch.seeds(plan.seed, name)  # noqa: B023  (called in this pass only)
                asked = (batch.inputs, batch.targets, chosen, keys)  # noqa: B023
                return scaled_maps(model, *asked, sampling, 5 * BATCH, hog=False)

            base = maps(first, "true labels")
            for compared, model in zip(("true labels again", "random labels"), others, strict=True):
                same = {"same_class": model.predict(batch.inputs) == batch.targets}
                for method, kind, scores in comparisons(base, maps(model, compared)):
                    yield batch.rows(
                        same | scores, method=method, compared=compared, maps=kind,
                        data=plan.data, network=plan.architecture, seed=plan.seed,
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
    data = grey.GreyImages.load("digits")
    model = regression_network(data, context.seed, epochs, shrink)
    truth, mean = grey.labels_of(data.test).float(), grey.labels_of(data.train).float().mean()
    with torch.no_grad():
        error = (model.module(grey.as_inputs(data.test))[:, 0] - truth).abs().mean()
    errors = {"error": float(error), "error_of_mean": float((float(mean) - truth).abs().mean())}
    shown = data.test.take(test_images, context.seed)
    batch = grey.inside(context, model, shown).batch(range(len(shown)))

    def maps() -> Maps:
        asked = (batch.inputs, batch.targets, AGE_METHODS, batch.keys)
        return scaled_maps(model, *asked, hog=False)

    def random(seed: int) -> Maps:
        with RandomTwin(model, seed, Redraw("truncated-normal")).redrawn(model.stages):
            return maps()

    trained = maps()
    for seed in seeds:
        one, other = random(seed), random(seed + 1000)
        for compared, first in (("random network", trained), ("two random networks", other)):
            for method, kind, scores in comparisons(first, one):
                kept = {name: v for name, v in scores.items() if not name.startswith("hog")}
                about = {"method": method, "compared": compared, "maps": kind, "seed": seed}
                yield batch.rows(kept, **about, **errors)


def regression_network(data: grey.GreyImages, seed: int, epochs: int, shrink: int) -> Explainable:
    """The CNN with one output, trained to estimate a digit with an L1 and an L2 loss in sum."""
    module = grey.network("CNN", seed, shrink)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        last = module.get_submodule("logits")
        assert isinstance(last, nn.Linear)
        module.logits = nn.Linear(last.in_features, 1)
    inputs, truth = grey.as_inputs(data.train), grey.labels_of(data.train).float()
    optimizer = torch.optim.Adam(module.parameters(), RATE)
    source = generator(seed, "regression")
    for _ in range(epochs):
        for chosen in torch.randperm(len(inputs), generator=source).split(AGE_BATCH):
            error = module(inputs[chosen])[:, 0] - truth[chosen]
            loss = (error.abs() + error.square()).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return grey.explainable("CNN", module, "value of a digit")


@table("top-5")
def top_5(batch: Batch) -> pd.DataFrame:
    """Whether the run's model finds the label of each image, first and among the first five.

    Args:
        batch: images.
    """
    with torch.no_grad():
        logits = batch.model.module(batch.inputs)
    best = logits.topk(min(5, logits.shape[1]), dim=1).indices.cpu()
    labels = torch.tensor([-1 if label is None else label for label in batch.labels])[:, None]

    def found(first: int) -> Tensor:
        right = (best[:, :first] == labels).any(1).double()
        return right.where(labels[:, 0] >= 0, torch.nan)

    return batch.rows({"top_1": found(1), "top_5": found(5)})
