"""Randomisation: which weights are redrawn, in which order, from which distribution.

A :class:`RandomTwin` draws a complete second set of weights once. A stage is randomised by letting
its modules point at the drawn tensors and restored by pointing them back, so nothing is copied and
the model is bit-identical afterwards.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from sanitygap.errors import unknown_name
from sanitygap.models.explainable import Explainable, Stage
from sanitygap.seeds import generator

Order = Literal["top-down", "bottom-up", "independent"]
Weights = Literal["he-normal", "he-uniform", "truncated-normal", "uniform", "permuted"]
Norms = Literal["reset", "kept"]
ORDERS: tuple[Order, ...] = ("top-down", "bottom-up", "independent")

NORM_LAYERS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)


@dataclass(frozen=True)
class Redraw:
    """How weights are redrawn.

    Attributes:
        weights: ``he-normal`` and ``he-uniform`` have standard deviation ``sqrt(2 / fan_in)``
            (He et al. 2015); ``truncated-normal`` has scale 0.01, cut at two of it, and
            ``uniform`` lies in ``[-0.01, 0.01]``, the two initialisers of Adebayo et al. 2018;
            ``permuted`` shuffles the trained values of each weight.
        norms: ``reset`` makes normalisation layers as in a new network (statistics 0 and 1,
            scale 1, shift 0); ``kept`` leaves them as trained.
    """

    weights: Weights = "he-normal"
    norms: Norms = "reset"


@dataclass(frozen=True)
class Step:
    """One entry of a randomisation test: the stages that are random in it.

    Attributes:
        number: 1 for the first step of the order.
        name: the stage that this step adds (or, in ``independent`` order, the only one).
        stages: all stages that are random.
    """

    number: int
    name: str
    stages: tuple[Stage, ...]


def steps(stages: Sequence[Stage], order: Order, count: int | None = None) -> list[Step]:
    """The steps of a randomisation order.

    Args:
        stages: from the output to the input, as :class:`Explainable` lists them.
        order: ``top-down`` and ``bottom-up`` are cumulative from the output and from the input;
            ``independent`` randomises one stage at a time.
        count: keep that many, evenly spread, with the first and the last; 1 keeps the last.

    Raises:
        UsageError: for an unknown order.
    """
    if order not in ORDERS:
        raise unknown_name("order", order, list(ORDERS))
    sequence = list(stages) if order != "bottom-up" else list(reversed(stages))
    made = [
        Step(number, stage.name, (stage,) if order == "independent" else tuple(sequence[:number]))
        for number, stage in enumerate(sequence, start=1)
    ]
    if count is None or count >= len(made):
        return made
    if count == 1:
        return made[-1:]
    spread = torch.linspace(0, len(made) - 1, count).round().long().unique()
    return [made[index] for index in spread.tolist()]


class RandomTwin:
    """A second set of weights for a model, drawn once, lent to it stage by stage.

    The draw of a module depends on the seed and the module's name only: a cumulative order keeps
    the draws of its earlier steps, and ``independent`` uses the same draws as ``top-down``.
    """

    def __init__(self, model: Explainable, seed: int, redraw: Redraw | None = None) -> None:
        self.model = model
        self.seed = seed
        self.redraw = redraw or Redraw()
        self._drawn: dict[str, dict[str, Tensor]] = {}

    @contextmanager
    def redrawn(self, stages: Sequence[Stage]) -> Iterator[None]:
        """The model with the given stages random; as before, bit for bit, afterwards.

        Hooks of an attribution method have to be registered inside, not outside: some replace
        weights on entry and put them back on exit.
        """
        modules = dict(self.model.module.named_modules())
        originals: list[tuple[Tensor, Tensor]] = []
        try:
            for stage in stages:
                for name in stage.modules:
                    for key, drawn in self._draw(name, modules[name]).items():
                        tensor = _tensor(modules[name], key)
                        originals.append((tensor, tensor.data))
                        tensor.data = drawn
            yield
        finally:
            for tensor, data in reversed(originals):
                tensor.data = data

    def _draw(self, name: str, module: nn.Module) -> dict[str, Tensor]:
        if name not in self._drawn:
            self._drawn[name] = self._fresh(name, module)
        return self._drawn[name]

    def _fresh(self, name: str, module: nn.Module) -> dict[str, Tensor]:
        if isinstance(module, NORM_LAYERS):
            return {} if self.redraw.norms == "kept" else _new_norm(module)
        values = {}
        for key, parameter in module._parameters.items():
            if parameter is None:
                continue
            source = generator(self.seed, name, key)
            drawn = draw(parameter.data, self.redraw.weights, source)
            values[key] = drawn
        return values


def draw(weight: Tensor, distribution: str, source: torch.Generator) -> Tensor:
    """A redrawn tensor of the same shape, dtype, device and memory format.

    Vectors (biases) become zero, except under ``permuted``. The fan-in of a tensor with two or
    more dimensions is the number of elements that feed one output.
    """
    shape = tuple(weight.shape)
    if distribution == "permuted":
        order = torch.randperm(weight.numel(), generator=source)
        drawn = weight.detach().cpu().reshape(-1)[order].reshape(shape)
    elif weight.ndim < 2:
        drawn = torch.zeros(shape)
    elif distribution == "truncated-normal":
        drawn = nn.init.trunc_normal_(torch.empty(shape), 0, 0.01, -0.02, 0.02, generator=source)
    elif distribution == "uniform":
        drawn = torch.rand(shape, generator=source) * 0.02 - 0.01
    else:
        deviation = (2 / weight[0].numel()) ** 0.5
        if distribution == "he-uniform":
            drawn = (torch.rand(shape, generator=source) * 2 - 1) * (3**0.5 * deviation)
        else:
            drawn = torch.randn(shape, generator=source) * deviation
    empty = torch.empty_like(weight)  # keeps device, dtype and channels-last strides
    return empty.copy_(drawn)


def _new_norm(module: nn.Module) -> dict[str, Tensor]:
    fresh = {"weight": 1.0, "bias": 0.0, "running_mean": 0.0, "running_var": 1.0}
    return {
        key: torch.full_like(tensor.data, value)
        for key, value in fresh.items()
        if (tensor := getattr(module, key, None)) is not None
    }


def _tensor(module: nn.Module, key: str) -> Tensor:
    tensor = getattr(module, key)
    assert isinstance(tensor, Tensor)
    return tensor
