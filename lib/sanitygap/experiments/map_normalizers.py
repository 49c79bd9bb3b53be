"""What a map is divided by: maximum, second moment, deviation (Binder et al. 2022, App. D, D.1)."""

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd
import torch
from torch import Tensor

from sanitygap.attribution import Sampling, gradient
from sanitygap.attribution.applicable import defined
from sanitygap.randomization import RandomTwin
from sanitygap.seeds import stable_seed
from sanitygap.table import Batch, table
from sanitygap.theory.quantiles import resampled_spreads

METHODS = (
    "gradient", "gradient-x-input", "integrated-gradients", "guided-backprop", "lrp-epsilon-plus",
    "lrp-gamma-box",
)  # fmt: skip

#: the l2 norm of the gradient over the colour channels, which is never negative
SENSITIVITY = "sensitivity-l2"


@table(
    "map-normalizers",
    smoke={"path_steps": 2, "resamples": 20},
    quick={"path_steps": 4, "resamples": 50, "max_images": 6},
    full={"max_images": 100},
)
def map_normalizers(
    batch: Batch, methods: Sequence[str] = METHODS, path_steps: int = 50, resamples: int = 200
) -> Iterator[pd.DataFrame]:
    """Candidates for the scale of a map: how they vary, and what they make of a comparison.

    Args:
        batch: images.
        methods: attribution methods, besides the l2 norm of the gradient.
        path_steps: points of integrated gradients.
        resamples: how often the pixels of each map are resampled.
    """
    model, inputs, targets = batch.model, batch.inputs, batch.targets
    methods, sampling = defined(model, methods), Sampling(path_steps)

    def maps_of(state: str) -> dict[str, Tensor]:
        norm = gradient.input_gradient(model.scores, inputs, targets).norm(dim=1)
        return {SENSITIVITY: norm} | batch.maps(methods, batch.seed, state, sampling=sampling)

    trained = maps_of("trained")
    with RandomTwin(model, batch.seed).redrawn(model.stages):
        redrawn = maps_of("redrawn")
    for name, maps in trained.items():
        spreads = torch.tensor(
            [
                resampled_spreads(one[None], n=resamples, seed=stable_seed(batch.seed, key, name))[
                    0
                ].tolist()
                for one, key in zip(maps, batch.keys, strict=True)
            ]
        )
        values = {
            **share_of_mean(maps),
            "maximum_spread": spreads[:, 0],
            "rms_spread": spreads[:, 1],
            **normalized_differences(maps, redrawn[name]),
        }
        yield batch.rows(values, method=name)


def share_of_mean(maps: Tensor) -> dict[str, Tensor]:
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


def normalized_differences(first: Tensor, second: Tensor) -> dict[str, Tensor]:
    """Mean squared difference of two sets of maps (N, H, W) by normaliser; each (N,), float64."""
    pair = [maps.flatten(1).double() for maps in (first, second)]
    scales: Mapping[str, list[Tensor]] = {
        "mse_second_moment": [pixels.square().mean(1, keepdim=True).sqrt() for pixels in pair],
        "mse_deviation": [pixels.std(1, correction=0, keepdim=True) for pixels in pair],
        "mse_maximum": [pixels.abs().amax(1, keepdim=True) for pixels in pair],
    }
    return {
        name: (pair[0] / one - pair[1] / other).square().mean(1)
        for name, (one, other) in scales.items()
    }
