"""A network cut in two at a stage: f(x) = g(phi(x)), Eq. (3) of Binder et al. (2022).

The kept part phi is everything below the cut, the part g above it is what randomisation redraws.
The cut lies at the input of the lowest stage of g, so phi(x) is the tensor that this stage takes.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from zennit.canonizers import Canonizer
from zennit.layer import Sum

from sanitygap.errors import NotDefinedError, UsageError
from sanitygap.models.explainable import Explainable, Stage
from sanitygap.models.hooks import hooked


@dataclass(frozen=True)
class Cut:
    """Where a network is cut.

    Attributes:
        kept: the stages of phi, from the cut to the input.
        redrawn: the stages of g, from the output to the cut.
        place: name of the module whose input is phi(x).
    """

    kept: tuple[Stage, ...]
    redrawn: tuple[Stage, ...]
    place: str

    @property
    def name(self) -> str:
        """Name of the topmost kept stage."""
        return self.kept[0].name


def cut_model(model: Explainable, share: float) -> Cut:
    """Cut a network so that about this share of its stages, counted from the input, is kept.

    Torchvision's VGG-16 has 16 stages, one a layer: 3/8 keeps ``features.0`` to ``features.12``,
    3/4 keeps the first twelve convolutions.

    Args:
        model: the network.
        share: between 0 and 1; at least one stage is kept and at least one redrawn.

    Raises:
        NotDefinedError: a network of one stage, or one in which the input of g is not one tensor.
    """
    count = len(model.stages)
    if count < 2:
        raise NotDefinedError(f"{model.spec} has one stage only, so it cannot be cut in two")
    kept = min(max(round(share * count), 1), count - 1)
    redrawn = model.stages[: count - kept]
    return Cut(model.stages[count - kept :], redrawn, _entrance(model, redrawn[-1]))


def _entrance(model: Explainable, stage: Stage) -> str:
    """The module of a stage that is called first with one tensor: the stage itself if it is one."""
    modules = dict(model.module.named_modules())
    names = [name for name in dict.fromkeys((stage.name, *stage.modules)) if name in modules]
    called: list[str] = []

    def note(name: str, inputs: tuple[Any, ...]) -> None:
        if len(inputs) == 1 and isinstance(inputs[0], Tensor):
            called.append(name)

    with hooked({name: modules[name] for name in names}, before=note), torch.no_grad():
        model.module(model.example)
    if not called or called.count(called[0]) > 1:
        raise NotDefinedError(
            f"the stage {stage.name!r} of {model.spec} does not take one tensor, once, so the "
            "network cannot be cut below it; cut it elsewhere"
        )
    return called[0]


class _Reached(Exception):  # noqa: N818  (it is no error: it ends a pass at the cut)
    """Carries phi(x) out of a forward pass."""

    def __init__(self, values: Tensor) -> None:
        super().__init__()
        self.values = values


class Features(nn.Module):
    """The kept part of a network: inputs ``(N, 3, H, W)`` to ``phi(x)``, ``(N, ...)``."""

    def __init__(self, network: nn.Module, place: str) -> None:
        super().__init__()
        self.network = network
        self.place = place

    def forward(self, inputs: Tensor) -> Tensor:
        """Run the network up to the cut and no further."""

        def leave(_module: nn.Module, values: tuple[Tensor, ...]) -> None:
            raise _Reached(values[0])

        # before all other hooks of the module, which belong to g
        module = self.network.get_submodule(self.place)
        with module.register_forward_pre_hook(leave, prepend=True):
            try:
                self.network(inputs)
            except _Reached as reached:
                return reached.values
        raise UsageError(f"the module {self.place!r} was not called")


class FeatureSum(nn.Module):
    """Sum of all activations at the cut: inputs ``(N, 3, H, W)`` to one logit, ``(N, 1)``."""

    def __init__(self, network: nn.Module, place: str) -> None:
        super().__init__()
        self.features = Features(network, place)
        self.sum = Sum()  # a module: LRP then shares relevance in proportion to the activations

    def forward(self, inputs: Tensor) -> Tensor:
        """``sum phi(x)``."""
        return self.sum(self.features(inputs).flatten(1))[:, None]


class _Inside(Canonizer):
    """A canonizer of a network that has become a part of another one.

    Canonizers name modules from the root of the network, so that is what they have to be given.
    """

    def __init__(self, canonizer: Canonizer, place: str) -> None:
        self.canonizer = canonizer
        self.place = place

    def apply(self, root_module: nn.Module) -> list[Canonizer]:
        """Apply it to the part; returns the instances to be removed."""
        return self.canonizer.apply(root_module.get_submodule(self.place))

    def register(self, *_: Any) -> None:
        """Never called: the instances that :meth:`apply` returns are the inner canonizer's."""
        raise NotImplementedError

    def remove(self) -> None:
        """Nothing is left to remove, see :meth:`register`."""


