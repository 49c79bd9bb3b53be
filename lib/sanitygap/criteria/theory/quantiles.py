"""Criteria for Appendix D.1 of Binder et al. (2022): quantiles and maxima as normalisers."""

import pandas as pd

from sanitygap.claims import Value, Verdict, criterion, verdict_from_interval
from sanitygap.criteria.theory.evidence import (
    agreement_of_normalizers,
    formal_criterion,
    outcome,
    refuted,
)
from sanitygap.inference import bootstrap_mean, rank_agreement
from sanitygap.judge import Context, Tables, formal, rows_of

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
    bounds = [
        *zip(maps["low"], maps["high"], strict=True),
        *((i.low, i.high) for i in real.values()),
    ]
    values = [verdict_from_interval(low, high, 0.0, "above") for low, high in bounds]
    value: Value = "undecided"
    if "not-reproduced" in values:
        value = "not-reproduced"
    elif "undecided" not in values:
        value = "direction"
    laws = rows_of(table, source="distribution", distribution="uniform")
    uniform = laws.sort_values("size").iloc[-1]
    means = own.groupby("method")[["maximum_spread", "rms_spread"]].mean()
    ratio = means["maximum_spread"] / means["rms_spread"]
    return Verdict(
        value=value,
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
    real, phrase = agreement_of_normalizers(own, "maximum", "second_moment")
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
