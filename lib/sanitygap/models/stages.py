"""Which modules a randomisation stage redraws."""

import torch
from torch import nn

from sanitygap.models.explainable import Stage

FEWEST_STAGES = 3

#: the stage of parameters that the network owns itself, outside any named part
WHOLE = "(network)"


def owns_parameters(module: nn.Module) -> bool:
    """Whether the module itself, not a child, holds a parameter."""
    return any(parameter is not None for parameter in module._parameters.values())


def execution_order(module: nn.Module, example: torch.Tensor) -> list[str]:
    """Names of the modules that own parameters, in the order of their first call.

    A module that is never called, because another one uses its parameters directly (as attention
    uses its output projection), stands behind the last module of the innermost one around it that
    is called.

    Args:
        module: the network.
        example: an input ``(N, 3, H, W)`` that it accepts.
    """
    called: list[str] = []
    handles = []
    for name, child in module.named_modules():

        def note(_module: nn.Module, _inputs: object, name: str = name) -> None:
            if name not in called:
                called.append(name)

        handles.append(child.register_forward_pre_hook(note))
    try:
        with torch.no_grad():
            module(example)
    finally:
        for handle in handles:
            handle.remove()
    owners = [name for name, child in module.named_modules() if owns_parameters(child)]
    for name in owners:
        if name not in called:
            called.insert(_behind(name, called), name)
    return [name for name in called if name in owners]


def _behind(name: str, called: list[str]) -> int:
    """The place after everything inside the innermost called module around ``name``."""
    around = name
    while around and around not in called:
        around = around.rpartition(".")[0]
    inside = [
        place
        for place, other in enumerate(called)
        if other == around or other.startswith(f"{around}." if around else "")
    ]
    return max(inside, default=-1) + 1


def block_name(name: str, depth: int) -> str:
    """The block a module belongs to: ``depth`` components of its path, and a number behind them.

    ``layer4.1.conv2`` belongs to ``layer4.1`` and ``Mixed_5b.branch1x1.conv`` to ``Mixed_5b`` at
    depth 1, ``features.denseblock1.denselayer2.conv1`` to ``features.denseblock1`` at depth 2.
    A number before that ends the path: it counts the blocks of a sequence.
    """
    parts = name.split(".")
    for position, part in enumerate(parts[: depth + 1]):
        if part.isdigit():
            return ".".join(parts[: position + 1])
    return ".".join(parts[:depth])


def sensible_stages(module: nn.Module, example: torch.Tensor) -> tuple[Stage, ...]:
    """One stage a block, from the output to the input; every parameter belongs to one.

    Blocks are found from the module names. While they are too coarse (fewer than three, or one
    with more than half of the modules), names are cut one level deeper, down to single modules.
    """
    order = execution_order(module, example)
    deepest = max((name.count(".") + 1 for name in order), default=1)
    blocks: dict[str, list[str]] = {}
    for depth in range(1, deepest + 1):
        blocks = {}
        for name in order:
            blocks.setdefault(block_name(name, depth), []).append(name)
        largest = max(map(len, blocks.values()), default=0)
        if len(blocks) >= FEWEST_STAGES and largest <= len(order) / 2:
            break
    else:
        blocks = {name: [name] for name in order}
    return tuple(Stage(name or WHOLE, tuple(members)) for name, members in reversed(blocks.items()))
