"""What noise in a map does to its scores in both tests (Binder et al. 2022, Sec. 3)."""

from collections.abc import Iterator, Sequence
from typing import Annotated

import pandas as pd
import torch
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor

from sanitygap.attribution import Sampling
from sanitygap.faithfulness import REGIONS, occlusion_curves, scaled
from sanitygap.randomization import RandomTwin, steps
from sanitygap.sanity_check import randomization_test
from sanitygap.seeds import normal
from sanitygap.similarity import Reference, pearson, second_moment
from sanitygap.table import Batch, table


def mixture(maps: Tensor, noise: Tensor, amount: float) -> Tensor:
    """A map plus independent noise, in units of the map's own root mean square.

    Args:
        maps: ``(N, H, W)``.
        noise: of the same shape, mean square 1 in expectation.
        amount: lambda in ``E / sqrt(mean E^2) + lambda noise``; at 1 half of the mean square of
            the result is noise.

    Returns:
        ``(N, H, W)``; NaN where a map is zero everywhere.
    """
    return second_moment(maps) + amount * noise


def autocorrelation(maps: Tensor, lag: int) -> Tensor:
    """Correlation of each map with itself shifted by some pixels.

    Independent noise has 0 at every lag, a smooth map about 1 at small ones.

    Args:
        maps: ``(N, H, W)``, signed.
        lag: shift in pixels, at least 1.

    Returns:
        Mean of the Pearson correlations under a vertical and a horizontal shift, ``(N,)``; NaN
        for a constant map.
    """
    vertical = pearson(maps[:, lag:], maps[:, :-lag])
    horizontal = pearson(maps[:, :, lag:], maps[:, :, :-lag])
    return (vertical + horizontal) / 2


#: the two methods that the paper defends, and the one that it calls noisy
METHODS = ("gradient", "guided-backprop", "lrp-epsilon-plus")

SMOOTHNESS_METHODS = (
    "gradient", "gradient-x-input", "integrated-gradients", "smoothgrad", "guided-backprop",
    "lrp-epsilon-plus", "lrp-alpha2-beta1", "noise",
)  # fmt: skip

AMOUNTS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)

#: side of a region in pixels of a 224-pixel input
PATCH = 15


CONTROLS = {"methods": ("noise", "noise-fixed", "noise-x-input")}

table(
    "noise-controls",
    by=["seeds", "methods"],
    smoke=CONTROLS | {"n_steps": 2},
    quick=CONTROLS | {"n_steps": 3},
    full=CONTROLS | {"max_images": 100},
)(randomization_test)


@table(
    "noise-curve",
    by=["methods"],
    smoke={"n_steps": 1, "amounts": (0.0, 4.0), "regions": 2, "max_images": 2},
    quick={"n_steps": 2, "amounts": (0.0, 1.0, 4.0, 16.0), "regions": 10, "max_images": 3},
    full={"max_images": 100},
)
def noise_curve(
    batch: Batch,
    methods: Sequence[str] = METHODS,
    amounts: Sequence[NonNegativeFloat] = AMOUNTS,
    n_steps: int | None = None,
    regions: PositiveInt = REGIONS,
) -> Iterator[pd.DataFrame]:
    """Both scores of a map as independent noise is added to it.

    Every call of the noisy method draws fresh noise: the maps of the trained and of the randomised
    network get different draws. All amounts share the draws, and the redrawn weights are those of
    the table ``randomization``.

    Args:
        batch: images.
        methods: attribution methods.
        amounts: lambda, in units of the map's root mean square.
        n_steps: that many steps of the top-down order, evenly spread; all by default.
        regions: how many regions are replaced in the occlusion test.
    """
    model, inputs, targets, seed = batch.model, batch.inputs, batch.targets, batch.seed
    size = tuple(inputs.shape[2:])

    def noisy(step: str) -> dict[tuple[str, float], Tensor]:
        maps = batch.maps(methods, seed, step)
        # one draw an image, the same for all maps
        drawn = normal(size, batch.seeds(seed, step, "added noise"), inputs)
        return {
            (name, amount): mixture(values, drawn, amount)
            for name, values in maps.items()
            for amount in amounts
        }

    base = noisy("base")
    references = {which: Reference(maps) for which, maps in base.items()}
    similarities: dict[tuple[str, float], list[dict[str, Tensor]]] = {w: [] for w in base}
    twin, chosen_steps = RandomTwin(model, seed), steps(model.stages, "top-down", n_steps)
    for step in chosen_steps:
        with twin.redrawn(step.stages):
            changed = noisy(step.name)
        for which, maps in changed.items():
            similarities[which].append(references[which].compare(maps))
    patch = scaled(PATCH, size[-1])
    for (name, amount), maps in base.items():
        curves = occlusion_curves(
            model, inputs, targets, maps, patch, regions, batch_size=batch.size
        )
        found = similarities[name, amount]
        values = {
            kind: torch.stack([scores[kind] for scores in found]).mean(0)
            for kind in ("ssim", "spearman", "mse")
        }
        values["softmax"] = curves.softmax.mean(1)
        yield batch.rows(
            values, method=name, seed=seed, amount=amount, steps=len(chosen_steps), regions=regions
        )


