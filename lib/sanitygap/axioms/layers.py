"""Layers of decreasing resolution, for methods that can look at any (Khakzar et al., Table 2)."""

from __future__ import annotations

import torch

from sanitygap.errors import NotDefinedError
from sanitygap.models.explainable import Explainable

#: the paper looks at four layers of a ResNet
DEPTHS = 4


def resolution_layers(model: Explainable, depths: int = DEPTHS) -> list[str]:
    """The last block of each of the last few resolutions, from the input to the output.

    In a ResNet these are the last blocks of layer1 to layer4.

    Args:
        model: the network.
        depths: how many.

    Raises:
        NotDefinedError: fewer blocks of different resolution return feature maps.
    """
    modules = dict(model.module.named_modules())
    blocks = [stage.name for stage in reversed(model.stages) if stage.name in modules]
    found: dict[int, str] = {}
    handles = []
    for name in blocks:

        def note(_module: object, _inputs: object, output: object, name: str = name) -> None:
            if isinstance(output, torch.Tensor) and output.ndim == 4 and output.shape[-1] > 1:
                found[output.shape[-1]] = name

        handles.append(modules[name].register_forward_hook(note))
    try:
        with torch.no_grad():
            size = model.preprocessing.size
            model.module(torch.zeros(1, 3, size, size, device=model.device))
    finally:
        for handle in handles:
            handle.remove()
    if len(found) < depths:
        raise NotDefinedError(
            f"{model.spec} has feature maps of {len(found)} resolutions only, not {depths}"
        )
    return [found[side] for side in sorted(found, reverse=True)][-depths:]