def feature_sum(model: Explainable, cut: Cut) -> Explainable:
    """The kept part with the sum of its activations as the only logit, to be explained.

    Every method of the registry explains it; the target is class 0. The weights are the model's
    own, not a copy.
    """
    inner = "features.network"
    return replace(
        model,
        spec=f"{model.spec}, sum at {cut.place}",
        module=FeatureSum(model.module, cut.place).eval(),
        stages=(),
        class_names=("sum of activations",),
        final_activation="",
        canonizers=lambda: [_Inside(canonizer, inner) for canonizer in model.canonizers()],
    )


@torch.no_grad()
def stage_outputs(model: Explainable, inputs: Tensor) -> dict[str, Tensor]:
    """Outputs of all stages that are one module, called once with one tensor and giving one.

    Args:
        model: the network.
        inputs: float ``(N, 3, H, W)``.

    Returns:
        Name of the stage -> copy of its output, for :func:`resumed`.
    """
    modules = dict(model.module.named_modules())
    found: dict[str, list[Any]] = {}

    def keep(name: str, taken: tuple[Any, ...], output: Any) -> None:
        plain = len(taken) == 1 and isinstance(output, Tensor)
        # a copy: an operation in place may follow
        found.setdefault(name, []).append(output.clone() if plain else None)

    names = [stage.name for stage in model.stages if stage.name in modules]
    with hooked({name: modules[name] for name in names}, keep):
        model.module(inputs)
    return {
        name: outputs[0]
        for name, outputs in found.items()
        if len(outputs) == 1 and outputs[0] is not None
    }


@contextmanager
def resumed(
    model: Explainable, outputs: Mapping[str, Tensor], stages: Sequence[Stage]
) -> Iterator[None]:
    """Stages answer with outputs computed before, so that only what is above them is computed.

    Inside, the model has to be called with the inputs that the outputs belong to. The numbers are
    those of a whole pass, bit for bit.

    Args:
        model: the network.
        outputs: of :func:`stage_outputs`.
        stages: those that need not be computed; every stage below them has to be among them.
    """
    modules = dict(model.module.named_modules())
    own: dict[nn.Module, Any] = {}  # a canonizer may have given the module a function of its own
    try:
        for name in (stage.name for stage in stages if stage.name in outputs):
            known, module = outputs[name], modules[name]
            own[module] = module.__dict__.get("forward")
            module.__dict__["forward"] = lambda _inputs, known=known: known.clone()
        yield
    finally:
        for module, function in own.items():
            del module.__dict__["forward"]
            if function is not None:
                module.__dict__["forward"] = function


def below(model: Explainable, layer: str) -> tuple[Stage, ...]:
    """The stages below the one that a layer belongs to."""
    for index, stage in enumerate(model.stages):
        if layer in stage.modules:
            return model.stages[index + 1 :]
    raise ValueError(f"no stage owns {layer!r}")


def centred(logits: Tensor) -> Tensor:
    """Logits ``(N, classes)`` without their mean, which softmax does not see, in float64."""
    return (logits - logits.mean(1, keepdim=True)).double()


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
