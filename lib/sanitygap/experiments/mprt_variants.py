"""Neighbours of the randomisation test on the same maps: MPRT, smooth MPRT, efficient MPRT."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pandas as pd
import torch
from torch import Tensor, nn

from sanitygap.models.explainable import Explainable, Stage
from sanitygap.randomization import RandomTwin
from sanitygap.seeds import normal
from sanitygap.similarity import Reference, Window, joint_range, spearman, ssim
from sanitygap.table import Batch, table

#: bins of the histogram behind efficient MPRT's complexity
BINS = 100

#: noise of smooth MPRT, as a share of an image's value range
NOISE = 0.1


def normalised(maps: Tensor) -> Tensor:
    """Absolute maps over their largest magnitude, as the peer prepares them, ``(N, H, W)``."""
    return maps.abs() / maps.abs().amax((1, 2), keepdim=True)


def flat_ssim(first: Tensor, second: Tensor) -> Tensor:
    """SSIM of maps written as one long row of pixels, with windows of 7 along it, ``(N,)``.

    A window then sees neighbours in one direction only, and the end of a row beside the start of
    the next. The range L is that of the pair.

    Args:
        first, second: ``(N, H, W)``.
    """
    a, b = (maps.flatten(1)[:, None] for maps in (first, second))
    return ssim(a, b, joint_range(a, b), Window(1, 7))


def histogram_entropy(maps: Tensor, bins: int = BINS) -> Tensor:
    """Complexity of efficient MPRT: entropy of a map's histogram, in nats, ``(N,)``.

    A map with a value that is not finite has none: NaN.

    Args:
        maps: ``(N, H, W)``.
        bins: of equal width between a map's smallest and largest value.
    """
    found = []
    for values in maps.flatten(1).float().cpu():
        if not values.isfinite().all():
            found.append(torch.tensor(torch.nan))
            continue
        counts = torch.histc(values, bins, float(values.min()), float(values.max()))
        shares = counts[counts > 0] / counts.sum()
        found.append(-(shares * shares.log()).sum())
    return torch.stack(found).to(maps)


def complexity_rise(before: Tensor, after: Tensor) -> Tensor:
    """Efficient MPRT: relative rise of the complexity once the network is random, ``(N,)``."""
    first, second = histogram_entropy(before), histogram_entropy(after)
    return (second - first) / first


def noisy(inputs: Tensor, seeds: list[int]) -> Tensor:
    """Inputs with the noise of smooth MPRT, one draw an image."""
    extent = inputs.amax((1, 2, 3)) - inputs.amin((1, 2, 3))
    draws = normal(tuple(inputs.shape[1:]), seeds, inputs)
    return inputs + NOISE * extent.view(-1, 1, 1, 1) * draws


@contextmanager
def reset_modules(model: Explainable, names: list[str], seed: int) -> Iterator[None]:
    """The model with modules reset by their own initialisers, each from the *same* seed.

    Layers of one shape get the same weights. The model is bit-identical afterwards.

    Args:
        model: the network.
        names: of modules that have ``reset_parameters``.
        seed: restarted before every module.
    """
    modules = dict(model.module.named_modules())
    held = [
        (tensor, tensor.data.clone())
        for name in names
        for tensor in (*modules[name].parameters(False), *modules[name].buffers(False))
    ]
    state = torch.random.get_rng_state()
    try:
        for name in names:
            torch.manual_seed(seed)
            reset: nn.Module = modules[name]
            reset.reset_parameters()  # type: ignore[operator]
        yield
    finally:
        torch.random.set_rng_state(state)
        for tensor, data in held:
            tensor.data = data


def resettable(module: nn.Module) -> list[str]:
    """Names of the modules with an initialiser of their own, from the last to the first."""
    return [name for name, part in module.named_modules() if hasattr(part, "reset_parameters")][
        ::-1
    ]


def twins_of_shape(module: nn.Module) -> float:
    """Share of the weights with two or more dimensions whose shape some earlier one has too."""
    shapes = [tuple(value.shape) for value in module.parameters() if value.ndim > 1]
    return 1 - len(set(shapes)) / len(shapes)


METHODS = ("gradient", "gradient-x-input", "guided-backprop", "edges", "noise")

#: what a smoke test looks at
SHORT = ("gradient", "edges", "noise")

#: two ways to draw the random weights
DRAWS = ("a seed for each layer", "one seed for all layers")


@table(
    "mprt-variants",
    smoke={"methods": SHORT, "n_steps": 1, "copies": 1, "max_images": 2},
    quick={"n_steps": 4, "copies": 2, "max_images": 3},
    full={"max_images": 100},
)
def mprt_variants(
    batch: Batch, methods: Sequence[str] = METHODS, n_steps: int | None = 10, copies: int = 10
) -> Iterator[pd.DataFrame]:
    """Scores of the neighbours and of this book for the same maps, layer by layer from the top.

    Args:
        batch: images.
        methods: attribution methods and controls.
        n_steps: so many numbers of random layers, evenly spread; all by default if None.
        copies: noisy copies of an image in smooth MPRT.
    """
    model = batch.model
    names = resettable(model.module)
    count = min(n_steps or len(names), len(names))
    spread = torch.linspace(1, len(names), count).round().long().unique().tolist()
    numbers = spread if count > 1 else [len(names)]
    twin, doubles = RandomTwin(model, batch.seed), twins_of_shape(model.module)

    def plain(state: str) -> dict[str, Tensor]:
        return batch.maps(methods, batch.seed, state)

    def smooth(state: str) -> dict[str, Tensor]:
        total: dict[str, Tensor] = {}
        for copy in range(copies):
            inputs = noisy(batch.inputs, batch.seeds(batch.seed, "smooth", copy))
            found = batch.maps(methods, batch.seed, state, copy, inputs=inputs)
            for name, values in found.items():
                total[name] = total.get(name, 0) + values / copies
        return total

    ways: list[tuple[str, Callable[[str], dict[str, Tensor]]]] = [
        (DRAWS[0], plain), (DRAWS[1], plain), ("smooth", smooth),
    ]  # fmt: skip
    for draw, maps in ways:
        base = maps("base")
        references = {name: Reference(values) for name, values in base.items()}
        for number in (0, *numbers):
            if draw == DRAWS[0]:
                stages = [Stage(name, (name,)) for name in names[:number]]
                random = twin.redrawn(stages)
            else:
                random = reset_modules(model, names[:number], batch.seed + 1)
            with random:
                changed = maps("again" if number == 0 else f"{number}")
            for name, values in changed.items():
                first, second = normalised(base[name]), normalised(values)
                compared = references[name].compare(values)
                measured = {
                    "book": compared["ssim"],
                    "image_ssim": ssim(first, second, joint_range(first, second)),
                    "flat_ssim": flat_ssim(first, second),
                    "spearman_signed": compared["spearman"],
                    "spearman": spearman(first, second),  # flattening changes nothing here
                    "rise": complexity_rise(first, second),
                }
                yield batch.rows(
                    measured, method=name, draw=draw, layers=number, share=number / len(names),
                    doubles=doubles,
                )  # fmt: skip
