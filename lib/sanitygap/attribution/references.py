"""Integrated gradients and DeepLIFT from other references than the zero image.

The references are those of Sturmfels et al. (2020), which Sriram and Conati (2022, Sect. 9) name.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from sanitygap.attribution.deeplift import multipliers
from sanitygap.attribution.gradient import input_gradient
from sanitygap.attribution.method import Request
from sanitygap.faithfulness import blurred
from sanitygap.seeds import generator

#: (request, one image (1, 3, H, W), its number) to a reference of the same shape
Choice = Callable[[Request, Tensor, int], Tensor]


def _zero(request: Request, image: Tensor, number: int) -> Tensor:
    return torch.zeros_like(image)


def _bounds(request: Request, image: Tensor) -> tuple[Tensor, Tensor]:
    low, high = request.model.preprocessing.bounds()
    return low.to(image), high.to(image)


def _farthest(request: Request, image: Tensor, number: int) -> Tensor:
    low, high = _bounds(request, image)
    return torch.where(image - low > high - image, low.expand_as(image), high.expand_as(image))


def _blurred(request: Request, image: Tensor, number: int) -> Tensor:
    return blurred(image, max(3, image.shape[-1] // 7 // 2 * 2 + 1))


def _uniform(request: Request, image: Tensor, number: int) -> Tensor:
    low, high = _bounds(request, image)
    source = generator(request.seed(number, "uniform reference"))
    return low + (high - low) * torch.rand(image.shape, generator=source).to(image)


def _gaussian(request: Request, image: Tensor, number: int) -> Tensor:
    low, high = _bounds(request, image)
    source = generator(request.seed(number, "gaussian reference"))
    noise = torch.randn(image.shape, generator=source).to(image) * (high - low)
    return torch.minimum(torch.maximum(image + noise, low), high)


REFERENCES: dict[str, Choice] = {
    "zero": _zero,
    "maximum distance": _farthest,
    "blurred": _blurred,
    "uniform": _uniform,
    "Gaussian": _gaussian,
}


def path_from(request: Request, reference: str) -> Tensor:
    """Integrated gradients from a reference (Sundararajan et al. 2017), midpoint rule.

    Args:
        request: images and targets; ``sampling.path_steps`` points.
        reference: a name in :data:`REFERENCES`.

    Returns:
        Signed maps ``(N, H, W)``.
    """
    count = request.sampling.path_steps
    maps = []
    for number in range(len(request.inputs)):
        image = request.inputs[number : number + 1]
        start = REFERENCES[reference](request, image, number)
        shares = (torch.arange(count).to(image) + 0.5).view(-1, 1, 1, 1) / count
        points = start + shares * (image - start)
        targets = request.targets[number : number + 1]
        slopes = [
            input_gradient(request.model.module, part, targets.expand(len(part)))
            for part in points.split(request.batch_size)
        ]
        maps.append((torch.cat(slopes).mean(0) * (image - start)[0]).sum(0))
    return torch.stack(maps)


def deeplift_from(request: Request, reference: str) -> Tensor:
    """DeepLIFT with the rescale rule from a reference, image by image.

    Args:
        request: images and targets.
        reference: a name in :data:`REFERENCES`.

    Returns:
        Signed maps ``(N, H, W)``.
    """
    maps = []
    for number in range(len(request.inputs)):
        image = request.inputs[number : number + 1]
        start = REFERENCES[reference](request, image, number)
        alone = replace(request, inputs=image, targets=request.targets[number : number + 1])
        maps.append((multipliers(alone, start)[0] * (image - start)).sum((0, 1)))
    return torch.stack(maps)
