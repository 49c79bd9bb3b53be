"""A network whose truth is known: one feature is wired to one output only.

Pixels are seen one by one. Output a adds up the red of the image. Green reaches it by two paths
that cancel exactly, so whatever is green is null for it, in every coalition; output b adds up the
green. A method that follows only what speaks in favour sees one of the two paths.
"""

import torch
from torch import nn

from sanitygap.models.explainable import Explainable, Preprocessing, Stage
from sanitygap.seeds import generator
from sanitygap.theory.shapley import shapley_values

SIZE, SIDE = 32, 12

#: upper left corners of the red and of the green patch
CORNERS = ((2, 3), (18, 17))


class WiredNetwork(nn.Module):
    """Red, green and green again; a = red + green - green, b = green. ``(N, 3, H, W)``."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 3, 1, bias=False)
        self.relu = nn.ReLU()
        self.readout = nn.Conv2d(3, 2, 1, bias=False)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        with torch.no_grad():
            seen = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 1, 0]])
            wired = torch.tensor([[1.0, 1, -1], [0, 1, 0]])
            self.features.weight.copy_(seen.view(3, 3, 1, 1))
            self.readout.weight.copy_(wired.view(2, 3, 1, 1))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Inputs to logits ``(N, 2)``."""
        units = self.relu(self.features(inputs))
        return self.flatten(self.pool(self.readout(units)))


def wired_model() -> Explainable:
    """A :class:`WiredNetwork` to be explained."""
    return Explainable(
        spec="wired",
        module=WiredNetwork().eval().requires_grad_(False),
        preprocessing=Preprocessing(size=SIZE, resize=SIZE, mean=(0.0,) * 3, std=(1.0,) * 3),
        stages=(Stage("readout", ("readout",)), Stage("features", ("features",))),
        canonizers=tuple,
    )


def coloured_inputs(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs with a red patch and a green one, and the same without each of them.

    Args:
        count: how many.
        seed: of the strength of the colours, pixel by pixel.

    Returns:
        Inputs of all coalitions, ``(count, 4, 3, H, W)``, by bit mask (bit 0 is red), and which
        pixels the patches cover, bool ``(2, H, W)``.
    """
    source = generator(seed, "coloured")
    strength = 0.2 + 0.8 * torch.rand(count, 2, SIDE, SIDE, generator=source)
    images = torch.zeros(count, 4, 3, SIZE, SIZE)
    for mask in range(4):
        for patch, (row, column) in enumerate(CORNERS):
            if mask >> patch & 1:
                where = (slice(row, row + SIDE), slice(column, column + SIDE))
                images[:, mask, patch, where[0], where[1]] = strength[:, patch]
    covered = torch.zeros(2, SIZE, SIZE, dtype=torch.bool)
    for patch, (row, column) in enumerate(CORNERS):
        covered[patch, row : row + SIDE, column : column + SIDE] = True
    return images, covered


def exact_shares(model: Explainable, images: torch.Tensor, output: int) -> torch.Tensor:
    """Exact Shapley values of the patches for an output, ``(count, 2)``."""
    with torch.no_grad():
        values = model.module(images.flatten(0, 1))[:, output].unflatten(0, images.shape[:2])
    return shapley_values(values)
