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
from sanitygap.pages.scores import (
    agreement,
    gap_plate,
    noise_against_methods,
    occlusion_curves,
    paired_tests,
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
    measured_overtaking,
    positive_share,
    proof_table,
    statement_plate,
)

__all__ = [
    "about",
    "activation_plate",
    "agreement",
    "audit",
    "beside_reference",
    "examples",
    "gap_plate",
    "map_plate",
    "measured_overtaking",
    "noise_against_methods",
    "occlusion_curves",
    "paired_tests",
    "positive_share",
    "proof_table",
    "randomization_curves",
    "range_sensitivity",
    "references",
    "seed_plate",
    "stage_plate",
    "statement_plate",
    "verdicts",
]
