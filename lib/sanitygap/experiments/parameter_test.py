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

from sanitygap.adebayo_metrics import SCALINGS, Scaled
from sanitygap.attribution import Sampling, unpooled
from sanitygap.experiments.grey_networks import (
    ARCHITECTURES,
    Architecture,
    Data,
    Plan,
    batches_inside,
    by_network,
    grey_images,
    grey_network,
)
from sanitygap.randomization import Order, RandomTwin, Redraw, Weights, steps
from sanitygap.small_networks.mnist_networks import NOISE_ON_COPIES
from sanitygap.table import Batch, Context, table

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


def scaled(values: torch.Tensor, measures_hog: bool = True) -> dict[str, Scaled]:
    """Maps of values ``(N, C, H, W)`` in both scalings."""
    return {name: Scaled(scale(values), measures_hog) for name, scale in SCALINGS.items()}


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
