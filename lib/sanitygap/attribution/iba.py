"""Information bottleneck attribution: how much a place has to tell (Schulz et al. 2020).

Noise is mixed into a layer's feature maps, R, by a mask: Z = m R + (1 - m) noise, and the mask is
optimised for each image so that little information passes and the class is still predicted. The
noise has the mean and the spread that the feature maps have on photographs.
"""

from collections.abc import Callable
from functools import cache, partial

import torch
from torch import Tensor, nn

from sanitygap.attribution import cam
from sanitygap.attribution.cam import last_spatial_layer
from sanitygap.attribution.method import Pass, Request, method
from sanitygap.errors import UsageError, unknown_name
from sanitygap.images import load_images
from sanitygap.models.explainable import Explainable
from sanitygap.seeds import generator

#: weight of the information term
BETA = 10.0
#: steps of Adam, their size, and noisy copies of each image at every step
STEPS, LEARNING_RATE, COPIES = 10, 1.0, 10
#: the mask's logit at the start: almost everything passes
START = 5.0
#: standard deviation of the Gaussian filter on the mask, in cells of the layer
SMOOTHNESS = 1.0
#: inputs in one pass
BATCH = 40


def feature_maps(model: Explainable, inputs: Tensor, layer: str) -> Tensor:
    """Output of a layer, ``(N, C, h, w)``, without a graph.

    Raises:
        UsageError: no such layer, or one that does not return one set of feature maps.
    """
    seen: list[Tensor] = []
    modules = dict(model.module.named_modules())
    if layer not in modules:
        raise unknown_name("layer", layer, [name for name in modules if name])
    hook = modules[layer].register_forward_hook(lambda _m, _i, output: seen.append(output.clone()))
    with hook, torch.no_grad():
        model.module(inputs)
    if len(seen) != 1 or seen[0].ndim != 4:
        raise UsageError(f"{layer} of {model.spec} returns no feature maps; name another layer")
    return seen[0]


def logits_above(model: Explainable, features: Tensor, layer: str, size: int) -> Tensor:
    """Logits from the output of a layer, ``(N, classes)``; what lies below is not computed.

    An empty batch goes through the layers below, and the layer's output is put in its place.

    Raises:
        UsageError: something goes past the layer, such as a skip around it.
    """
    module = model.module.get_submodule(layer)
    nothing = features.new_empty(0, 3, size, size)
    with module.register_forward_hook(lambda *_: features.clone()):
        try:
            logits: Tensor = model.module(nothing)
        except RuntimeError:
            logits = features.new_empty(0)
    if len(logits) != len(features):
        raise UsageError(
            f"{layer} of {model.spec} is no bottleneck: other paths lead past it; name the block "
            "around it"
        )
    return logits


def channel_statistics(model: Explainable, layer: str) -> tuple[Tensor, Tensor]:
    """Mean and spread of a layer's channels on the embedded photographs, ``(1, C, 1, 1)``.

    Schulz et al. have one for each unit, from thousands of images; with few images, all places of
    a channel share them. They are computed anew on each call, because weights may change.
    """
    photographs = load_images("photos")
    inputs = model.prepare([photographs.open(place) for place in range(len(photographs))])
    found = torch.cat([feature_maps(model, part, layer) for part in inputs.split(10)])
    mean = found.mean((0, 2, 3), keepdim=True)
    spread = found.std((0, 2, 3), keepdim=True)
    # a channel that is never active carries nothing; a tiny spread would make it infinitely telling
    return mean, spread.clamp_min(1e-2 * float(spread.mean()) + 1e-8)


def _filter(channels_shape: torch.Size, like: Tensor) -> Callable[[Tensor], Tensor]:
    """A Gaussian filter of masks ``(N, 1, h, w)`` with reflected borders."""
    reach = min(round(3 * SMOOTHNESS), min(channels_shape) - 1)
    offsets = torch.arange(-reach, reach + 1).to(like)
    weights = torch.exp(-0.5 * (offsets / SMOOTHNESS).square())
    weights = weights / weights.sum()

    def smooth(mask: Tensor) -> Tensor:
        if reach < 1:
            return mask
        padded = nn.functional.pad(mask, (reach,) * 4, mode="reflect")
        rows = nn.functional.conv2d(padded, weights.view(1, 1, -1, 1))
        return nn.functional.conv2d(rows, weights.view(1, 1, 1, -1))

    return smooth


