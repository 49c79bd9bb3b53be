"""Criteria for Theorem 2 of Binder et al. (2022), and for maps where activations are large."""

import numpy as np
import pandas as pd

from sanitygap import judge
from sanitygap.claims import Value
from sanitygap.formal import formal_criterion, outcome, proved, refuted
from sanitygap.inference import Interval, bootstrap_mean
from sanitygap.judge import (
    GUIDED,
    LRP,
    REDRAWS,
    Context,
    Tables,
    Verdict,
    criterion,
    formal,
    graded,
    rows_of,
)

PROOFS = "theorem-2-proofs"
STEPS = (
    "Eq. (31)", "variance of a sum", "sigma cancels in Eq. (37)",
    *(f"Eq. (39)-(41), |X_S| = {small}, |X_L| = {large}"
      for small, large in ((1, 1), (1, 2), (2, 1), (2, 2), (3, 2))),
    "Eq. (42) corrected", "Eq. (43)-(45)", "tail increases with gamma",
)  # fmt: skip
PRINTED = ("Eq. (35) as printed", "Eq. (41) to (42) as printed")
TOLERANCE = 0.02


def _beyond(rows: pd.DataFrame) -> pd.DataFrame:
    """Settings whose frequency exceeds the claimed probability by three standard errors."""
    return rows[rows["estimate"] > rows["claimed"] + 3 * rows["standard_error"]]


def _setting(row: pd.Series) -> str:
    return f"|X_S| = {row['n_small']}, |X_L| = {row['n_large']}, K = {row['ratio']:.3g}"


CONDITIONAL, JOINT = "conditional event has the tail", "joint event has the tail, as printed"


@formal_criterion("binder-thm2", PROOFS, "theorem-2", settled=(CONDITIONAL, JOINT))
def theorem_2(proofs: pd.DataFrame, table: pd.DataFrame) -> Verdict:
    conditional, joint = (rows_of(table, event=event) for event in ("conditional", "joint"))
    beyond = len(_beyond(conditional))
    constant = rows_of(conditional, activations="constant")
    gap = ((constant["estimate"] - constant["claimed"]).abs() / constant["standard_error"]).max()
    # P(L > 0) = 1/2 exactly, so half the tail is the claim to compare the joint event with
    half = ((joint["estimate"] - joint["exact"]).abs() / joint["standard_error"]).max()
    literal = refuted(proofs, JOINT)
    largest = conditional.sort_values("claimed").iloc[-1]
    return graded(
        proved(proofs, CONDITIONAL) and beyond == 0 and gap <= 4 and half <= 4,
        f"Given that the sum over X_L is positive, the probability exceeds the Cauchy tail in "
        f"{beyond} of {len(conditional)} settings and equals it for constant activations "
        f"(largest distance {gap:.1f} standard errors). The joint event "
        f"{'as printed has half that probability' if literal else 'has the tail as printed'}. "
        f"The tail need not be low: {largest['claimed']:.2f} for {_setting(largest)}.",
        {
            "settings": len(conditional),
            "settings_beyond_tail": beyond,
            "max_distance_in_standard_errors": gap,
            "largest_tail": largest["claimed"],
        },
        caveat=literal,
    )


@formal_criterion("binder-thm2-proof", PROOFS, settled=(*STEPS, *PRINTED))
def proof(proofs: pd.DataFrame) -> Verdict:
    failing = [name for name in STEPS if outcome(proofs, name) != "proved"]
    slips = [name for name in PRINTED if outcome(proofs, name) == "counterexample"]
    slip = bool(slips) and not failing
    note = " The later lines use the correct form, 1/K outside the root; sigma cancels."
    return graded(
        not failing,
        f"{len(STEPS) - len(failing)} of {len(STEPS)} steps are proved by machine"
        + (f"; refuted: {'; '.join([*failing, *slips])}." if failing or slips else ".")
        + (note if slip else ""),
        {"steps": len(STEPS), "proved": len(STEPS) - len(failing), "slips": len(slips)},
        slip=slip,
    )


SAME = "gamma of sums is gamma of averages"


@formal_criterion("binder-thm2-title", PROOFS, "theorem-2", settled=(SAME, "Eq. (50)"))
def title(proofs: pd.DataFrame, table: pd.DataFrame) -> Verdict:
    """The title speaks of averages, Eq. (8) sums: they agree only if their scales agree."""
    sums, means = (
        rows_of(table, event=event).set_index(["n_small", "n_large", "ratio"])["claimed"]
        for event in ("conditional", "conditional, averages")
    )
    gap = (sums - means).abs().max()
    agree = proved(proofs, SAME)
    return graded(
        agree or proved(proofs, "Eq. (50)"),
        "The title speaks of average contributions, Eq. (8) of sums; their scale parameters "
        f"{'agree' if agree else 'are inverse to each other'}"
        f", and the tails differ by up to {gap:.2f} in the tested settings.",
        {"largest_difference_of_tails": gap},
        slip=not agree,
    )


@formal_criterion("binder-thm2-avg", PROOFS, "theorem-2", settled=("Eq. (49)", "Eq. (50)"))
def averages(proofs: pd.DataFrame, table: pd.DataFrame) -> Verdict:
    rows = rows_of(table, event="conditional, averages")
    beyond = len(_beyond(rows))
    excess = (rows["estimate"] - rows["claimed"]).max()
    return formal(
        proved(proofs, "Eq. (49)", "Eq. (50)") and beyond == 0,
        f"For averages the frequency exceeds the tail by more than three standard errors in "
        f"{beyond} of {len(rows)} settings (largest excess {excess:.4f}).",
        {"settings": len(rows), "settings_beyond_tail": beyond, "largest_excess": excess},
    )


