"""What the pages show: a study's tables as plates and tables for display.

Notebooks call these functions and hold no logic. Every number is computed here from a run's
tables; the drawing is in :mod:`sanitygap.figures`.
"""

# ruff: noqa: F401

from sanitygap.pages.activated_regions import region_pictures, region_plate
from sanitygap.pages.axioms import (
    axiom_statements,
    depth_table,
    example_plate,
    feature_report,
    growth_plate,
    metric_plate,
    toy_table,
    variant_table,
    variants_table,
)
from sanitygap.pages.binary_test import alarm_table, effect_table, retest_plate
from sanitygap.pages.calibration import (
    calibration_table,
    control_pictures,
    edge_plate,
    null_table,
    random_gradient_plate,
)
from sanitygap.pages.caveats import sign_agreement, sign_plate, task_changes, task_plate
from sanitygap.pages.data_randomization import (
    bone_age_plate,
    label_pictures,
    label_plate,
)
from sanitygap.pages.documentary import (
    family_agreement,
    family_ranks,
    family_table,
    summary_table,
)
from sanitygap.pages.gap import (
    deciding_choices,
    gap_in_words,
    gap_plate,
    gap_table,
    pair_plate,
    shares_table,
    specification_curve,
    with_references,
)
from sanitygap.pages.guidance import agreement_table, hook_table, path_table
from sanitygap.pages.irrelevance import (
    change_plate,
    feature_plate,
    preserved_maps,
    similarity_plate,
    tile_plate,
)
from sanitygap.pages.maps import (
    examples,
    map_plate,
    relevance_plate,
    relevance_table,
    relevance_words,
    stage_examples,
    stage_plate,
)
from sanitygap.pages.method_definitions import (
    definition_table,
)
from sanitygap.pages.neighbours import disagreement_table, efficient_table, neighbour_plate
from sanitygap.pages.noise import (
    copies_table,
    nearby_plate,
    noise_controls,
    noise_plate,
    smoothness_plate,
)
from sanitygap.pages.occlusion_choices import (
    outlier_plate,
    replacement_pictures,
    replacement_ranks,
    replacement_swaps,
)
from sanitygap.pages.outlook import (
    baseline_plate,
    component_plate,
    independent_curves,
    order_agreement,
    order_plate,
    restriction_plate,
)
from sanitygap.pages.parameter_test import (
    cascade_plate,
    choice_plate,
    digit_stages,
    independent_table,
    metric_agreement,
    network_table,
)
from sanitygap.pages.redraws import seed_plate
from sanitygap.pages.scores import (
    greedy_bound,
    noise_against_methods,
    occlusion_curves,
    randomization_curves,
    range_sensitivity,
)
from sanitygap.pages.sensitivity import (
    band_table,
    convention_table,
    criterion_table,
    image_correlations,
    layer_sensitivities,
    method_differences,
    printed_marks,
    projected_times,
    sensitivity_plate,
)
from sanitygap.pages.setup import configuration, initializations, step_counts
from sanitygap.pages.shared import (
    about,
    beside_reference,
    references,
    verdicts,
    with_samples,
)
from sanitygap.pages.skips import (
    layer_plate,
    logit_plate,
    network_plate,
    part_plate,
    split_plate,
    surrogate_plate,
)
from sanitygap.pages.statements import (
    activation_plate,
    audit,
    map_dispersion,
    mean_shares,
    measured_overtaking,
    mse_terms,
    normalizer_rankings,
    positive_share,
    proof_table,
    redrawn_plate,
    statement_plate,
)
from sanitygap.pages.steppers import gallery, occlusion_stepper, stage_stepper
from sanitygap.pages.test_limits import (
    choice_table,
    gated_table,
    small_change_plate,
    threshold_table,
    what_tests_tell,
)
from sanitygap.pages.three_judges import judges_plate, judges_table
