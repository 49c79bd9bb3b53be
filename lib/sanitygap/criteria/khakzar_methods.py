"""Criteria of Khakzar et al. (2022) about methods: Table 1, and what the text says of them.

All of them read the sums that maps have over the patches of accepted samples.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from sanitygap.axioms.metrics import METRICS, metric_of, wide
from sanitygap.claims import Value, Verdict, combine, criterion
from sanitygap.criteria.khakzar_features import LEAST
from sanitygap.criteria.khakzar_formal import QUANTITIES, published
from sanitygap.inference import Interval, bootstrap, kendall_tau
from sanitygap.judge import (
    Context,
    Tables,
    measured,
    no_data,
    not_run,
    paired,
    reproduced,
    reworded,
    rows_of,
    shown,
    stop,
    summary,
)
from sanitygap.words import plural

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


def samples(
    scores: pd.DataFrame,
    scenario: str,
    value: Callable[[pd.DataFrame], pd.Series],
    needed: Sequence[str] = (),
    methods: Sequence[str] | None = None,
    sign: str = "absolute",
) -> pd.DataFrame:
    """Like :func:`per_sample`, with enough samples and the methods that a criterion needs.

    Raises:
        Unjudged: methods or samples are missing.
    """
    values = per_sample(scores, scenario, sign, value, methods)
    missing = [name for name in needed if name not in values]
    evidence = f"{plural(len(values), 'accepted sample')} of the scenario {scenario!r}."
    if missing and len(values.columns):
        stop(reworded(not_run(f"the run lacks {', '.join(missing)}."), evidence))
    if missing or len(values) < LEAST:
        stop(no_data(evidence, f"At least {LEAST} accepted samples are needed."))
    return values


def below(scores: pd.DataFrame, lower: str, upper: str, what: str) -> Verdict:
    """The verdict of "one method's mean lies below another's", paired over samples."""
    interval = paired(scores, lower, upper)
    text = f"{what}: {lower} − {upper} = {shown(interval)}."
    return reproduced(interval, 0.0, "below", text, f"{what}, {lower} - {upper}")


def apart(interval: Interval, evidence: str, name: str) -> Verdict:
    """A difference that is not 0, whatever its sign."""
    return Verdict(
        value="reproduced" if interval.excludes(0) else "undecided",
        evidence=evidence,
        numbers={name: interval.estimate},
    )


@criterion("khakzar-table1", tables=SCORES)
def table1(tables: Tables, context: Context) -> Verdict:
    scores, names = tables["axioms-scores"], list(NAMES.values())
    verdicts = []
    for scenario, quantity in (("null", null_share), ("double", shared_share)):
        values = samples(scores, scenario, quantity, names, names)
        printed = published("Table 1", QUANTITIES[scenario]).rename(NAMES)
        column = printed.reindex(values.columns).to_numpy()

        def tau(rows: np.ndarray, column: np.ndarray = column) -> float:
            return float(kendall_tau(rows.mean(axis=0), column))

        interval = bootstrap(values.to_numpy(), tau)
        text = f"{scenario}: Kendall's τ with the printed column {shown(interval)} over "
        text += f"{interval.n} samples."
        verdicts.append(reproduced(interval, 0.0, "above", text, f"tau {scenario}"))
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
def null_feature(tables: Tables, context: Context) -> Verdict:
    scores = tables["axioms-scores"]
    shares = samples(scores, "null", null_share, (*BEST, *WORST))
    verdicts = [below(shares, good, bad, "null share") for good in BEST for bad in WORST]
    rows = rows_of(scores, scenario="null", method="grad-cam")
    distance = rows.groupby("sample")["distance"].first().reindex(shares.index)
    rho = _rank_correlation(np.stack([distance, shares["grad-cam"]], 1))
    if rho is not None:
        text = f"Grad-CAM's null share and distance: ρ = {shown(rho)}."
        verdicts.append(reproduced(rho, 0.0, "below", text, "rho distance"))
    return summary(verdicts, "three best below four worst; Grad-CAM's share falls with distance")


def _rank_correlation(pair: np.ndarray) -> Interval | None:
    def rho(rows: np.ndarray) -> float:
        return float(spearmanr(rows[:, 0], rows[:, 1]).statistic)

    try:
        return bootstrap(pair, rho)
    except ValueError:
        return None  # a resample in which one of them is constant: too few samples


@criterion("khakzar-double", tables=SCORES)
def double_feature(tables: Tables, context: Context) -> Verdict:
    needed = (*BEST, *SLIGHT, "noise")
    shares = samples(tables["axioms-scores"], "double", shared_share, needed)
    verdicts = [below(shares, good, "noise", "Eq. (11)") for good in BEST]
    for name in SLIGHT:
        interval = paired(shares, name, "noise")
        text = f"Eq. (11): {name} − noise = {shown(interval)}."
        verdicts.append(apart(interval, text, f"{name} - noise"))
    return summary(verdicts, "three below noise, four different from noise")


@criterion("khakzar-single", tables=SCORES)
def single_feature(tables: Tables, context: Context) -> Verdict:
    scores = tables["axioms-scores"]
    names = [name for name in NAMES.values() if name in set(scores["method"])]
    ratios = samples(scores, "single", level_ratio, ("grad-cam", *WORST), names)
    halves = paired(ratios.assign(half=0.5), "grad-cam", "half")
    text = f"Grad-CAM's ratio of levels − 0.5 = {shown(halves)}."
    first = reproduced(halves, 0.0, "below", text, "ratio grad-cam")
    others = [
        below(ratios, "grad-cam", str(name), "ratio") for name in ratios if name != "grad-cam"
    ]
    return summary([first, *others], "Grad-CAM's level falls by half and more than that of others")


@criterion("khakzar-saturation", tables=SCORES)
def saturation(tables: Tables, context: Context) -> Verdict:
    needed = ("extremal-perturbation", "iba", "guided-backprop")
    shares = samples(tables["axioms-scores"], "saturation", smaller_share, needed)
    share = float((shares["extremal-perturbation"] < 0.25).mean())
    pair = shares[["iba", "guided-backprop"]].to_numpy()
    less = bootstrap(pair, lambda rows: float(np.median(rows[:, 0]) - np.median(rows[:, 1])))
    one_sided = measured(
        share > 0.5,
        f"Extremal perturbation gives one patch below a quarter in {share:.0%} "
        f"of {len(shares)} samples.",
        {"one-sided share": share},
        value="reproduced",
    )
    text = f"Median smaller share, IBA − guided backpropagation: {shown(less)}."
    return combine([one_sided, reproduced(less, 0.0, "below", text, "median difference")])


@criterion("khakzar-reference", tables=("axioms-backgrounds",))
def other_references(tables: Tables, context: Context) -> Verdict:
    groups = tables["axioms-backgrounds"].groupby("background", sort=False)
    means = {str(name): samples(part, "null", null_share).mean() for name, part in groups}
    if len(means) < 2:
        return no_data(f"{len(means)} background only.")
    base = means.pop("noise")
    taus = {name: float(kendall_tau(base, row.reindex(base.index))) for name, row in means.items()}
    listed = ", ".join(f"{name} {tau:.2f}" for name, tau in taus.items())
    return measured(
        min(taus.values()) >= 0.8,
        f"Kendall's τ of {len(base)} methods' null shares with those on noise: {listed}.",
        {f"tau {name}": tau for name, tau in taus.items()},
        value="reproduced",
    )


@criterion("khakzar-proof-vs-practice", tables=SCORES)
def proof_and_practice(tables: Tables, context: Context) -> Verdict:
    def null_part(table: pd.DataFrame) -> pd.Series:
        return table["second a"] / (table["first a"] + table["second a"]).abs()

    pair = ("patch-shapley", "deepshap")
    parts = samples(tables["axioms-scores"], "null", null_part, pair, pair, sign="signed")
    exact = parts["patch-shapley"].abs().to_numpy()[:, None]
    level = bootstrap(exact, lambda rows: float(rows.mean()))
    more = paired(parts, "deepshap", "patch-shapley")
    text = f"Exact Shapley value of the null patch, of both patches' total: {level}."
    difference = f"DeepSHAP's share − exact share: {shown(more)}."
    return combine(
        [
            reproduced(level, 0.05, "below", text, "exact"),
            apart(more, difference, "deepshap - exact"),
        ]
    )


@criterion("khakzar-disagree", tables=("axioms-agreement",))
def disagreement(tables: Tables, context: Context) -> Verdict:
    table = tables["axioms-agreement"].dropna(subset="spearman")
    pairs = table.pivot(index="sample", columns=["first", "second"], values="spearman")
    if len(pairs) < LEAST:
        return no_data(f"{len(pairs)} accepted samples.")
    complete = pairs.dropna().to_numpy()
    interval = bootstrap(complete, lambda rows: float(np.median(rows.mean(axis=0))))
    text = f"Median rank correlation of {pairs.shape[1]} pairs of methods: {interval}."
    return reproduced(interval, 0.5, "below", text, "median")
