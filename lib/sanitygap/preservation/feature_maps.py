"""The last feature map of a network, where activations still have a place in the image."""

import torch
from torch import Tensor

from sanitygap.errors import UsageError
from sanitygap.models.explainable import Explainable
from sanitygap.models.hooks import hooked


def last_spatial_module(model: Explainable) -> str:
    """Name of the last module below the classifier whose output has more than one position.

    Only modules without parts count, and only outputs ``(N, C, h, w)`` with ``h w > 1``. The
    classifier begins where the first module of the topmost stage is called.

    Raises:
        UsageError: there is none.
    """
    modules = dict(model.module.named_modules())
    top = set(model.stages[0].modules)
    below: list[str] = []
    reached: list[str] = []

    def note(name: str, _inputs: object, output: object) -> None:
        if reached or not isinstance(output, Tensor) or output.ndim != 4:
            return
        if output.shape[2] * output.shape[3] > 1:
            below.append(name)

    classifier = {name: modules[name] for name in top}
    leaves = {
        name: part for name, part in modules.items() if name not in top and not any(part.children())
    }
    with (
        hooked(classifier, before=lambda name, _: reached.append(name)),
        hooked(leaves, note),
        torch.no_grad(),
    ):
        model.module(model.example)
    if not below:
        raise UsageError(
            f"{model.spec} has no feature map with more than one position below its classifier"
        )
    return below[-1]


@torch.no_grad()
def feature_map(model: Explainable, place: str, inputs: Tensor) -> Tensor:
    """What a module gives at its last call.

    Args:
        model: the network, possibly with randomised stages.
        place: name of the module, as from :func:`last_spatial_module`.
        inputs: float ``(N, 3, H, W)``.

    Returns:
        ``(N, C, h, w)``.
    """
    found: list[Tensor] = []
    module = model.module.get_submodule(place)
    # a copy: an operation in place may follow
    with module.register_forward_hook(lambda _m, _i, output: found.append(output.clone())):
        model.module(inputs)
    return found[-1]


def energy(features: Tensor) -> Tensor:
    """Sum over channels of squared activations: ``(N, C, h, w)`` to ``(N, h, w)``.

    It says where a feature map is active, whatever its channels mean.
    """
    return features.square().sum(1)
