"""What the paper says of its five architectures, counted in torchvision's networks."""

import warnings
from typing import Any

import torch
from captum.attr import GuidedBackprop
from torch import nn
from torch.overrides import TorchFunctionMode

from sanitygap.attribution.gradient import input_gradient
from sanitygap.models.stages import (
    LAYERS,
    execution_order,
    sensible_stages,
    sriram_conati_stages,
    untrained,
)
from sanitygap.randomization import NORM_LAYERS

RELU = ("relu", "relu_", "relu6", "hardtanh")


class _Calls(TorchFunctionMode):
    """Counts the calls of ReLU and ReLU6, as modules or as functions; not those inside of them."""

    count = 0

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.count += getattr(func, "__name__", "") in RELU
        return func(*args, **(kwargs or {}))  # the mode rests in here: relu6 is made of hardtanh


def relu_calls(module: nn.Module, example: torch.Tensor) -> int:
    """How many ReLU or ReLU6 a forward pass calls, whoever calls them."""
    with _Calls() as calls, torch.no_grad():
        module(example)
    return calls.count


def example_for(name: str) -> torch.Tensor:
    """An input without storage that torchvision's network of a name accepts."""
    size = 299 if name == "inception_v3" else 224
    return torch.zeros(1, 3, size, size, device="meta")


def counts(name: str) -> dict[str, Any]:
    """What one of the five networks is made of.

    Returns:
        ``relu_calls`` in a forward pass; ``relu_modules``, the distinct modules of the class
        ``nn.ReLU`` that captum can hook; ``convolutions``; ``convolution_biases`` and
        ``dense_biases``, the layers that have one; ``norm_shifts``, the normalisation layers
        that shift.
    """
    network = untrained(name)
    parts = list(network.modules())

    def with_bias(kind: Any) -> int:
        return sum(isinstance(part, kind) and part.bias is not None for part in parts)

    return {
        "network": name,
        "relu_calls": relu_calls(network, example_for(name)),
        "relu_modules": sum(isinstance(part, nn.ReLU) for part in parts),
        "convolutions": sum(isinstance(part, nn.Conv2d) for part in parts),
        "convolution_biases": with_bias(nn.Conv2d),
        "dense_biases": with_bias(nn.Linear),
        "norm_shifts": with_bias(NORM_LAYERS),
    }


def layer_rules(name: str) -> dict[str, int]:
    """How many layers one of the five networks has under each of several uniform rules."""
    network, example = untrained(name), example_for(name)
    owners, blocks = execution_order(network, example), sensible_stages(network, example)
    parts = dict(network.named_modules())
    kinds = [type(parts[owner]) for owner in owners]
    dense = [{type(parts[member]) for member in block.modules} == {nn.Linear} for block in blocks]
    without = [block for block, alone in zip(blocks, dense, strict=True) if not alone]
    return {
        "every module with parameters": len(owners),
        "convolutions": sum(issubclass(kind, nn.Conv2d) for kind in kinds),
        "convolutions and dense layers": sum(
            issubclass(kind, nn.Conv2d | nn.Linear) for kind in kinds
        ),
        "blocks": len(blocks),
        "blocks without dense layers": len(without),
        "blocks of several layers": sum(len(block.modules) > 2 for block in without),
        "top-level parts with parameters": len({owner.partition(".")[0] for owner in owners}),
    }


def rule_rows() -> list[dict[str, Any]]:
    """Stated and counted layers of each network, by every uniform rule and by mixed ones."""
    rows = []
    for name, layers in LAYERS.items():
        mixed = len(sriram_conati_stages(untrained(name), example_for(name)))
        rows += [
            {"network": name, "stated": layers.stated, "rule": rule, "counted": count}
            for rule, count in (layer_rules(name) | {"mixed": mixed}).items()
        ]
    return rows


def random_copy(name: str, seed: int) -> nn.Module:
    """torchvision's network with random weights that keep activations finite, on the CPU.

    Its auxiliary classifier is left out. What captum can hook does not depend on weights.
    """
    network = _made(name)
    source = torch.Generator().manual_seed(seed)
    for value in network.parameters():
        if value.ndim > 1:
            value.data = torch.randn(value.shape, generator=source) * (2 / value[0].numel()) ** 0.5
    return network.eval().requires_grad_(False)


def _made(name: str) -> nn.Module:
    from torchvision import models

    options = {"aux_logits": False, "init_weights": False} if name == "inception_v3" else {}
    with torch.device("meta"):
        network = models.get_model(name, weights=None, **options)
    network = network.to_empty(device="cpu")
    for part in network.modules():
        if isinstance(part, NORM_LAYERS):
            part.reset_parameters()
        bias = getattr(part, "bias", None)
        if isinstance(bias, torch.Tensor) and not isinstance(part, NORM_LAYERS):
            bias.data.zero_()
    return network


def silent_hooks(module: nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> float:
    """How far captum's guided backpropagation is from the plain gradient, over the latter's norm.

    Zero means that no activation was guided.
    """
    plain = input_gradient(module, inputs, targets)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        guided = GuidedBackprop(module).attribute(inputs.clone(), target=targets).detach()
    return float((guided - plain).norm() / plain.norm())
