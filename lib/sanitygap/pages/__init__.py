"""What the pages show: a study's tables as plates and tables for display.

Notebooks call these functions and hold no logic. Every number is computed here from a run's
tables; the drawing is in :mod:`sanitygap.figures`.
"""

from sanitygap.pages.maps import (
    examples,
    map_plate,
    stage_plate,
)
from sanitygap.pages.redraws import seed_plate
from sanitygap.pages.noise import (
    copies_table,
    noise_controls,
    noise_plate,
    smoothness_plate,
)
from sanitygap.pages.outlook import (
    baseline_plate,
    component_plate,
    independent_curves,
    order_agreement,
    order_plate,
    restriction_plate,
)
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
from sanitygap.pages.shared import (
    about,
    beside_reference,
    references,
    verdicts,
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
    "audit",
    "baseline_plate",
    "beside_reference",
    "component_plate",
    "copies_table",
    "examples",
    "gap_plate",
    "independent_curves",
    "map_dispersion",
    "map_plate",
    "mean_shares",
    "measured_overtaking",
    "mse_terms",
    "normalizer_rankings",
    "noise_against_methods",
    "noise_controls",
    "noise_plate",
    "occlusion_curves",
    "order_agreement",
    "order_plate",
    "pair_plate",
    "positive_share",
    "proof_table",
    "randomization_curves",
    "range_sensitivity",
    "redrawn_plate",
    "references",
    "restriction_plate",
    "seed_plate",
    "smoothness_plate",
    "stage_plate",
    "statement_plate",
    "verdicts",
]
