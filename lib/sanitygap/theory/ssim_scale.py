"""What scale, normalisation and the data range do to SSIM (Sec. 3; the constants of Eq. 1).

Maps are float64 tensors (maps, height, width) of independent pixels; windows are 7 x 7 pixels, the
default of `sanitygap.similarity.ssim`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import torch

from sanitygap import similarity
from sanitygap.seeds import stable_seed
from sanitygap.theory import ssim
from sanitygap.theory.montecarlo import Estimate, mean_estimate

SIDE = 35

Noise = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]

NOISE: dict[str, Noise] = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "Laplace": lambda rng, shape: rng.laplace(size=shape),
}


def correlated_maps(
    draw: Noise, correlation: float, *, n: int, seed: int, side: int = SIDE
) -> tuple[torch.Tensor, torch.Tensor]:
    """Pairs of maps whose pixels have the given correlation, each of second moment one.

    The same seed gives the same underlying noise for every correlation, so that differences
    between correlations are paired.
    """
    rng = np.random.default_rng(seed)
    a, b = torch.from_numpy(draw(rng, (2, n, side, side)))
    mixed = correlation * a + np.sqrt(1 - correlation**2) * b
    return similarity.second_moment(a), similarity.second_moment(mixed)


def normalized_ssim(*, n: int, seed: int) -> pd.DataFrame:
    """SSIM against correlation, against the scale of one map and against the spread of both.

    Three experiments, in the column `experiment`: `correlation` (second-moment normalised maps,
    data range 1), `scale` (B = c A without normalisation, so the correlation is one) and `spread`
    (independent maps around 0.5 with a small standard deviation; a map scaled to [0, 1] whose mass
    sits in a few pixels looks like this).

    Args:
        n: number of map pairs for each setting.
        seed: seed of the draws.

    Returns:
        One row a setting: experiment, noise, correlation, scale, spread, the mean SSIM with its
        interval, the bound of Eq. (2), and for `correlation` the paired difference to the previous
        correlation (step, step_low, step_high).
    """
    rows: list[dict[str, object]] = []
    for name, draw in NOISE.items():
        key = stable_seed(seed, "normalized-ssim", name)
        previous: torch.Tensor | None = None
        for correlation in np.round(np.arange(0, 0.91, 0.05), 2):
            a, b = correlated_maps(draw, float(correlation), n=n, seed=key)
            values = similarity.ssim(a, b, data_range=1.0)
            row = _row("correlation", name, values, 1.0, 1.0, correlation=float(correlation))
            if previous is not None:
                step = mean_estimate(values - previous)
                row |= {"step": step["estimate"], "step_low": step["low"]}
                row |= {"step_high": step["high"]}
            previous = values
            rows.append(row)
        a, _ = correlated_maps(draw, 1.0, n=n, seed=key)
        for scale in (1.0, 3.0, 10.0, 30.0, 100.0):
            values = similarity.ssim(a, scale * a, data_range=1.0)
            rows.append(_row("scale", name, values, 1.0, scale, correlation=1.0))
        a, b = correlated_maps(draw, 0.0, n=n, seed=key)
        for spread in (0.3, 0.1, 0.03, 0.01):
            values = similarity.ssim(0.5 + spread * a, 0.5 + spread * b, data_range=1.0)
            rows.append(_row("spread", name, values, spread, 1.0, correlation=0.0))
    return pd.DataFrame(rows)


def _row(
    experiment: str,
    noise: str,
    values: torch.Tensor,
    spread: float,
    scale: float,
    *,
    correlation: float,
) -> dict[str, object]:
    estimate: Estimate = mean_estimate(values)
    return {
        "experiment": experiment,
        "noise": noise,
        "correlation": correlation,
        "scale": scale,
        "spread": spread,
        **estimate,
        "bound": float(ssim.bound(spread**2, (scale * spread) ** 2)),
    }


# --- the data range after normalisation -------------------------------------------------------


def _sparse(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.normal(size=shape) * (rng.uniform(size=shape) < 0.1)


def _heavy(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.standard_t(3, size=shape)


# Stand-ins for attribution methods: a shape of the pixel distribution and a correlation between
# the map before and the map after randomisation.
SIMULATED_METHODS: dict[str, tuple[Noise, float]] = {
    "normal, 0.3": (NOISE["normal"], 0.3),
    "Laplace, 0": (NOISE["Laplace"], 0.0),
    "Laplace, 0.5": (NOISE["Laplace"], 0.5),
    "sparse, 0.2": (_sparse, 0.2),
    "sparse, 0": (_sparse, 0.0),
    "Student t3, 0.25": (_heavy, 0.25),
}
FIXED_RANGES = (1, 2, 10, 20, 40)


def data_range_sensitivity(*, n: int, seed: int) -> pd.DataFrame:
    """SSIM of second-moment normalised maps for several data ranges L.

    After second-moment normalisation no range is distinguished, yet C1 and C2 need one. Simulated
    methods differ in the shape of their pixel distribution and in the correlation between the two
    maps. The last two data ranges are measured on each pair of maps: the spread between the 0.05 %
    and 99.95 % quantiles, and between minimum and maximum.

    Args:
        n: number of map pairs for each simulated method.
        seed: seed of the draws.

    Returns:
        One row a (method, data range): method, correlation, data_range, mean_data_range and the
        mean SSIM with its interval.
    """
    rows = []
    for method, (draw, correlation) in SIMULATED_METHODS.items():
        key = stable_seed(seed, "data-range", method)
        a, b = correlated_maps(draw, correlation, n=n, seed=key)
        ranges = _data_ranges(a, b)
        for label, values in similarity.ssim_for_ranges(a, b, ranges).items():
            rows.append(
                {
                    "method": method,
                    "correlation": correlation,
                    "data_range": label,
                    "mean_data_range": float(torch.as_tensor(ranges[label]).mean()),
                    **mean_estimate(values),
                }
            )
    return pd.DataFrame(rows)


def _data_ranges(a: torch.Tensor, b: torch.Tensor) -> dict[str, float | torch.Tensor]:
    """Label -> data range L, fixed or measured on each pair of maps."""
    pixels = torch.stack([a, b], 1).flatten(1)
    low, high = torch.quantile(pixels, torch.tensor([0.0005, 0.9995]).to(pixels), dim=1)
    fixed: dict[str, float | torch.Tensor] = {str(L): float(L) for L in FIXED_RANGES}
    return fixed | {"99.9 % range": high - low, "max - min": similarity.joint_range(a, b)}