def information(mask: Tensor, standardised: Tensor) -> Tensor:
    """Information that passes each unit, in nats: KL(N(m r, (1 - m)^2) || N(0, 1)).

    Args:
        mask: m in [0, 1).
        standardised: r, features in units of the noise's spread from its mean.

    Returns:
        Broadcast shape of both, not negative; 0 where m = 0.
    """
    rest = (1 - mask).clamp_min(1e-6)
    return 0.5 * ((mask * standardised).square() + rest.square() - 1) - rest.log()


def information_maps(
    request: Request,
    layer: str | None = None,
    steps: int = STEPS,
    copies: int = COPIES,
    beta: float = BETA,
) -> Tensor:
    """Bits that pass each place of a layer once the mask is optimised (per-sample bottleneck).

    The mask has one value for each unit of the layer, filtered in space. Loss for an image:
    cross-entropy of the target, mean over copies, plus beta times the mean information of a unit.

    Args:
        request: the model, inputs ``(N, 3, H, W)``, targets and keys (of the noise).
        layer: name of a module; Grad-CAM's by default.
        steps: of Adam.
        copies: noisy copies of an image at every step.
        beta: weight of the information.

    Returns:
        ``(N, 1, h, w)``, at the layer's resolution.
    """
    model = request.model
    layer = layer or last_spatial_layer(model, request.inputs[:1])
    mean, spread = channel_statistics(model, layer)
    features = feature_maps(model, request.inputs, layer)
    standardised = (features - mean) / spread
    size = request.inputs.shape[-1]
    smooth = _filter(features.shape[2:], features)
    logits = torch.full_like(features, START).requires_grad_()
    optimizer = torch.optim.Adam([logits], lr=LEARNING_RATE)
    sources = [generator(request.seed(i, "iba", layer)) for i in range(len(features))]
    together = max(1, BATCH // copies)

    def masks(chosen: slice) -> Tensor:
        part = logits[chosen].sigmoid()
        return smooth(part.flatten(0, 1)[:, None]).view_as(part)

    for _ in range(steps):
        slopes = torch.zeros_like(logits)
        for start in range(0, len(features), together):
            chosen = slice(start, start + together)
            mask = masks(chosen)
            drawn = torch.stack(
                [torch.randn(copies, *features.shape[1:], generator=s) for s in sources[chosen]]
            ).to(features)
            clean = features[chosen, None]
            mixed = mask[:, None] * clean + (1 - mask[:, None]) * (mean + spread * drawn)
            scores = logits_above(model, mixed.flatten(0, 1), layer, size)
            labels = request.targets[chosen].repeat_interleave(copies)
            errors = nn.functional.cross_entropy(scores, labels, reduction="none")
            told = information(mask, standardised[chosen]).mean((1, 2, 3))
            loss = errors.unflatten(0, (-1, copies)).mean(1).sum() + beta * told.sum()
            slopes[chosen] = torch.autograd.grad(loss, logits)[0][chosen]
        logits.grad = slopes
        optimizer.step()
    with torch.no_grad():
        told = information(masks(slice(None)), standardised)
    return told.sum(1, keepdim=True) / torch.log(torch.tensor(2.0))


@cache
def bottleneck_pass(layer: str | None = None) -> Pass:
    """A pass that gives information maps of a layer, ``(N, 1, h, w)``."""
    return partial(information_maps, layer=layer)


@method("iba", bottleneck_pass())
def iba(values: Tensor, request: Request) -> Tensor:
    """Information bottleneck attribution (Schulz et al. 2020): bits that a place has to pass on."""
    size = request.inputs.shape[2:]
    return nn.functional.interpolate(values, size, mode="bilinear")[:, 0]


cam.PASSES["iba"] = bottleneck_pass  # iba@LAYER, as for Grad-CAM
