"""The two networks of Adebayo et al. (2018, Appendix B) for grey images of 28 pixels, and data.

Every attribution method of this library takes colour images. The networks therefore begin with a
layer that averages three equal channels into one. The gradient with respect to a grey pixel is the
sum of those with respect to its three copies, so a map summed over channels is the map of the
network for grey images.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from sanitygap.errors import UsageError, unknown_name
from sanitygap.images import ImageSet, load_images
from sanitygap.models.explainable import Explainable, Preprocessing
from sanitygap.seeds import generator, stable_seed
from sanitygap.small_networks.training import explained_by_layers

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