def _absolute(rows: pd.DataFrame, what: str, extra: str, met: bool = True) -> Verdict:
    beyond = len(_beyond(rows))
    gaps = (rows["estimate"] - rows["claimed"]).sort_values()
    worst = rows.loc[[gaps.index[-1]]].iloc[0]
    return formal(
        met and beyond == 0,
        f"{what} exceed the claimed tail in {beyond} of {len(rows)} settings, at most "
        f"{worst['estimate']:.3f} against {worst['claimed']:.3f} ({_setting(worst)}).{extra}",
        {
            "settings": len(rows),
            "settings_beyond_tail": beyond,
            "largest_frequency": worst["estimate"],
            "claimed_there": worst["claimed"],
        },
    )


@formal_criterion("binder-footnote9", "theorem-2")
def footnote_9(table: pd.DataFrame) -> Verdict:
    rows = rows_of(table, event="absolute averages")
    last = rows_of(rows, n_large=1, ratio=2).sort_values("n_small").iloc[-1]
    extra = (
        f" For |X_L| = 1, K = 2 and |X_S| = {last['n_small']} the frequency is "
        f"{last['estimate']:.3f} (limit {last['limit']:.3f}), claimed {last['claimed']:.3f}."
    )
    return _absolute(rows, "Averages of absolute contributions", extra)


@formal_criterion("binder-abs-dominance", "theorem-2", "theorem-2-heads")
def absolute_dominance(table: pd.DataFrame, heads: pd.DataFrame) -> Verdict:
    neuron, heads = (rows_of(rows, event="absolute sums") for rows in (table, heads))
    beyond = len(_beyond(heads))
    two_sided = rows_of(table, event="two-sided")
    close = (two_sided["estimate"] - two_sided["exact"]).abs().max()
    extra = (
        f" Through random heads: {beyond} of {len(heads)} settings. Absolute values of the signed "
        f"sums follow 2 arctan(gamma_1) / pi to {close:.4f}."
    )
    return _absolute(neuron, "Sums of absolute contributions", extra, met=beyond == 0)


@criterion("binder-thm2-anyrelu", tables=("theorem-2-heads", "theorem-2-weights"))
def any_relu_network(tables: Tables, context: Context) -> Verdict:
    """The theorem bounds overtaking from above, so only more of it than predicted contradicts."""
    weights = tables["theorem-2-weights"]
    heads = rows_of(tables["theorem-2-heads"], event="two-sided")
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
    others = weights[weights["weights"] != "normal"]
    single = rows_of(others, n_small=1)["estimate"]
    shared = he.loc[less, "kind"].str.startswith("convolutional").any()
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
        reason="Heads that share weights between positions violate the independence that the "
        "theorem needs; they overtake less than independent weights would."
        if shared
        else "",
        numbers={
            "settings": len(he),
            "settings_above": int(above.sum()),
            "settings_below": int(less.sum()),
            "largest_excess": float(distance.max()),
            "largest_distance": float(np.abs(distance).max()),
        },
    )


def at(table: pd.DataFrame, method: str, step: int) -> pd.DataFrame:
    """One row an image of one method at one step, averaged over seeds."""
    rows = judge.rows_of(table, method=method, step=step)
    values = ["mass_ratio", "spearman", "spearman_others"]
    return rows.groupby("image", sort=False)[values].mean().dropna()


def concentration(table: pd.DataFrame, method: str, step: int) -> Interval:
    """Mass share over area share of the most active regions: 1 means indifferent."""
    return bootstrap_mean(at(table, method, step)["mass_ratio"])


def own_activity(table: pd.DataFrame, method: str, step: int) -> Interval:
    """Rank correlation with the activity of the own image minus that of other images."""
    return judge.paired(at(table, method, step), "spearman", "spearman_others")


@criterion("binder-preservation", tables=("activated-regions",))
def preservation(tables: Tables, context: Context) -> Verdict:
    """For both methods and at every step: mass ratio above 1, correlation above the null.

    Only where the kept features are not negative, which Theorem 2 assumes.
    """
    table = judge.rows_of(tables["activated-regions"], non_negative=True)
    if table.empty:
        return judge.not_run(
            f"Every kept feature map of {context.model} has negative values, and Theorem 2, "
            "from which the paper concludes, is about activations that are not negative; run the "
            "page with a ReLU network."
        )
    steps = sorted(table["step"].unique())
    verdicts, numbers = [], {}
    for step in steps:
        stage = judge.rows_of(table, step=step)["stage"].iloc[0]
        for method in (GUIDED, LRP):
            ratio, beyond = concentration(table, method, step), own_activity(table, method, step)
            numbers[f"mass ratio {method}, step {step}"] = ratio.estimate
            for what, interval, bound in (
                ("mass ratio", ratio, 1), ("correlation beyond other images", beyond, 0),
            ):  # fmt: skip
                name = f"{method} below {stage}, {what}"
                words = f"{name} {judge.shown(interval)}."
                verdicts.append(judge.condition(interval, bound, "above", name, words))
    joined = judge.summary(
        verdicts,
        f"{GUIDED} and {LRP} at {len(steps)} depths with features >= 0: mass ratio from 1, "
        "correlation with the own image's activity from that with other images'",
    )
    verdict = judge.reworded(joined, numbers=numbers)
    return judge.enough(verdict, table["seed"].nunique(), REDRAWS, "redraws")
