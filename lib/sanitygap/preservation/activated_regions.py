"""Do explanations stay where the kept feature map is active? (Binder et al. 2022, §4.3.)

Write a network as g(phi(x)), with the weights of g redrawn. The paper concludes that maps remain
dominated by the regions in which phi, the last unrandomised feature map, has large activations.
The theorem behind it is about activations that are not negative.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from sanitygap.errors import UsageError
from sanitygap.models.explainable import Explainable, Stage
from sanitygap.models.hooks import hooked


@torch.no_grad()
def kept_features(model: Explainable, inputs: Tensor, lowest: Stage) -> Tensor:
    """What flows into a stage: the last feature map below it.

    Args:
        model: the network.
        inputs: ``(N, 3, H, W)``.
        lowest: the lowest stage that is redrawn.

    Returns:
        ``(N, C, h, w)``: the first input of the stage's first module.

    Raises:
        UsageError: that input has no positions, as below a dense layer.
    """
    seen: list[Tensor] = []
    module = model.module.get_submodule(lowest.modules[0])
    # a copy: an operation in place may follow
    with module.register_forward_pre_hook(lambda _, given: seen.append(given[0].clone())):
        model.module(inputs)
    if seen[0].ndim != 4 or seen[0].shape[2] * seen[0].shape[3] < 2:
        raise UsageError(f"what flows into {lowest.name} has no positions in the image")
    return seen[0]


def has_positions(model: Explainable, inputs: Tensor, lowest: Stage) -> bool:
    """Whether :func:`kept_features` is defined for a stage."""
    try:
        kept_features(model, inputs[:1], lowest)
    except UsageError:
        return False
    return True


@torch.no_grad()
def above_activations(model: Explainable, inputs: Tensor, lowest: Stage) -> Stage | None:
    """The part of a stage that begins with a convolution whose inputs are not negative.

    Theorem 2 assumes that of the kept features. What flows into a stage can have both signs: blocks
    with linear ends hand on such features, and only behind their first activation none is negative.

    Args:
        model: the network.
        inputs: ``(N, 3, H, W)``, the images by which signs are told.
        lowest: the stage.

    Returns:
        The modules of the stage from that convolution on; None if it has none whose inputs have
        positions and no negative value.
    """
    parts = {name: model.module.get_submodule(name) for name in lowest.modules}
    convolutions = {
        name: part for name, part in parts.items() if isinstance(part, nn.modules.conv._ConvNd)
    }
    fitting: set[str] = set()

    def examine(name: str, given: tuple[Tensor, ...]) -> None:
        if given[0].shape[2:].numel() > 1 and bool((given[0] >= 0).all()):
            fitting.add(name)

    with hooked(convolutions, before=examine):
        model.module(inputs)
    first = next((name for name in lowest.modules if name in fitting), None)
    if first is None:
        return None
    return Stage(lowest.name, lowest.modules[lowest.modules.index(first) :])


def spread(activity: Tensor, size: tuple[int, int]) -> Tensor:
    """Activity ``(N, h, w)`` brought to the size of the image by bilinear interpolation."""
    return interpolate(activity[:, None], size, mode="bilinear", align_corners=False)[:, 0]


def mass_ratio(maps: Tensor, activity: Tensor, share: float = 0.1) -> Tensor:
    """How much more of a map lies in the most active regions than their area would hold.

    Args:
        maps: attribution maps ``(N, H, W)``; their absolute values count.
        activity: ``(N, H, W)``; the pixels with the largest ``share`` of its values are chosen,
            ties in reading order.
        share: share of the area, 0 to 1.

    Returns:
        Share of the map's absolute mass over share of the area, ``(N,)``: 1 for a map that does
        not care, ``1 / share`` for one that lies inside; NaN for an all-zero map.
    """
    mass = maps.abs().flatten(1).double()
    count = max(1, round(share * mass.shape[1]))
    order = activity.flatten(1).argsort(dim=1, descending=True, stable=True)[:, :count]
    inside = mass.gather(1, order).sum(1) / mass.sum(1)
    return inside / (count / mass.shape[1])
