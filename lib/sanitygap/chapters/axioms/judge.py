"""Criteria of Khakzar et al. (2022) about methods: Table 1, and what the text says of them.

All of them read the sums that maps have over the patches of accepted samples.
"""

import contextlib
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from sanitygap import judge
from sanitygap.axioms.metrics import METRICS, metric_of, wide
from sanitygap.chapters.axioms.judge_features import LEAST, QUANTITIES, published, table2_trends
from sanitygap.inference import RESAMPLES, Interval, bootstrap, kendall_tau
from sanitygap.judge import Context, Tables, Value, Verdict, criterion, paired, reproduced, shown
from sanitygap.scores import over_seeds, randomization_scores, seeds_in_words
from sanitygap.words import plural

SCORES = ("axioms-scores",)

#: the paper's names -> ours
NAMES = {
    "GradCAM": "grad-cam", "GradCAM++": "grad-cam-plus-plus", "Gradient": "gradient",
    "FullGrad": "fullgrad", "GuidedBackProp": "guided-backprop",
    "IntegratedGradient": "integrated-gradients", "DeepSHAP": "deepshap", "IBA": "iba",
    "ExtremalPerturbation": "extremal-perturbation",
}  # fmt: skip
BEST = ("grad-cam", "iba", "extremal-perturbation")
WORST = ("fullgrad", "deepshap", "gradient", "guided-backprop")
SLIGHT = ("gradient", "guided-backprop", "deepshap", "integrated-gradients")


#: a quantity of each sample, from the sums of its map
Quantity = Callable[[pd.DataFrame], pd.Series]


def per_sample(
    scores: pd.DataFrame,
    scenario: str,
    sign: str,
    value: Quantity,
    methods: Sequence[str] | None = None,
) -> pd.DataFrame:
    """A quantity of each sample's map: samples x methods, samples without a missing value."""
    names = methods or dict.fromkeys(scores["method"])
    tables = {name: wide(scores, scenario, name, sign) for name in names}
    values = pd.DataFrame({name: value(table) for name, table in tables.items() if len(table)})
    return values.replace([np.inf, -np.inf], np.nan).dropna()


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
    value: Quantity,
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
        lacking = judge.not_run(f"the run lacks {', '.join(missing)}.")
        judge.stop(judge.reworded(lacking, evidence))
    if missing or len(values) < LEAST:
        judge.stop(judge.no_data(evidence, f"At least {LEAST} accepted samples are needed."))
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
    joined = judge.combine(verdicts)
    if not (context.paper_model and context.paper_images):
        return joined
    # the paper's own setting: does every printed value lie inside its interval?
    inside = []
    for metric in METRICS:
        if metric.variant == "coded" or (metric.name, metric.variant) == ("double", "printed"):
            sign = "signed" if metric.name == "null" else "absolute"
            printed = published("Table 1", QUANTITIES[metric.name]).rename(NAMES)
            for name, number in printed.items():
                level, _ = metric_of(scores, metric, str(name), sign)
                inside.append(level is not None and level.low <= number <= level.high)
    value: Value = "reproduced" if all(inside) else "not-reproduced"
    evidence = f"{joined.evidence} {sum(inside)} of {len(inside)} printed values lie inside their "
    return judge.reworded(joined, f"{evidence}intervals.").model_copy(update={"value": value})


@criterion("khakzar-null", tables=SCORES)
def null_feature(tables: Tables, context: Context) -> Verdict:
    scores = tables["axioms-scores"]
    shares = samples(scores, "null", null_share, (*BEST, *WORST))
    verdicts = [below(shares, good, bad, "null share") for good in BEST for bad in WORST]
    rows = judge.rows_of(scores, scenario="null", method="grad-cam")
    distance = rows.groupby("sample")["distance"].first().reindex(shares.index)
    with contextlib.suppress(ValueError):  # a resample of few samples may be constant
        rho = bootstrap(np.stack([distance, shares["grad-cam"]], 1), _rho)
        text = f"Grad-CAM's null share and distance: ρ = {shown(rho)}."
        verdicts.append(reproduced(rho, 0.0, "below", text, "rho distance"))
    what = "three best below four worst; Grad-CAM's share falls with distance"
    return judge.summary(verdicts, what)


def _rho(rows: np.ndarray) -> float:
    return float(spearmanr(rows[:, 0], rows[:, 1]).statistic)


