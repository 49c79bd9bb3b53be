"""The networks of Adebayo et al. (2018, Appendix B), trained once and kept for every table."""

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from sanitygap import fingerprint
from sanitygap.downloads import cache_folder
from sanitygap.images import ImageSet
from sanitygap.models.explainable import Explainable
from sanitygap.small_networks.mnist_networks import (
    GreyImages,
    as_inputs,
    explainable,
    labels_of,
    network,
)
from sanitygap.small_networks.training import Labels, Recipe, Trained, correct, train
from sanitygap.table import BATCH, Batch, Context, Piece

Data = Literal["digits", "mnist", "fashion-mnist"]
Architecture = Literal["MLP", "CNN"]
ARCHITECTURES: tuple[Architecture, ...] = ("MLP", "CNN")

#: the weight decay that the appendix states for the CNN, and the share of random labels at which
#: training stops; the appendix says "greater than 95 percent"
CNN_DECAY, MEMORIZED = 1e-3, 0.97


@dataclass(frozen=True)
class Plan:
    """Which network is trained on what, and for how long.

    Attributes:
        data: name of the data set.
        architecture: of the network.
        labels: true or random.
        seed: of weights, order and random labels.
        epochs: passes through the images; at most, for random labels.
        count: number of training images; all if None.
        shrink: divides the widths of the hidden layers.
    """

    data: Data
    architecture: Architecture
    labels: Labels = "true"
    seed: int = 0
    epochs: int = 3
    count: int | None = None
    shrink: int = 1

    @property
    def recipe(self) -> Recipe:
        """How it is trained. Learning rates and batches are ours: the appendix gives none.

        There is no weight decay with random labels, which it would keep from being learnt.
        """
        dense, few = self.architecture == "MLP", self.data == "digits"
        if self.labels == "random":
            rate = 5e-4 if dense and not few else 1e-3
            batch = 25 if few else 100
            return Recipe("random", self.seed, self.epochs, batch, rate, 0.0, MEMORIZED)
        decay = 0.0 if dense else CNN_DECAY
        batch = 25 if few else 200 if dense else 100
        return Recipe("true", self.seed, self.epochs, batch, 1e-3, decay)


@dataclass(frozen=True, eq=False)
class GreyNetwork:
    """A trained network with its record.

    Attributes:
        plan: what was asked for.
        model: the network.
        trained: how far training got.
        test_right, test_images: test images that it classifies correctly, and all.
    """

    plan: Plan
    model: Explainable
    trained: Trained
    test_right: int
    test_images: int


def grey_images(context: Context, name: Data, count: int | None = None) -> GreyImages:
    """A data set. Where the run's own images are of that kind, their folder is used.

    Raises:
        UsageError: no network and no data.
    """
    if name == "digits":  # embedded: the run's images, which may not be at hand, say nothing here
        return GreyImages.load(name, None, count)
    kind, _, path = context.images.spec.partition(":")
    own = Path(path) if path and kind.removesuffix("-train") == name else None
    return GreyImages.load(name, own, count)


def by_network(context: Context, arguments: Mapping[str, Any]) -> Iterator[Piece]:
    """A part for each data set, network and seed.

    Where a data set's test images are those of the run, the table is about them, and a verdict can
    be about the paper's own.
    """
    for data in arguments["data"]:
        images = grey_images(context, data)
        checksums = [images.train.sha256, images.test.sha256]
        own = context.images.spec.partition(":")[0] == data
        places = tuple(range(len(context.images))) if own else ()
        for kind, seed in itertools.product(arguments["architectures"], arguments["seeds"]):
            one = {"data": (data,), "architectures": (kind,), "seeds": (seed,)}
            yield Piece({**arguments, **one}, places, checksums)


def address(plan: Plan, images: GreyImages) -> str:
    """A hash over everything that determines a trained network."""
    identity = {
        "network": [plan.architecture, plan.shrink, plan.seed],
        "recipe": asdict(plan.recipe),
        "images": images.train.sha256,
        "code": fingerprint.of_module(__name__),
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]


def grey_network(context: Context, plan: Plan) -> GreyNetwork:
    """A network, trained now unless the cache holds it; training resumes where it was interrupted.

    Args:
        context: tells where the data and which device.
        plan: what is to be trained.

    Raises:
        UsageError: no data.
    """
    images = grey_images(context, plan.data, plan.count)
    folder = cache_folder() / "networks" / address(plan, images)
    device = context.model.device
    module = network(plan.architecture, plan.seed, plan.shrink).to(device)
    inputs = as_inputs(images.train)
    trained = train(module, inputs, labels_of(images.train), plan.recipe, folder)
    spec = f"{plan.data}, {plan.labels} labels"
    test, truth = as_inputs(images.test).to(device), labels_of(images.test).to(device)
    return GreyNetwork(
        plan,
        explainable(plan.architecture, module, spec),
        trained,
        correct(module, test, truth),
        len(test),
    )


def inside(context: Context, model: Explainable, images: ImageSet) -> Context:
    """The context of a small network and its images, with the seed of the run."""
    return Context(lambda: model, lambda: images, context.seed)


def batches_inside(context: Context, model: Explainable, images: ImageSet) -> Iterator[Batch]:
    """The images of a small network, batch by batch; it is so fast that batches are large."""
    own, size = inside(context, model, images), 5 * BATCH
    for start in range(0, len(images), size):
        yield own.batch(range(start, min(start + size, len(images))))


def labelled(plan: Plan, labels: Labels, seed: int, epochs: int) -> Plan:
    """The same network trained with other labels or from another seed."""
    return replace(plan, labels=labels, seed=seed, epochs=epochs)
