"""Criteria of Khakzar et al. (2022) about methods: Table 1, and what the text says of them.

All of them read the sums that maps have over the patches of accepted samples.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from sanitygap.axioms.metrics import METRICS, metric_of, wide
from sanitygap.claims import (
    CriterionContext,
    Value,
    Verdict,
    combine,
    criterion,
    verdict_from_interval,
)
from sanitygap.criteria.gap import shown, summary
from sanitygap.criteria.khakzar_features import LEAST
from sanitygap.criteria.khakzar_formal import QUANTITIES, published
from sanitygap.inference import Interval, bootstrap, kendall_tau, paired_difference
from sanitygap.words import plural

Tables = Mapping[str, pd.DataFrame]
SCORES = ("axioms-scores",)

#: the paper's names -> ours
NAMES = {
    "GradCAM": "grad-cam",
    "GradCAM++": "grad-cam-plus-plus",
    "Gradient": "gradient",
    "FullGrad": "fullgrad",
    "GuidedBackProp": "guided-backprop",
    "IntegratedGradient": "integrated-gradients",
    "DeepSHAP": "deepshap",
    "IBA": "iba",
    "ExtremalPerturbation": "extremal-perturbation",
}
BEST = ("grad-cam", "iba", "extremal-perturbation")
WORST = ("fullgrad", "deepshap", "gradient", "guided-backprop")
SLIGHT = ("gradient", "guided-backprop", "deepshap", "integrated-gradients")


def per_sample(
    scores: pd.DataFrame,
    scenario: str,
    sign: str,
    value: Callable[[pd.DataFrame], pd.Series],
    methods: Sequence[str] | None = None,
) -> pd.DataFrame:
    """A quantity of each sample's map: samples x methods, samples without a missing value."""
    names = methods or list(dict.fromkeys(scores["method"]))
    columns = {}
    for name in names:
        table = wide(scores, scenario, name, sign)
        if not table.empty:
            columns[name] = value(table)
    return pd.DataFrame(columns).replace([np.inf, -np.inf], np.nan).dropna()


def null_share(table: pd.DataFrame) -> pd.Series:
    """What lies in the null patch, of what lies in both patches."""
    return table["second a"] / (table["first a"] + table["second a"])


def shared_share(table: pd.DataFrame) -> pd.Series:
    """Eq. (11) of each sample."""
    return table["shared a"] / (table["first a"] + table["second b"])


def level_ratio(table: pd.DataFrame) -> pd.Series:
    """Level of the patch for output b over that for output a."""
    return (table["first b"] / table["outside b"]) / (table["first a"] / table["outside a"])


def smaller_share(table: pd.DataFrame) -> pd.Series:
    """The smaller patch sum over the total of both."""
    pair = table[["first a", "second a"]]
    return pair.min(axis=1) / pair.sum(axis=1)


def few(found: pd.DataFrame, scenario: str, needed: Sequence[str]) -> Verdict | None:
    """``not-run`` if methods are missing, ``no-data`` if samples are."""
    missing = [name for name in needed if name not in found]
    if len(found) >= LEAST and not missing:
        return None
    evidence = f"{plural(len(found), 'accepted sample')} of the scenario {scenario!r}."
    if missing and len(found.columns):
        return Verdict(
            value="not-run", evidence=evidence, reason=f"the run lacks {', '.join(missing)}."
        )
    return Verdict(
        value="no-data",
        evidence=evidence,
        reason=f"At least {LEAST} accepted samples are needed.",
    )


def _claimed(value: Value) -> Value:
    return "reproduced" if value == "direction" else value


def below(scores: pd.DataFrame, lower: str, upper: str, what: str) -> Verdict:
    """The verdict of "one method's mean lies below another's", paired over samples."""
    interval = paired_difference(scores[lower], scores[upper])
    value = verdict_from_interval(interval.low, interval.high, 0.0, "below")
    return Verdict(
        value=_claimed(value),
        evidence=f"{what}: {lower} − {upper} = {shown(interval)}.",
        numbers={f"{what}, {lower} - {upper}": interval.estimate},
    )


