"""Extremal perturbation: the mask of a given area that keeps the class best (Fong et al. 2019).

The mask blends the image with a blurred copy. It is smooth by construction: the largest of the
bumps that its parameters place, softly. Its area is enforced by its sorted values, which a
penalty of growing weight pulls to the ideal ones: 1 for the given share of pixels, 0 for the rest.
"""

from functools import cache, partial

import torch
from torch import Tensor, nn

from sanitygap.attribution.method import Pass, Request, register

#: share of the image that is kept
AREA = 0.1
#: steps of gradient descent; the authors take 800, written ``extremal-perturbation@800``
STEPS = 100
#: their size and momentum
LEARNING_RATE, MOMENTUM = 0.01, 0.9
#: weight of the area penalty at the start, and by how much it has grown at the end
PENALTY, GROWTH = 300.0, 1.0035**800
#: pixels between the mask's parameters, and width of their bumps in pixels
SPACING, WIDTH = 7, 21.0
#: sharpness of the soft maximum over bumps
SHARPNESS = 20.0
#: standard deviation of the blur that deletes, in pixels
BLUR = 20.0


class SmoothMasks:
    """Masks of one batch, ``(N, 1, h, w)`` parameters to ``(N, 1, size, size)`` values.

    Args:
        size: side of the image in pixels.
        like: gives device and dtype.
    """

    def __init__(self, size: int, like: Tensor) -> None:
        self.size = size
        self.cells = -(-size // SPACING)
        # a bump is flat up to half a width and falls off within two more
        self.reach = int(2.5 * WIDTH / SPACING)
        offsets = SPACING * torch.arange(-self.reach, self.reach + 1).to(like)
        distance = (offsets[:, None].square() + offsets.square()).sqrt() / WIDTH
        self.bump = torch.exp(-2 * (distance - 0.5).clamp_min(0).square()).flatten()
        self.side = 2 * self.reach + 1

    def start(self, count: int, level: float) -> Tensor:
        """Parameters of flat masks; cells beyond the border have parameters too."""
        cells = self.cells + 2 * self.reach
        return torch.full((count, 1, cells, cells), level).to(self.bump)

    def __call__(self, parameters: Tensor) -> Tensor:
        """Masks of parameters in [0, 1]."""
        windows = nn.functional.unfold(parameters, self.side) * self.bump[:, None]
        weights = (SHARPNESS * windows).softmax(1)
        coarse = (weights * windows).sum(1).view(-1, 1, self.cells, self.cells)
        return nn.functional.interpolate(coarse, self.size, mode="bilinear")


def area_penalty(masks: Tensor, area: float) -> Tensor:
    """Mean squared distance of a mask's sorted values from 0 ... 0 1 ... 1, ``(N,)``.

    Args:
        masks: ``(N, 1, H, W)``, values in [0, 1].
        area: share of ones in the ideal.
    """
    values = masks.flatten(1).sort(1).values
    ideal = torch.zeros_like(values[0])
    ideal[round((1 - area) * len(ideal)) :] = 1
    return (values - ideal).square().mean(1)


def blurred(images: Tensor, deviation: float = BLUR) -> Tensor:
    """Gaussian blur with repeated borders, ``(N, C, H, W)``."""
    reach = round(2.5 * deviation)
    weights = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / deviation).square())
    weights = (weights / weights.sum()).to(images)
    count, channels = images.shape[:2]
    values = nn.functional.pad(images, (reach,) * 4, mode="replicate").flatten(0, 1)[:, None]
    values = nn.functional.conv2d(values, weights.view(1, 1, -1, 1))
    values = nn.functional.conv2d(values, weights.view(1, 1, 1, -1))
    return values.view(count, channels, *images.shape[2:])


def extremal_masks(request: Request, area: float = AREA, steps: int = STEPS) -> Tensor:
    """Masks of a given area under which the target logit is largest (preservation game).

    Args:
        request: the model, inputs ``(N, 3, H, W)`` and targets.
        area: share of the image that is kept.
        steps: of gradient descent; the penalty grows as much over fewer steps.

    Returns:
        Values in [0, 1], ``(N, 1, H, W)``.
    """
    inputs = request.inputs.detach()
    vague = blurred(inputs)
    shape = SmoothMasks(inputs.shape[-1], inputs)
    parameters = shape.start(len(inputs), 0.5).requires_grad_()
    optimizer = torch.optim.SGD([parameters], lr=LEARNING_RATE, momentum=MOMENTUM)
    weight = PENALTY
    for _ in range(steps):
        slopes = torch.zeros_like(parameters)
        for start in range(0, len(inputs), request.batch_size):
            chosen = slice(start, start + request.batch_size)
            masks = shape(parameters[chosen])
            mixed = masks * inputs[chosen] + (1 - masks) * vague[chosen]
            mixed = mixed.contiguous(memory_format=torch.channels_last)
            logits = request.model.module(mixed)
            scores = logits.gather(1, request.targets[chosen, None])
            loss = weight * area_penalty(masks, area).sum() - scores.sum()
            slopes[chosen] = torch.autograd.grad(loss, parameters)[0][chosen]
        parameters.grad = slopes
        optimizer.step()
        with torch.no_grad():
            parameters.clamp_(0, 1)
        weight *= GROWTH ** (1 / steps)
    with torch.no_grad():
        return shape(parameters)


@cache
def mask_pass(steps: int = STEPS) -> Pass:
    """A pass that gives extremal masks, ``(N, 1, H, W)``."""
    return partial(extremal_masks, steps=steps)


register(
    "extremal-perturbation",
    mask_pass(),
    "Extremal perturbation (Fong et al. 2019): smooth mask of a tenth of the image.",
)
