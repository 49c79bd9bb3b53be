"""Attribution methods: (model, inputs, targets) to signed maps of shape ``(N, H, W)``."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any

from torch import Tensor

from sanitygap.attribution import (  # noqa: F401  (they register methods)
    cam,
    captum_methods,
    controls,
    deeplift,
    extremal,
    fullgrad,
    gradient,
    iba,
    lrp,
    perturbation,
    surrogate,
)
from sanitygap.attribution.method import METHODS, Method, Pass, Request, Sampling
from sanitygap.attribution.own import method_of, own_method
from sanitygap.errors import UsageError, unknown_name
from sanitygap.models.explainable import Explainable
from sanitygap.reductions import Reduction, reduce

__all__ = ["METHODS", "Method", "Request", "Sampling", "attribute", "select", "unpooled"]


#: method -> what a number behind its name counts, the least that it can do with, and from the
#: number to the method's pass
SIZED: dict[str, tuple[str, int, Callable[[int], Pass]]] = {
    name: ("samples", 2, partial(surrogate.surrogate_pass, name)) for name in surrogate.SURROGATES
} | {
    "perturbation-mask": ("iterations", 1, perturbation.mask_pass),
    "extremal-perturbation": ("steps", 1, extremal.mask_pass),
}


@cache
def with_size(name: str, number: str) -> Method:
    """A method of :data:`SIZED` with another size.

    Raises:
        UsageError: that is no number, or too small a one.
    """
    counts, least, make = SIZED[name]
    if not number.isdecimal() or int(number) < least:
        raise UsageError(f"{name}@N takes N {counts}, at least {least}; not {number!r}")
    return replace(METHODS[name], name=f"{name}@{number}", compute=make(int(number)))


Methods = Sequence[Any] | Mapping[str, Any]
"""Names and objects, or name -> object; see :func:`select`."""


def select(methods: Methods) -> list[Method]:
    """The methods with these names.

    Args:
        methods: names from the registry; ``grad-cam@layer3`` is Grad-CAM at the layer of that
            name, ``lime@200`` is LIME with 200 samples, ``lrp-z-plus@biases`` LRP with biases in
            its denominators, and ``package.module:object`` is one of your own. In a script, an
            object of your own can stand among them, under its own name, or ``{name: object}``.

    Raises:
        UsageError: for a name that is not in the registry, for no module of your own, and for an
            object that explains nothing.
    """
    if isinstance(methods, Mapping):
        return [method_of(name, thing) for name, thing in methods.items()]
    return [_selected(method) for method in methods]


def _selected(method: Any) -> Method:
    if isinstance(method, Method):
        return method
    if not isinstance(method, str):
        return method_of(getattr(method, "__name__", type(method).__name__), method)
    if ":" in method:
        return own_method(method)
    known, separator, choice = method.partition("@")
    if known not in METHODS:
        raise unknown_name("method", known, list(METHODS))
    return _with_choice(known, choice) if separator else METHODS[known]


def _with_choice(name: str, choice: str) -> Method:
    """The method with what stands behind the @: its size, a layer, or a reading of biases."""
    if name in lrp.PRESETS:
        return lrp.with_choice(name, choice)
    return with_size(name, choice) if name in SIZED else cam.at_layer(name, choice)


def unpooled(
    model: Explainable,
    inputs: Tensor,
    targets: Tensor,
    methods: Methods,
    keys: Sequence[int] | None = None,
    sampling: Sampling | None = None,
    batch_size: int = 10,
) -> dict[str, Tensor]:
    """Attribution of several methods for one batch of images, a value for each colour channel.

    Args:
        model, inputs, targets, methods, keys, sampling, batch_size: as in :func:`attribute`.

    Returns:
        Name -> signed values, detached, float, ``(N, 3, H, W)``, or ``(N, 1, H, W)`` for methods
        that give one value a pixel. :func:`sanitygap.reductions.reduce` makes maps of them.

    Raises:
        UsageError: unknown method, or one that is not defined for this model.
    """
    sampling = sampling or Sampling()
    keys = tuple(range(len(inputs)) if keys is None else keys)
    request = Request(model, inputs, targets, keys, sampling, batch_size)
    shared: dict[object, Tensor] = {}
    made = {}
    for chosen in select(methods):
        if chosen.compute not in shared:
            shared[chosen.compute] = chosen.values(request)
        values = chosen.finish(shared[chosen.compute], request)
        made[chosen.name] = values if values.ndim == 4 else values[:, None]
    return made


def attribute(
    model: Explainable,
    inputs: Tensor,
    targets: Tensor,
    methods: Methods,
    keys: Sequence[int] | None = None,
    sampling: Sampling | None = None,
    batch_size: int = 10,
    reduction: Reduction = "signed",
) -> dict[str, Tensor]:
    """Attribution maps of several methods for one batch of images.

    Args:
        model: the network, possibly with randomised stages.
        inputs: float, ``(N, 3, H, W)``, in the model's input space.
        targets: explained classes, int64, ``(N,)``.
        methods: names and objects, as in :func:`sanitygap.randomization_test`; those that need the
            same pass share it.
        keys: one integer an image, its place by default; seeds the random draws of sampling
            methods and controls.
        sampling: sizes of the sampling methods.
        batch_size: how many inputs a sampling method puts through the network at once.
        reduction: of the colour channels to one value a pixel.

    Returns:
        Name -> maps, detached, float, ``(N, H, W)``.

    Raises:
        UsageError: unknown method, or one that is not defined for this model.
    """
    values = unpooled(model, inputs, targets, methods, keys, sampling, batch_size)
    return {name: reduce(channels, reduction) for name, channels in values.items()}
