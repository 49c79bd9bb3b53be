"""A network whose true contributions are known, pixel by pixel (Binder et al. 2022, Sec. 4.1).

It sees every pixel alone: convolutions of size 1, average pooling, a dense layer. A logit is thus
a sum over pixels, and what a pixel adds to it is not a matter of opinion.
"""

import torch
from torch import nn

from sanitygap.models.explainable import Explainable, Preprocessing, Stage
from sanitygap.seeds import generator

SIZE = 64
FEATURES, HIDDEN, CLASSES = 16, 32, 10

#: a feature answers to colours at least this far from the mean colour, in its own direction
THRESHOLD = 0.75


class PixelNetwork(nn.Module):
    """phi: colour features with a threshold; g: two layers on top. ``(N, 3, H, W)`` to logits.

    Args:
        seed: of all weights. phi has random unit directions in colour space and one threshold; g
            has He-normal weights and no biases.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, FEATURES, 1)
        self.feature_relu = nn.ReLU()
        self.hidden = nn.Conv2d(FEATURES, HIDDEN, 1)
        self.hidden_relu = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(HIDDEN, CLASSES)
        source = generator(seed, "planted")
        directions = torch.randn(FEATURES, 3, 1, 1, generator=source)
        with torch.no_grad():
            self.features.weight.copy_(directions / directions.norm(dim=1, keepdim=True))
            self.features.bias.fill_(-THRESHOLD)  # type: ignore[union-attr]
            for layer in (self.hidden, self.fc):
                deviation = (2 / layer.weight[0].numel()) ** 0.5
                layer.weight.copy_(deviation * torch.randn(layer.weight.shape, generator=source))
                layer.bias.zero_()  # type: ignore[union-attr]

    def units(self, inputs: torch.Tensor) -> torch.Tensor:
        """Activations below the pooling, ``(N, HIDDEN, H, W)``."""
        return self.hidden_relu(self.hidden(self.feature_relu(self.features(inputs))))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Inputs ``(N, 3, H, W)`` to logits ``(N, CLASSES)``."""
        return self.fc(self.flatten(self.pool(self.units(inputs))))

    @torch.no_grad()
    def contributions(self, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """What each pixel adds to its image's target logit, compared with the mean colour.

        All attributions that respect additivity agree on it, the Shapley value among them.

        Args:
            inputs: float ``(N, 3, H, W)``.
            targets: int64 ``(N,)``.

        Returns:
            ``(N, H, W)``; they sum to ``f(x) - f(0)``.
        """
        gained = self.units(inputs) - self.units(torch.zeros_like(inputs))
        weights = self.fc.weight[targets][:, :, None, None]
        return (gained * weights).sum(1) / gained[0, 0].numel()


def planted_model(seed: int, device: torch.device | str = "cpu") -> Explainable:
    """A :class:`PixelNetwork` to be explained; g is its top two stages, ``fc`` and ``hidden``.

    Args:
        seed: of all weights.
        device: a torch device.
    """
    names = ("fc", "hidden", "features")
    return Explainable(
        spec="planted",
        module=PixelNetwork(seed).eval().requires_grad_(False).to(device),
        preprocessing=Preprocessing(size=SIZE, resize=SIZE),
        stages=tuple(Stage(name, (name,)) for name in names),
        canonizers=tuple,
    )
