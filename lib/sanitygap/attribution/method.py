"""What an attribution method is, and the registry of all of them."""

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

from sanitygap.models.explainable import Explainable
from sanitygap.seeds import stable_seed


@dataclass(frozen=True)
class Sampling:
    """How many points the sampling methods use.

    Attributes:
        path_steps: points on the path of integrated gradients (midpoint rule).
        noisy_copies: noisy copies of an image in SmoothGrad.
        noise_level: their noise's standard deviation over the image's value range.
    """

    path_steps: int = 50
    noisy_copies: int = 50
    noise_level: float = 0.15


@dataclass(frozen=True)
class Request:
    """Images to be explained.

    Attributes:
        model: the network, possibly with randomised stages.
        inputs: float, ``(N, 3, H, W)``.
        targets: explained classes, int64, ``(N,)``.
        keys: one integer an image; every random draw for it is seeded by its key.
        sampling: sizes of the sampling methods.
        batch_size: how many inputs fit into one pass.
    """

    model: Explainable
    inputs: Tensor
    targets: Tensor
    keys: tuple[int, ...]
    sampling: Sampling = field(default_factory=Sampling)
    batch_size: int = 10

    def seed(self, image: int, *parts: object) -> int:
        """The seed of a draw for one image."""
        return stable_seed(self.keys[image], *parts)


Pass = Callable[[Request], Tensor]
Finish = Callable[[Tensor, Request], Tensor]


def unchanged(values: Tensor, request: Request) -> Tensor:
    """The second half of a method whose pass gives what it shows."""
    return values


@dataclass(frozen=True)
class Method:
    """An attribution method in two halves.

    Attributes:
        name: as written on the command line.
        compute: the expensive half: values ``(N, C, H, W)``. Methods with the same one share it.
        summary: what it is, in a sentence.
        finish: the cheap half: values to signed values ``(N, C, H, W)`` or a map ``(N, H, W)``.
    """

    name: str
    compute: Pass
    summary: str
    finish: Finish = unchanged

    def values(self, request: Request) -> Tensor:
        """The expensive half for a request, of the scores that are explained; detached."""
        with request.model.explained():
            return self.compute(request).detach()


METHODS: dict[str, Method] = {}


def register(name: str, compute: Pass, summary: str, finish: Finish = unchanged) -> None:
    """Add a method to the registry, see :class:`Method`."""
    METHODS[name] = Method(name, compute, summary, finish)


def method(name: str, compute: Pass) -> Callable[[Finish], Finish]:
    """Register a method under a name; decorates its second half, whose first line tells it."""

    def decorate(finish: Finish) -> Finish:
        register(name, compute, _first_line(finish), finish)
        return finish

    return decorate


def one_pass(name: str) -> Callable[[Pass], Pass]:
    """Register a method that is nothing but its pass; decorates that."""

    def decorate(compute: Pass) -> Pass:
        register(name, compute, _first_line(compute))
        return compute

    return decorate


def _first_line(function: Callable[..., Tensor]) -> str:
    return (function.__doc__ or "").strip().splitlines()[0]
