"""Canonizers: rewrite a network, while LRP runs, into a form its rules are defined for.

Batch normalisation is merged into the convolution before it, and what a network computes by bare
operators and functions gets rules too, so that relevance sums to the explained output where theory
says so.
"""

from collections.abc import Callable, Iterator, Sequence
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode
from zennit.canonizers import Canonizer, NamedMergeBatchNorm
from zennit.core import Hook
from zennit.layer import Sum
from zennit.torchvision import ResNetBasicBlockCanonizer, ResNetBottleneckCanonizer
from zennit.types import Activation, AvgPool, BatchNorm, Linear, MaxPool

from sanitygap.errors import NotDefinedError
from sanitygap.models.hooks import hooked


def _calls(*names: str) -> tuple[Any, ...]:
    """The functions and methods of torch with these names, and those that work in place."""
    return tuple(
        getattr(room, variant)
        for name in names
        for variant in (name, f"{name}_")
        for room in (functional, torch, Tensor)
        if hasattr(room, variant)
    )


#: rectifiers that fall somewhere, so that their own gradient can be negative
FALLING = _calls("gelu", "silu", "mish", "hardswish", "prelu", "rrelu")

#: ReLU and what is used in its place: what is negative is cut off or damped
RECTIFIERS = (*_calls("relu", "relu6", "leaky_relu", "elu", "selu", "celu", "softplus"), *FALLING)

HARDTANH = _calls("hardtanh")

ACTIVATIONS = (*RECTIFIERS, *HARDTANH, *_calls("sigmoid", "hardsigmoid", "tanh"))


def is_rectifier(func: Any, args: Any, kwargs: dict[str, Any]) -> bool:
    """Whether a call is one of :data:`RECTIFIERS`, or a hardtanh from 0, which modules call ReLU6.

    Args:
        func: the function that is called.
        args, kwargs: with what it is called.
    """
    if func in HARDTANH:
        found = signature(functional.hardtanh).bind(*args, **kwargs).arguments
        return bool(found.get("min_val", -1.0) == 0)
    return func in RECTIFIERS


def is_in_place(func: Any, kwargs: dict[str, Any]) -> bool:
    """Whether a call of an activation changes its argument."""
    return bool(kwargs.get("inplace")) or getattr(func, "__name__", "").endswith("_")


class MergeBatchNorm(NamedMergeBatchNorm):
    """Merges named batch normalisations so that what is left of them is exactly the identity.

    zennit's own merge leaves their epsilon, and each then still divides by ``sqrt(1 + epsilon)``.
    With the 0.001 of EfficientNet-Lite0 that takes 2 % off the explained logit.
    """

    def register(
        self, linears: Sequence[nn.Module], batch_norm: nn.modules.batchnorm._NormBase
    ) -> None:
        """Merge one normalisation into the linear modules before it."""
        super().register(linears, batch_norm)
        self.epsilon, batch_norm.eps = batch_norm.eps, 0.0

    def remove(self) -> None:
        """Put everything back as it was."""
        super().remove()
        self.batch_norm.eps = self.epsilon


class _Carried(torch.autograd.Function):
    """A function of a signal whose backward pass hands all relevance on to the signal."""

    @staticmethod
    def forward(ctx: Any, signal: Tensor, function: Callable[..., Any]) -> Tensor:
        return function(signal)

    @staticmethod
    def backward(ctx: Any, *relevance: Tensor) -> tuple[Tensor, None]:
        return relevance[0], None


#: modules that every composite has a rule for
RULED = (Activation, AvgPool, MaxPool)

#: of two signals these multiply every place with every other, as attention does
MATRIX_PRODUCTS = (
    *(
        getattr(room, name)
        for name in ("matmul", "bmm", "einsum", "baddbmm", "__matmul__")
        for room in (torch, Tensor)
        if hasattr(room, name)
    ),
    functional.scaled_dot_product_attention,
    functional.multi_head_attention_forward,
)

