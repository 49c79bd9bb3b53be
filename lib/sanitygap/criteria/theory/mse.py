"""Criteria for Theorem 4, Eq. (20)-(28) of Binder et al. (2022): the MSE rewards unrelated maps."""

from __future__ import annotations

from typing import Literal

import pandas as pd

from sanitygap.claims import (
    CriterionContext,
    Verdict,
    combine,
    criterion,
    verdict_from_interval,
)
from sanitygap.criteria.theory.evidence import (
    Tables,
    agreement_of_normalizers,
    proved,
    refuted,
    unsettled,
)
from sanitygap.inference import Interval, bootstrap_mean


@criterion("binder-eq20", tables=("equation-20", "theorem-4-proofs"))
def equation_20(tables: Tables, context: CriterionContext) -> Verdict:
    proofs, table = tables["theorem-4-proofs"], tables["equation-20"]
    meant, printed = "Eq. (20), denominator of A", "Eq. (20) as printed"
    if verdict := unsettled(proofs, meant, printed):
        return verdict
    is_meant = table["formula"] == "denominator of A"
    own = float(table.loc[is_meant, "max_difference"].max())
    other = float(table.loc[~is_meant, "max_difference"].min())
    holds = own <= 1e-12 and proved(proofs, meant)
    slip = refuted(proofs, printed) and other > 1e-12
    return Verdict(
        value="false" if not holds else "slip" if slip else "holds",
        evidence=(
            f"With A in the denominator the mean square is 1 to {own:.0e}; with the printed h, "
            f"read as another map, it is off by {other:.2f} or more."
        ),
        numbers={"max_difference": own, "min_difference_as_printed": other},
    )


@criterion("binder-thm4", tables=("theorem-4-proofs", "theorem-4"))
def theorem_4(tables: Tables, context: CriterionContext) -> Verdict:
    proofs, table = tables["theorem-4-proofs"], tables["theorem-4"]
    identity, maximum = "Eq. (21)-(23)", "maximum at zero covariance"
    condition, ceiling = "maximum with free means", "MSE at most 2"
    if verdict := unsettled(proofs, identity, maximum, condition, ceiling):
        return verdict
    error = float(table["identity_error"].max())
    over = int((table["estimate"] > table["bound"] + 3 * table["standard_error"]).sum())
    largest = float(table["estimate"].max())
    holds = proved(proofs, identity, maximum) and error <= 1e-12 and over == 0
    conditional = refuted(proofs, condition) or refuted(proofs, ceiling)
    return Verdict(
        value="false" if not holds else "caveat" if conditional else "holds",
        evidence=(
            f"Eq. (23) is an identity (sampled: to {error:.0e}) and {over} of {len(table)} "
            "processes exceed Eq. (24). "
            + (
                "The maximum needs means and second moments fixed; with free means z3 has a "
                f"counterexample, and 2 is no ceiling: the largest mean is {largest:.2f}."
                if conditional
                else f"The largest mean is {largest:.2f}."
            )
        ),
        numbers={"identity_error": error, "processes_beyond_bound": over, "largest": largest},
    )


@criterion("binder-eq25-28", tables=("theorem-4-proofs", "equations-25-28"))
def unnormalised_mse(tables: Tables, context: CriterionContext) -> Verdict:
    proofs, table = tables["theorem-4-proofs"], tables["equations-25-28"]
    needed = ("Eq. (25)-(27)", "Eq. (28)", "MSE in [0, 4]")
    if verdict := unsettled(proofs, *needed):
        return verdict
    plain = table[table["measure"] == "MSE"]
    normalised = table[table["measure"] == "normalised MSE"]
    ratio = plain["estimate"] / plain["scale"] ** 2
    growth = float(ratio.max() / ratio.min() - 1)
    error = float(plain["identity_error"].max())
    low, high = float(normalised["smallest"].min()), float(normalised["largest"].max())
    holds = proved(proofs, *needed) and error <= 1e-12 and growth <= 1e-9 and 0 <= low <= high <= 4
    return Verdict(
        value="holds" if holds else "false",
        evidence=(
            f"Eq. (27) is exact to {error:.0e}; MSE / c^2 varies by {growth:.0e} over factors c "
            f"from {plain['scale'].min():g} to {plain['scale'].max():g}, while the normalised MSE "
            f"stays within [{low:.2f}, {high:.2f}]."
        ),
        numbers={"identity_error": error, "relative_growth_error": growth, "largest": high},
    )


@criterion("binder-secmoment-rationale", tables=("second-moment-rationale", "map-normalizers"))
def second_moment(tables: Tables, context: CriterionContext) -> Verdict:
    own = tables["map-normalizers"]
    random = {row["method"]: row for _, row in tables["second-moment-rationale"].iterrows()}
    where = f"maps of {context.model}"
    shares, ratios = {}, {}
    for method in ("sensitivity-l2", "gradient"):
        rows = own[own["method"] == method]
        shares[method] = bootstrap_mean(rows["mean_share"])
        ratios[method] = float(rows["rms_over_sd"].mean())
    verdict = combine(
        [
            _share(shares["sensitivity-l2"], "sensitivity-l2", where, 0.3, "above"),
            _share(shares["gradient"], "gradient", where, 0.01, "below"),
            _agreement(ratios["gradient"], where),
            *_random_networks(random),
        ]
    )
    tau, phrase = agreement_of_normalizers(own, "deviation", "second_moment")
    rankings = f"Rankings by MSE under the two normalisations: {phrase}."
    numbers = {"tau_of_rankings": tau.estimate} if tau else {}
    return verdict.model_copy(
        update={
            "evidence": f"{verdict.evidence} {rankings}",
            "numbers": verdict.numbers | numbers,
        }
    )


def _random_networks(rows: dict[str, pd.Series]) -> list[Verdict]:
    """The same conditions on gradients of random networks."""
    where = "gradients of random networks"
    intervals = {
        name: Interval(row["estimate"], row["low"], row["high"], int(row["draws"]))
        for name, row in rows.items()
    }
    return [
        _share(intervals["Sensitivity, l2"], "Sensitivity, l2", where, 0.3, "above"),
        _share(intervals["Gradient, mean"], "Gradient, mean", where, 0.01, "below"),
        _agreement(rows["Gradient, mean"]["rms_over_sd"], where),
    ]


def _share(
    share: Interval, method: str, where: str, limit: float, side: Literal["above", "below"]
) -> Verdict:
    return Verdict(
        value=verdict_from_interval(share.low, share.high, limit, side),
        evidence=(
            f"{method}, {where}: the mean makes up {share.estimate:.2g} of the second moment "
            f"[{share.low:.2g}, {share.high:.2g}], n = {share.n}."
        ),
        numbers={f"share {method}, {where}": share.estimate},
    )


def _agreement(ratio: float, where: str) -> Verdict:
    return Verdict(
        value="direction" if abs(ratio - 1) < 0.05 else "not-reproduced",
        evidence=f"Gradient, {where}: the two normalisers have ratio {ratio:.4f}.",
        numbers={f"rms_over_sd, {where}": ratio},
    )
