"""DeepLIFT with the rescale rule, for activations called as modules, functions or methods.

captum's DeepLift hooks modules. It refuses a reused ReLU (torchvision's ResNets), passes over
functions and ReLU6, and behind some convolutions its rule for max pooling does not add up to the
difference to be explained. Here the functions themselves are intercepted, whoever calls them, as
:class:`~sanitygap.attribution.gradient.GuidedRectifiers` does.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from sanitygap.attribution.fullgrad import divides_by_image
from sanitygap.attribution.gradient import input_gradient
from sanitygap.attribution.method import Request, one_pass
from sanitygap.errors import NotDefinedError
from sanitygap.seeds import generator

Function = Callable[..., Any]

#: how far the sum of contributions may be off: a share of the sum of their absolute values ...
TOLERANCE = 1e-3
#: ... and a share of the largest logit, whose rounding counts where all logits are nearly equal
ROUNDING = 1e-5


def _named(*names: str) -> dict[Function, Function]:
    """Everything that goes by these names -> the function that does the same out of place."""
    return {
        getattr(room, name + ending): getattr(room, name)
        for room in (functional, torch, Tensor)
        for name in names
        for ending in ("", "_")
        if hasattr(room, name) and hasattr(room, name + ending)
    }


#: functions of slope 0 or 1: their difference quotients are exact in the precision of the inputs
CLAMPS = _named("relu", "relu6", "hardtanh", "clamp", "clip")

#: elementwise functions of one tensor
UNIVARIATE = CLAMPS | _named(
    "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish", "softplus", "softsign", "tanh",
    "sigmoid", "logsigmoid", "hardsigmoid", "hardswish", "tanhshrink", "exp", "sqrt", "square",
    "abs",
)  # fmt: skip

PRODUCTS = _named("mul", "multiply")

POOLINGS = (functional.max_pool2d, torch.max_pool2d)
WINDOW_OPTIONS = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")

#: how near two values are, relative to the baseline's largest output, that count as equal maxima
TIE = 1e-5


class _Rescaled(torch.autograd.Function):
    """An elementwise function whose slope is that of the line from the baseline to the input."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, function: Function, exact: bool) -> Tensor:
        values = inputs if exact else inputs.double()
        outputs = function(values)
        slopes, change = outputs - outputs[-1:], values - values[-1:]
        same = change == 0
        slopes.div_(change.masked_fill_(same, 1.0))  # in place: new memory costs more than this
        same[-1] = False
        where = same.nonzero(as_tuple=True)
        if len(where[0]):
            slopes[where] = _derivative(function, values[where])
        ctx.save_for_backward(slopes.to(inputs.dtype))
        return outputs.to(inputs.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (slopes,) = ctx.saved_tensors
        return gradients[0] * slopes, None, None


def _derivative(function: Function, points: Tensor) -> Tensor:
    with torch.enable_grad():
        leaf = points.requires_grad_()
        return torch.autograd.grad(function(leaf).sum(), leaf)[0]


class _RescaledPooling(torch.autograd.Function):
    """Max pooling that hands the change of a maximum to the place that made it.

    A maximum that has grown is the work of the input's largest value, one that has shrunk that of
    the baseline's (SHAP's and captum's rule). That value changed at least as much as the maximum,
    so the changes add up, also where windows overlap. Of equal values of the input the first
    counts. Equal values of the baseline share: with a zero baseline most of its windows are
    constant, and rounding would choose among their places.
    """

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, windows: dict[str, Any]) -> Tensor:
        outputs, largest = functional.max_pool2d(inputs, **windows, return_indices=True)
        places = _places(tuple(inputs.shape[2:]), tuple(outputs.shape[2:]), **windows)
        places = places.to(inputs.device)
        change = (outputs - outputs[-1:]).flatten(2)
        near = TIE * outputs[-1:].abs().amax()
        shrunk = change < -2 * near  # else a value near the largest may not have changed
        largest = torch.where(change < 0, largest[-1:].flatten(2), largest.flatten(2))
        # one value more for the places outside, which are never maxima
        baseline = functional.pad(inputs[-1:].flatten(2), (0, 1), value=-torch.inf)[:, :, places]
        equal = baseline >= outputs[-1:].flatten(2)[:, :, None] - near
        shares = equal.to(inputs.dtype) / equal.sum(2, keepdim=True)
        ctx.save_for_backward(inputs - inputs[-1:], change, largest, shrunk, shares, places)
        return outputs

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        available, change, largest, shrunk, shares, places = ctx.saved_tensors
        due = gradients[0].flatten(2) * change
        rows, channels, height, width = available.shape
        spread = due.new_zeros(rows, channels, height * width + 1)
        spread.scatter_add_(2, largest, due.masked_fill(shrunk, 0.0))
        shared = due.masked_fill(~shrunk, 0.0)[:, :, None] * shares
        spread.index_add_(2, places.flatten(), shared.flatten(2))
        spread = spread[:, :, :-1].unflatten(2, (height, width))
        return spread / available.masked_fill(available == 0, torch.inf), None


