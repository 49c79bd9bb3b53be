"""What may stand in for a hidden region: five substitutes for the blur of Binder et al. (2022).

A substitute is a whole second image; hiding a region shows that image instead of the original
there. The regions and their order come from :mod:`sanitygap.faithfulness`.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from sanitygap.faithfulness import OcclusionCurves, blurred, odd, scaled
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


def replaced(inputs: Tensor, substitutes: Tensor, steps: Tensor, count: int) -> Tensor:
    """Inputs with their first ``count`` regions shown from the substitutes.

    Args:
        inputs, substitutes: ``(N, 3, H, W)``.
        steps: at which step each pixel is replaced, ``(N, H, W)``, from
            :func:`sanitygap.faithfulness.occlusion_steps`.
        count: how many regions are replaced.

    Returns:
        ``(N, 3, H, W)``, channels-last.
    """
    changed = torch.where(steps[:, None] <= count, substitutes, inputs)
    return changed.contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def replacement_curves(
    model: Explainable,
    inputs: Tensor,
    targets: Tensor,
    substitutes: Tensor,
    steps: Tensor,
    counts: Sequence[int],
    batch_size: int = 10,
) -> OcclusionCurves:
    """Softmax and logit of the target after some numbers of replaced regions.

    Unlike :func:`sanitygap.faithfulness.occlusion_curves` it takes any substitutes, and can leave
    out states, because several replacements cost several times as much.

    Args:
        model: the network.
        inputs, substitutes, steps: see :func:`replaced`.
        targets: explained classes ``(N,)``.
        counts: numbers of replaced regions.
        batch_size: images in one pass.

    Returns:
        Curves ``(N, len(counts))``.
    """
    states = torch.cat([replaced(inputs, substitutes, steps, count) for count in counts])
    logits = torch.cat([model.module(part) for part in states.split(batch_size)])
    column = targets.repeat(len(counts))[:, None]
    shape = (len(counts), len(inputs))
    return OcclusionCurves(
        softmax=logits.softmax(1).gather(1, column).view(shape).T,
        logit=logits.gather(1, column).view(shape).T,
    )