@criterion("khakzar-double", tables=SCORES)
def double_feature(tables: Tables, context: Context) -> Verdict:
    needed = (*BEST, *SLIGHT, "noise")
    shares = samples(tables["axioms-scores"], "double", shared_share, needed)
    verdicts = [below(shares, good, "noise", "Eq. (11)") for good in BEST]
    for name in SLIGHT:
        interval = paired(shares, name, "noise")
        text = f"Eq. (11): {name} − noise = {shown(interval)}."
        verdicts.append(apart(interval, text, f"{name} - noise"))
    return judge.summary(verdicts, "three below noise, four different from noise")


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
    return judge.summary(
        [first, *others], "Grad-CAM's level falls by half and more than that of others"
    )


@criterion("khakzar-saturation", tables=SCORES)
def saturation(tables: Tables, context: Context) -> Verdict:
    needed = ("extremal-perturbation", "iba", "guided-backprop")
    shares = samples(tables["axioms-scores"], "saturation", smaller_share, needed)
    share = float((shares["extremal-perturbation"] < 0.25).mean())
    pair = shares[["iba", "guided-backprop"]].to_numpy()
    less = bootstrap(pair, lambda rows: float(np.median(rows[:, 0]) - np.median(rows[:, 1])))
    one_sided = judge.measured(
        share > 0.5,
        f"Extremal perturbation gives one patch below a quarter in {share:.0%} "
        f"of {len(shares)} samples.",
        {"one-sided share": share},
        value="reproduced",
    )
    text = f"Median smaller share, IBA − guided backpropagation: {shown(less)}."
    return judge.combine([one_sided, reproduced(less, 0.0, "below", text, "median difference")])


