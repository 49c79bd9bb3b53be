"""Rules of layer-wise relevance propagation: how a module's relevance goes to its inputs.

They are hooks for zennit's composites. In all of them ``c_ij = w_ij x_i`` is what input ``i``
contributes to output ``j``, ``R_j`` is the relevance of that output, and ``z_j = sum_i c_ij`` is
its sum *without* the bias, as in Eq. (61) of Binder et al. (2022): a bias gets no relevance.

That leaves neurons to which the inputs contribute nothing of the sign a rule asks for, such as one
behind a depthwise filter of negative weights, which only its bias makes active. Relevance has
nowhere to go from there, so the neuron **keeps** it. :func:`recorded_flow` counts what is kept;
with what arrives at the pixels it adds up to what was started with.

The other reading, ``biases=True``, takes the bias for one more contribution that keeps its share.
"""

import copy
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from zennit.core import Hook, ParamMod, RemovableHandle, RemovableHandleList, Stabilizer

from sanitygap.errors import UsageError

#: the largest beta that the adaptive rule uses (Binder et al. 2022, A.2)
LARGEST_BETA = 3.0

Modifier = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Flow:
    """Relevance that entered one module from above and left it below.

    Attributes:
        module: the module.
        entered, left: sums over each image, ``(N,)``; the difference is what the module kept.
    """

    module: nn.Module
    entered: Tensor
    left: Tensor


_RECORDS: list[list[Flow]] = []


@contextmanager
def recorded_flow() -> Iterator[list[Flow]]:
    """The flow through every linear and convolutional module of the passes made inside.

    Yields:
        A list that fills as relevance goes down, the modules nearest to the output first.
    """
    record: list[Flow] = []
    _RECORDS.append(record)
    try:
        yield record
    finally:
        _RECORDS[:] = [one for one in _RECORDS if one is not record]  # equal lists are not the same


