"""Attribution before colour channels are summed: one value for every value of the input.

Adebayo et al. (2018) define a method as a map from inputs to objects of the same shape, and take
absolute values before they sum over channels. Maps of :func:`sanitygap.attribution.attribute` are
summed already.
"""

from collections.abc import Callable, Sequence

import torch

from sanitygap.attribution import cam, select
from sanitygap.attribution.method import Request, Sampling
from sanitygap.models.explainable import Explainable

#: methods that give one value a pixel, whatever the number of channels
ONE_VALUE_A_PIXEL = ("grad-cam", "grad-cam-plus-plus", "noise", "noise-fixed", "edges")

#: methods whose first half does not give their values itself
VALUES: dict[str, Callable[[torch.Tensor, Request], torch.Tensor]] = {
    "gradient-x-input": lambda values, request: values * request.inputs,
    "integrated-gradients": lambda values, request: values * request.inputs,
    "smoothgrad": lambda values, request: values[:, : request.inputs.shape[1]],
    "vargrad": lambda values, request: values[:, request.inputs.shape[1] :],
}

#: guided Grad-CAM is the product of these two, which are mostly asked for as well
FACTORS = ("guided-backprop", "grad-cam")

#: what these maps depend on besides the methods; part of the address of every result
RELIES_ON = (cam,)


def unpooled(
    model: Explainable,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    methods: Sequence[str],
    keys: Sequence[int],
    sampling: Sampling | None = None,
    batch_size: int = 10,
) -> dict[str, torch.Tensor]:
    """Signed attribution of several methods for one batch of images.

    Args:
        model, inputs, targets, methods, keys, sampling, batch_size: as in
            :func:`sanitygap.attribution.attribute`.

    Returns:
        Name -> values, detached, ``(N, C, H, W)``, or ``(N, 1, H, W)`` for methods that give one
        value a pixel. Summed over channels they are the maps of ``attribute``.

    Raises:
        UsageError: unknown method, or one that is not defined for this model.
    """
    request = Request(model, inputs, targets, tuple(keys), sampling or Sampling(), batch_size)
    passes: dict[object, torch.Tensor] = {}
    made: dict[str, torch.Tensor] = {}

    def values_of(name: str) -> torch.Tensor:
        if name in made:
            return made[name]
        if name == "guided-grad-cam":
            guided, coarse = map(values_of, FACTORS)
            return guided * coarse
        [chosen] = select([name])
        if chosen.compute not in passes:
            passes[chosen.compute] = chosen.values(request)
        found = passes[chosen.compute]
        if name.partition("@")[0] in ONE_VALUE_A_PIXEL:
            return chosen.finish(found, request)[:, None]
        return VALUES[name](found, request) if name in VALUES else found

    for name in dict.fromkeys([*(n for n in methods if n in FACTORS), *methods]):
        made[name] = values_of(name)
    return {name: made[name] for name in methods}
