"""A person's own attribution methods: ``package.module:object`` in place of a registered name.

The object is a function ``(model, inputs, targets) -> maps``, an attribution class of captum, or a
composite of zennit; a script gives the object itself. It is called with the network as it is at
that moment, so what a test redraws it sees redrawn.
"""

import inspect
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from captum.attr import Attribution
from torch import Tensor
from torch.nn.functional import interpolate
from zennit.core import Composite

from sanitygap.attribution.cam import last_spatial_layer
from sanitygap.attribution.method import Method, Pass, Request
from sanitygap.errors import UsageError
from sanitygap.importing import load_own, place_of_failure
from sanitygap.models.explainable import Explainable

#: side of the windows of captum's occlusion, as a share of the image: the paper's 15 of 224 pixels
WINDOW = 15 / 224

#: parameters of captum's classes that count draws: what they give differs from call to call
DRAWS = ("n_samples", "nt_samples")


@cache
def own_method(name: str) -> Method:
    """The method that ``package.module:object`` names.

    Raises:
        UsageError: it cannot be imported, or is nothing that explains.
    """
    return method_of(name, load_own(name, "method"))


def method_of(name: str, thing: Any) -> Method:
    """An object as the method of a name.

    Args:
        name: in tables and messages.
        thing: a function, an attribution class of captum, or a composite of zennit.

    Raises:
        UsageError: it is nothing that explains.
    """
    if isinstance(thing, Composite) or _is_class(thing, Composite):
        compute, what = _zennit(name, thing), "a composite of zennit"
    elif _is_class(thing, Attribution):
        compute, what = _captum(name, thing), "a class of captum"
    elif callable(thing) and not inspect.isclass(thing):
        compute, what = _function(name, thing), "a function"
    else:
        raise UsageError(
            f"{name} is no attribution method: name a function (model, inputs, targets) -> maps, "
            "an attribution class of captum, or a composite of zennit"
        )
    return Method(name, compute, f"{what} of your own")


def is_random(thing: Any) -> bool:
    """Whether a method's object says that it draws random numbers (``random = True``), or must."""
    if _is_class(thing, Attribution):
        return bool(set(DRAWS) & set(inspect.signature(thing.attribute).parameters))
    return bool(getattr(thing, "random", False))


def _is_class(thing: Any, parent: type) -> bool:
    return inspect.isclass(thing) and issubclass(thing, parent)


def _function(name: str, function: Callable[..., Any]) -> Pass:
    """A pass that calls ``function(module, inputs, targets)``."""

    def call(model: Explainable, inputs: Tensor, targets: Tensor, _request: Request) -> Any:
        return function(model.module, inputs, targets)

    return _checked(name, is_random(function), call)


def _zennit(name: str, thing: Any) -> Pass:
    """A pass of relevance by a composite, starting with 1 at the target.

    A class is made with this library's canonizers and, where it asks for them, the lowest and
    highest pixel values; an instance is taken as it is.
    """

    def call(model: Explainable, inputs: Tensor, targets: Tensor, _request: Request) -> Tensor:
        composite = thing
        if inspect.isclass(thing):
            low, high = (bound.to(inputs) for bound in model.preprocessing.bounds())
            known = {"canonizers": list(model.canonizers()), "low": low, "high": high}
            asked = inspect.signature(thing).parameters
            composite = thing(**{key: known[key] for key in known if key in asked})
        leaf = inputs.requires_grad_()
        with composite.context(model.module) as module:
            score = module(leaf).gather(1, targets[:, None]).sum()
            return torch.autograd.grad(score, leaf)[0]

    return _checked(name, is_random(thing), call)


def _captum(name: str, kind: Any) -> Pass:
    """A pass of a class of captum with its defaults; it looks at the last layer with feature maps.

    Windows of occlusion are the paper's, paths have the run's number of points, and what a layer
    gives is summed over its channels.
    """
    makes = inspect.signature(kind).parameters
    takes = inspect.signature(kind.attribute).parameters

    def call(model: Explainable, inputs: Tensor, targets: Tensor, request: Request) -> Tensor:
        given: list[Any] = [model.module]
        if "layer" in makes:
            layer = last_spatial_layer(model, inputs[:1])
            given.append(model.module.get_submodule(layer))
        side = max(1, round(WINDOW * inputs.shape[-1]))
        known = {
            "sliding_window_shapes": (inputs.shape[1], side, side),
            "strides": (inputs.shape[1], side, side),
            "n_steps": request.sampling.path_steps,
            "internal_batch_size": request.batch_size,
            "perturbations_per_eval": request.batch_size,
        }
        if "baselines" in takes and takes["baselines"].default is inspect.Parameter.empty:
            known["baselines"] = torch.zeros_like(inputs)
        options = {key: value for key, value in known.items() if key in takes}
        values = kind(*given).attribute(inputs, target=targets, **options)
        if isinstance(values, Tensor) and values.ndim == 4 and "layer" in makes:
            size = inputs.shape[2:]
            values = interpolate(values.sum(1, keepdim=True), size, mode="bilinear")
        return values

    return _checked(name, is_random(kind), call)


def _checked(
    name: str, random: bool, call: Callable[[Explainable, Tensor, Tensor, Request], Any]
) -> Pass:
    """A pass that asks for values and refuses what cannot be maps of these images.

    A method that draws random numbers sees one image at a time, with that image's seed, so that a
    map does not depend on the company it was made in.
    """

    def compute(request: Request) -> Tensor:
        count = len(request.inputs)
        groups = [[place] for place in range(count)] if random else [list(range(count))]
        return torch.cat([_values(group, request) for group in groups])

    def _values(group: list[int], request: Request) -> Tensor:
        inputs, targets = request.inputs[group].detach().clone(), request.targets[group]
        with torch.random.fork_rng(), torch.enable_grad():
            torch.manual_seed(request.seed(group[0], name))
            try:
                values = call(request.model, inputs, targets, request)
            except UsageError:
                raise
            except Exception as error:  # a person's function may fail in any way
                raise UsageError(
                    f"the method {name} failed on {request.model.spec}: {place_of_failure(error)}"
                ) from error
        return _as_maps(name, values, inputs)

    return compute


def _as_maps(name: str, values: Any, inputs: Tensor) -> Tensor:
    """Float values ``(N, C, H, W)`` of what a method gave.

    Raises:
        UsageError: no tensor, another shape, or a value that is not finite.
    """
    count, _, height, width = inputs.shape
    fitting = ((count, height, width), (count, 1, height, width), (count, 3, height, width))
    if not isinstance(values, Tensor):
        raise UsageError(f"the method {name} returns a {type(values).__name__}, not a tensor")
    if tuple(values.shape) not in fitting:
        raise UsageError(
            f"the method {name} returns the shape {tuple(values.shape)} for {count} images; it "
            f"must be {fitting[0]}, {fitting[1]} or {fitting[2]}"
        )
    values = values.detach().to(inputs)
    if not torch.isfinite(values).all():
        raise UsageError(f"the method {name} returns NaN or infinite values; mend it")
    return values if values.ndim == 4 else values[:, None]
