"""Deep image priors, many at once: small decoders that draw one patch each (Khakzar et al., 3.5).

The parameters of all decoders are stacked along a first axis, and grouped convolutions run them
side by side, so a batch of patches costs little more than the arithmetic of each.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch.nn import functional

from sanitygap.seeds import generator

#: channels of the seed and of each resolution, from coarse to fine
WIDTHS = (32, 32, 32, 16)

#: spread of the seed; the authors' network reads uniform noise of this size
SEED_RANGE = 0.1

SLOPE = 0.2


class Prior(ABC):
    """What makes patches from parameters.

    Args:
        size: side of a patch in pixels.
        seeds: one a patch.
        device: a torch device.

    Attributes:
        seeds: what the parameters work on; its first axis numbers the patches.
        parameters: likewise, what is optimised.
    """

    def __init__(self, size: int, seeds: Sequence[object], device: torch.device) -> None:
        self.size, self.device = size, device
        drawn = [self._draw(seed) for seed in seeds]
        stacked = [torch.stack(tensors).to(device) for tensors in zip(*drawn, strict=True)]
        self.seeds, self.parameters = stacked[0], [t.requires_grad_() for t in stacked[1:]]

    @abstractmethod
    def _draw(self, seed: object) -> list[torch.Tensor]:
        """The seed and the parameters of one patch."""

    @abstractmethod
    def patches(self, which: Sequence[int]) -> torch.Tensor:
        """Some patches: RGB values in (0, 1), ``(len(which), 3, size, size)``."""

    @torch.no_grad()
    def restart(self, place: int, seed: object) -> None:
        """Draw seed and parameters of one patch anew."""
        for tensor, new in zip([self.seeds, *self.parameters], self._draw(seed), strict=True):
            tensor[place] = new.to(self.device)


class DecoderPrior(Prior):
    """One decoder with random weights and a fixed random seed for each patch.

    A decoder has four resolutions, from an eighth of the patch's side to all of it. At each of
    them: 3x3 convolution, normalisation over the patch's pixels, leaky ReLU; bilinear upsampling
    between them; a 1x1 convolution to RGB and a sigmoid at the end.
    """

    def _draw(self, seed: object) -> list[torch.Tensor]:
        source = generator(seed, "prior")
        small = -(-self.size // 2 ** (len(WIDTHS) - 1))
        tensors = [SEED_RANGE * torch.rand(WIDTHS[0], small, small, generator=source)]
        for before, width in zip((WIDTHS[0], *WIDTHS), WIDTHS, strict=False):
            deviation = (2 / (9 * before)) ** 0.5
            tensors.append(deviation * torch.randn(width, before, 3, 3, generator=source))
            tensors += [torch.ones(width), torch.zeros(width)]
        deviation = (1 / WIDTHS[-1]) ** 0.5
        tensors.append(deviation * torch.randn(3, WIDTHS[-1], 1, 1, generator=source))
        return [*tensors, torch.zeros(3)]

    def patches(self, which: Sequence[int]) -> torch.Tensor:
        """Some patches: RGB values in (0, 1), ``(len(which), 3, size, size)``."""
        chosen = torch.tensor(which, device=self.device)
        count, values = len(which), self.seeds[chosen]
        parameters = [tensor[chosen] for tensor in self.parameters]
        for number in range(len(WIDTHS)):
            weights, scale, shift = parameters[3 * number : 3 * number + 3]
            if number:
                values = functional.interpolate(values, scale_factor=2, mode="bilinear")
            values = _side_by_side(values, weights)
            values = functional.instance_norm(values)
            values = values * scale[:, :, None, None] + shift[:, :, None, None]
            values = functional.leaky_relu(values, SLOPE)
        weights, shift = parameters[-2:]
        colours = _side_by_side(values, weights) + shift[:, :, None, None]
        start = (colours.shape[-1] - self.size) // 2
        stop = start + self.size
        return colours[:, :, start:stop, start:stop].sigmoid().view(count, 3, self.size, self.size)


def _side_by_side(values: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Each sample ``(C, h, w)`` through its own convolution ``(D, C, k, k)``, same size."""
    count, width = weights.shape[:2]
    margin = weights.shape[-1] // 2
    if margin:
        values = functional.pad(values, (margin,) * 4, mode="reflect")
    outputs = functional.conv2d(values.flatten(0, 1)[None], weights.flatten(0, 1), groups=count)
    return outputs[0].unflatten(0, (count, width))


class PixelPrior(Prior):
    """No prior: the pixels themselves, through a sigmoid; the control for :class:`DecoderPrior`."""

    def _draw(self, seed: object) -> list[torch.Tensor]:
        source = generator(seed, "prior")
        return [torch.empty(0), 0.1 * torch.randn(3, self.size, self.size, generator=source)]

    def patches(self, which: Sequence[int]) -> torch.Tensor:
        """Some patches: RGB values in (0, 1), ``(len(which), 3, size, size)``."""
        return self.parameters[0][torch.tensor(which, device=self.device)].sigmoid()


PRIORS: dict[str, type[Prior]] = {"decoder": DecoderPrior, "pixels": PixelPrior}
