"""The two networks of Adebayo et al. (2018, Appendix B) for grey images of 28 pixels, and data.

Every attribution method of this library takes colour images. The networks therefore begin with a
layer that averages three equal channels into one. The gradient with respect to a grey pixel is the
sum of those with respect to its three copies, so a map summed over channels is the map of the
network for grey images.
"""

import hashlib
import itertools
import json
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from sanitygap import fingerprint
from sanitygap.downloads import cache_folder
from sanitygap.errors import UsageError, unknown_name
from sanitygap.images import ImageSet, load_images
from sanitygap.models.explainable import Explainable, Preprocessing
from sanitygap.seeds import generator, stable_seed
from sanitygap.table import BATCH, Batch, Context, Piece
from sanitygap.training import Labels, Recipe, Trained, correct, explained_by_layers, train

SIZE, CLASSES = 28, 10

#: values from 0 to 1, so that the zero baseline of integrated gradients and DeepLIFT is black
PREPROCESSING = Preprocessing(size=SIZE, resize=SIZE, mean=(0.0,) * 3, std=(1.0,) * 3)

#: copies of one grey value get independent noise, and the network sees their mean: with this factor
#: SmoothGrad and VarGrad have the noise on the grey value that they would have on one channel
NOISE_ON_COPIES = 3**0.5

#: the embedded digits that are kept for testing
TEST_DIGITS = 500

#: what the networks can be trained on
DATA = ("digits", "mnist", "fashion-mnist")


class Grey(nn.Module):
    """The mean of the channels: ``(N, C, H, W)`` to ``(N, 1, H, W)``."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """One channel."""
        return inputs.mean(1, keepdim=True)


def mlp(shrink: int = 1) -> nn.Sequential:
    """Dense layers of 2500, 1500, 500 and 10 units with ReLUs (Appendix B).

    Args:
        shrink: divides the numbers of hidden units.
    """
    widths = [SIZE * SIZE, *(max(1, units // shrink) for units in (2500, 1500, 500))]
    layers: list[tuple[str, nn.Module]] = [("grey", Grey()), ("flatten", nn.Flatten())]
    for number in range(1, len(widths)):
        layers.append((f"fc{number}", nn.Linear(widths[number - 1], widths[number])))
        layers.append((f"relu{number}", nn.ReLU()))
    return nn.Sequential(OrderedDict([*layers, ("logits", nn.Linear(widths[-1], CLASSES))]))


def cnn(shrink: int = 1) -> nn.Sequential:
    """Convolutions 5 x 5 of 32 and 64 channels, each with ReLU and pooling, then 1024 and 10 units.

    Args:
        shrink: divides the numbers of channels and hidden units.
    """
    first, second, dense = (max(1, width // shrink) for width in (32, 64, 1024))
    layers: list[tuple[str, nn.Module]] = [
        ("grey", Grey()),
        ("conv1", nn.Conv2d(1, first, 5, padding=2)), ("relu1", nn.ReLU()),
        ("pool1", nn.MaxPool2d(2)),
        ("conv2", nn.Conv2d(first, second, 5, padding=2)), ("relu2", nn.ReLU()),
        ("pool2", nn.MaxPool2d(2)),
        ("flatten", nn.Flatten()),
        ("fc1", nn.Linear(second * (SIZE // 4) ** 2, dense)), ("relu3", nn.ReLU()),
        ("logits", nn.Linear(dense, CLASSES)),
    ]  # fmt: skip
    return nn.Sequential(OrderedDict(layers))


NETWORKS: Mapping[str, Callable[[int], nn.Sequential]] = {"MLP": mlp, "CNN": cnn}


def network(name: str, seed: int, shrink: int = 1) -> nn.Sequential:
    """A new network with torch's initial weights for that seed.

    Args:
        name: ``MLP`` or ``CNN``.
        seed: of the weights.
        shrink: divides the widths of hidden layers.

    Raises:
        UsageError: another name.
    """
    if name not in NETWORKS:
        raise unknown_name("network", name, list(NETWORKS))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stable_seed(seed, "grey images", name))
        return NETWORKS[name](shrink)


def explainable(name: str, module: nn.Sequential, spec: str) -> Explainable:
    """A trained network with one randomisation stage for each of its layers.

    Args:
        name: ``MLP`` or ``CNN``.
        module: its layers.
        spec: what it was trained on.
    """
    return explained_by_layers(f"{name}, {spec}", module, PREPROCESSING)


@dataclass(frozen=True, eq=False)
class GreyImages:
    """Labelled grey images, split into those to train and those to test on.

    Attributes:
        name: of the data set.
        train, test: the images.
    """

    name: str
    train: ImageSet
    test: ImageSet

    @classmethod
    def load(cls, name: str, root: Path | None = None, count: int | None = None) -> "GreyImages":
        """One of :data:`DATA`; MNIST and Fashion-MNIST through torchvision.

        Args:
            name: of the data set. ``digits`` are embedded; of their 1797 images 500, drawn once
                and for all, are for testing.
            root: torchvision's root folder of the data, downloaded into the cache if None.
            count: that many training images (see :meth:`ImageSet.take`); all by default.

        Raises:
            UsageError: unknown name, no network and no data, or too few training images.
        """
        if name not in DATA:
            raise unknown_name("data", name, list(DATA))
        if name == "digits":
            images = load_images(name)
            places = torch.randperm(len(images), generator=generator("digits to test on")).tolist()
            train, test = images.select(places[TEST_DIGITS:]), images.select(places[:TEST_DIGITS])
        else:
            path = f":{root}" if root else ""
            train, test = load_images(f"{name}-train{path}"), load_images(f"{name}{path}")
        return cls(name, train if count is None else train.take(min(count, len(train))), test)


def as_inputs(images: ImageSet) -> torch.Tensor:
    """Images as inputs of one channel, float32 ``(N, 1, 28, 28)`` with values from 0 to 1."""
    return torch.stack([PREPROCESSING(images.open(place))[:1] for place in range(len(images))])


def labels_of(images: ImageSet) -> torch.Tensor:
    """Their classes, int64 ``(N,)``.

    Raises:
        UsageError: an image without a label.
    """
    if None in images.labels:
        raise UsageError(f"{images.spec} has images without a label; training needs all labels")
    return torch.from_numpy(np.array(images.labels, dtype=np.int64))


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
