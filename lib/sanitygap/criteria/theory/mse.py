"""Criteria for Theorem 4, Eq. (20)-(28) of Binder et al. (2022): the MSE rewards unrelated maps."""

import pandas as pd

from sanitygap.claims import Verdict, combine, criterion
from sanitygap.criteria.theory.evidence import (
    agreement_of_normalizers,
    formal_criterion,
    proved,
    refuted,
)
from sanitygap.inference import Interval, bootstrap_mean
from sanitygap.judge import (
    Context,
    Direction,
    Tables,
    condition,
    formal,
    graded,
    measured,
    reworded,
    rows_of,
)

MEANT, PRINTED = "Eq. (20), denominator of A", "Eq. (20) as printed"
IDENTITY, MAXIMUM = "Eq. (21)-(23)", "maximum at zero covariance"
CONDITION, CEILING = "maximum with free means", "MSE at most 2"
UNNORMALISED = ("Eq. (25)-(27)", "Eq. (28)", "MSE in [0, 4]")


@formal_criterion("binder-eq20", "theorem-4-proofs", "equation-20", settled=(MEANT, PRINTED))
def equation_20(proofs: pd.DataFrame, table: pd.DataFrame) -> Verdict:
    is_meant = table["formula"] == "denominator of A"
    own = float(table.loc[is_meant, "max_difference"].max())
    other = float(table.loc[~is_meant, "max_difference"].min())
    return graded(
        own <= 1e-12 and proved(proofs, MEANT),
        f"With A in the denominator the mean square is 1 to {own:.0e}; with the printed h, "
        f"read as another map, it is off by {other:.2f} or more.",
        {"max_difference": own, "min_difference_as_printed": other},
        slip=refuted(proofs, PRINTED) and other > 1e-12,
    )


@formal_criterion(
    "binder-thm4",
    "theorem-4-proofs",
    "theorem-4",
    settled=(IDENTITY, MAXIMUM, CONDITION, CEILING),
)
def theorem_4(proofs: pd.DataFrame, table: pd.DataFrame) -> Verdict:
    error = float(table["identity_error"].max())
    over = int((table["estimate"] > table["bound"] + 3 * table["standard_error"]).sum())
    largest = float(table["estimate"].max())
    conditional = refuted(proofs, CONDITION) or refuted(proofs, CEILING)
    return graded(
        proved(proofs, IDENTITY, MAXIMUM) and error <= 1e-12 and over == 0,
        f"Eq. (23) is an identity (sampled: to {error:.0e}) and {over} of {len(table)} "
        "processes exceed Eq. (24). "
        + (
            "The maximum needs means and second moments fixed; with free means z3 has a "
            f"counterexample, and 2 is no ceiling: the largest mean is {largest:.2f}."
            if conditional
            else f"The largest mean is {largest:.2f}."
        ),
        {"identity_error": error, "processes_beyond_bound": over, "largest": largest},
        caveat=conditional,
    )


@formal_criterion("binder-eq25-28", "theorem-4-proofs", "equations-25-28", settled=UNNORMALISED)
def unnormalised_mse(proofs: pd.DataFrame, table: pd.DataFrame) -> Verdict:
    plain, normalised = (rows_of(table, measure=name) for name in ("MSE", "normalised MSE"))
    ratio = plain["estimate"] / plain["scale"] ** 2
    growth = float(ratio.max() / ratio.min() - 1)
    error = float(plain["identity_error"].max())
    low, high = float(normalised["smallest"].min()), float(normalised["largest"].max())
    exact = error <= 1e-12 and growth <= 1e-9 and 0 <= low <= high <= 4
    return formal(
        proved(proofs, *UNNORMALISED) and exact,
        f"Eq. (27) is exact to {error:.0e}; MSE / c^2 varies by {growth:.0e} over factors c "
        f"from {plain['scale'].min():g} to {plain['scale'].max():g}, while the normalised MSE "
        f"stays within [{low:.2f}, {high:.2f}].",
        {"identity_error": error, "relative_growth_error": growth, "largest": high},
    )


@criterion("binder-secmoment-rationale", tables=("second-moment-rationale", "map-normalizers"))
def second_moment(tables: Tables, context: Context) -> Verdict:
    own, where = tables["map-normalizers"], f"maps of {context.model}"
    shares, ratios = {}, {}
    for method in ("sensitivity-l2", "gradient"):
        rows = rows_of(own, method=method)
        shares[method] = bootstrap_mean(rows["mean_share"])
        ratios[method] = float(rows["rms_over_sd"].mean())
    random = {row["method"]: row for _, row in tables["second-moment-rationale"].iterrows()}
    intervals = {
        name: Interval(row["estimate"], row["low"], row["high"], int(row["draws"]))
        for name, row in random.items()
    }
    networks = "gradients of random networks"
    verdict = combine(
        [
            _share(shares, "sensitivity-l2", where, 0.3, "above"),
            _share(shares, "gradient", where, 0.01, "below"),
            _agreement(ratios["gradient"], where),
            _share(intervals, "Sensitivity, l2", networks, 0.3, "above"),
            _share(intervals, "Gradient, mean", networks, 0.01, "below"),
            _agreement(random["Gradient, mean"]["rms_over_sd"], networks),
        ]
    )
    tau, phrase = agreement_of_normalizers(own, "deviation", "second_moment")
    return reworded(
        verdict,
        f"{verdict.evidence} Rankings by MSE under the two normalisations: {phrase}.",
        {"tau_of_rankings": tau.estimate} if tau else {},
    )


def _share(
    shares: dict[str, Interval], method: str, where: str, limit: float, side: Direction
) -> Verdict:
    share = shares[method]
    return reworded(
        condition(share, limit, side, f"share {method}, {where}"),
        f"{method}, {where}: the mean makes up {share.estimate:.2g} of the second moment "
        f"[{share.low:.2g}, {share.high:.2g}], n = {share.n}.",
    )


def _agreement(ratio: float, where: str) -> Verdict:
    return measured(
        abs(ratio - 1) < 0.05,
        f"Gradient, {where}: the two normalisers have ratio {ratio:.4f}.",
        {f"rms_over_sd, {where}": ratio},
    )