@cache
def _places(
    size: tuple[int, int],
    pooled: tuple[int, int],
    kernel_size: int | tuple[int, int],
    stride: int | tuple[int, int] | None = None,
    padding: int | tuple[int, int] = 0,
    dilation: int | tuple[int, int] = 1,
    ceil_mode: bool = False,
) -> Tensor:
    """Which places each window of a pooling sees, int64, ``(places in a window, windows)``.

    Places are numbered row by row; what lies outside has the number after the last.
    """
    kernel, step, before, spacing = map(
        _pair, (kernel_size, stride or kernel_size, padding, dilation)
    )
    numbers = torch.arange(size[0] * size[1], dtype=torch.float64).view(1, 1, *size)
    after = [
        (pooled[i] - 1) * step[i] + spacing[i] * (kernel[i] - 1) + 1 - size[i] - before[i]
        for i in (0, 1)
    ]
    framed = functional.pad(
        numbers, (before[1], after[1], before[0], after[0]), value=float(numbers.numel())
    )
    return functional.unfold(framed, kernel, spacing, 0, step)[0].long()


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[-1])


class _RescaledProduct(torch.autograd.Function):
    """A product of two activations; its change is split as Shapley splits it between two players.

    That is, each factor's change is multiplied by the mean of the other one and its baseline.
    """

    @staticmethod
    def forward(ctx: Any, first: Tensor, second: Tensor) -> Tensor:
        ctx.save_for_backward(*((factor + factor[-1:]) / 2 for factor in (second, first)))
        ctx.shapes = first.shape, second.shape
        return first * second

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        return tuple(
            (gradients[0] * multipliers).sum_to_size(shape)
            for multipliers, shape in zip(ctx.saved_tensors, ctx.shapes, strict=True)
        )


class RescaleRule(TorchFunctionMode):
    """Inside, activations, max pooling and products pass on multipliers in place of gradients.

    The last row of the batch is the baseline; all rows before it are compared with that.

    Args:
        rows: length of the batch, baseline included.
    """

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.rows = rows

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        options = dict(kwargs or {})
        if not args and "input" in options:
            args = (options.pop("input"),)
        tensors = [value for value in (*args, *options.values()) if isinstance(value, Tensor)]
        if not tensors or not all(map(self._depends_on_images, tensors)):
            return func(*args, **options)
        if func in UNIVARIATE and len(tensors) == 1:
            out_of_place = options | {"inplace": False} if "inplace" in options else options
            function = _bound(UNIVARIATE[func], args[1:], out_of_place)
            result = _Rescaled.apply(tensors[0], function, func in CLAMPS)
        elif func in POOLINGS and not options.get("return_indices", False):
            windows = dict(zip(WINDOW_OPTIONS, args[1:], strict=False)) | options
            windows.pop("return_indices", None)
            windows = {name: _hashable(value) for name, value in windows.items()}
            result = _RescaledPooling.apply(tensors[0], windows)
        elif func in PRODUCTS and len(tensors) == 2:
            result = _RescaledProduct.apply(*tensors)
        else:
            return func(*args, **options)
        in_place = options.get("inplace", False) or func.__name__.endswith("_")
        return tensors[0].copy_(result) if in_place else result

    def _depends_on_images(self, value: Tensor) -> bool:
        return value.requires_grad and value.shape[:1] == (self.rows,)


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _bound(function: Function, others: tuple[Any, ...], options: dict[str, Any]) -> Function:
    """A function of one tensor."""
    return lambda values: function(values, *others, **options)


