"""Perturbation methods: hide parts of the image and watch the prediction."""

from functools import cache

import torch
from torch import Tensor, nn

from sanitygap.attribution.method import Pass, Request, one_pass, register
from sanitygap.faithfulness import blurred

#: side of the hidden square and its step, as shares of the image's side
WINDOW, STRIDE = 1 / 5, 1 / 10

#: side of the learned mask before it is enlarged to the image
MASK = 28

#: steps of the optimiser; the paper takes 300, written ``perturbation-mask@300``
ITERATIONS = 50
LEARNING_RATE = 0.1

#: weights of the hidden area and of the mask's total variation, and the latter's exponent
AREA, ROUGHNESS, EXPONENT = 0.01, 0.2, 3


@one_pass("occlusion")
@torch.no_grad()
def occlusion_pass(request: Request) -> Tensor:
    """Occlusion sensitivity (Zeiler and Fergus 2014): logit lost when a square is hidden.

    The square is zero in the model's input space, the mean colour. Each pixel gets the mean over
    the squares that cover it, ``(N, 1, H, W)``.
    """
    size = request.inputs.shape[-1]
    window, step = max(1, round(size * WINDOW)), max(1, round(size * STRIDE))
    starts = sorted({*range(0, size - window, step), size - window})
    places = [(top, left) for top in starts for left in starts]
    full = _logits(request, request.inputs, request.targets)
    total = torch.zeros_like(request.inputs[:, :1])
    covered = torch.zeros_like(total)
    for first in range(0, len(places), request.batch_size):
        some = places[first : first + request.batch_size]
        for image in range(len(request.inputs)):
            copies = request.inputs[image : image + 1].repeat(len(some), 1, 1, 1)
            for copy, (top, left) in zip(copies, some, strict=True):
                copy[:, top : top + window, left : left + window] = 0
            lost = full[image] - _logits(request, copies, request.targets[image].expand(len(some)))
            for loss, (top, left) in zip(lost, some, strict=True):
                total[image, :, top : top + window, left : left + window] += loss
                covered[image, :, top : top + window, left : left + window] += 1
    return total / covered


def _logits(request: Request, inputs: Tensor, targets: Tensor) -> Tensor:
    logits: Tensor = request.model.module(inputs.contiguous(memory_format=torch.channels_last))
    return logits.gather(1, targets[:, None])[:, 0]


@cache
def mask_pass(iterations: int = ITERATIONS) -> Pass:
    """A pass that learns which places to blur so that the prediction falls, ``(N, 1, H, W)``.

    All images of the batch are optimised at once; they do not interact.

    Args:
        iterations: steps of Adam.
    """

    def compute(request: Request) -> Tensor:
        images = request.inputs
        hidden = blurred(images, max(3, round(images.shape[-1] * WINDOW) // 2 * 2 + 1))
        mask = images.new_full((len(images), 1, MASK, MASK), 0.5).requires_grad_()
        optimizer = torch.optim.Adam([mask], lr=LEARNING_RATE)
        for _ in range(iterations):
            shown = nn.functional.interpolate(mask, images.shape[2:], mode="bilinear")
            logits = request.model.module(hidden + shown * (images - hidden))
            kept = logits.softmax(1).gather(1, request.targets[:, None]).sum()
            cost = AREA * (1 - mask).abs().sum() + ROUGHNESS * _variation(mask)
            (slope,) = torch.autograd.grad(kept + cost, mask)
            mask.grad = slope
            optimizer.step()
            mask.data.clamp_(0, 1)
        return 1 - nn.functional.interpolate(mask.detach(), images.shape[2:], mode="bilinear")

    return compute


def _variation(mask: Tensor) -> Tensor:
    across = (mask[..., 1:] - mask[..., :-1]).abs().pow(EXPONENT).sum()
    return across + (mask[..., 1:, :] - mask[..., :-1, :]).abs().pow(EXPONENT).sum()


register(
    "perturbation-mask",
    mask_pass(),
    "Meaningful perturbation (Fong and Vedaldi 2017): what a learned mask has to blur.",
)
