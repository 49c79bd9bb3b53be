"""Two small networks that differ in their skip connections only, trained on handwritten digits.

They serve one question: what do skips alone do to a sanity check (Binder et al. 2022, Sec. 4.2)?
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from zennit.canonizers import SequentialMergeBatchNorm
from zennit.layer import Sum

from sanitygap.images import ImageSet
from sanitygap.models.explainable import Explainable, Preprocessing
from sanitygap.seeds import generator, stable_seed
from sanitygap.training import descend, explained_by_layers

PREPROCESSING = Preprocessing(size=32, resize=32, mean=(0.3,) * 3, std=(0.35,) * 3)
CHANNELS, BLOCKS, CLASSES = 16, 4, 10
TRAINING_IMAGES, TEST_IMAGES = 1200, 300
EPOCHS, BATCH, RATE = 4, 40, 1e-2


class Block(nn.Module):
    """Two convolutions with batch normalisation; a skip around both, or none.

    The two kinds have the same layers, shapes and parameters.
    """

    def __init__(self, skip: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(CHANNELS)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(CHANNELS)
        self.sum = Sum() if skip else None
        self.relu2 = nn.ReLU()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Activations ``(N, C, H, W)`` to the same shape."""
        outputs = self.norm2(self.conv2(self.relu1(self.norm1(self.conv1(inputs)))))
        if self.sum is not None:
            outputs = self.sum(torch.stack([inputs, outputs], dim=-1))
        return self.relu2(outputs)


class DigitNetwork(nn.Module):
    """Stem, four blocks, pooling, dense layer: ``(N, 3, 32, 32)`` to ``(N, 10)``."""

    def __init__(self, skips: bool) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, CHANNELS, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(CHANNELS),
            nn.ReLU(),
        )
        self.blocks = nn.Sequential(*(Block(skips) for _ in range(BLOCKS)))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(CHANNELS, CLASSES)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Inputs to logits."""
        return self.fc(self.flatten(self.pool(self.blocks(self.stem(inputs)))))


#: the layers that are redrawn one by one: those that have a skip around them, where there is one
LAYERS = tuple(f"blocks.{block}.conv{number}" for block in range(BLOCKS) for number in (1, 2))


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def trained_network(
    skips: bool, inputs: torch.Tensor, labels: torch.Tensor, seed: int
) -> Explainable:
    """Train one of the two networks.

    Args:
        skips: whether it has skip connections.
        inputs: float ``(N, 3, 32, 32)``.
        labels: int64 ``(N,)``.
        seed: of initial weights and order of the images; both kinds start from the same weights.

    Returns:
        The network in evaluation mode, one stage a layer.
    """
    with _seeded(stable_seed(seed, "digits")):
        network = DigitNetwork(skips).train()
        optimizer = torch.optim.Adam(network.parameters(), RATE)
        steps = EPOCHS * -(-len(inputs) // BATCH)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
        for _ in range(EPOCHS):
            for chosen in torch.randperm(len(inputs)).split(BATCH):
                descend(network, optimizer, inputs, labels, chosen)
                schedule.step()
    return explained_by_layers(
        "digits with skips" if skips else "digits without skips", network, PREPROCESSING,
        canonizers=lambda: (SequentialMergeBatchNorm(),),
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Digits:
    """Handwritten digits, split once and for all.

    Attributes:
        train, test: inputs ``(N, 3, 32, 32)``, float.
        train_labels, test_labels: int64 ``(N,)``.
        test_names: one a test image.
    """

    train: torch.Tensor
    train_labels: torch.Tensor
    test: torch.Tensor
    test_labels: torch.Tensor
    test_names: tuple[str, ...]

    @classmethod
    def of(cls, images: ImageSet, training_images: int = TRAINING_IMAGES) -> "Digits":
        """Split labelled digits at random, always in the same way.

        Args:
            images: labelled digits.
            training_images: how many are for training; the 300 for testing do not depend on it.
        """
        order = torch.randperm(len(images), generator=generator("split of the digits")).tolist()
        order = order[TEST_IMAGES:][:training_images] + order[:TEST_IMAGES]
        inputs = torch.stack([PREPROCESSING(images.open(place)) for place in order])
        labels = torch.from_numpy(np.array([images.labels[p] for p in order], dtype=np.int64))
        held_out = order[-TEST_IMAGES:]
        return cls(
            inputs[:-TEST_IMAGES],
            labels[:-TEST_IMAGES],
            inputs[-TEST_IMAGES:],
            labels[-TEST_IMAGES:],
            tuple(images.names[place] for place in held_out),
        )
