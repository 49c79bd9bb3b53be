"""Criteria for Theorem 2 of Binder et al. (2022): can small activations overtake large ones?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from sanitygap.claims import CriterionContext, Value, Verdict, criterion
from sanitygap.criteria.theory.evidence import Tables, outcome, proved, refuted, unsettled

STEPS = (
    "Eq. (31)", "variance of a sum", "sigma cancels in Eq. (37)",
    *(f"Eq. (39)-(41), |X_S| = {small}, |X_L| = {large}"
      for small, large in ((1, 1), (1, 2), (2, 1), (2, 2), (3, 2))),
    "Eq. (42) corrected", "Eq. (43)-(45)", "tail increases with gamma",
)  # fmt: skip
PRINTED = ("Eq. (35) as printed", "Eq. (41) to (42) as printed")
TOLERANCE = 0.02


def _event(table: pd.DataFrame, event: str) -> pd.DataFrame:
    return table[table["event"] == event]


def _beyond(rows: pd.DataFrame) -> pd.DataFrame:
    """Settings whose frequency exceeds the claimed probability by three standard errors."""
    return rows[rows["estimate"] > rows["claimed"] + 3 * rows["standard_error"]]


def _setting(row: pd.Series) -> str:
    return f"|X_S| = {row['n_small']}, |X_L| = {row['n_large']}, K = {row['ratio']:.3g}"


@criterion("binder-thm2", tables=("theorem-2-proofs", "theorem-2"))
def theorem_2(tables: Tables, context: CriterionContext) -> Verdict:
    proofs, table = tables["theorem-2-proofs"], tables["theorem-2"]
    needed, printed = "conditional event has the tail", "joint event has the tail, as printed"
    if verdict := unsettled(proofs, needed, printed):
        return verdict
    conditional, joint = _event(table, "conditional"), _event(table, "joint")
    beyond = len(_beyond(conditional))
    constant = conditional[conditional["activations"] == "constant"]
    gap = (constant["estimate"] - constant["claimed"]).abs() / constant["standard_error"]
    # P(L > 0) = 1/2 exactly, so half the tail is the claim to compare the joint event with
    half = (joint["estimate"] - joint["exact"]).abs() / joint["standard_error"]
    holds = proved(proofs, needed) and beyond == 0 and gap.max() <= 4 and half.max() <= 4
    literal = refuted(proofs, printed)
    largest = conditional.sort_values("claimed").iloc[-1]
    return Verdict(
        value="false" if not holds else "caveat" if literal else "holds",
        evidence=(
            f"Given that the sum over X_L is positive, the probability exceeds the Cauchy tail in "
            f"{beyond} of {len(conditional)} settings and equals it for constant activations "
            f"(largest distance {gap.max():.1f} standard errors). "
            + (
                "The joint event as printed has half that probability. "
                if literal
                else "The joint event has the tail as printed. "
            )
            + f"The tail need not be low: {largest['claimed']:.2f} for {_setting(largest)}."
        ),
        numbers={
            "settings": len(conditional),
            "settings_beyond_tail": beyond,
            "max_distance_in_standard_errors": gap.max(),
            "largest_tail": largest["claimed"],
        },
    )


@criterion("binder-thm2-proof", tables=("theorem-2-proofs",))
def proof(tables: Tables, context: CriterionContext) -> Verdict:
    proofs = tables["theorem-2-proofs"]
    if verdict := unsettled(proofs, *STEPS, *PRINTED):
        return verdict
    failing = [name for name in STEPS if outcome(proofs, name) != "proved"]
    slips = [name for name in PRINTED if outcome(proofs, name) == "counterexample"]
    return Verdict(
        value="false" if failing else "slip" if slips else "holds",
        evidence=(
            f"{len(STEPS) - len(failing)} of {len(STEPS)} steps are proved by machine"
            + (f"; refuted: {'; '.join([*failing, *slips])}." if failing or slips else ".")
            + (
                " The later lines use the correct form, 1/K outside the root; sigma cancels."
                if slips and not failing
                else ""
            )
        ),
        numbers={"steps": len(STEPS), "proved": len(STEPS) - len(failing), "slips": len(slips)},
    )


@criterion("binder-thm2-title", tables=("theorem-2-proofs", "theorem-2"))
def title(tables: Tables, context: CriterionContext) -> Verdict:
    """The title speaks of averages, Eq. (8) sums: they agree only if their scales agree."""
    proofs, table = tables["theorem-2-proofs"], tables["theorem-2"]
    same = "gamma of sums is gamma of averages"
    if verdict := unsettled(proofs, same, "Eq. (50)"):
        return verdict
    sums = _event(table, "conditional").set_index(["n_small", "n_large", "ratio"])["claimed"]
    averages = _event(table, "conditional, averages").set_index(["n_small", "n_large", "ratio"])
    gap = (sums - averages["claimed"]).abs().max()
    agree = proved(proofs, same)
    return Verdict(
        value="holds" if agree else "slip" if proved(proofs, "Eq. (50)") else "false",
        evidence=(
            "The title speaks of average contributions, Eq. (8) of sums; their scale parameters "
            + ("agree" if agree else "are inverse to each other")
            + f", and the tails differ by up to {gap:.2f} in the tested settings."
        ),
        numbers={"largest_difference_of_tails": gap},
    )


@criterion("binder-thm2-avg", tables=("theorem-2-proofs", "theorem-2"))
def averages(tables: Tables, context: CriterionContext) -> Verdict:
    proofs, table = tables["theorem-2-proofs"], tables["theorem-2"]
    if verdict := unsettled(proofs, "Eq. (49)", "Eq. (50)"):
        return verdict
    rows = _event(table, "conditional, averages")
    beyond = len(_beyond(rows))
    excess = (rows["estimate"] - rows["claimed"]).max()
    return Verdict(
        value="holds" if proved(proofs, "Eq. (49)", "Eq. (50)") and beyond == 0 else "false",
        evidence=(
            f"For averages the frequency exceeds the tail by more than three standard errors in "
            f"{beyond} of {len(rows)} settings (largest excess {excess:.4f})."
        ),
        numbers={"settings": len(rows), "settings_beyond_tail": beyond, "largest_excess": excess},
    )


def _absolute(rows: pd.DataFrame, what: str, extra: str) -> Verdict:
    beyond = _beyond(rows)
    gaps = (rows["estimate"] - rows["claimed"]).sort_values()
    worst = rows.loc[[gaps.index[-1]]].iloc[0]
    return Verdict(
        value="false" if len(beyond) else "holds",
        evidence=(
            f"{what} exceed the claimed tail in {len(beyond)} of {len(rows)} settings, at most "
            f"{worst['estimate']:.3f} against {worst['claimed']:.3f} ({_setting(worst)}).{extra}"
        ),
        numbers={
            "settings": len(rows),
            "settings_beyond_tail": len(beyond),
            "largest_frequency": worst["estimate"],
            "claimed_there": worst["claimed"],
        },
    )


@criterion("binder-footnote9", tables=("theorem-2",))
def footnote_9(tables: Tables, context: CriterionContext) -> Verdict:
    rows = _event(tables["theorem-2"], "absolute averages")
    growing = rows[(rows["n_large"] == 1) & (rows["ratio"] == 2)].sort_values("n_small")
    last = growing.iloc[-1]
    extra = (
        f" For |X_L| = 1, K = 2 and |X_S| = {last['n_small']} the frequency is "
        f"{last['estimate']:.3f} (limit {last['limit']:.3f}), claimed {last['claimed']:.3f}."
    )
    return _absolute(rows, "Averages of absolute contributions", extra)


@criterion("binder-abs-dominance", tables=("theorem-2", "theorem-2-heads"))
def absolute_dominance(tables: Tables, context: CriterionContext) -> Verdict:
    neuron = _event(tables["theorem-2"], "absolute sums")
    heads = _event(tables["theorem-2-heads"], "absolute sums")
    beyond = len(_beyond(heads))
    two_sided = _event(tables["theorem-2"], "two-sided")
    close = (two_sided["estimate"] - two_sided["exact"]).abs().max()
    verdict = _absolute(
        neuron,
        "Sums of absolute contributions",
        f" Through random heads: {beyond} of {len(heads)} settings. Absolute values of the signed "
        f"sums follow 2 arctan(gamma_1) / pi to {close:.4f}.",
    )
    if beyond:
        return verdict.model_copy(update={"value": "false"})
    return verdict


@criterion("binder-thm2-anyrelu", tables=("theorem-2-heads", "theorem-2-weights"))
def any_relu_network(tables: Tables, context: CriterionContext) -> Verdict:
    """The theorem bounds overtaking from above, so only more of it than predicted contradicts."""
    heads = _event(tables["theorem-2-heads"], "two-sided")
    he = heads[heads["weights"].str.startswith("He")]
    low, high = he["low"] - he["claimed"], he["high"] - he["claimed"]
    above, less = low > TOLERANCE, high < -TOLERANCE
    value: Value = "undecided"
    if above.any():
        value = "not-reproduced"
    elif (high <= TOLERANCE).all():
        value = "reproduced"
    distance = he["estimate"] - he["claimed"]
    parts = [
        f"{kind} {part[part.abs() == part.abs().max()].iloc[0]:+.3f}"
        for kind, part in distance.groupby(he["kind"], sort=False)
    ]
    weights = tables["theorem-2-weights"]
    others = weights[weights["weights"] != "normal"]
    single = others[others["n_small"] == 1]["estimate"]
    return Verdict(
        value=value,
        evidence=(
            f"Two-sided frequency minus twice the tail, the largest distance: "
            f"{'; '.join(parts)}. It is more than {TOLERANCE} above in {int(above.sum())} of "
            f"{len(he)} settings, and more than {TOLERANCE} below in {int(less.sum())}. For one "
            f"neuron with single activations and other weight distributions the conditional "
            f"frequency is {single.min():.3f} to {single.max():.3f} instead of "
            f"{weights['claimed'].iloc[0]:.3f}."
        ),
        reason=(
            "Heads that share weights between positions violate the independence that the theorem "
            "needs; they overtake less than independent weights would."
            if he.loc[less, "kind"].str.startswith("convolutional").any()
            else ""
        ),
        numbers={
            "settings": len(he),
            "settings_above": int(above.sum()),
            "settings_below": int(less.sum()),
            "largest_excess": float(distance.max()),
            "largest_distance": float(np.abs(distance).max()),
        },
    )
