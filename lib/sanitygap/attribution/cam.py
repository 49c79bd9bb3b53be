"""Class activation maps: feature maps of a layer, weighted by the target logit's gradient there."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn.modules import dropout, pooling

from sanitygap.attribution import gradient
from sanitygap.attribution.method import METHODS, Method, Pass, Request, method, register
from sanitygap.errors import NotDefinedError, UsageError, unknown_name
from sanitygap.models.explainable import Explainable
from sanitygap.models.hooks import hooked

#: modules that thin out a layer's output and are no layer themselves
THINNING = (
    dropout._DropoutNd,
    pooling._AdaptiveAvgPoolNd,
    pooling._AdaptiveMaxPoolNd,
    pooling._AvgPoolNd,
    pooling._LPPoolNd,
    pooling._MaxPoolNd,
)

#: found by :func:`last_spatial_layer`; the structure of a network does not change
_FOUND: WeakKeyDictionary[nn.Module, str] = WeakKeyDictionary()


def last_spatial_layer(model: Explainable, example: Tensor) -> str:
    """The layer that Grad-CAM looks at by default: the last one before space is pooled away.

    It is found by a forward trace: the last module that is called once and returns feature maps
    ``(N, C, h, w)`` of more than one pixel, where pooling and dropout do not count. In a ResNet
    this is ``layer4``, in VGG-16 the last activation before the last pooling.

    Args:
        model: the network.
        example: one input ``(1, 3, H, W)``.

    Raises:
        NotDefinedError: no module returns feature maps, or what follows works on tokens.
    """
    if model.module not in _FOUND:
        _FOUND[model.module] = _trace(model, example)
    return _FOUND[model.module]


def _trace(model: Explainable, example: Tensor) -> str:
    outputs: list[tuple[str, Tensor]] = []  # holds the tensors, so that no identity recurs
    calls: dict[str, int] = {}
    thinned: dict[int, bool] = {}  # whether the module that made a tensor is no layer
    modules = dict(model.module.named_modules())

    def note(name: str, _inputs: object, output: object) -> None:
        calls[name] = calls.get(name, 0) + 1
        if isinstance(output, Tensor):
            outputs.append((name, output))
            thinned.setdefault(id(output), isinstance(modules[name], THINNING))

    with hooked(modules, note), torch.no_grad():
        model.module(example)
    advice = "name a layer, as in grad-cam@LAYER, or leave the method out"
    for name, output in reversed(outputs):
        if output.ndim == 3 and output.shape[1] > 1:
            raise NotDefinedError(f"{model.spec} pools tokens, not feature maps; {advice}")
        spatial = output.ndim == 4 and output.shape[2:].numel() > 1
        if spatial and calls[name] == 1 and not thinned[id(output)]:
            return name
    raise NotDefinedError(f"no module of {model.spec} returns feature maps; {advice}")


def features_and_gradients(
    model: Explainable, inputs: Tensor, targets: Tensor, layer: str
) -> tuple[Tensor, Tensor]:
    """A layer's feature maps and the gradients of the target logits there.

    The graph begins at the layer, so the backward pass does not go through what lies below.

    Args:
        model: the network.
        inputs: float, ``(N, 3, H, W)``.
        targets: int64, ``(N,)``.
        layer: name of a module that returns feature maps.

    Returns:
        Two tensors ``(N, C, h, w)``.

    Raises:
        UsageError: no such module, or one that does not return feature maps, is called several
            times or does not feed the logits.
    """
    modules = dict(model.module.named_modules())
    if layer not in modules:
        raise unknown_name("layer", layer, [name for name in modules if name])
    leaves: list[Tensor] = []

    def cut(_module: nn.Module, _inputs: object, output: object) -> Tensor:
        if not isinstance(output, Tensor) or output.ndim != 4:
            raise UsageError(f"{layer} of {model.spec} returns no feature maps; name another layer")
        leaves.append(output.detach().requires_grad_())
        return leaves[-1].clone()  # what follows may work in place

    with modules[layer].register_forward_hook(cut):
        logits = model.module(inputs)
    if len(leaves) != 1:
        raise UsageError(
            f"{layer} of {model.spec} is called {len(leaves)} times, so it has no one output; name "
            "the block around it"
        )
    if not logits.requires_grad:
        raise UsageError(f"{layer} of {model.spec} does not feed the logits; name another layer")
    score = logits.gather(1, targets[:, None]).sum()
    return leaves[0].detach(), torch.autograd.grad(score, leaves[0])[0]


@cache
def layer_pass(layer: str | None = None) -> Pass:
    """A pass that gives feature maps and gradients of a layer, ``(N, 2 C, h, w)``."""

    def compute(request: Request) -> Tensor:
        chosen = layer or last_spatial_layer(request.model, request.inputs[:1])
        return torch.cat(
            features_and_gradients(request.model, request.inputs, request.targets, chosen), 1
        )

    return compute


@cache
def guided_layer_pass(layer: str | None = None) -> Pass:
    """A pass that gives guided backpropagation times Grad-CAM, ``(N, 3, H, W)``."""

    def compute(request: Request) -> Tensor:
        coarse = grad_cam(layer_pass(layer)(request), request)
        return gradient.guided_pass(request) * coarse[:, None]

    return compute


def _upsampled(maps: Tensor, request: Request) -> Tensor:
    """Positive part of maps ``(N, h, w)``, bilinearly upsampled to the input's ``(N, H, W)``."""
    size = request.inputs.shape[2:]
    return nn.functional.interpolate(maps.clamp_min(0)[:, None], size, mode="bilinear")[:, 0]


