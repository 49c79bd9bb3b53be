"""Criteria of formal claims: their verdicts on small tables, and on tables that say otherwise."""

import pandas as pd
import pytest

from sanitygap.chapters.properties import judge as monotonicity
from sanitygap.chapters.theorem_2 import judge as overtaking
from sanitygap.claims import find_criterion
from tests.synthetic import Change, grown, put


def proof(name: str, outcome: str) -> Change:
    """Another outcome of a statement, in the only table of proofs."""

    def change(tables: dict[str, pd.DataFrame]) -> None:
        [proofs] = [table for room, table in tables.items() if room.endswith("-proofs")]
        assert (proofs["name"] == name).sum() == 1
        proofs.loc[proofs["name"] == name, "outcome"] = outcome

    return change


def appendix_f(needed: str, *conditions: str) -> list[tuple[str, list[Change]]]:
    return [
        ("caveat", []),
        ("false", [proof(needed, "counterexample")]),
        ("undecided", [proof(needed, "unknown")]),
        ("false", [put("appendix-f", "violations", lambda t: t["violations"] + 1)]),
        ("holds", [proof(name, "proved") for name in conditions]),
    ]


SHUFFLED = "expected Spearman, ranks with ties"
MINIMUM = "minimum at zero rank covariance"
SURROGATE = [
    ("caveat", []),
    ("holds", [put("equation-5", "low", 0.0)]),
    ("false", [put("equation-5", "largest", 0.1)]),
]
HEADS = "theorem-2-heads"
SCALE = "theorem-1-normalization"
IFF = "rank covariance >= 0 iff covariance >= 0, 3 pixels"

