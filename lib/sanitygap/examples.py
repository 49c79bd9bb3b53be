"""Three methods to try the tests on: of gradients, of random numbers, and of the image alone.

They are named like any method of a person's own, as in ``sanitygap.examples:smoothed``.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d


def smoothed(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """Absolute gradient times input, averaged over squares of a fifteenth of the image.

    Args:
        model: the network as it is now: ``(N, 3, H, W)`` to scores ``(N, C)``.
        inputs: float, ``(N, 3, H, W)``.
        targets: explained classes, int64, ``(N,)``.

    Returns:
        Maps ``(N, H, W)``.
    """
    leaf = inputs.requires_grad_()
    score = model(leaf).gather(1, targets[:, None]).sum()
    (gradient,) = torch.autograd.grad(score, leaf)
    values = (gradient * leaf).abs().sum(1, keepdim=True).detach()
    side = 2 * (inputs.shape[-1] // 30) + 1
    return avg_pool2d(values, side, stride=1, padding=side // 2, count_include_pad=False)


def drawn(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """A normal number for each pixel, ``(N, H, W)``, whatever the network."""
    return torch.randn(len(inputs), *inputs.shape[2:])


drawn.random = True  # type: ignore[attr-defined]


def steps(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """How much neighbouring pixels differ, ``(N, 3, H, W)``, whatever the network."""
    return (inputs - inputs.roll(1, -1)).abs() + (inputs - inputs.roll(1, -2)).abs()