@criterion("khakzar-table1", tables=SCORES)
def table1(tables: Tables, context: CriterionContext) -> Verdict:
    scores = tables["axioms-scores"]
    verdicts = []
    for scenario, quantity in (("null", null_share), ("double", shared_share)):
        found = per_sample(scores, scenario, "absolute", quantity, list(NAMES.values()))
        if (open_ := few(found, scenario, list(NAMES.values()))) is not None:
            return open_
        column = (
            published("Table 1", QUANTITIES[scenario])
            .rename(NAMES)
            .reindex(found.columns)
            .to_numpy()
        )

        def tau(rows: np.ndarray, column: np.ndarray = column) -> float:
            return float(kendall_tau(rows.mean(axis=0), column))

        interval = bootstrap(found.to_numpy(), tau)
        verdicts.append(
            Verdict(
                value=_claimed(verdict_from_interval(interval.low, interval.high, 0.0, "above")),
                evidence=f"{scenario}: Kendall's τ with the printed column {shown(interval)} over "
                f"{interval.n} samples.",
                numbers={f"tau {scenario}": interval.estimate},
            )
        )
    joined = combine(verdicts)
    if context.paper_model and context.paper_images:
        return _faithful(scores, joined)
    return joined


def _faithful(scores: pd.DataFrame, joined: Verdict) -> Verdict:
    """The paper's own setting: does every printed value lie inside its interval?"""
    inside, count = 0, 0
    for metric in METRICS:
        if metric.variant != "coded" and (metric.name, metric.variant) != ("double", "printed"):
            continue
        printed = published("Table 1", QUANTITIES[metric.name]).rename(NAMES)
        for name, number in printed.items():
            sign = "signed" if metric.name == "null" else "absolute"
            interval, _ = metric_of(scores, metric, str(name), sign)
            count += 1
            inside += interval is not None and interval.low <= number <= interval.high
    value: Value = "reproduced" if inside == count else "not-reproduced"
    evidence = f"{joined.evidence} {inside} of {count} printed values lie inside their intervals."
    return joined.model_copy(update={"value": value, "evidence": evidence})


@criterion("khakzar-null", tables=SCORES)
def null_feature(tables: Tables, context: CriterionContext) -> Verdict:
    scores = tables["axioms-scores"]
    found = per_sample(scores, "null", "absolute", null_share)
    if (open_ := few(found, "null", (*BEST, *WORST))) is not None:
        return open_
    verdicts = [below(found, good, bad, "null share") for good in BEST for bad in WORST]
    rows = scores[(scores["scenario"] == "null") & (scores["method"] == "grad-cam")]
    distance = rows.groupby("sample")["distance"].first().reindex(found.index)
    pair = np.stack([distance, found["grad-cam"]], 1)
    rho = _rank_correlation(pair)
    if rho is not None:
        verdicts.append(
            Verdict(
                value=_claimed(verdict_from_interval(rho.low, rho.high, 0.0, "below")),
                evidence=f"Grad-CAM's null share and distance: ρ = {shown(rho)}.",
                numbers={"rho distance": rho.estimate},
            )
        )
    return summary(verdicts, "three best below four worst; Grad-CAM's share falls with distance")


def _rank_correlation(pair: np.ndarray) -> Interval | None:
    def rho(rows: np.ndarray) -> float:
        return float(spearmanr(rows[:, 0], rows[:, 1]).statistic)

    try:
        return bootstrap(pair, rho)
    except ValueError:
        return None  # a resample in which one of them is constant: too few samples


@criterion("khakzar-double", tables=SCORES)
def double_feature(tables: Tables, context: CriterionContext) -> Verdict:
    found = per_sample(tables["axioms-scores"], "double", "absolute", shared_share)
    if (open_ := few(found, "double", (*BEST, *SLIGHT, "noise"))) is not None:
        return open_
    verdicts = [below(found, good, "noise", "Eq. (11)") for good in BEST]
    for name in SLIGHT:
        interval = paired_difference(found[name], found["noise"])
        verdicts.append(
            Verdict(
                value="reproduced" if interval.excludes(0) else "undecided",
                evidence=f"Eq. (11): {name} − noise = {shown(interval)}.",
                numbers={f"{name} - noise": interval.estimate},
            )
        )
    return summary(verdicts, "three below noise, four different from noise")


@criterion("khakzar-single", tables=SCORES)
def single_feature(tables: Tables, context: CriterionContext) -> Verdict:
    scores = tables["axioms-scores"]
    names = [name for name in NAMES.values() if name in set(scores["method"])]
    found = per_sample(scores, "single", "absolute", level_ratio, names)
    if (open_ := few(found, "single", ("grad-cam", *WORST))) is not None:
        return open_
    halves = paired_difference(found["grad-cam"], pd.Series(0.5, index=found.index))
    verdicts = [
        Verdict(
            value=_claimed(verdict_from_interval(halves.low, halves.high, 0.0, "below")),
            evidence=f"Grad-CAM's ratio of levels − 0.5 = {shown(halves)}.",
            numbers={"ratio grad-cam": halves.estimate + 0.5},
        )
    ]
    verdicts += [
        below(found, "grad-cam", str(name), "ratio") for name in found if name != "grad-cam"
    ]
    return summary(verdicts, "Grad-CAM's level falls by half and more than that of others")


