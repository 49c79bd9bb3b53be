"""What may stand in for a hidden region: five substitutes for the blur of Binder et al. (2022).

A substitute is a whole second image; hiding a region shows that image instead of the original
there. The regions and their order come from :mod:`sanitygap.faithfulness`.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from sanitygap.faithfulness import blurred, odd, scaled
from sanitygap.models.explainable import Explainable
from sanitygap.seeds import generator

#: side of the wide blur in pixels of a 224-pixel input: three regions, so that shapes vanish too
WIDE_BLUR = 45

#: (model, inputs (N, 3, H, W), one seed an image) to substitutes of the inputs' shape
Replacement = Callable[[Explainable, Tensor, Sequence[int]], Tensor]


def blur(model: Explainable, inputs: Tensor, seeds: Sequence[int]) -> Tensor:
    """Box blur of 15 of 224 pixels: the paper's own choice (Binder et al. 2022, A.1)."""
    return blurred(inputs)


def wide_blur(model: Explainable, inputs: Tensor, seeds: Sequence[int]) -> Tensor:
    """Box blur of 45 of 224 pixels."""
    return blurred(inputs, odd(scaled(WIDE_BLUR, inputs.shape[-1])))


def black(model: Explainable, inputs: Tensor, seeds: Sequence[int]) -> Tensor:
    """The colour black."""
    low, _ = model.preprocessing.bounds()
    return low.to(inputs).expand_as(inputs)


def mean_color(model: Explainable, inputs: Tensor, seeds: Sequence[int]) -> Tensor:
    """Each image's own mean colour."""
    return inputs.mean((2, 3), keepdim=True).expand_as(inputs)


def uniform_noise(model: Explainable, inputs: Tensor, seeds: Sequence[int]) -> Tensor:
    """Colours drawn uniformly, pixel by pixel and channel by channel (Samek et al. 2017)."""
    low, high = (bound.to(inputs) for bound in model.preprocessing.bounds())
    shape = tuple(inputs.shape[1:])
    shares = torch.stack([torch.rand(shape, generator=generator(seed)) for seed in seeds])
    return low + (high - low) * shares.to(inputs)


REPLACEMENTS: dict[str, Replacement] = {
    "blur": blur,
    "wide blur": wide_blur,
    "black": black,
    "mean colour": mean_color,
    "random colours": uniform_noise,
}
