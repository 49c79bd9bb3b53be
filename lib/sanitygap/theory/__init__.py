"""The formal half of Binder et al. (2022), executable: closed forms, simulations, machine proofs.

`TABLES` lists every check: table name -> (function, knobs a profile). A function takes `seed` and
its knobs as keyword arguments and returns a tidy table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from sanitygap.theory import (
    adaptive_beta,
    dominance,
    entanglement,
    heads,
    irrelevance,
    monotonicity,
    mse,
    overtaking,
    proofs,
    quantiles,
    rank,
    skip,
    ssim,
    ssim_scale,
)

Check = Callable[..., pd.DataFrame]
Knobs = Mapping[str, Mapping[str, Any]]


def _sizes(smoke: int, quick: int, full: int) -> Knobs:
    return {"smoke": {"n": smoke}, "quick": {"n": quick}, "full": {"n": full}}


PROOF_LIMITS: Knobs = {
    "smoke": {"timeout_ms": 5_000},
    "quick": {"timeout_ms": 10_000},
    "full": {"timeout_ms": 60_000},
}

TABLES: dict[str, tuple[Check, Knobs]] = {
    "equation-1": (ssim.library_agreement, _sizes(1, 4, 16)),
    "theorem-1": (ssim.expected_ssim, _sizes(2_000, 20_000, 200_000)),
    "theorem-1-covariance": (ssim.covariance_grid, _sizes(21, 41, 201)),
    "theorem-1-normalization": (ssim_scale.normalized_ssim, _sizes(20, 200, 2_000)),
    "theorem-1-data-range": (ssim_scale.data_range_sensitivity, _sizes(20, 200, 2_000)),
    "noise-entanglement": (entanglement.entanglement, _sizes(100, 1_000, 4_000)),
    "theorem-1-proofs": (proofs.ssim.proofs, PROOF_LIMITS),
    "equation-4": (irrelevance.ignored_features, _sizes(5, 20, 200)),
    "equation-5": (skip.additive_surrogate, _sizes(20, 200, 1_000)),
    "equation-6": (skip.linearity, _sizes(20, 200, 1_000)),
    "equations-3-6-proofs": (proofs.preservation.proofs, PROOF_LIMITS),
    "theorem-2": (
        overtaking.overtaking,
        {
            "smoke": {"n": 20_000, "budget": 1_000_000},
            "quick": {"n": 1_000_000, "budget": 40_000_000},
            "full": {"n": 4_000_000, "budget": 2_000_000_000},
        },
    ),
    "theorem-2-neurons": (overtaking.random_neurons, _sizes(100, 400, 400)),
    "theorem-2-weights": (overtaking.weight_distributions, _sizes(20_000, 500_000, 4_000_000)),
    "theorem-2-heads": (heads.random_heads, _sizes(200, 5_000, 100_000)),
    "theorem-2-proofs": (proofs.overtaking.proofs, PROOF_LIMITS),
    "appendix-f": (monotonicity.monotonicity, _sizes(200, 5_000, 20_000)),
    "appendix-f-neuron": (monotonicity.example_neuron, _sizes(1, 1, 1)),
    "appendix-f-proofs": (proofs.monotonicity.proofs, PROOF_LIMITS),
    "appendix-g": (
        dominance.layer_sums,
        {
            "smoke": {"n": 100, "training_steps": 5},
            "quick": {"n": 1_000},
            "full": {"n": 3_000},
        },
    ),
    "appendix-g-proofs": (proofs.dominance.proofs, PROOF_LIMITS),
    "adaptive-beta": (adaptive_beta.adaptive_beta, _sizes(200, 5_000, 20_000)),
    "adaptive-beta-curve": (adaptive_beta.beta_curve, _sizes(40, 200, 200)),
    "appendix-a2-proofs": (proofs.adaptive_beta.proofs, PROOF_LIMITS),
    "equation-17": (rank.library_agreement, _sizes(10, 100, 1_000)),
    "theorem-3": (rank.expected_spearman, _sizes(1_000, 10_000, 100_000)),
    "theorem-3-pairs": (rank.random_pairs, _sizes(50, 300, 300)),
    "theorem-3-equivalence": (rank.sign_disagreement, _sizes(1_000, 20_000, 100_000)),
    "theorem-3-proofs": (proofs.rank.proofs, PROOF_LIMITS),
    "equation-20": (mse.second_moment_check, _sizes(5, 50, 200)),
    "theorem-4": (mse.normalized_mse, _sizes(50, 500, 2_000)),
    "theorem-4-proofs": (proofs.mse.proofs, PROOF_LIMITS),
    "equations-25-28": (mse.scale_dependence, _sizes(20, 200, 1_000)),
    "quantile-variance": (quantiles.quantile_variance, _sizes(10_000, 100_000, 1_000_000)),
    "quantile-tail": (quantiles.tail_variance, _sizes(12, 45, 89)),
    "maximum-dispersion": (
        quantiles.maximum_dispersion,
        {
            "smoke": {"n": 100, "sizes": (100, 1_000)},
            "quick": {"n": 500},
            "full": {"n": 1_000, "sizes": (100, 1_000, 10_000, 100_000)},
        },
    ),
    "normalizer-ranking": (quantiles.normalizer_ranking, _sizes(20, 200, 1_000)),
    "appendix-d1-proofs": (proofs.quantiles.proofs, PROOF_LIMITS),
    "second-moment-rationale": (mse.mean_share, _sizes(20, 200, 1_000)),
}