def multipliers(request: Request, baseline: Tensor) -> tuple[Tensor, Tensor]:
    """DeepLIFT's multipliers of the target logits.

    The baseline is one more row of the batch, so it costs one image a batch.

    Args:
        request: images ``(N, 3, H, W)`` and targets.
        baseline: ``(1, 3, H, W)``.

    Returns:
        Multipliers of the shape of the images, and the logits of images and baseline.
    """
    logits = torch.empty(0)

    def with_baseline(images: Tensor) -> Tensor:
        nonlocal logits
        rows: Tensor = request.model.module(torch.cat([images, baseline]))
        logits = rows.detach()
        return rows[:-1]

    with RescaleRule(len(request.inputs) + 1):
        slopes = input_gradient(with_baseline, request.inputs, request.targets)
    return slopes, logits


def contributions(request: Request, baseline: Tensor) -> Tensor:
    """What the pixels contribute to the change of the target logits from a baseline.

    Args:
        request, baseline: as in :func:`multipliers`.

    Raises:
        NotDefinedError: the contributions do not add up, because the network has an operation
            that no rule here knows, such as softmax or layer normalisation.
    """
    if any(map(divides_by_image, request.model.module.modules())):
        # on some inputs the sums agree all the same, within their rounding
        raise NotDefinedError(
            f"{request.model.spec} normalises each image by its own statistics, for which there is "
            "no DeepLIFT rule; leave the method deeplift out"
        )
    slopes, logits = multipliers(request, baseline)
    made = slopes * (request.inputs - baseline)
    explained = made.sum((1, 2, 3), dtype=torch.float64)
    change = (logits[:-1] - logits[-1:]).gather(1, request.targets[:, None])[:, 0]
    allowed = TOLERANCE * made.abs().sum((1, 2, 3)) + ROUNDING * logits.abs().max()
    if not ((explained - change).abs() <= allowed).all():  # NaN does not pass either
        raise NotDefinedError(
            f"{request.model.spec} has an operation without a DeepLIFT rule: the contributions do "
            "not sum to the change of the logit; leave the method deeplift out"
        )
    return made


@one_pass("deeplift")
def deeplift_pass(request: Request) -> Tensor:
    """DeepLIFT, rescale rule (Shrikumar et al. 2017), baseline 0 in the model's input space."""
    return contributions(request, torch.zeros_like(request.inputs[:1]))


#: noise images that stand for a missing input: clamp(N(0.5, 0.1), 0, 1), brought to the input space
BASELINES, GREY, NOISE = 10, 0.5, 0.1


def noise_baselines(request: Request) -> Tensor:
    """The baselines in the model's input space, ``(BASELINES, 3, H, W)``; always the same."""
    shape = (BASELINES, *request.inputs.shape[1:])
    drawn = torch.randn(shape, generator=generator("deepshap baselines"))
    low, high = request.model.preprocessing.bounds()
    pixels = (GREY + NOISE * drawn).clamp(0, 1)
    return (low + (high - low) * pixels).to(request.inputs)


@one_pass("deepshap")
def deepshap_pass(request: Request) -> Tensor:
    """DeepSHAP (Lundberg & Lee 2017): DeepLIFT, mean over 10 baselines of grey noise."""
    total = torch.zeros_like(request.inputs)
    for baseline in noise_baselines(request):
        total += contributions(request, baseline[None])
    return total / BASELINES
