"""What the tests ask of an attribution method, tried before hours are spent on it."""

import time
from collections.abc import Iterator

import torch
from torch import Tensor

from sanitygap.attribution import attribute
from sanitygap.attribution.own import is_random
from sanitygap.errors import UsageError
from sanitygap.importing import is_own, load_own
from sanitygap.models.explainable import Explainable
from sanitygap.models.loading import weights_sha256
from sanitygap.models.preflight import Finding
from sanitygap.randomization import RandomTwin


def check_method(name: str, model: Explainable, inputs: Tensor) -> list[Finding]:
    """Try an attribution method on some images, with the trained and with a redrawn network.

    Args:
        name: of a registered method, or ``package.module:object``.
        model: the network.
        inputs: ``(N, 3, H, W)``, two images or more.

    Returns:
        One finding a check; what comes after a method that gives no maps is left out.

    Raises:
        UsageError: there is no such method.
    """
    return list(_findings(name, model, inputs))


def _findings(name: str, model: Explainable, inputs: Tensor) -> Iterator[Finding]:
    targets, keys = model.predict(inputs), list(range(len(inputs)))

    def maps(places: slice = slice(None), drawn: int = 0) -> Tensor:
        seeds = [key + drawn for key in keys[places]]
        return attribute(model, inputs[places], targets[places], [name], seeds)[name]

    before = _state(model)
    started = time.perf_counter()
    try:
        first = maps()
    except UsageError as error:
        yield Finding("gives maps of the images' size, all finite", False, str(error))
        return
    seconds = time.perf_counter() - started
    yield Finding("gives maps of the images' size, all finite", True, f"maps {tuple(first.shape)}")
    spread = first.flatten(1).std(1)
    yield Finding(
        "tells pixels apart",
        bool((spread > 0).all()),
        f"least standard deviation {spread.min():.1e}",
    )
    draws = not is_own(name) or is_random(load_own(name, "method"))
    same = torch.equal(first, maps())
    yield Finding(
        "gives the same map for the same seed", same, "twice" if same else
        "two calls differ: take every random number from torch's global generator, and set "
        "`random = True` on the function",
    )  # fmt: skip
    other = torch.equal(first, maps(drawn=10_000))
    yield Finding(
        "says whether it draws random numbers", other or draws, "it draws none" if other else
        "it draws some" if draws else "it draws some: set `random = True` on the function",
    )  # fmt: skip
    gap = _gap(first[:1], maps(slice(0, 1)))
    yield Finding("does not look at the other images", gap < 1e-3, f"relative gap {gap:.1e}")
    with RandomTwin(model, seed=0).redrawn(model.stages):
        redrawn = _gap(first, maps())
    yield Finding(
        "looks at the network", redrawn > 1e-6, f"relative change {redrawn:.1e} when all weights "
        "are redrawn" if redrawn > 1e-6 else "the map stays the same when all weights are redrawn",
    )  # fmt: skip
    changed = [key for key, value in _state(model).items() if before[key] != value]
    yield Finding(
        "leaves the network as it was", not changed,
        f"changed: {', '.join(changed)}" if changed else "weights, hooks and modes",
    )  # fmt: skip
    started = time.perf_counter()
    attribute(model, inputs, targets, ["gradient"], keys)
    ratio = seconds / (time.perf_counter() - started)
    yield Finding("how long it takes", True, f"{ratio:.1f} times a gradient")


def _gap(first: Tensor, second: Tensor) -> float:
    """The largest difference, in units of the largest value."""
    return float((first - second).abs().max() / first.abs().max().clamp_min(1e-12))


def _state(model: Explainable) -> dict[str, object]:
    """What a method has no business to change."""
    modules = list(model.module.modules())
    return {
        "weights": weights_sha256(model.module),
        "training mode": [module.training for module in modules],
        "hooks": sum(len(m._forward_hooks) + len(m._backward_hooks) for m in modules),
        "gradients": [p.requires_grad or p.grad is not None for p in model.module.parameters()],
    }
