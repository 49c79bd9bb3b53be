"""Criteria for Eq. (17), Theorems 3 and 4 and Appendix D of Binder et al. (2022)."""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from sanitygap import judge
from sanitygap.claims import Value, combine
from sanitygap.formal import formal_criterion, outcome, proved, refuted, witness
from sanitygap.inference import Interval, bootstrap_mean, rank_agreement
from sanitygap.judge import Context, Tables, Verdict, criterion, formal, graded, rows_of
from sanitygap.scores import complete


@formal_criterion("binder-eq17", "equation-17")
def equation_17(table: pd.DataFrame) -> Verdict:
    largest = float(table["max_difference"].max())
    return formal(
        largest <= 1e-12,
        f"Own and scipy's Spearman correlation differ by at most {largest:.1e} over "
        f"{int(table['pairs'].sum())} pairs of maps, with and without ties.",
        {"max_difference": largest},
    )


MAIN, TIED = "minimum at zero rank covariance", "expected Spearman, ranks with ties"


@formal_criterion("binder-thm3", "theorem-3-proofs", "theorem-3", settled=(MAIN, TIED))
def theorem_3(proofs: pd.DataFrame, sampled: pd.DataFrame) -> Verdict:
    means = sampled[sampled["functional"] == "E[Spearman]"]
    independent = means[means["process"] == "independent"]
    tolerance = 3 * independent["spread"] / np.sqrt(independent["draws"])
    beyond = int((independent["estimate"].abs() > tolerance).sum())
    ties = means[means["process"].str.startswith("ties")].sort_values("pixels").iloc[-1]
    conditional, main = refuted(proofs, TIED), proved(proofs, MAIN)
    return graded(
        main and beyond == 0,
        f"The ratio argument is {'proved' if main else 'refuted'} by z3; the "
        f"mean correlation of independent maps is away from 0 in {beyond} of "
        f"{len(independent)} sizes. "
        + (
            "For expectations the ranks must be free of ties: with ties z3 has a "
            "counterexample, and a process of zero expected rank covariance has mean "
            f"correlation {ties['estimate']:.2f}."
            if conditional
            else "Ties make no difference."
        ),
        {"sizes_beyond_tolerance": beyond, "mean_with_ties": float(ties["estimate"])},
        caveat=conditional,
    )


THREE, TWO = (f"rank covariance >= 0 iff covariance >= 0, {n} pixels" for n in (3, 2))