CASES: dict[str, list[tuple[str, list[Change]]]] = {
    "binder-eq1": [
        ("holds", []),
        ("false", [put("equation-1", "max_difference", 2e-9, "formula == 'equation 1'")]),
    ],
    "binder-thm1": [
        ("caveat", []),
        ("holds", [proof("minimum with free variances", "proved"),
                   put("theorem-1", "estimate low", 0.0, "functional == 'E[|SSIM|]'")]),
        ("false", [proof("bound (2)", "counterexample")]),
        ("undecided", [proof("bound (2)", "unknown")]),
        ("false", [put("theorem-1-covariance", "ssim", lambda t: t["ssim"] * 1e-3,
                       "covariance > 0")]),
        ("false", [put("theorem-1", "estimate", lambda t: t["estimate"] + 0.5,
                       "functional == 'E[SSIM]'")]),
    ],
    "binder-thm1-negative": [
        ("caveat", []),
        ("holds", [put("theorem-1-covariance", "ssim", 0.0)]),
        ("false", [put("theorem-1", "bound", 0.2)]),
    ],
    "binder-thm1-scale": grown(
        "caveat caveat holds undecided false",
        put(SCALE, "step", lambda t: t["step"].abs()),
        put(SCALE, "step_high", lambda t: t["step_high"].abs()),
        put(SCALE, "estimate", 0.05, "experiment != 'correlation'"),
        put(SCALE, "step", -0.1, "correlation == 0.5"),
        put(SCALE, "step_high", -0.05, "correlation == 0.5"),
    )[1:],
    "binder-thm1-entangle": [
        ("direction", []),
        ("not-reproduced", [put("noise-entanglement", "estimate", lambda t: t["estimate"] + 0.2,
                                "comparison == 'randomised' and explainer == 'noise, no change'")]),
        ("not-reproduced", [put("noise-entanglement", "estimate", 1.0, "comparison == 'retest'")]),
    ],
    "binder-thm2": [
        ("caveat", []),
        ("holds", [proof("joint event has the tail, as printed", "proved")]),
        ("false", [put("theorem-2", "estimate", lambda t: t["estimate"] + 0.1)]),
        ("false", [proof("conditional event has the tail", "counterexample")]),
    ],
    "binder-thm2-proof": [
        ("slip", []),
        ("holds", [proof(printed, "proved") for printed in overtaking.PRINTED]),
        ("false", [proof("Eq. (42) corrected", "counterexample")]),
        ("undecided", [proof("Eq. (31)", "unknown")]),
    ],
    "binder-thm2-title": [
        ("slip", []),
        ("holds", [proof("gamma of sums is gamma of averages", "proved")]),
    ],
    "binder-thm2-avg": [
        ("holds", []),
        ("false", [put("theorem-2", "claimed", lambda t: t["claimed"] / 2)]),
    ],
    "binder-footnote9": [("false", []), ("holds", [put("theorem-2", "claimed", 1.0)])],
    "binder-abs-dominance": [
        ("false", []),
        *grown("false holds", put("theorem-2", "claimed", 1.0), put(HEADS, "claimed", 1.0)),
    ],
    "binder-thm2-anyrelu": [
        *grown(
            "reproduced undecided not-reproduced",
            put(HEADS, "estimate low high", lambda t: t["claimed"]),
            put(HEADS, "high", lambda t: t["claimed"] + 0.03),
            put(HEADS, "low", lambda t: t["claimed"] + 0.021),
        ),
        ("reproduced", [  # overtaking less than the bound is what the paper says
            put(HEADS, "estimate low high", lambda t: t["claimed"]),
            put(HEADS, "estimate low high", 0.1,
                "kind == 'convolutional' and weights.str.startswith('He')"),
        ]),
    ],
    "binder-eq17": [
        ("holds", []),
        ("false", [put("equation-17", "max_difference", lambda t: t["max_difference"] + 1e-11)]),
    ],
    "binder-thm3": [
        ("caveat", []),
        ("holds", [proof(SHUFFLED, "proved")]),
        ("false", [proof(MINIMUM, "counterexample")]),
        ("undecided", [proof(MINIMUM, "unknown")]),
        ("false", [put("theorem-3", "estimate", lambda t: t["estimate"] + 0.3)]),
    ],
    "binder-thm3-iff": [
        ("false", []),
        *grown(
            "false holds", proof(IFF, "proved"), put("theorem-3-equivalence", "estimate", 0.0)
        ),
    ],
    "binder-eq20": [
        ("slip", []),
        ("false", [put("equation-20", "max_difference", lambda t: t["max_difference"] + 1e-11)]),
        ("holds", [proof("Eq. (20) as printed", "proved")]),
    ],
    "binder-thm4": [
        ("caveat", []),
        ("false", [proof("maximum at zero covariance", "counterexample")]),
        ("false", [put("theorem-4", "estimate", lambda t: t["estimate"] + 1.0)]),
        ("holds", [proof(name, "proved") for name in ("maximum with free means", "MSE at most 2")]),
    ],
    "binder-eq25-28": [
        ("holds", []),
        ("false", [put("equations-25-28", "estimate", 1.0, "scale == 100")]),
    ],
    "binder-eq29": [
        ("slip", []),
        ("false", [put("quantile-variance", "squared", lambda t: 1.5 * t["squared"],
                       "index == 0")]),
        ("undecided", [put("quantile-variance", "high", lambda t: t["high"] * 1.1)]),
        ("holds", [put("quantile-variance", "printed", lambda t: t["squared"])]),
    ],
    "binder-eq29-condition": [
        ("false", []),
        *grown(
            "false holds undecided",
            proof("printed (29) diverges, exponential", "proved"),
            proof("printed (29) diverges, normal", "proved"),
            proof("squared (29) diverges, normal", "unknown"),
        )[1:],
    ],
    "binder-eq3-eq4": [
        ("caveat", []),
        ("holds", [put("equation-4", "share largest", 0.0)]),
        ("false", [put("equation-4", "largest", 0.2, "method == 'Shapley'")]),
        ("false", [proof("unresponsive features stay unresponsive", "counterexample")]),
    ],
    "binder-eq5": SURROGATE,
    "binder-fig6": SURROGATE,
    "binder-eq6": [
        ("holds", []),
        ("false", [put("equation-6", "largest", lambda t: t["largest"] + 1e-9)]),
    ],
    "binder-g-dominance": [
        ("caveat", []),  # methods that lack the assumption do not decide
        ("holds", [put("appendix-g", "estimate", 0.0),
                   *(proof(name, "proved") for name in monotonicity.PREMISES)]),
        ("caveat", [put("appendix-g", "estimate", 0.0)]),
        ("false", [put("appendix-g", "estimate", 0.01, "method == 'LRP-gamma'")]),
        ("false", [put("appendix-g", "conservation_error", 1e-3, "method == 'LRP-gamma'")]),
        ("false", [proof(monotonicity.CONSERVATIVE, "counterexample")]),
        ("undecided", [proof(monotonicity.CONSERVATIVE, "unknown")]),
    ],
    "binder-f1-gi": appendix_f("F.1", "F.1 strict, as printed"),
    "binder-f2-shapley": appendix_f(
        "F.2, d = 3", monotonicity.ANY_FUNCTION, "F.2 strict, d = 3"
    ),
    "binder-f3-lrpb": appendix_f(
        "F.3", monotonicity.OTHER_NEURON,
        "LRP-beta conserves relevance without negative contributions",
    ),
    "binder-eq9": appendix_f("F.3", monotonicity.ANY_FUNCTION, monotonicity.OTHER_NEURON),
    "binder-a2-beta": [
        ("slip", []),
        ("false", [proof("solved beta", "counterexample")]),
        ("undecided", [proof("printed beta", "unknown")]),
        ("holds", [proof("printed beta", "proved"), put("adaptive-beta", "max_residual", 0.0)]),
    ],
}  # fmt: skip


@pytest.mark.parametrize("claim", CASES)
def test_verdicts_follow_the_tables(tables_of, claim: str) -> None:
    criterion = find_criterion(claim)
    for value, changes in CASES[claim]:
        tables = tables_of(*criterion.tables)
        for change in changes:
            change(tables)
        assert criterion.function(tables, None).value == value, (value, len(changes))
