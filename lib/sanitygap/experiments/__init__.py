"""Experiments: settings to tidy tables; the only place that composes the other rooms."""

from sanitygap.experiments import (  # noqa: F401  (they register)
    activated_regions,
    activation_tables,
    bottom_up,
    irrelevance,
    layer_logits,
    limited_change,
    map_normalizers,
    map_properties,
    noise_curve,
    occlusion_replacements,
    occlusion_test,
    outlier_images,
    outlook,
    randomization_test,
    redraws,
    retest,
    setup,
    skip_networks,
    skips,
    task_dependence,
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
