"""Experiments: settings to tidy tables; the only place that composes the other rooms."""

from sanitygap.experiments import (  # noqa: F401  (they register)
    activation_tables,
    occlusion_test,
    randomization_test,
    redraws,
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