@criterion("khakzar-saturation", tables=SCORES)
def saturation(tables: Tables, context: CriterionContext) -> Verdict:
    found = per_sample(tables["axioms-scores"], "saturation", "absolute", smaller_share)
    needed = ("extremal-perturbation", "iba", "guided-backprop")
    if (open_ := few(found, "saturation", needed)) is not None:
        return open_
    share = float((found["extremal-perturbation"] < 0.25).mean())
    pair = found[["iba", "guided-backprop"]].to_numpy()
    less = bootstrap(pair, lambda rows: float(np.median(rows[:, 0]) - np.median(rows[:, 1])))
    median = verdict_from_interval(less.low, less.high, 0.0, "below")
    return combine(
        [
            Verdict(
                value="reproduced" if share > 0.5 else "not-reproduced",
                evidence=f"Extremal perturbation gives one patch below a quarter in {share:.0%} "
                f"of {len(found)} samples.",
                numbers={"one-sided share": share},
            ),
            Verdict(
                value=_claimed(median),
                evidence=f"Median smaller share, IBA − guided backpropagation: {shown(less)}.",
                numbers={"median difference": less.estimate},
            ),
        ]
    )


@criterion("khakzar-reference", tables=("axioms-backgrounds",))
def other_references(tables: Tables, context: CriterionContext) -> Verdict:
    table = tables["axioms-backgrounds"]
    means = {}
    for background, part in table.groupby("background", sort=False):
        found = per_sample(part, "null", "absolute", null_share)
        if (open_ := few(found, "null", ())) is not None:
            return open_
        means[str(background)] = found.mean()
    if len(means) < 2:
        return Verdict(value="no-data", evidence=f"{len(means)} background only.")
    base = means.pop("noise")
    taus = {name: float(kendall_tau(base, row.reindex(base.index))) for name, row in means.items()}
    listed = ", ".join(f"{name} {tau:.2f}" for name, tau in taus.items())
    return Verdict(
        value="reproduced" if min(taus.values()) >= 0.8 else "not-reproduced",
        evidence=f"Kendall's τ of {len(base)} methods' null shares with those on noise: {listed}.",
        numbers={f"tau {name}": tau for name, tau in taus.items()},
    )


@criterion("khakzar-proof-vs-practice", tables=SCORES)
def proof_and_practice(tables: Tables, context: CriterionContext) -> Verdict:
    scores = tables["axioms-scores"]

    def null_part(table: pd.DataFrame) -> pd.Series:
        return table["second a"] / (table["first a"] + table["second a"]).abs()

    found = per_sample(scores, "null", "signed", null_part, ("patch-shapley", "deepshap"))
    if (open_ := few(found, "null", ("patch-shapley", "deepshap"))) is not None:
        return open_
    exact = found["patch-shapley"].abs()
    level = bootstrap(exact.to_numpy()[:, None], lambda rows: float(rows.mean()))
    apart = paired_difference(found["deepshap"], found["patch-shapley"])
    return combine(
        [
            Verdict(
                value=_claimed(verdict_from_interval(level.low, level.high, 0.05, "below")),
                evidence=f"Exact Shapley value of the null patch, of both patches' total: {level}.",
                numbers={"exact": level.estimate},
            ),
            Verdict(
                value="reproduced" if apart.excludes(0) else "undecided",
                evidence=f"DeepSHAP's share − exact share: {shown(apart)}.",
                numbers={"deepshap - exact": apart.estimate},
            ),
        ]
    )


@criterion("khakzar-disagree", tables=("axioms-agreement",))
def disagreement(tables: Tables, context: CriterionContext) -> Verdict:
    table = tables["axioms-agreement"].dropna(subset="spearman")
    wide_ = table.pivot(index="sample", columns=["first", "second"], values="spearman")
    if len(wide_) < LEAST:
        return Verdict(value="no-data", evidence=f"{len(wide_)} accepted samples.")
    interval = bootstrap(
        wide_.dropna().to_numpy(), lambda rows: float(np.median(rows.mean(axis=0)))
    )
    return Verdict(
        value=_claimed(verdict_from_interval(interval.low, interval.high, 0.5, "below")),
        evidence=f"Median rank correlation of {wide_.shape[1]} pairs of methods: {interval}.",
        numbers={"median": interval.estimate},
    )
