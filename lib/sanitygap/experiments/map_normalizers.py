"""What a map is divided by: maximum, second moment, deviation (Binder et al. 2022, App. D, D.1)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
import torch

from sanitygap import randomization
from sanitygap.attribution import Sampling, attribute, gradient
from sanitygap.attribution.applicable import defined, families
from sanitygap.experiments.experiment import Batch, Chunk, Code, Context, experiment, image_rows
from sanitygap.experiments.randomization_test import code_of, sampling_of
from sanitygap.randomization import RandomTwin
from sanitygap.seeds import stable_seed
from sanitygap.theory.quantiles import resampled_spreads

METHODS = (
    "gradient",
    "gradient-x-input",
    "integrated-gradients",
    "guided-backprop",
    "lrp-epsilon-plus",
    "lrp-gamma-box",
)

#: the l2 norm of the gradient over the colour channels, which is never negative
SENSITIVITY = "sensitivity-l2"

COLUMNS = {
    "image": "file name of the image",
    "position": "place of the image in the set",
    "method": "attribution method; sensitivity-l2 is the norm of the gradient over RGB",
    "mean_share": "mu^2 / E[A^2] of the trained network's map A with mean mu",
    "rms_over_sd": "root mean square over standard deviation of its pixels",
    "maximum_spread": "relative standard deviation of max |A| when its pixels are resampled",
    "rms_spread": "the same of the root mean square",
    "mse_second_moment": "mean squared difference to the map of the network with all stages "
    "redrawn, each divided by its root mean square",
    "mse_deviation": "the same, each divided by its standard deviation",
    "mse_maximum": "the same, each divided by its largest absolute value",
}


@experiment(
    "map-normalizers",
    knobs={
        "smoke": {"path_steps": 2, "resamples": 20},
        "quick": {"path_steps": 4, "resamples": 50, "max_images": 6},
        "full": {"max_images": 100},
    },
    columns=COLUMNS,
)
def map_normalizers(
    context: Context,
    methods: Sequence[str] = METHODS,
    path_steps: int = 50,
    resamples: int = 200,
    max_images: int | None = None,
) -> Iterator[Chunk]:
    """Candidates for the scale of a map: how they vary, and what they make of a comparison.

    Args:
        context: model, images and seed.
        methods: attribution methods, besides the l2 norm of the gradient.
        path_steps: points of integrated gradients.
        resamples: how often the pixels of each map are resampled.
        max_images: use at most that many images.
    """
    methods = defined(context.model, methods)
    sampling = Sampling(path_steps)
    settings: dict[str, Any] = {"methods": list(methods), "resamples": resamples}
    settings["seed"] = context.seed
    code: list[Code] = [resampled_spreads, randomization, gradient, *OWN]
    for family in families(methods):
        settings |= sampling_of(family, sampling)
        code += code_of(family)
    for positions in context.positions(max_images):

        def compute(positions: tuple[int, ...] = positions) -> pd.DataFrame:
            return compare_normalizers(
                context, context.batch(positions), methods, sampling, resamples
            )

        yield Chunk(settings, tuple(dict.fromkeys(code)), compute, positions)


def compare_normalizers(
    context: Context, batch: Batch, methods: Sequence[str], sampling: Sampling, resamples: int
) -> pd.DataFrame:
    """The rows of :func:`map_normalizers` for one batch of images."""
    trained = maps_of(context, batch, methods, sampling, "trained")
    twin = RandomTwin(context.model, context.seed)
    with twin.redrawn(context.model.stages):
        redrawn = maps_of(context, batch, methods, sampling, "redrawn")
    rows = []
    for name, maps in trained.items():
        spreads = torch.tensor(
            [
                resampled_spreads(
                    one[None], n=resamples, seed=stable_seed(context.seed, key, name)
                )[0].tolist()
                for one, key in zip(maps, batch.keys, strict=True)
            ]
        )
        values = {
            **share_of_mean(maps),
            "maximum_spread": spreads[:, 0],
            "rms_spread": spreads[:, 1],
            **normalized_differences(maps, redrawn[name]),
        }
        rows.append(image_rows(batch, values, method=name)[list(COLUMNS)])
    return pd.concat(rows, ignore_index=True)


def maps_of(
    context: Context, batch: Batch, methods: Sequence[str], sampling: Sampling, state: str
) -> dict[str, torch.Tensor]:
    """Method -> maps (N, H, W) of the network in its present state, with the l2 norm first."""
    model, inputs, targets = context.model, batch.inputs, batch.targets
    norm = gradient.input_gradient(model.scores, inputs, targets).norm(dim=1)
    keys = batch.seeds(context.seed, state)
    return {SENSITIVITY: norm} | attribute(
        model, inputs, targets, methods, keys, sampling, context.batch_size
    )


def share_of_mean(maps: torch.Tensor) -> dict[str, torch.Tensor]:
    """mu^2 / E[A^2], and root mean square over standard deviation; each (N,), float64.

    Args:
        maps: (N, H, W).
    """
    pixels = maps.flatten(1).double()
    rms = pixels.square().mean(1).sqrt()
    return {
        "mean_share": (pixels.mean(1) / rms).square(),
        "rms_over_sd": rms / pixels.std(1, correction=0),
    }


def normalized_differences(first: torch.Tensor, second: torch.Tensor) -> dict[str, torch.Tensor]:
    """Mean squared difference of two sets of maps (N, H, W) by normaliser; each (N,), float64."""
    pair = [maps.flatten(1).double() for maps in (first, second)]
    scales: Mapping[str, list[torch.Tensor]] = {
        "mse_second_moment": [pixels.square().mean(1, keepdim=True).sqrt() for pixels in pair],
        "mse_deviation": [pixels.std(1, correction=0, keepdim=True) for pixels in pair],
        "mse_maximum": [pixels.abs().amax(1, keepdim=True) for pixels in pair],
    }
    return {
        name: (pair[0] / one - pair[1] / other).square().mean(1)
        for name, (one, other) in scales.items()
    }


#: the functions of this module that make numbers
OWN = (compare_normalizers, maps_of, share_of_mean, normalized_differences)