@formal_criterion(
    "binder-thm3-iff", "theorem-3-proofs", "theorem-3-equivalence", settled=(THREE, TWO)
)
def equivalence(proofs: pd.DataFrame, table: pd.DataFrame) -> Verdict:
    weak = table[table["dependence"] == table["dependence"].min()]
    rates = {row["noise"]: row["estimate"] for _, row in weak.iterrows()}
    listed = ", ".join(f"{rate:.1%} ({noise})" for noise, rate in rates.items())
    against = refuted(proofs, THREE)
    return formal(
        not (against or (table["estimate"] > 0).any()),
        f"The signs of covariance and rank covariance disagree for {listed} of weakly "
        f"dependent pairs of {int(weak['pixels'].iloc[0])} pixels"
        + (f"; z3's counterexample: {witness(proofs, THREE)}" if against else "")
        + (". For two pixels the equivalence is proved." if proved(proofs, TWO) else "."),
        {f"disagreement_{noise}": rate for noise, rate in rates.items()},
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
    norms, gradients = (rows_of(own, method=name) for name in ("sensitivity-l2", "gradient"))
    random = {row["method"]: row for row in tables["second-moment-rationale"].to_dict("records")}
    norm, gradient = random["Sensitivity, l2"], random["Gradient, mean"]
    networks = "gradients of random networks"
    norm_share, share = (bootstrap_mean(rows["mean_share"].dropna()) for rows in (norms, gradients))
    verdict = combine(
        [
            _share(norm_share, f"sensitivity-l2, {where}", 0.3, "above"),
            _share(share, f"gradient, {where}", 0.01, "below"),
            _agreement(float(gradients["rms_over_sd"].mean()), where),
            _share(_interval(norm), f"Sensitivity, l2, {networks}", 0.3, "above"),
            _share(_interval(gradient), f"Gradient, mean, {networks}", 0.01, "below"),
            _agreement(gradient["rms_over_sd"], networks),
        ]
    )
    tau, phrase = _rankings(own, "deviation", "second_moment")
    return judge.reworded(
        verdict,
        f"{verdict.evidence} Rankings by MSE under the two normalisations: {phrase}.",
        {"tau_of_rankings": tau.estimate} if tau else {},
    )


def _interval(row: Mapping[Hashable, Any]) -> Interval:
    """An estimate of a simulated table."""
    return Interval(row["estimate"], row["low"], row["high"], int(row["draws"]))


def _share(share: Interval, what: str, limit: float, side: judge.Direction) -> Verdict:
    words = (
        f"{what}: the mean makes up {share.estimate:.2g} of the second moment [{share.low:.2g}, "
        f"{share.high:.2g}], n = {share.n}."
    )
    return judge.condition(share, limit, side, f"share {what}", words)


def _agreement(ratio: float, where: str) -> Verdict:
    return judge.measured(
        abs(ratio - 1) < 0.05,
        f"Gradient, {where}: the two normalisers have ratio {ratio:.4f}.",
        {f"rms_over_sd, {where}": ratio},
    )


LOW, HIGH = 0.93, 1.07
NON_UNIFORM = ("exponential", "normal", "Pareto 3", "Student t4", "Cauchy")
DIVERGES = {
    formula: [f"{formula} (29) diverges, {law}" for law in NON_UNIFORM]
    for formula in ("printed", "squared")
}


@formal_criterion("binder-eq29", "quantile-variance")
def equation_29(table: pd.DataFrame) -> Verdict:
    inside, outside = {}, {}
    for formula in ("printed", "squared"):
        least, most = table[formula] / table["high"], table[formula] / table["low"]
        inside[formula] = int(((least >= LOW) & (most <= HIGH)).sum())
        outside[formula] = int(((most < LOW) | (least > HIGH)).sum())
    worst = float(table["printed_ratio"].min())
    low, high = float(table["squared_ratio"].min()), float(table["squared_ratio"].max())
    value: Value = "undecided"
    if inside["printed"] == len(table):
        value = "holds"
    elif outside["printed"] and inside["squared"] == len(table):
        value = "slip"
    elif outside["printed"] and outside["squared"]:
        value = "false"
    return Verdict(
        value=value,
        evidence=(
            f"The interval of formula over simulation lies within [{LOW}, {HIGH}] in "
            f"{inside['printed']} of {len(table)} settings as printed (lowest ratio {worst:.3f}) "
            f"and in {inside['squared']} with the density squared ({low:.2f} to {high:.2f})."
        ),
        reason="The known variance has the square of the density; the print dropped it."
        if value == "slip"
        else "",
        numbers={
            "settings": len(table),
            "inside_as_printed": inside["printed"],
            "inside_with_squared_density": inside["squared"],
            "lowest_ratio_as_printed": worst,
        },
    )


@formal_criterion(
    "binder-eq29-condition",
    "appendix-d1-proofs",
    "quantile-tail",
    settled=(*DIVERGES["printed"], *DIVERGES["squared"]),
)
def divergence(proofs: pd.DataFrame, tail: pd.DataFrame) -> Verdict:
    pairs = zip(NON_UNIFORM, DIVERGES["printed"], strict=True)
    bounded = [law for law, name in pairs if refuted(proofs, name)]
    squared = sum(outcome(proofs, name) == "proved" for name in DIVERGES["squared"])
    normal = rows_of(tail, distribution="normal", formula="printed")
    last = normal.sort_values("tail_probability").iloc[0]
    return formal(
        not bounded,
        f"As printed, Eq. (29) stays bounded for {len(bounded)} of {len(NON_UNIFORM)} "
        f"non-uniform laws{' (' + ', '.join(bounded) + ')' if bounded else ''}, for the normal "
        f"it is {last['value']:.2f} / n at 1 - p = {last['tail_probability']:.0e}; with the "
        f"density squared {squared} of {len(NON_UNIFORM)} diverge.",
        {"bounded_as_printed": len(bounded), "diverging_with_squared_density": squared},
    )


@criterion("binder-d1-max", tables=("maximum-dispersion", "map-normalizers"))
def maximum(tables: Tables, context: Context) -> Verdict:
    table, own = tables["maximum-dispersion"], tables["map-normalizers"]
    maps = rows_of(table, source="maps of random networks")
    real = {
        # an all-zero map has no spread
        str(method): bootstrap_mean((rows["maximum_spread"] - rows["rms_spread"]).dropna())
        for method, rows in own.groupby("method", sort=False)
    }
    intervals = [*map(_interval, maps.to_dict("records")), *real.values()]
    spreads = [judge.condition(interval, 0, "above", "difference") for interval in intervals]
    laws = rows_of(table, source="distribution", distribution="uniform")
    uniform = laws.sort_values("size").iloc[-1]
    means = own.groupby("method")[["maximum_spread", "rms_spread"]].mean()
    ratio = means["maximum_spread"] / means["rms_spread"]
    return Verdict(
        value=judge.joint_value(*spreads),
        evidence=(
            f"Under resampling of pixels the relative standard deviation of the maximum is higher "
            f"than that of the root mean square, with an interval over images that excludes 0, for "
            f"{sum(interval.low > 0 for interval in real.values())} of {len(real)} methods on "
            f"{context.model}: {ratio.min():.1f} to {ratio.max():.1f} times as high (gradient maps "
            f"of random networks: {(maps['maximum'] / maps['rms']).min():.1f} to "
            f"{(maps['maximum'] / maps['rms']).max():.1f}). For uniform values the order is "
            f"{_order(uniform)} ({uniform['maximum']:.1e} against {uniform['rms']:.1e} for "
            f"{int(uniform['size'])} values)."
        ),
        reason="The maximum of bounded data does converge.",
        numbers={
            "smallest_difference": min(interval.estimate for interval in real.values()),
            "smallest_difference_random_networks": maps["estimate"].min(),
            "difference_uniform": uniform["estimate"],
        },
    )


def _order(row: pd.Series) -> str:
    return "reversed" if row["high"] < 0 else "the same" if row["low"] > 0 else "open"


@criterion("binder-d1-perception", tables=("normalizer-ranking", "map-normalizers"))
def perception(tables: Tables, context: Context) -> Verdict:
    table, own = tables["normalizer-ranking"], tables["map-normalizers"]
    by_maximum, by_moment = (
        rows_of(table, normaliser=name).pivot(index="pair", columns="method", values="mse")
        for name in ("maximum", "second moment")
    )
    tau = rank_agreement(by_maximum, by_moment)
    real, phrase = _rankings(own, "maximum", "second_moment")
    value: Value = "undecided"
    if tau.high < 1 or (real and real.high < 1):
        value = "holds"
    elif real and tau.low == real.low == 1:
        value = "false"
    numbers = {"tau": tau.estimate, "tau_low": tau.low, "tau_high": tau.high}
    if real:
        numbers |= {"tau_real": real.estimate, "tau_real_low": real.low, "tau_real_high": real.high}
    return Verdict(
        value=value,
        evidence=(
            f"Rankings by MSE after dividing by the maximum and after dividing by the second "
            f"moment: Kendall tau {tau.estimate:.2f} [{tau.low:.2f}, {tau.high:.2f}] for "
            f"{by_moment.shape[1]} simulated methods over {tau.n} pairs of maps; on "
            f"{context.model} {phrase}."
        ),
        numbers=numbers,
    )


def _rankings(maps: pd.DataFrame, first: str, second: str) -> tuple[Interval | None, str]:
    """Kendall's tau between the orders of methods by MSE under two normalisations of real maps.

    A dead network, all of whose units are off, has all-zero maps, which cannot be normalised; such
    images are left out and counted.

    Args:
        maps: the table map-normalizers.
        first, second: normalisers, as in its columns ``mse_...``.

    Returns:
        The agreement, None if fewer than two images are left, and a phrase about it for evidence.
    """
    tables = complete(
        *(maps.pivot(index="image", columns="method", values=f"mse_{n}") for n in (first, second))
    )
    n, methods = len(tables[0]), tables[0].shape[1]
    dropped = f"{maps['image'].nunique() - n} with an all-zero map left out"
    if n < 2:
        return None, f"{n} images are too few to rank {methods} methods ({dropped})"
    tau = rank_agreement(tables[0], tables[1])
    shown = f"{tau.estimate:.2f} [{tau.low:.2f}, {tau.high:.2f}]"
    return tau, f"Kendall tau {shown} for {methods} methods over {n} images ({dropped})"
