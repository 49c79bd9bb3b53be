"""Gradient methods: one shared backward pass feeds several maps."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from sanitygap.attribution.method import Request, method, one_pass
from sanitygap.errors import NotDefinedError
from sanitygap.models.canonizers import FALLING, is_in_place, is_rectifier
from sanitygap.seeds import normal


def input_gradient(module: Callable[[Tensor], Tensor], inputs: Tensor, targets: Tensor) -> Tensor:
    """Gradient of each image's target logit with respect to its pixels.

    Args:
        module: inputs ``(N, 3, H, W)`` to logits ``(N, C)``.
        inputs: float, ``(N, 3, H, W)``.
        targets: int64, ``(N,)``.

    Returns:
        Tensor of the shape of ``inputs``.
    """
    leaf = inputs.detach().requires_grad_()
    logits = module(leaf).gather(1, targets[:, None])
    return torch.autograd.grad(logits.sum(), leaf)[0]


@one_pass("gradient")
def gradient_pass(request: Request) -> Tensor:
    """Gradient of the target logit, summed over colour channels (Simonyan et al. 2014)."""
    return input_gradient(request.model.module, request.inputs, request.targets)


@method("gradient-x-input", gradient_pass)
def gradient_x_input(values: Tensor, request: Request) -> Tensor:
    """Gradient times input, summed over colour channels (Shrikumar et al. 2016)."""
    return values * request.inputs


def _gradient_moments(
    request: Request, points: int, point: Callable[[slice], Tensor]
) -> tuple[Tensor, Tensor]:
    """Mean and mean square of the gradient over several inputs an image.

    Args:
        request: images and targets.
        points: inputs an image.
        point: for a range of points, the inputs ``(n_points, N, 3, H, W)``.

    Returns:
        Two tensors of the shape of the images' inputs.
    """
    images = len(request.inputs)
    at_once = max(1, request.batch_size // images)
    total, squares = torch.zeros_like(request.inputs), torch.zeros_like(request.inputs)
    for start in range(0, points, at_once):
        chosen = slice(start, min(start + at_once, points))
        inputs = point(chosen).flatten(0, 1).contiguous(memory_format=torch.channels_last)
        targets = request.targets.repeat(len(inputs) // images)
        gradients = input_gradient(request.model.module, inputs, targets)
        total += gradients.unflatten(0, (-1, images)).sum(0)
        squares += gradients.square().unflatten(0, (-1, images)).sum(0)
    return total / points, squares / points


def path_pass(request: Request) -> Tensor:
    """Mean gradient on the straight path from the zero baseline, midpoint rule."""
    count = request.sampling.path_steps
    alphas = (torch.arange(count).to(request.inputs) + 0.5) / count

    def on_path(chosen: slice) -> Tensor:
        return alphas[chosen].view(-1, 1, 1, 1, 1) * request.inputs

    return _gradient_moments(request, count, on_path)[0]


@method("integrated-gradients", path_pass)
def integrated_gradients(values: Tensor, request: Request) -> Tensor:
    """Integrated gradients (Sundararajan et al. 2017), baseline 0 in the model's input space."""
    return values * request.inputs


def noisy_pass(request: Request) -> Tensor:
    """Mean and variance of the gradient over noisy copies: channels 0 to 2, and 3 to 5."""
    count, images = request.sampling.noisy_copies, len(request.inputs)
    extent = request.inputs.amax((1, 2, 3)) - request.inputs.amin((1, 2, 3))
    deviation = (request.sampling.noise_level * extent).view(1, -1, 1, 1, 1)
    shape = tuple(request.inputs.shape[1:])

    def noisy(chosen: slice) -> Tensor:
        copies = range(chosen.start, chosen.stop)
        seeds = [
            request.seed(image, "smoothgrad", copy) for copy in copies for image in range(images)
        ]
        noise = normal(shape, seeds, request.inputs).unflatten(0, (len(copies), images))
        return request.inputs + deviation * noise

    mean, square = _gradient_moments(request, count, noisy)
    return torch.cat([mean, (square - mean.square()).clamp_min(0)], 1)


@method("smoothgrad", noisy_pass)
def smoothgrad(values: Tensor, request: Request) -> Tensor:
    """SmoothGrad (Smilkov et al. 2017): mean gradient over copies with Gaussian noise."""
    return values[:, :3]


@method("vargrad", noisy_pass)
def vargrad(values: Tensor, request: Request) -> Tensor:
    """VarGrad (Adebayo et al. 2018): variance of the gradient over copies with Gaussian noise."""
    return values[:, 3:]


class GuidedRectifiers(TorchFunctionMode):
    """Every ReLU called inside, or what stands for one, is guided, whoever calls it.

    Negative gradients are stopped at each of them. With f the activation, x its input and R the
    gradient that arrives at its output, what it hands on is ``max(f'(x), 0) max(R, 0)``. For ReLU
    this is the formula of Springenberg et al. (2015), ``1[x > 0] max(R, 0)``. For others, such as
    the SiLU of EfficientNet, it is this library's reading: Binder et al. (2022) run the method on
    EfficientNet-B0 and do not say what they do there. A gate (sigmoid) keeps its gradient.

    Hooks on ``nn.ReLU`` modules, the usual way, miss functional calls and ReLU6: guided
    backpropagation then silently equals the plain gradient.

    Attributes:
        calls: how many activations were guided.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Compute a function, and stop negative gradients before and behind a rectifier."""
        kwargs = kwargs or {}
        if not is_rectifier(func, args, kwargs):
            return func(*args, **kwargs)
        self.calls += 1
        if func not in FALLING:  # behind the others nothing is left to be stopped
            return _guarded(func(*args, **kwargs))
        inputs, rest = (args[0], args[1:]) if args else (kwargs["input"], ())
        options = {name: value for name, value in kwargs.items() if name != "input"}
        # a tensor of its own, so that only what comes through this call is stopped
        outputs = _guarded(func(_guarded(inputs.clone()), *rest, **options))
        return inputs.copy_(outputs) if is_in_place(func, kwargs) else outputs


def _guarded(values: Tensor) -> Tensor:
    """The same values; no negative gradient passes them."""
    if values.requires_grad:
        values.register_hook(lambda gradients: gradients.clamp_min(0))
    return values


@one_pass("guided-backprop")
def guided_pass(request: Request) -> Tensor:
    """Guided backpropagation (Springenberg et al. 2015), summed over colour channels.

    On a network without ReLU negative gradients are stopped at the activations that it has in its
    place; see :class:`GuidedRectifiers`.

    Raises:
        NotDefinedError: the network has none.
    """
    with GuidedRectifiers() as mode:
        values = input_gradient(request.model.module, request.inputs, request.targets)
    if mode.calls == 0:
        raise NotDefinedError(
            f"{request.model.spec} calls no ReLU nor an activation that stands for one, so guided "
            "backpropagation is not defined for it; leave the method guided-backprop out"
        )
    return values
