"""Rules of layer-wise relevance propagation: how a module's relevance goes to its inputs.

They are hooks for zennit's composites. In all of them ``c_ij = w_ij x_i`` is what input ``i``
contributes to output ``j``, ``z_j`` the output, ``R_j`` its relevance, and a bias is one more
contribution, which keeps its share.
"""

import copy
from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from zennit.core import Hook, ParamMod, RemovableHandle, RemovableHandleList, Stabilizer

from sanitygap.errors import UsageError

#: the largest beta that the adaptive rule uses (Binder et al. 2022, A.2)
LARGEST_BETA = 3.0

Modifier = Callable[[torch.Tensor], torch.Tensor]


class _Redistribution(torch.autograd.Function):
    """A module's output whose backward pass is a rule."""

    @staticmethod
    def forward(
        ctx: Any, inputs: torch.Tensor, outputs: torch.Tensor, rule: Modifier
    ) -> torch.Tensor:
        ctx.rule = rule
        return outputs.clone()  # what follows may work in place; the rule needs these values

    @staticmethod
    def backward(ctx: Any, *relevance: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        with torch.enable_grad():
            return ctx.rule(relevance[0]), None, None


class Rule(Hook):
    """A rule in place of the module's backward pass.

    zennit's own rules follow that pass and throw its result away; a convolution is saved here.
    """

    @abstractmethod
    def redistribute(
        self,
        module: nn.Module,
        inputs: torch.Tensor,
        outputs: torch.Tensor,
        relevance: torch.Tensor,
    ) -> torch.Tensor:
        """Relevance of the inputs.

        Args:
            module: the module the rule is registered with.
            inputs: what it was given; a leaf of the graph that ends in ``outputs``.
            outputs: what it computed.
            relevance: relevance of the outputs, of their shape.

        Returns:
            Tensor of the shape of ``inputs``.
        """

    def pre_forward(self, module: nn.Module, given: tuple[torch.Tensor, ...]) -> Any:
        """Cut the graph before the module."""
        self.stored_tensors["given"] = given[0]
        return given[0].detach().requires_grad_() if given[0].requires_grad else None

    def post_forward(self, module: nn.Module, given: Any, outputs: torch.Tensor) -> Any:
        """Bridge the gap by the rule."""
        before, inputs = self.stored_tensors.pop("given"), given[0]
        if not before.requires_grad:
            return None

        def rule(relevance: torch.Tensor) -> torch.Tensor:
            return self.redistribute(module, inputs, outputs, relevance).detach()

        return _Redistribution.apply(before, outputs.detach(), rule)

    def register(self, module: nn.Module) -> RemovableHandleList:
        """Register with a module; the handles undo it."""
        return RemovableHandleList(
            [
                RemovableHandle(self),
                module.register_forward_pre_hook(self.pre_forward),
                # first, so that other hooks on the module see the output that relevance reaches
                module.register_forward_hook(self.post_forward, prepend=True),
            ]
        )

    def copy(self) -> "Rule":
        """A rule of the same settings for another module."""
        twin = copy.copy(self)
        Hook.__init__(twin)
        return twin


def nonzero(denominator: torch.Tensor) -> torch.Tensor:
    """The stabiliser of LRP-0: exact, but for ``0 / 0 = 0``."""
    return denominator + (denominator == 0)


def stable(denominator: torch.Tensor) -> torch.Tensor:
    """zennit's stabiliser of 1e-6 in a third of its steps, which are what its rules wait for."""
    return denominator + torch.copysign(denominator.new_tensor(1e-6), denominator)


class Epsilon(Rule):
    """``R_i = sum_j c_ij R_j / (z_j + epsilon sign z_j)`` (Bach et al. 2015); 0 gives LRP-0.

    Args:
        stabilizer: epsilon, or a function from ``z`` to the denominator.
    """

    def __init__(self, stabilizer: float | Modifier) -> None:
        super().__init__()
        self.stabilizer = Stabilizer.ensure(stabilizer)

    def redistribute(
        self,
        module: nn.Module,
        inputs: torch.Tensor,
        outputs: torch.Tensor,
        relevance: torch.Tensor,
    ) -> torch.Tensor:
        """See :meth:`Rule.redistribute`."""
        weighed = relevance / self.stabilizer(outputs.detach())
        return inputs * torch.autograd.grad(outputs, inputs, weighed)[0]


class _Share:
    """Some of the contributions to a module's outputs, and their sums.

    Args:
        module: linear or convolutional.
        inputs: what it is given.
        above: from its parameters to those that positive inputs meet.
        below: the same for negative inputs; they bring no bias.

    Attributes:
        total: sums of these contributions, of the shape of the module's outputs.
    """

    def __init__(
        self, module: nn.Module, inputs: torch.Tensor, above: Modifier, below: Modifier
    ) -> None:
        inputs = inputs.detach()
        signed = bool((inputs < 0).any())  # after a ReLU half of the work is nothing but zeros
        positive = inputs.clamp(min=0) if signed else inputs.detach()
        self._leaves = [positive.requires_grad_()]
        self._sums = [self._apply(module, positive, above, [])]
        self.total = self._sums[0].detach()
        if signed:
            self._leaves.append(inputs.clamp(max=0).requires_grad_())
            self._sums.append(self._apply(module, self._leaves[1], below, ["bias"]))
            self.total = self.total + self._sums[1].detach()

    @staticmethod
    def _apply(
        module: nn.Module, inputs: torch.Tensor, change: Modifier, zero: list[str]
    ) -> torch.Tensor:
        with ParamMod(lambda value, name: change(value), zero_params=zero)(module) as changed:
            return changed.forward(inputs)

    def redistribute(self, relevance: torch.Tensor) -> torch.Tensor:
        """The relevance of the outputs, distributed in proportion to these contributions."""
        weighed = relevance / stable(self.total)
        gradients = torch.autograd.grad(self._sums, self._leaves, [weighed] * len(self._sums))
        parts = [leaf.detach() * part for leaf, part in zip(self._leaves, gradients, strict=True)]
        return parts[0] if len(parts) == 1 else parts[0] + parts[1]


def _positive(value: torch.Tensor) -> torch.Tensor:
    return value.clamp(min=0)


def _negative(value: torch.Tensor) -> torch.Tensor:
    return value.clamp(max=0)


class Beta(Rule):
    """``R_i = sum_j ((1 + beta) c+_ij / P_j + beta c-_ij / N_j) R_j`` (Bach et al. 2015).

    ``P_j`` is the sum of the positive contributions ``c+``, ``-N_j`` that of the negative ``c-``.
    With ``beta = 0`` it is the z-plus rule. A neuron that has contributions of one sign only keeps
    the part of its relevance that was for the other.

    Args:
        beta: a constant, or a function of ``P`` and ``N`` that gives one for each neuron.
    """

    def __init__(
        self, beta: float | Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = 0.0
    ) -> None:
        super().__init__()
        self.beta = beta

    def redistribute(
        self,
        module: nn.Module,
        inputs: torch.Tensor,
        outputs: torch.Tensor,
        relevance: torch.Tensor,
    ) -> torch.Tensor:
        """See :meth:`Rule.redistribute`."""
        plus = _Share(module, inputs, _positive, _negative)
        if self.beta == 0:
            return plus.redistribute(relevance)
        minus = _Share(module, inputs, _negative, _positive)
        beta = self.beta(plus.total, -minus.total) if callable(self.beta) else self.beta
        surplus = beta * relevance
        return plus.redistribute(relevance + surplus) - minus.redistribute(surplus)


def adaptive_beta(positive: torch.Tensor, negative: torch.Tensor) -> torch.Tensor:
    """The solution of Eq. (10) of Binder et al. (2022), ``N / (P - N)``, at most 3.

    Where negative contributions outweigh the positive ones, no beta solves it; the limit is taken
    from the other side, which is the largest beta.

    Args:
        positive: ``P``, non-negative, any shape.
        negative: ``N``, non-negative, the same shape.
    """
    surplus = (positive - negative).clamp_min(torch.finfo(positive.dtype).tiny)
    return (negative / surplus).clamp_max(LARGEST_BETA)


def printed_adaptive_beta(positive: torch.Tensor, negative: torch.Tensor) -> torch.Tensor:
    """Eq. (11) of Binder et al. (2022) as printed, ``N / (P + N)``; at most 1, so never capped.

    Args:
        positive: ``P``, non-negative, any shape.
        negative: ``N``, non-negative, the same shape.
    """
    return (negative / nonzero(positive + negative)).clamp_max(LARGEST_BETA)


class Gamma(Rule):
    """Contributions of the output's own sign count ``1 + gamma`` times (Montavon et al. 2019).

    For outputs above zero ``R_i = sum_j (c_ij + gamma c+_ij) R_j / sum_k (c_kj + gamma c+_kj)``;
    below zero with ``c-`` for ``c+`` (Andéol et al. 2021). An output of exactly zero keeps its
    relevance.
    """

    def __init__(self, gamma: float) -> None:
        super().__init__()
        self.gamma = gamma

    def redistribute(
        self,
        module: nn.Module,
        inputs: torch.Tensor,
        outputs: torch.Tensor,
        relevance: torch.Tensor,
    ) -> torch.Tensor:
        """See :meth:`Rule.redistribute`."""

        def more_positive(value: torch.Tensor) -> torch.Tensor:
            return value + self.gamma * value.clamp(min=0)

        def more_negative(value: torch.Tensor) -> torch.Tensor:
            return value + self.gamma * value.clamp(max=0)

        outputs = outputs.detach()
        above, below = relevance * (outputs > 0), relevance * (outputs < 0)
        result = torch.zeros_like(inputs)
        if above.any():
            result = _Share(module, inputs, more_positive, more_negative).redistribute(above)
        if below.any():  # before a ReLU nothing is: its zeros have no relevance
            share = _Share(module, inputs, more_negative, more_positive)
            result = result + share.redistribute(below)
        return result


class SquaredPooling(Rule):
    """Pooling hands relevance to its window in proportion to squared activations.

    For any average pooling and for ``nn.MaxPool2d`` (Binder et al. 2022, Fig. 4).
    """

    def redistribute(
        self,
        module: nn.Module,
        inputs: torch.Tensor,
        outputs: torch.Tensor,
        relevance: torch.Tensor,
    ) -> torch.Tensor:
        """See :meth:`Rule.redistribute`.

        Raises:
            UsageError: for dilated windows.
        """
        squares = inputs.detach().square().requires_grad_()
        window = module
        if isinstance(module, nn.MaxPool2d):
            if module.dilation not in (1, (1, 1)):
                raise UsageError("pooling by squared activations takes no dilated windows")
            window = nn.AvgPool2d(module.kernel_size, module.stride, module.padding)
            window.ceil_mode = module.ceil_mode
        pooled = window.forward(squares)
        weighed = relevance / pooled.detach().clamp_min(1e-30)  # an empty window has no relevance
        return squares.detach() * torch.autograd.grad(pooled, squares, weighed)[0]