class _Redistribution(torch.autograd.Function):
    """A module's output whose backward pass is a rule."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, outputs: Tensor, rule: Modifier) -> Tensor:
        ctx.rule = rule
        return outputs.clone()  # what follows may work in place; the rule needs these values

    @staticmethod
    def backward(ctx: Any, *relevance: Tensor) -> tuple[Tensor, None, None]:
        with torch.enable_grad():
            return ctx.rule(relevance[0]), None, None


class Rule(Hook):
    """A rule in place of the module's backward pass.

    zennit's own rules follow that pass and throw its result away; a convolution is saved here.
    """

    @abstractmethod
    def redistribute(
        self, module: nn.Module, inputs: Tensor, outputs: Tensor, relevance: Tensor
    ) -> Tensor:
        """Relevance of the inputs.

        Args:
            module: the module the rule is registered with.
            inputs: what it was given; a leaf of the graph that ends in ``outputs``.
            outputs: what it computed.
            relevance: relevance of the outputs, of their shape.

        Returns:
            Tensor of the shape of ``inputs``.
        """

    def pre_forward(self, module: nn.Module, given: tuple[Tensor, ...]) -> Any:
        """Cut the graph before the module."""
        self.stored_tensors["given"] = given[0]
        return given[0].detach().requires_grad_() if given[0].requires_grad else None

    def post_forward(self, module: nn.Module, given: Any, outputs: Tensor) -> Any:
        """Bridge the gap by the rule."""
        before, inputs = self.stored_tensors.pop("given"), given[0]
        if not before.requires_grad:
            return None

        def rule(relevance: Tensor) -> Tensor:
            result = self.redistribute(module, inputs, outputs, relevance).detach()
            for record in _RECORDS:
                record.append(Flow(module, relevance.flatten(1).sum(1), result.flatten(1).sum(1)))
            return result

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


def nonzero(denominator: Tensor) -> Tensor:
    """The stabiliser of LRP-0: exact, but for ``0 / 0 = 0``."""
    return denominator + (denominator == 0)


class Epsilon(Rule):
    """``R_i = sum_j c_ij R_j / (z_j + epsilon sign z_j)`` (Bach et al. 2015); 0 gives LRP-0.

    Neurons that their bias drives share by the contributions of their output's sign alone, see
    :func:`driven_by_bias`.

    Args:
        stabilizer: epsilon, or a function from ``z`` to the denominator.
        biases: whether ``z`` includes the bias; then no neuron is treated apart.
    """

    def __init__(self, stabilizer: float | Modifier, biases: bool = False) -> None:
        super().__init__()
        self.stabilizer = Stabilizer.ensure(stabilizer)
        self.biases = biases

    def redistribute(
        self, module: nn.Module, inputs: Tensor, outputs: Tensor, relevance: Tensor
    ) -> Tensor:
        """See :meth:`Rule.redistribute`."""
        sums, apart = outputs.detach(), torch.zeros_like(inputs)
        if not self.biases:
            sums = _without_bias(module, outputs.detach())
            lifted, lowered = driven_by_bias(outputs.detach(), sums)
            cases = [(lifted, _positive, _negative), (lowered, _negative, _positive)]
            apart = _shared(module, inputs, relevance, cases)
            relevance = relevance * ~(lifted | lowered)
        weighed = relevance / nonzero(self.stabilizer(sums))  # a layer of zeros has no scale
        return inputs.detach() * torch.autograd.grad(outputs, inputs, weighed)[0] + apart


def driven_by_bias(outputs: Tensor, sums: Tensor) -> tuple[Tensor, Tensor]:
    """Neurons that owe more than half of their output to their bias.

    ``z_j`` may be near zero there while the relevance is not, and a rule that divides by ``z_j``
    would amplify it without bound. All other neurons have ``|z_j| >= |z_j + b_j| / 2``, so that
    they multiply it at most twice as much as under the rule that counts the bias.

    Args:
        outputs: ``z_j + b_j``, any shape.
        sums: ``z_j``, the same shape.

    Returns:
        Which neurons a bias makes positive, and which it makes negative.
    """
    return (outputs > 0) & (2 * sums < outputs), (outputs < 0) & (2 * sums > outputs)


def _without_bias(module: nn.Module, outputs: Tensor) -> Tensor:
    """Outputs of a linear module ``(N, ..., C)`` or a convolution ``(N, C, ...)`` less its bias."""
    bias = getattr(module, "bias", None)
    if bias is None:
        return outputs
    return outputs - (bias if isinstance(module, nn.Linear) else bias.view(-1, 1, 1))


class _Share:
    """Some of the contributions to a module's outputs, and their sums.

    Args:
        module: linear or convolutional.
        inputs: what it is given.
        above: from its parameters to those that positive inputs meet.
        below: the same for negative inputs; they bring no bias.
        biases: whether the bias counts as a contribution.

    Attributes:
        total: sums of these contributions, of the shape of the module's outputs.
    """

    def __init__(
        self, module: nn.Module, inputs: Tensor, above: Modifier, below: Modifier, biases: bool
    ) -> None:
        inputs = inputs.detach()
        signed = bool((inputs < 0).any())  # after a ReLU half of the work is nothing but zeros
        positive = inputs.clamp(min=0) if signed else inputs.detach()
        self._leaves = [positive.requires_grad_()]
        self._sums = [self._apply(module, positive, above, [] if biases else ["bias"])]
        self.total = self._sums[0].detach()
        if signed:
            self._leaves.append(inputs.clamp(max=0).requires_grad_())
            self._sums.append(self._apply(module, self._leaves[1], below, ["bias"]))
            self.total = self.total + self._sums[1].detach()

    @staticmethod
    def _apply(module: nn.Module, inputs: Tensor, change: Modifier, zero: list[str]) -> Tensor:
        with ParamMod(lambda value, name: change(value), zero_params=zero)(module) as changed:
            return changed.forward(inputs)

    def redistribute(self, relevance: Tensor) -> Tensor:
        """Relevance of the outputs in proportion to these contributions; none where they are 0."""
        weighed = relevance / nonzero(self.total)
        gradients = torch.autograd.grad(self._sums, self._leaves, [weighed] * len(self._sums))
        parts = [leaf.detach() * part for leaf, part in zip(self._leaves, gradients, strict=True)]
        return parts[0] if len(parts) == 1 else parts[0] + parts[1]


Case = tuple[Tensor, Modifier, Modifier]
"""Which outputs, and the contributions by which they share: ``above`` and ``below`` of a share."""


def _shared(
    module: nn.Module,
    inputs: Tensor,
    relevance: Tensor,
    cases: Sequence[Case],
    biases: bool = False,
) -> Tensor:
    """Relevance of the inputs where outputs differ in what they share by."""
    result = torch.zeros_like(inputs)
    for case, above, below in cases:
        if (part := relevance * case).any():  # most cases are empty
            result = result + _Share(module, inputs, above, below, biases).redistribute(part)
    return result


def _positive(value: Tensor) -> Tensor:
    return value.clamp(min=0)


def _negative(value: Tensor) -> Tensor:
    return value.clamp(max=0)


class Beta(Rule):
    """``R_i = sum_j ((1 + beta) c+_ij / P_j - beta c-_ij / -N_j) R_j`` (Bach et al. 2015).

    ``P_j`` is the sum of the positive contributions ``c+``, ``-N_j`` that of the negative ``c-``
    (Binder et al. 2022, Eq. 61). With ``beta = 0`` it is the z-plus rule. Where there are no
    negative contributions ``beta`` is 0, for nothing could be taken from them; where there are no
    positive ones the neuron keeps its relevance.

    Args:
        beta: a constant, or a function of ``P`` and ``N`` that gives one for each neuron.
        biases: whether ``P`` and ``N`` include the bias; then a neuron with contributions of one
            sign only keeps the part of its relevance that was for the other.
    """

    def __init__(
        self, beta: float | Callable[[Tensor, Tensor], Tensor] = 0.0, biases: bool = False
    ) -> None:
        super().__init__()
        self.beta = beta
        self.biases = biases

    def redistribute(
        self, module: nn.Module, inputs: Tensor, outputs: Tensor, relevance: Tensor
    ) -> Tensor:
        """See :meth:`Rule.redistribute`."""
        plus = _Share(module, inputs, _positive, _negative, self.biases)
        if self.beta == 0:
            return plus.redistribute(relevance)
        minus = _Share(module, inputs, _negative, _positive, self.biases)
        beta = self.beta(plus.total, -minus.total) if callable(self.beta) else self.beta
        surplus = beta * relevance
        if not self.biases:
            surplus = surplus * ((plus.total > 0) & (minus.total < 0))
        return plus.redistribute(relevance + surplus) - minus.redistribute(surplus)


def adaptive_beta(positive: Tensor, negative: Tensor) -> Tensor:
    """The solution of Eq. (10) of Binder et al. (2022), ``N / (P - N)``, at most 3.

    Where negative contributions outweigh the positive ones no beta solves it, and it is 0.

    Args:
        positive: ``P``, non-negative, any shape.
        negative: ``N``, non-negative, the same shape.
    """
    surplus = positive - negative
    return torch.where(surplus > 0, (negative / nonzero(surplus)).clamp_max(LARGEST_BETA), 0.0)


def printed_adaptive_beta(positive: Tensor, negative: Tensor) -> Tensor:
    """Eq. (11) of Binder et al. (2022) as printed, ``N / (P + N)``; at most 1, so never capped.

    Args:
        positive: ``P``, non-negative, any shape.
        negative: ``N``, non-negative, the same shape.
    """
    return (negative / nonzero(positive + negative)).clamp_max(LARGEST_BETA)


class Gamma(Rule):
    """Contributions of the neuron's own sign count ``1 + gamma`` times (Montavon et al. 2019).

    For ``z_j`` above zero ``R_i = sum_j (c_ij + gamma c+_ij) R_j / sum_k (c_kj + gamma c+_kj)``;
    below zero with ``c-`` for ``c+`` (Andéol et al. 2021). One sum, that without the bias, decides
    the case and divides.

    A neuron that its bias drives (:func:`driven_by_bias`) shares by the contributions of its
    output's sign alone, which is the rule's limit for large gamma.

    Args:
        gamma: not negative.
        biases: whether the bias is a contribution like the others; then the output decides the
            case, and no neuron is treated apart.
    """

    def __init__(self, gamma: float, biases: bool = False) -> None:
        super().__init__()
        self.gamma = gamma
        self.biases = biases

    def redistribute(
        self, module: nn.Module, inputs: Tensor, outputs: Tensor, relevance: Tensor
    ) -> Tensor:
        """See :meth:`Rule.redistribute`."""

        def more_positive(value: Tensor) -> Tensor:
            return value + self.gamma * value.clamp(min=0)

        def more_negative(value: Tensor) -> Tensor:
            return value + self.gamma * value.clamp(max=0)

        outputs = outputs.detach()
        sums = outputs if self.biases else _without_bias(module, outputs)
        above, below = sums > 0, sums < 0
        cases: list[Case] = []
        if not self.biases:
            lifted, lowered = driven_by_bias(outputs, sums)
            cases = [(lifted, _positive, _negative), (lowered, _negative, _positive)]
            above, below = (case & ~(lifted | lowered) for case in (above, below))
        cases += [(above, more_positive, more_negative), (below, more_negative, more_positive)]
        return _shared(module, inputs, relevance, cases, self.biases)


class SquaredPooling(Rule):
    """Pooling hands relevance to its window in proportion to squared activations.

    For any average pooling and for ``nn.MaxPool2d`` (Binder et al. 2022, Fig. 4).
    """

    def redistribute(
        self, module: nn.Module, inputs: Tensor, outputs: Tensor, relevance: Tensor
    ) -> Tensor:
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