ADDITIONS = (torch.add, torch.Tensor.add, torch.Tensor.add_)
PRODUCTS = (torch.mul, torch.Tensor.mul, torch.Tensor.mul_)
QUOTIENTS = (torch.div, torch.Tensor.div, torch.Tensor.div_)
MEANS = (torch.mean, torch.Tensor.mean)
POOLS: dict[Any, type[nn.Module]] = {
    functional.avg_pool2d: nn.AvgPool2d,
    functional.adaptive_avg_pool2d: nn.AdaptiveAvgPool2d,
    functional.max_pool2d: nn.MaxPool2d,
}


class FunctionRules(TorchFunctionMode):
    """Gives rules to what a network computes by operators and functions, not by modules.

    Rules are registered with modules, so autograd would treat a bare ``x + y`` as if it were not
    there and double the relevance. Inside this context

    - a sum of two signals, and average or max pooling, are computed by a module that gets the rule
      which the composite has for such a module;
    - an activation, and a signal that a constant multiplies or divides, hand relevance on;
    - a product of two signals hands it all to the one that is not merely broadcast, as in a
      squeeze-and-excitation block: the other is taken for a weight. Equal shapes share it equally,
      which for ``x * sigmoid(x)`` is the same.

    A signal is a tensor that depends on the input. Other functions keep their gradient, but for
    matrix products of two signals, as in attention: LRP has no rule for these, and the gradient of
    such a product would make relevance out of nothing.

    Args:
        rule_for: from a module to its rule, or None if it has none.
    """

    def __init__(self, rule_for: Callable[[nn.Module], Hook | None]) -> None:
        super().__init__()
        self._rule_for = rule_for
        self._rules: list[Hook] = []  # zennit's hooks live only as long as someone holds them
        self._inside = 0

    def __enter__(self) -> "FunctionRules":
        """Begin; modules with a rule of their own are left alone."""

        def enter(module: nn.Module, inputs: object) -> None:
            self._inside += isinstance(module, RULED)

        def leave(module: nn.Module, inputs: object, outputs: object) -> None:
            self._inside -= isinstance(module, RULED)

        self._handles = (
            register_module_forward_pre_hook(enter),
            register_module_forward_hook(leave),
        )
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        """End; the rules stay, for the backward pass is still to come."""
        super().__exit__(*error)
        for handle in self._handles:
            handle.remove()

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Compute a function, by a module or with a backward pass of its own where it needs one."""
        kwargs = kwargs or {}
        if func in MATRIX_PRODUCTS and sum(_is_signal((value,)) for value in flat(args)) > 1:
            raise NotDefinedError(
                "LRP has no rule for attention, a matrix product of two signals; leave LRP out"
            )
        if self._inside:
            return func(*args, **kwargs)
        result = self._with_rule(func, args, kwargs) if _is_signal(args[:1]) else None
        if result is None and func in PRODUCTS and _is_signal(args[1:2]):
            result = self._with_rule(func, (args[1], args[0]), kwargs)  # a constant times a signal
        if result is None:
            return func(*args, **kwargs)
        if is_in_place(func, kwargs):
            return args[0].copy_(result)
        return result

    def _with_rule(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Tensor | None:
        signal, rest = args[0], args[1:]
        if func in ACTIVATIONS:
            return _Carried.apply(signal, lambda x: func(x.clone(), *rest, **kwargs))
        if func in POOLS and not kwargs.get("return_indices"):
            known = signature(POOLS[func]).parameters
            options = {name: value for name, value in kwargs.items() if name in known}
            return self._by_module(POOLS[func](*rest, **options), signal)
        if func in MEANS and signal.dim() == 4 and _over_space(rest, kwargs):
            pooled = self._by_module(nn.AdaptiveAvgPool2d(1), signal)
            return (
                pooled if kwargs.get("keepdim") or len(rest) > 1 and rest[1] else pooled.flatten(1)
            )
        if func in ADDITIONS and _is_signal(rest) and not kwargs:
            return self._by_module(Sum(), torch.stack(torch.broadcast_tensors(*args), dim=-1))
        if func in QUOTIENTS and not _is_signal(rest):
            return _Carried.apply(signal, lambda x: torch.div(x, *rest, **kwargs))
        if func in PRODUCTS:
            return self._product(signal, rest[0])
        return None

    def _by_module(self, module: nn.Module, inputs: Tensor) -> Tensor:
        template = self._rule_for(module)
        if template is not None:
            self._rules.append(template.copy())
            self._rules[-1].register(module)
        return module(inputs)

    @staticmethod
    def _product(signal: Tensor, other: Any) -> Tensor:
        if not _is_signal((other,)):
            return _Carried.apply(signal, lambda x: x * other)
        shape = torch.broadcast_shapes(signal.shape, other.shape)
        if signal.shape == other.shape:
            first = _Carried.apply(signal, lambda x: x * other.detach())
            return first / 2 + _Carried.apply(other, lambda x: x * signal.detach()) / 2
        signal, weight = (signal, other) if signal.shape == shape else (other, signal)
        return _Carried.apply(signal.expand(shape), lambda x: x * weight.detach())


def flat(values: Sequence[Any]) -> Iterator[Any]:
    """The values, and those in tuples and lists among them."""
    for value in values:
        yield from flat(value) if isinstance(value, tuple | list) else (value,)


def _is_signal(values: Sequence[Any]) -> bool:
    return bool(values) and isinstance(values[0], Tensor) and values[0].requires_grad


def _over_space(rest: Sequence[Any], kwargs: dict[str, Any]) -> bool:
    dims = rest[0] if rest else kwargs.get("dim")
    return isinstance(dims, tuple | list) and sorted(dim % 4 for dim in dims) == [2, 3]


def merge_pairs(module: nn.Module, example: Tensor) -> list[tuple[list[str], str]]:
    """Which batch normalisation takes the very output of which linear or convolutional module.

    Neighbours in the list of modules need not be neighbours in the flow of data: DenseNet
    normalises the concatenated outputs of many convolutions.

    Args:
        module: the network.
        example: an input ``(N, 3, H, W)`` that it accepts.

    Returns:
        ``([name of the linear module], name of the normalisation)``, in the order of their calls.
        A module that is called several times is in no pair.
    """
    calls: dict[str, int] = {}
    outputs: list[tuple[Tensor, str]] = []  # holds the tensors, so that no identity recurs
    pairs: list[tuple[list[str], str]] = []
    modules = dict(module.named_modules())
    linear = {name: part for name, part in modules.items() if isinstance(part, Linear)}
    norms = {
        name: part
        for name, part in modules.items()
        if isinstance(part, BatchNorm) and part.affine and part.running_mean is not None
    }

    def produced(name: str, _inputs: object, output: Tensor) -> None:
        calls[name] = calls.get(name, 0) + 1
        outputs.append((output, name))

    def consumed(name: str, inputs: tuple[Tensor, ...]) -> None:
        calls[name] = calls.get(name, 0) + 1
        pairs.extend(([maker], name) for made, maker in outputs if made is inputs[0])

    with hooked(linear, produced), hooked(norms, before=consumed), torch.no_grad():
        module(example)
    return [pair for pair in pairs if calls[pair[0][0]] == calls[pair[1]] == 1]


def canonizers_for(module: nn.Module, example: Tensor) -> Callable[[], Sequence[Canonizer]]:
    """A factory of fresh canonizers that suit the network.

    Batch normalisation right after a linear or convolutional module is merged into it, and the
    skips of torchvision's ResNets are added by modules with a name. :class:`FunctionRules` sees to
    the bare functions of any other network; :func:`sanitygap.models.preflight.check_model` finds
    out whether relevance gets lost all the same.

    Args:
        module: the network.
        example: an input ``(N, 3, H, W)`` that it accepts.
    """
    pairs = merge_pairs(module, example)
    return lambda: (MergeBatchNorm(pairs), ResNetBottleneckCanonizer(), ResNetBasicBlockCanonizer())
