"""Machine proofs (z3, sympy) of the formal statements, one module a topic."""

from sanitygap.theory.proofs import (
    adaptive_beta,
    dominance,
    monotonicity,
    mse,
    overtaking,
    preservation,
    quantiles,
    rank,
    ssim,
)

__all__ = [
    "adaptive_beta",
    "dominance",
    "monotonicity",
    "mse",
    "overtaking",
    "preservation",
    "quantiles",
    "rank",
    "ssim",
]