@method("grad-cam", layer_pass())
def grad_cam(values: Tensor, request: Request) -> Tensor:
    """Grad-CAM (Selvaraju et al. 2017): channels weighted by their mean gradient, positive part."""
    features, slopes = values.chunk(2, 1)
    return _upsampled((slopes.mean((2, 3), keepdim=True) * features).sum(1), request)


@method("grad-cam-plus-plus", layer_pass())
def grad_cam_plus_plus(values: Tensor, request: Request) -> Tensor:
    """Grad-CAM++ (Chattopadhay et al. 2018): positive gradients weighted pixel by pixel.

    The paper explains the exponential of the logit. Its closed form (Eq. 19) assumes that the
    logit is piecewise linear in the features; the factor exp(logit), one for each image, is left
    out, because it would only scale the map.
    """
    features, slopes = values.chunk(2, 1)
    cubes = slopes.pow(3) * features.sum((2, 3), keepdim=True)
    below = 2 * slopes.square() + cubes
    shares = slopes.square() / torch.where(below == 0, torch.ones_like(below), below)
    weights = (shares * slopes.clamp_min(0)).sum((2, 3), keepdim=True)
    return _upsampled((weights * features).sum(1), request)


register(
    "guided-grad-cam",
    guided_layer_pass(),
    "Guided Grad-CAM (Selvaraju et al. 2017): guided backpropagation times Grad-CAM.",
)


PASSES: dict[str, Callable[[str | None], Pass]] = {
    "grad-cam": layer_pass,
    "grad-cam-plus-plus": layer_pass,
    "guided-grad-cam": guided_layer_pass,
}


@cache
def at_layer(name: str, layer: str) -> Method:
    """A method of this module at a named layer; ``grad-cam@layer3`` in lists of methods.

    Args:
        name: ``grad-cam``, ``grad-cam-plus-plus`` or ``guided-grad-cam``.
        layer: name of a module of the network.

    Raises:
        UsageError: a method that looks at no layer.
    """
    if name not in PASSES:
        raise UsageError(f"the method {name!r} looks at no layer; write it without @{layer}")
    return replace(METHODS[name], name=f"{name}@{layer}", compute=PASSES[name](layer))
