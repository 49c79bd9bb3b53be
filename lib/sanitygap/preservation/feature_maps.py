"""The last feature map of a network, where activations still have a place in the image."""

from typing import Any

import torch
from torch import nn

from sanitygap.errors import UsageError
from sanitygap.models.explainable import Explainable


def last_spatial_module(model: Explainable) -> str:
    """Name of the last module below the classifier whose output has more than one position.

    Only modules without parts count, and only outputs ``(N, C, h, w)`` with ``h w > 1``. The
    classifier begins where the first module of the topmost stage is called.

    Raises:
        UsageError: there is none.
    """
    modules = dict(model.module.named_modules())
    top = set(model.stages[0].modules)
    found: list[str] = []
    reached = [False]
    handles = []
    for name, module in modules.items():
        if name in top:
            handles.append(
                module.register_forward_pre_hook(lambda *_: reached.__setitem__(0, True))
            )
        elif not any(module.children()):

            def note(_module: nn.Module, _inputs: Any, output: Any, name: str = name) -> None:
                spatial = isinstance(output, torch.Tensor) and output.ndim == 4
                if not reached[0] and spatial and output.shape[2] * output.shape[3] > 1:
                    found.append(name)

            handles.append(module.register_forward_hook(note))
    size = model.preprocessing.size
    try:
        with torch.no_grad():
            model.module(torch.zeros(1, 3, size, size, device=model.device))
    finally:
        for handle in handles:
            handle.remove()
    if not found:
        raise UsageError(
            f"{model.spec} has no feature map with more than one position below its classifier"
        )
    return found[-1]


@torch.no_grad()
def feature_map(model: Explainable, place: str, inputs: torch.Tensor) -> torch.Tensor:
    """What a module gives at its last call.

    Args:
        model: the network, possibly with randomised stages.
        place: name of the module, as from :func:`last_spatial_module`.
        inputs: float ``(N, 3, H, W)``.

    Returns:
        ``(N, C, h, w)``.
    """
    found: list[torch.Tensor] = []

    def keep(_module: nn.Module, _inputs: Any, output: torch.Tensor) -> None:
        found[:] = [output.clone()]  # a copy: an operation in place may follow

    handle = model.module.get_submodule(place).register_forward_hook(keep)
    try:
        model.module(inputs)
    finally:
        handle.remove()
    return found[0]


def energy(features: torch.Tensor) -> torch.Tensor:
    """Sum over channels of squared activations: ``(N, C, h, w)`` to ``(N, h, w)``.

    It says where a feature map is active, whatever its channels mean.
    """
    return features.square().sum(1)
