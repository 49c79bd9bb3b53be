"""Full gradients: what the input and every bias add to a logit (Srinivas & Fleuret 2019).

A network of piecewise linear layers is, around an input, an affine function of its pixels and of
its biases, so a logit is *exactly* the sum of gradient x input and of gradient x bias over all
layers. Batch normalisation has a bias too, and a saturated ReLU6 acts as one.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from sanitygap.attribution.method import Request, one_pass
from sanitygap.errors import NotDefinedError
from sanitygap.models.hooks import hooked

#: how far the parts may be off the logit, as a share of the sum of their magnitudes ...
TOLERANCE = 1e-4
#: ... and of the largest logit
ROUNDING = 1e-4

Biases = Callable[[nn.Module, Tensor, Tensor], Tensor | None]


def _explicit(module: nn.Module, _inputs: Tensor, outputs: Tensor) -> Tensor | None:
    bias = module.bias
    if not isinstance(bias, Tensor):
        return None
    last = isinstance(module, nn.Linear)  # where its channels are
    shown = bias if last else bias.view(1, -1, *[1] * (outputs.ndim - 2))
    return shown.expand_as(outputs)


def _of_normalisation(module: nn.Module, _inputs: Tensor, outputs: Tensor) -> Tensor:
    scale = (module.running_var + module.eps).rsqrt()  # type: ignore[operator]
    shift = -module.running_mean * scale  # type: ignore[operator]
    if module.affine:
        shift = shift * module.weight + module.bias  # type: ignore[operator]
    return shift.view(1, -1, 1, 1).expand_as(outputs)


def _of_ceiling(module: nn.Module, inputs: Tensor, outputs: Tensor) -> Tensor:
    """A unit at its ceiling (or at a floor other than 0) passes on a constant."""
    low, high = module.min_val, module.max_val
    return outputs * ((inputs >= high) | (inputs <= low))  # type: ignore[operator]


BIASES: dict[type[nn.Module], Biases] = {
    nn.Conv2d: _explicit,
    nn.Linear: _explicit,
    nn.BatchNorm2d: _of_normalisation,
    nn.Hardtanh: _of_ceiling,
    nn.ReLU6: _of_ceiling,
}


def divides_by_image(layer: nn.Module) -> bool:
    """Whether a layer divides by a statistic of the image itself."""
    if isinstance(layer, nn.modules.batchnorm._NormBase):
        return layer.running_mean is None
    return isinstance(layer, nn.LayerNorm | nn.GroupNorm | nn.RMSNorm)


def full_gradients(request: Request) -> tuple[Tensor, list[Tensor]]:
    """The parts of the target logits: input gradients and bias gradients.

    Args:
        request: the model, inputs ``(N, 3, H, W)`` and targets.

    Returns:
        Gradient x input ``(N, 3, H, W)``, and gradient x bias of every layer that has one:
        ``(N, C, h, w)``, or ``(N, C)`` for dense layers. All of it sums to the logits.

    Raises:
        NotDefinedError: the parts do not sum to the logits, because the network has an activation
            that is not piecewise linear, or a bias outside the layers in :data:`BIASES`.
    """
    if any(map(divides_by_image, request.model.module.modules())):
        raise NotDefinedError(
            f"{request.model.spec} normalises each image by its own statistics, which is not "
            "piecewise linear; leave the method fullgrad out"
        )
    layers = {
        name: layer for name, layer in request.model.module.named_modules() if type(layer) in BIASES
    }
    records: list[tuple[Tensor, Tensor]] = []  # outputs and biases, by calls

    def note(name: str, inputs: tuple[Tensor, ...], output: Tensor) -> object:
        # a layer that works in place has overwritten its input; what it did is seen in the output
        layer = layers[name]
        found = BIASES[type(layer)](layer, inputs[0].detach(), output.detach())
        if found is None:
            return None
        records.append((output, found.detach()))
        return output.clone()  # what follows may work in place

    leaf = request.inputs.detach().requires_grad_()
    with hooked(layers, note):
        logits = request.model.module(leaf)
    score = logits.gather(1, request.targets[:, None])
    found = torch.autograd.grad(
        score.sum(), [leaf, *(output for output, _ in records)], allow_unused=True
    )
    of_input = found[0] * request.inputs
    of_biases = [
        slope * bias
        for slope, (_, bias) in zip(found[1:], records, strict=True)
        if slope is not None
    ]
    parts = [of_input, *of_biases]
    total = sum(part.flatten(1).double().sum(1) for part in parts)
    size = sum(part.flatten(1).double().abs().sum(1) for part in parts)
    allowed = TOLERANCE * size + ROUNDING * logits.detach().abs().max()
    if not ((total - score.detach()[:, 0].double()).abs() <= allowed).all():
        raise NotDefinedError(
            f"{request.model.spec} is not piecewise linear layer by layer, so its full gradients "
            "do not sum to the logit; leave the method fullgrad out"
        )
    return of_input, of_biases


def _rescaled(part: Tensor) -> Tensor:
    """Absolute values, brought to [0, 1] for each image, summed over channels: ``(N, 1, h, w)``."""
    values = part.abs()
    low, high = (bound(values, (1, 2, 3), keepdim=True) for bound in (torch.amin, torch.amax))
    extent = high - low
    return ((values - low) / torch.where(extent == 0, 1.0, extent)).sum(1, keepdim=True)


@one_pass("fullgrad")
def fullgrad_pass(request: Request) -> Tensor:
    """FullGrad (Srinivas & Fleuret 2019): magnitudes of input and bias gradients, layer by layer.

    Each layer's magnitudes are brought to [0, 1] for each image, upsampled and added, as the
    authors do; the map is never negative.
    """
    of_input, of_biases = full_gradients(request)
    size = request.inputs.shape[2:]
    total = _rescaled(of_input)
    for part in of_biases:
        if part.ndim == 4 and part.shape[2:].numel() > 1:
            total = total + nn.functional.interpolate(_rescaled(part), size, mode="bilinear")
    return total
