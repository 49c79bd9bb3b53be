"""The last feature map of a network, where activations still have a place in the image."""

from typing import Any

import torch
from torch import nn

from sanitygap.errors import UsageError
from sanitygap.models.explainable import Explainable


@torch.no_grad()
def last_feature_map(model: Explainable, inputs: torch.Tensor) -> torch.Tensor:
    """Activations of the last module with more than one position, below the classifier.

    Args:
        model: the network, possibly with randomised stages.
        inputs: float ``(N, 3, H, W)``.

    Returns:
        ``(N, C, h, w)`` with ``h w > 1``: the last such output of a module without parts, before
        the first module of the topmost stage is called.

    Raises:
        UsageError: there is none.
    """
    modules = dict(model.module.named_modules())
    found: list[torch.Tensor] = []
    below = [True]

    def keep(_module: nn.Module, _inputs: Any, output: Any) -> None:
        spatial = isinstance(output, torch.Tensor) and output.ndim == 4
        if below[0] and spatial and output.shape[2] * output.shape[3] > 1:
            found[:] = [output.clone()]  # a copy: an operation in place may follow

    def stop(_module: nn.Module, _inputs: Any) -> None:
        below[0] = False

    handles = [
        module.register_forward_hook(keep)
        for module in modules.values()
        if not any(module.children())
    ]
    handles += [modules[name].register_forward_pre_hook(stop) for name in model.stages[0].modules]
    try:
        model.module(inputs)
    finally:
        for handle in handles:
            handle.remove()
    if not found:
        raise UsageError(
            f"{model.spec} has no feature map with more than one position below its classifier"
        )
    return found[0]


def energy(features: torch.Tensor) -> torch.Tensor:
    """Sum over channels of squared activations: ``(N, C, h, w)`` to ``(N, h, w)``.

    It says where a feature map is active, whatever its channels mean.
    """
    return features.square().sum(1)
