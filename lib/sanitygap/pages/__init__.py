"""What the pages show: a study's tables as plates and tables for display.

Notebooks call these functions and hold no logic. Every number is computed here from a run's
tables; the drawing is in :mod:`sanitygap.figures`.
"""

from sanitygap.pages.activated_regions import region_pictures, region_plate
from sanitygap.pages.binary_test import alarm_table, effect_table, retest_plate
from sanitygap.pages.caveats import sign_agreement, sign_plate, task_changes, task_plate
from sanitygap.pages.documentary import (
    family_agreement,
    family_ranks,
    family_table,
    summary_table,
)
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
    stage_plate,
)
from sanitygap.pages.noise import (
    copies_table,
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
from sanitygap.pages.redraws import seed_plate
from sanitygap.pages.scores import (
    agreement,
    agreements,
    gap_plate,
    noise_against_methods,
    occlusion_curves,
    pair_plate,
    randomization_curves,
    range_sensitivity,
)
from sanitygap.pages.setup import configuration, initializations, step_counts
from sanitygap.pages.shared import (
    about,
    beside_reference,
    references,
    verdicts,
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

__all__ = [
    "about",
    "activation_plate",
    "agreement",
    "agreements",
    "alarm_table",
    "audit",
    "baseline_plate",
    "beside_reference",
    "change_plate",
    "component_plate",
    "configuration",
    "copies_table",
    "effect_table",
    "examples",
    "family_agreement",
    "family_ranks",
    "family_table",
    "feature_plate",
    "gap_plate",
    "independent_curves",
    "initializations",
    "layer_plate",
    "logit_plate",
    "map_dispersion",
    "map_plate",
    "mean_shares",
    "measured_overtaking",
    "mse_terms",
    "network_plate",
    "noise_against_methods",
    "noise_controls",
    "noise_plate",
    "normalizer_rankings",
    "occlusion_curves",
    "order_agreement",
    "order_plate",
    "outlier_plate",
    "pair_plate",
    "part_plate",
    "positive_share",
    "preserved_maps",
    "proof_table",
    "randomization_curves",
    "range_sensitivity",
    "redrawn_plate",
    "references",
    "region_pictures",
    "region_plate",
    "replacement_pictures",
    "replacement_ranks",
    "replacement_swaps",
    "restriction_plate",
    "retest_plate",
    "seed_plate",
    "sign_agreement",
    "sign_plate",
    "similarity_plate",
    "smoothness_plate",
    "split_plate",
    "stage_plate",
    "statement_plate",
    "step_counts",
    "summary_table",
    "task_changes",
    "task_plate",
    "surrogate_plate",
    "tile_plate",
    "verdicts",
]
