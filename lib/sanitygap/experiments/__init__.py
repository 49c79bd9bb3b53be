"""Experiments: settings to tidy tables; the only place that composes the other rooms."""

from sanitygap.experiments import (  # noqa: F401  (they register)
    activation_tables,
    irrelevance,
    limited_change,
    bottom_up,
    map_statistics,
    noise_curve,
    occlusion_test,
    outlook,
    randomization_test,
    redraws,
    skip_networks,
    skips,
    theory_checks,
)
from sanitygap.experiments.experiment import (
    EXPERIMENTS,
    PROFILES,
    Batch,
    Chunk,
    Context,
    Experiment,
    chunk_id,
    code_sha256,
)

__all__ = [
    "EXPERIMENTS",
    "PROFILES",
    "Batch",
    "Chunk",
    "Context",
    "Experiment",
    "chunk_id",
    "code_sha256",
]