@criterion("khakzar-reference", tables=("axioms-backgrounds",))
def other_references(tables: Tables, context: Context) -> Verdict:
    groups = tables["axioms-backgrounds"].groupby("background", sort=False)
    means = {str(name): samples(part, "null", null_share).mean() for name, part in groups}
    if len(means) < 2:
        return judge.no_data(f"{len(means)} background only.")
    base = means.pop("noise")
    taus = {name: float(kendall_tau(base, row.reindex(base.index))) for name, row in means.items()}
    listed = ", ".join(f"{name} {tau:.2f}" for name, tau in taus.items())
    return judge.measured(
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
    first = reproduced(level, 0.05, "below", text, "exact")
    return judge.combine([first, apart(more, difference, "deepshap - exact")])


@criterion("khakzar-disagree", tables=("axioms-agreement",))
def disagreement(tables: Tables, context: Context) -> Verdict:
    table = tables["axioms-agreement"].dropna(subset="spearman")
    pairs = table.pivot(index="sample", columns=["first", "second"], values="spearman")
    if len(pairs) < LEAST:
        return judge.no_data(f"{len(pairs)} accepted samples.")
    complete = pairs.dropna().to_numpy()
    interval = bootstrap(complete, lambda rows: float(np.median(rows.mean(axis=0))))
    text = f"Median rank correlation of {pairs.shape[1]} pairs of methods: {interval}."
    return reproduced(interval, 0.5, "below", text, "median")


def layer_metrics(table: pd.DataFrame) -> pd.DataFrame:
    """Method, metric and depth -> value: shares for null and double, Eq. (12) for single."""
    variants = {("null", "patches"), ("double", "printed"), ("single", "coded")}
    chosen = [metric for metric in METRICS if (metric.name, metric.variant) in variants]
    rows = []
    for (method, depth), part in table.groupby(["method", "depth"]):
        for metric in chosen:
            interval, n = metric_of(part, metric, str(method), "absolute")
            if interval is not None:
                short = str(method).partition("@")[0]
                rows.append((short, metric.name, int(float(str(depth))), interval.estimate, n))
    return pd.DataFrame(rows, columns=["method", "metric", "depth", "value", "n"])


@criterion("khakzar-table2", tables=("axioms-layers",))
def table2(tables: Tables, context: Context) -> Verdict:
    printed = table2_trends()
    kept = sum(rho < 0 and lowest for rho, lowest in printed.values())
    text = f"Printed table: {kept} of {len(printed)} rows fall with depth and are lowest at layer "
    text += "4."
    values = layer_metrics(tables["axioms-layers"])
    if values.empty or int(values["n"].min()) < LEAST or values["depth"].nunique() < 4:
        return judge.no_data(text, "Too few accepted samples to measure the rows again.")
    failing, groups = [], values.sort_values("depth").groupby(["method", "metric"])
    for (method, metric), row in groups:
        rho = _rho(row[["depth", "value"]].to_numpy())
        if not (rho < 0 and row["value"].iloc[-1] == row["value"].min()):
            failing.append(f"{method} {metric} ρ = {rho:+.1f}")
    met = len(groups) - len(failing)
    return judge.measured(
        not failing and kept == len(printed),
        f"{text} Measured here: {met} of {len(groups)}"
        + (f"; not {', '.join(failing)}." if failing else "."),
        {"printed rows": kept, "measured rows": met},
        value="reproduced",
    )


#: figure -> table, scenario, quantity, and which of the accepted samples are shown
FIGURES: dict[str, tuple[str, str, Quantity, slice]] = {
    "khakzar-fig1": ("axioms-scores", "null", null_share, slice(0, 1)),
    "khakzar-fig2": ("axioms-layers", "null", null_share, slice(0, 1)),
    "khakzar-fig3": ("axioms-scores", "double", shared_share, slice(0, 1)),
    "khakzar-fig4": ("axioms-scores", "single", level_ratio, slice(0, 1)),
    "khakzar-fig5": ("axioms-scores", "saturation", smaller_share, slice(0, 2)),
    "khakzar-fig6": ("axioms-scores", "null", null_share, slice(1, 4)),
}


def typical(scores: pd.DataFrame, claim: str) -> Verdict:
    """Whether the examples of a figure lie within the interquartile range, method by method."""
    _, scenario, value, drawn = FIGURES[claim]
    own = set(NAMES.values())
    names = [n for n in dict.fromkeys(scores["method"]) if str(n).partition("@")[0] in own]
    values = samples(scores, scenario, value, methods=names)
    examples, low, high = values.iloc[drawn], values.quantile(0.25), values.quantile(0.75)
    beyond = ((examples < low) | (examples > high)).stack()
    outside = [f"sample {sample}: {name}" for sample, name in beyond.index[beyond.to_numpy()]]
    listed = ", ".join(outside[:4]) + (" …" if len(outside) > 4 else "")
    verdict = judge.measured(
        not outside,
        f"{examples.size - len(outside)} of {examples.size} values of the shown examples lie in "
        f"the interquartile range of {len(values)} samples"
        + (f"; not {listed}." if outside else "."),
        value="reproduced",
    )
    reason = "Half of all values lie outside an interquartile range by its definition."
    return judge.reworded(verdict, reason=reason if outside else "")


def _register(claim: str, table: str) -> None:
    @criterion(claim, tables=(table,))
    def figure(tables: Tables, context: Context) -> Verdict:
        return typical(tables[table], claim)

    figure.__qualname__ = f"figure {claim}"


for _claim, (_table, *_) in FIGURES.items():
    _register(_claim, _table)


#: the methods that both papers have
SHARED = ("gradient", "integrated-gradients", "guided-backprop", "grad-cam")


def rank_correlation(
    first: pd.DataFrame, second: pd.DataFrame, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Spearman correlation of the mean scores of methods, from different samples.

    Args:
        first, second: scores, units x methods, with the same methods; the units of the two are
            resampled independently, because they are not the same.
        resamples: bootstrap samples.
        seed: of the resampling.

    Raises:
        ValueError: other methods, or fewer than three of them.
    """
    if list(first) != list(second) or first.shape[1] < 3:
        raise ValueError("both need the same methods, at least three")
    rng = np.random.default_rng(seed)
    tables = first.to_numpy(), second.to_numpy()

    def rho(a: np.ndarray, b: np.ndarray) -> float:
        return float(spearmanr(a.mean(axis=0), b.mean(axis=0)).statistic)

    drawn = [
        rho(*(table[rng.integers(len(table), size=len(table))] for table in tables))
        for _ in range(resamples)
    ]
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return Interval(rho(*tables), float(low), float(high), min(map(len, tables)))


@criterion("x-khakzar-binder", tables=("axioms-scores", "randomization", "randomization-seeds"))
def null_feature_and_randomization(tables: Tables, context: Context) -> Verdict:
    table, others = tables["randomization"], tables["randomization-seeds"]
    rows, counts = over_seeds(table, others, [m for m in SHARED if m in set(table["method"])])
    random = randomization_scores(rows)
    null = per_sample(tables["axioms-scores"], "null", "absolute", null_share)
    methods = [name for name in SHARED if name in random and name in null]
    if len(null) < LEAST or len(methods) < 3:
        return judge.no_data(
            f"{plural(len(null), 'accepted sample')} and {plural(len(methods), 'shared method')}.",
            f"At least {LEAST} samples and 3 methods are needed.",
        )
    rho = rank_correlation(null[methods], random[methods].dropna())
    words = (
        f"Spearman correlation of null share and mean SSIM over {len(methods)} methods: "
        f"{judge.shown(rho)}; weights redrawn with {seeds_in_words(counts)}."
    )
    return judge.condition(rho, 0, "below", "rho", words)
