"""Skip connections: what goes around a layer, and the additive surrogate (Binder et al., Sec. 4.2).

A residual block adds two tensors, h through the skip and r through the weighted branch. The
addition has to be a :class:`zennit.layer.Sum` of two stacked addends, as in EfficientNet-Lite0;
:func:`explicit_sums` makes it one in torchvision's ResNets.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn.modules.module import register_module_forward_pre_hook
from zennit.canonizers import AttributeCanonizer
from zennit.layer import Sum

from sanitygap.models.explainable import Explainable, Stage
from sanitygap.models.hooks import hooked
from sanitygap.models.stages import execution_order

Part = Literal["skip", "branch"]
PARTS: tuple[Part, ...] = ("skip", "branch")


@dataclass(frozen=True)
class Residual:
    """A residual block.

    Attributes:
        block: name of the module that adds.
        sum: name of its :class:`~zennit.layer.Sum`.
        slots: place of the skip and of the branch among the stacked addends.
        branch: names of the modules with weights on the weighted path, in the order of calls.
        shortcut: those on the skip: none, or a projection where shapes change.
    """

    block: str
    sum: str
    slots: tuple[int, int]
    branch: tuple[str, ...]
    shortcut: tuple[str, ...]

    def slot(self, part: Part) -> int:
        """Place of a part among the stacked addends."""
        return self.slots[PARTS.index(part)]


@contextmanager
def explicit_sums(model: Explainable) -> Iterator[Explainable]:
    """The model with every addition that its canonizers know made a module, for all methods.

    LRP rewrites such networks while it runs; here the rewriting stays, so that gradient methods
    and plain forward passes can be split as well. The function computed is the same.

    Yields:
        The same network; its canonizers are those that are left to be applied. Use it, not
        ``model``, inside: a network cannot be rewritten twice.
    """
    instances = []
    try:
        for canonizer in model.canonizers():
            if isinstance(canonizer, AttributeCanonizer):
                instances += canonizer.apply(model.module)
        yield replace(
            model,
            canonizers=lambda: [
                canonizer
                for canonizer in model.canonizers()
                if not isinstance(canonizer, AttributeCanonizer)
            ],
        )
    finally:
        for instance in reversed(instances):
            instance.remove()


def residual_blocks(model: Explainable) -> list[Residual]:
    """The residual blocks of a network, in the order of the forward pass.

    Which layers lie on which path is found by trying: a layer whose output is made NaN poisons
    the addend that depends on it. The addend that fewer layers poison is the skip.

    Args:
        model: the network inside :func:`explicit_sums`.

    Returns:
        Blocks that are modules of one input, called once, with one sum of two addends; empty for a
        network that adds nothing, or adds by bare functions that no canonizer knows.
    """
    modules = dict(model.module.named_modules())
    named = [name for name, part in modules.items() if isinstance(part, Sum)]
    parents = [name.rpartition(".")[0] for name in named]
    sums = {
        parent: name
        for parent, name in zip(parents, named, strict=True)
        if parent and parents.count(parent) == 1
    }
    taken: dict[str, list[Tensor]] = {}
    with hooked(
        {block: modules[block] for block in sums},
        before=lambda block, given: taken.setdefault(block, []).append(given[0]),
    ):
        order = execution_order(model.module, model.example)
    found = []
    for block, inputs in taken.items():
        if len(inputs) == 1:
            layers = [name for name in order if name.startswith(f"{block}.")]
            found += _examined(modules, block, sums[block], layers, inputs[0])
    return found


def blocks_of(model: Explainable) -> list[Residual]:
    """The residual blocks of a model that is not rewritten, in the order of the forward pass."""
    with explicit_sums(model) as explicit:
        return residual_blocks(explicit)


def _examined(
    modules: dict[str, nn.Module], block: str, sum_name: str, layers: list[str], taken: Tensor
) -> list[Residual]:
    """The block as a residual block, or nothing if its sum does not have two addends."""
    paths: tuple[list[str], list[str]] = ([], [])
    for layer in layers:
        poison = modules[layer].register_forward_hook(
            lambda _module, _inputs, output: torch.full_like(output, torch.nan)
        )
        with poison, torch.no_grad(), _addends(modules[sum_name]) as seen:
            modules[block](taken.clone())
        if len(seen) != 1 or seen[0].shape[-1] != 2:
            return []
        for slot, path in enumerate(paths):
            if seen[0][..., slot].isnan().any():
                path.append(layer)
    slots = (0, 1) if len(paths[0]) < len(paths[1]) else (1, 0)
    if len(paths[0]) == len(paths[1]):
        return []
    branch, shortcut = tuple(paths[slots[1]]), tuple(paths[slots[0]])
    return [Residual(block, sum_name, slots, branch, shortcut)]


@contextmanager
def _addends(summing: nn.Module) -> Iterator[list[Tensor]]:
    """Records the stacked addends of a sum while it is open."""
    seen: list[Tensor] = []
    with summing.register_forward_pre_hook(lambda _, values: seen.append(values[0])):
        yield seen


@torch.no_grad()
def addends(
    model: Explainable, residual: Residual, inputs: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """What a block adds, and the logits.

    Args:
        model: the network inside :func:`explicit_sums`.
        residual: the block.
        inputs: float ``(N, 3, H, W)``.

    Returns:
        h through the skip and r through the branch, each ``(N, C, h, w)``, and the logits
        ``(N, classes)``.
    """
    with _addends(model.module.get_submodule(residual.sum)) as seen:
        logits = model.module(inputs)
    stacked = seen[0].clone()
    return stacked[..., residual.slot("skip")], stacked[..., residual.slot("branch")], logits


@contextmanager
def only_through(model: Explainable, residual: Residual, part: Part) -> Iterator[None]:
    """Explanations made inside flow through one of the two paths of a block and not the other.

    The forward pass is untouched. In the backward pass what belongs to the other addend is set to
    zero, after the method's own rule has split it at the addition. For a method that is linear in
    the function this gives, for an affine top, E{B} (``skip``) and E{A} (``branch``) of Eq. (6);
    for LRP, the two components of Fig. 7. The two always add up to the whole.

    Args:
        model: the network inside :func:`explicit_sums`.
        residual: the block.
        part: the path that stays open.
    """
    summing = model.module.get_submodule(residual.sum)
    closed = residual.slot("branch" if part == "skip" else "skip")

    def close(gradient: Tensor) -> Tensor:
        open_ = torch.ones(gradient.shape[-1]).to(gradient)
        open_[closed] = 0
        return gradient * open_

    def split(module: nn.Module, values: tuple[Any, ...]) -> None:
        if module is summing and values[0].requires_grad:
            values[0].register_hook(close)

    # a global hook runs before those of LRP, which wrap the addends into a rule
    with register_module_forward_pre_hook(split):
        yield


class LinearTop:
    """The layers above a block's addition, linearised at one point (Eq. 5 of Binder et al.).

    With z = h + r the sum at the trained weights and T the layers above, the surrogate of
    f(x'; theta') = T(z') is T(z) + J (z' - z), with J the Jacobian of T at z. It splits into
    A = J r(x'; theta'), which depends on the redrawn weights theta', and B, which does not.

    Args:
        model: the network inside :func:`explicit_sums`, with its trained weights.
        residual: the block.
        inputs: float ``(N, 3, H, W)``, the points x.
    """

    def __init__(self, model: Explainable, residual: Residual, inputs: Tensor) -> None:
        self.model = model
        self.residual = residual
        self.inputs = inputs
        self.skip, self.branch, self.logits = addends(model, residual, inputs)

    def response(self, direction: Tensor) -> Tensor:
        """J times a direction ``(N, C, h, w)``, one a point: logits ``(N, classes)``."""
        summing = self.model.module.get_submodule(self.residual.sum)

        def moving(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
            return forward_ad.make_dual(output, direction.to(output))

        with (
            torch.no_grad(), forward_ad.dual_level(), summing.register_forward_hook(moving)
        ):  # fmt: skip
            tangent = forward_ad.unpack_dual(self.model.module(self.inputs)).tangent
        return torch.zeros_like(self.logits) if tangent is None else tangent

    def surrogate(self, skip: Tensor, branch: Tensor) -> Tensor:
        """Logits of the surrogate where the block adds ``skip`` and ``branch``."""
        return self.logits + self.response(skip + branch - self.skip - self.branch)

    def constant(self) -> Tensor:
        """B(x): what is left of the surrogate when the branch gives nothing, ``(N, classes)``."""
        return self.logits - self.response(self.branch)


def layers_of(model: Explainable) -> list[str]:
    """Modules with a weight of two or more dimensions, in the order of the forward pass."""
    modules = dict(model.module.named_modules())
    names = [name for stage in reversed(model.stages) for name in stage.modules]
    return [name for name in names if _has_weight_matrix(modules[name])]


def _has_weight_matrix(module: nn.Module) -> bool:
    weight = module._parameters.get("weight")
    return weight is not None and weight.ndim >= 2


def redrawn_layer(model: Explainable, residual: Residual) -> str:
    """The last convolution or dense layer of a block's branch, such as ``layer4.2.conv2``."""
    return [name for name in layers_of(model) if name in residual.branch][-1]


def one_layer(name: str) -> list[Stage]:
    """A single layer as what a :class:`RandomTwin` redraws.

    The normalisation behind it is no part of it: it keeps its trained statistics and scale.
    """
    return [Stage(name, (name,))]


def path_of(layer: str, blocks: Sequence[Residual]) -> tuple[str, str]:
    """Where a layer lies, and in which residual block."""
    for residual in blocks:
        if layer in residual.branch:
            return "residual branch", residual.block
        if layer in residual.shortcut:
            return "skip", residual.block
    return "neither", ""
