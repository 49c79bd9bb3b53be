"""Three published forms of the randomisation test, as their papers and Quantus define the scores.

MPRT (Adebayo et al. 2018), smooth MPRT and efficient MPRT (Hedstrom et al. 2023). They differ from
this book's test in small ways that move the numbers; each is a function here, so that it can be
switched on alone.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from sanitygap.models.explainable import Explainable
from sanitygap.seeds import normal
from sanitygap.similarity import joint_range, spearman, ssim, sums_of_neighbours

WINDOW = 7

#: bins of the histogram behind efficient MPRT's complexity
BINS = 100

#: noise of smooth MPRT, as a share of an image's value range
NOISE = 0.1


def normalised(maps: torch.Tensor) -> torch.Tensor:
    """Absolute maps over their largest magnitude, as the peer prepares them, ``(N, H, W)``."""
    return maps.abs() / maps.abs().amax((1, 2), keepdim=True)


def flat_ssim(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """SSIM of maps written as one long row of pixels, with windows of 7 along it, ``(N,)``.

    A window then sees neighbours in one direction only, and the end of a row beside the start of
    the next. The range L is that of the pair.

    Args:
        first, second: ``(N, H, W)``.
    """
    a, b = (maps.flatten(1)[:, None] for maps in (first, second))
    extent = joint_range(first, second).view(-1, 1, 1)

    def mean(values: torch.Tensor) -> torch.Tensor:
        return sums_of_neighbours(values, WINDOW, 2) / WINDOW

    sample = WINDOW / (WINDOW - 1)
    means, others = mean(a), mean(b)
    variances = sample * (mean(a * a) + mean(b * b) - means**2 - others**2)
    covariance = sample * (mean(a * b) - means * others)
    c1, c2 = (0.01 * extent) ** 2, (0.03 * extent) ** 2
    luminance = (2 * means * others + c1) / (means**2 + others**2 + c1)
    return (luminance * (2 * covariance + c2) / (variances + c2)).mean((1, 2))


def image_ssim(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """SSIM of the same maps as pictures, windows of 7 x 7, range L of the pair, ``(N,)``."""
    return ssim(first, second, joint_range(first, second), WINDOW)


def rank_correlation(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Spearman's correlation over pixels, ``(N,)``; flattening changes nothing here."""
    return spearman(first, second)


def histogram_entropy(maps: torch.Tensor, bins: int = BINS) -> torch.Tensor:
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


def complexity_rise(before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """Efficient MPRT: relative rise of the complexity once the network is random, ``(N,)``."""
    first, second = histogram_entropy(before), histogram_entropy(after)
    return (second - first) / first


def noisy(inputs: torch.Tensor, seeds: list[int]) -> torch.Tensor:
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
