"""Which score is explained: the target logit, or what a last ReLU makes it of."""

import torch
from torch import nn


@torch.no_grad()
def final_activation(module: nn.Module, example: torch.Tensor) -> str:
    """The ReLU whose outputs a network takes for its logits, once they are pooled over space.

    SqueezeNet is such a network. It is found by trying: the last ReLU that is called gives numbers
    made up for it, and the logits are compared with their mean and their maximum over positions.

    Args:
        module: the network.
        example: an input ``(1, 3, H, W)`` that it accepts.

    Returns:
        Name of the module, an ``nn.ReLU`` or ``nn.ReLU6``; empty if the logits are made in another
        way.
    """
    calls: list[str] = []
    parts = {
        name: part for name, part in module.named_modules() if isinstance(part, nn.ReLU | nn.ReLU6)
    }
    handles = [
        part.register_forward_hook(lambda *_, name=name: calls.append(name))
        for name, part in parts.items()
    ]
    try:
        module(example)
    finally:
        for handle in handles:
            handle.remove()
    if not calls or calls.count(calls[-1]) > 1:
        return ""
    made_up: list[torch.Tensor] = []

    def replace(_part: nn.Module, _inputs: object, output: torch.Tensor) -> torch.Tensor:
        numbers = torch.arange(output.numel()).sin().abs().to(output).view(output.shape)
        made_up.append(numbers)
        return numbers.clone()

    handle = parts[calls[-1]].register_forward_hook(replace)
    try:
        logits = module(example)
    finally:
        handle.remove()
    places = made_up[0].flatten(2) if made_up[0].ndim > 2 else made_up[0][..., None]
    pooled = (places.mean(2), places.amax(2))
    found = any(p.shape == logits.shape and torch.allclose(p, logits, rtol=1e-3) for p in pooled)
    return calls[-1] if found else ""
