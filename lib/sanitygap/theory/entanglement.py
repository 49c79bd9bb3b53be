"""The randomisation score does not tell change from noise (Sec. 3, last paragraph; App. D).

Two synthetic explainers of the same score: one is noiseless and its map changes with the model; the
other's noiseless map does not change at all, but every map carries fresh noise. Explaining the
unchanged model twice (test-retest) tells them apart.
"""

from __future__ import annotations

import pandas as pd
import torch

from sanitygap import similarity
from sanitygap.seeds import stable_seed
from sanitygap.theory.montecarlo import mean_estimate

SIDE = 35
EXPLAINERS = ("change, no noise", "noise, no change")


def entanglement(*, n: int, seed: int, correlation: float = 0.4) -> pd.DataFrame:
    """SSIM (L = 1) and normalised MSE of both explainers, after randomisation and on retest.

    Signals and noise are fields of independent normal pixels. The noise variance of the second
    explainer is (1 - rho) / rho times that of its signal, which gives its maps before and after
    randomisation the correlation rho of the first explainer's maps.

    Args:
        n: number of pairs of maps.
        seed: seed of the maps.
        correlation: rho, of the maps before and after randomisation, in (0, 1).

    Returns:
        One row a (explainer, comparison, similarity) with comparison `randomised`, `retest` or
        `noiseless part`: the mean over pairs with its interval.
    """
    generator = torch.Generator().manual_seed(stable_seed(seed, "entanglement"))

    def field() -> torch.Tensor:
        return torch.randn(n, SIDE, SIDE, generator=generator, dtype=torch.float64)

    before, other = field(), field()
    after = correlation * before + (1 - correlation**2) ** 0.5 * other
    noise_level = ((1 - correlation) / correlation) ** 0.5
    signal = field()
    noisy = [signal + noise_level * field() for _ in range(3)]
    pairs = {
        ("change, no noise", "randomised"): (before, after),
        ("change, no noise", "retest"): (before, before),
        ("change, no noise", "noiseless part"): (before, after),
        ("noise, no change", "randomised"): (noisy[0], noisy[1]),
        ("noise, no change", "retest"): (noisy[0], noisy[2]),
        ("noise, no change", "noiseless part"): (signal, signal),
    }
    rows = []
    for (explainer, comparison), (first, second) in pairs.items():
        a, b = (similarity.second_moment(maps) for maps in (first, second))
        for name, values in {
            "SSIM": similarity.ssim(a, b, data_range=1.0),
            "MSE": similarity.normalized_mse(first, second),
            "Pearson": similarity.pearson(first, second),
        }.items():
            rows.append(
                {
                    "explainer": explainer,
                    "comparison": comparison,
                    "similarity": name,
                    **mean_estimate(values),
                }
            )
    return pd.DataFrame(rows)