@table(
    "autocorrelation",
    by=["methods"],
    smoke={"path_steps": 2, "noisy_copies": 2, "max_images": 2},
    quick={"path_steps": 4, "noisy_copies": 4, "max_images": 4},
    full={"max_images": 100},
)
def autocorrelation_of_maps(
    batch: Batch,
    methods: Sequence[str] = SMOOTHNESS_METHODS,
    lags: Sequence[PositiveInt] = tuple(range(1, 9)),
    path_steps: int = 50,
    noisy_copies: int = 50,
) -> Iterator[pd.DataFrame]:
    """How smooth the maps of the trained network are.

    Args:
        batch: images.
        methods: attribution methods and controls.
        lags: shifts in pixels.
        path_steps: points of integrated gradients.
        noisy_copies: copies in SmoothGrad.
    """
    sampling = Sampling(path_steps, noisy_copies)
    for name, values in batch.maps(methods, batch.seed, "base", sampling=sampling).items():
        for lag in lags:
            found = {"autocorrelation": autocorrelation(values, lag)}
            yield batch.rows(found, method=name, seed=batch.seed, lag=lag)


@table(
    "smoothgrad-copies",
    by=["copies"],
    smoke={"copies": (1, 2), "n_steps": 1, "redraws": 1, "max_images": 2},
    quick={"copies": (1, 5), "n_steps": 1, "redraws": 1, "max_images": 6},
    full={"max_images": 100},
)
def smoothgrad_copies(
    batch: Batch,
    copies: Sequence[PositiveInt] = (1, 5, 25, 100),
    n_steps: int | None = None,
    redraws: PositiveInt = 5,
) -> Iterator[pd.DataFrame]:
    """The randomisation test of SmoothGrad with few and with many noisy copies.

    Args:
        batch: images.
        copies: numbers of noisy copies.
        n_steps: that many steps, evenly spread; all by default.
        redraws: independent draws of the weights.
    """
    seeds = range(batch.seed, batch.seed + redraws)
    for count in copies:
        for rows in randomization_test(
            batch, ["smoothgrad"], n_steps=n_steps, noisy_copies=count, seeds=seeds
        ):
            yield rows.assign(copies=count)


#: standard deviations of the disturbance over the image's value range
LEVELS = (0.001, 0.01, 0.1)

Level = Annotated[float, Field(gt=0)]


@table(
    "nearby-inputs",
    by=["methods"],
    smoke={"levels": (0.01,), "path_steps": 2, "noisy_copies": 2, "max_images": 2},
    quick={"levels": (0.01,), "path_steps": 4, "noisy_copies": 4, "max_images": 4},
    full={"max_images": 100},
)
def nearby_inputs(
    batch: Batch,
    methods: Sequence[str] = SMOOTHNESS_METHODS,
    levels: Sequence[Level] = LEVELS,
    path_steps: int = 50,
    noisy_copies: int = 50,
) -> Iterator[pd.DataFrame]:
    """How alike the maps of an image and of its close neighbours are, on the trained network.

    All levels of an image share one direction of the disturbance.

    Args:
        batch: images.
        methods: attribution methods and controls.
        levels: see the column.
        path_steps: points of integrated gradients.
        noisy_copies: copies in SmoothGrad.
    """
    x, sampling = batch.inputs, Sampling(path_steps, noisy_copies)
    extent = (x.amax((1, 2, 3)) - x.amin((1, 2, 3))).view(-1, 1, 1, 1)
    direction = extent * normal(tuple(x.shape[1:]), batch.seeds(batch.seed, "direction"), x)

    base = batch.maps(methods, batch.seed, "base", sampling=sampling)
    for level in levels:
        near = x + level * direction
        changed = batch.maps(methods, batch.seed, level, sampling=sampling, inputs=near)
        for name, values in changed.items():
            correlation = {"correlation": pearson(base[name], values)}
            yield batch.rows(correlation, method=name, seed=batch.seed, level=level)
