"""Criteria for Theorem 2 of Binder et al. (2022), and for maps where activations are large."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from sanitygap import judge
from sanitygap.chapters.theorem_2.activations import quantile_ratio
from sanitygap.claims import Value, combine, commands_for, find_claim
from sanitygap.formal import formal_criterion, outcome, proved, refuted
from sanitygap.inference import (
    Interval,
    UndefinedStatisticError,
    bootstrap,
    bootstrap_mean,
)
from sanitygap.judge import Context, Tables, Verdict, criterion, formal, graded, rows_of
from sanitygap.theory.theorem_2 import cauchy_tail

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
        for method in (judge.GUIDED, judge.LRP):
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
        f"{judge.GUIDED} and {judge.LRP} at {len(steps)} depths with features >= 0: mass ratio "
        "from 1, correlation with the own image's activity from that with other images'",
    )
    verdict = judge.reworded(joined, numbers=numbers)
    return judge.enough(verdict, table["seed"].nunique(), judge.REDRAWS, "redraws")


PAIRS = {(0.95, 0.50): 0.15, (0.85, 0.10): 0.05}

OVERTAKING = ("activation-overtaking", "redrawn-overtaking")


def architecture(model: str) -> str:
    """Name of a network's architecture in a model spec, such as ``resnet50``.

    Args:
        model: spec without weights: ``torchvision:NAME``, ``timm:NAME.TAG``, ``module:NAME`` or a
            bare name.
    """
    return model.rpartition(":")[2].partition(".")[0]


@criterion("binder-i-prob", tables=OVERTAKING)
def appendix_i(tables: Tables, context: Context) -> Verdict:
    """Bounds of Appendix I against their limits; measured frequencies are reported beside them.

    That a frequency stays below its bound is the theorem itself, so it is no condition here.
    """
    pooled, redrawn = (tables[name] for name in OVERTAKING)
    judged = [_median_bound(pooled, *pair, limit) for pair, limit in PAIRS.items()]
    tested = [verdict for verdict in judged if verdict.value != "not-run"]
    joined = combine(tested or [Verdict(value="undecided", evidence="0 pairs are tested.")])
    notes = [_simulated(pooled, *pair) for pair in PAIRS]
    notes += [_redrawn(redrawn, *pair) for pair in PAIRS]
    numbers = {name: value for _, values in notes for name, value in values.items()}
    words = " ".join(dict.fromkeys(text for text, _ in notes))
    return judge.reworded(joined, f"{judge.evidence_of(judged)} {words}", numbers)


def _pair(table: pd.DataFrame, high: float, low: float) -> pd.DataFrame:
    chosen = np.isclose(table["q_high"], high) & np.isclose(table["q_low"], low)
    return table[chosen]


def informative(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows whose bound follows from two quantiles; zeros below make it 0 whatever they are."""
    return rows[rows["bound"].notna() & (rows["value_low"] != 0)]


def _median_bound(table: pd.DataFrame, high: float, low: float, limit: float) -> Verdict:
    """Median over layers of the mean bound over images, and of the bound at mean quantiles.

    Only images in which V(q_low) is not 0 count, and layers that have one. `not-run` if there is
    none.
    """
    rows = _pair(table, high, low)
    usable = informative(rows)
    zeros = (rows["value_low"] == 0) & rows["bound"].notna()
    every = rows["layer_index"].nunique()
    trivial = int(zeros.groupby(rows["layer_index"]).all().sum())
    label = f"({high}, {low})"
    counts = f"V({low}) = 0, and so the bound, in all images in {trivial} of {every} layers"
    numbers: dict[str, float] = {f"layers with V = 0 {label}": trivial}
    if usable.empty:
        return Verdict(
            value="not-run",
            evidence=f"At {label}: {counts}; 0 layers have a bound for V({low}) > 0.",
            reason="no layer has small activations that are not zero",
            numbers=numbers,
        )
    wide = usable.pivot_table(index="image", columns="layer_index", values="bound")
    means = over_images(wide, lambda sample: float(np.nanmedian(np.nanmean(sample, axis=0))))
    plugged = at_mean_quantiles(rows)
    at_means = float(informative(plugged)["bound"].median())
    value = judge.side(means, limit, "below")
    if value == "direction":
        value = "reproduced" if at_means < limit else "not-reproduced"
    return Verdict(
        value=value,
        evidence=(
            f"At {label}: {counts}; over the {wide.shape[1]} layers with another V({low}) the "
            f"median of the mean bound is {means.estimate:.3f} [{means.low:.3f}, "
            f"{means.high:.3f}], at the mean quantiles {at_means:.3f} (limit {limit})."
        ),
        numbers=numbers | {f"median bound {label}": means.estimate, f"at means {label}": at_means},
    )


def over_images(wide: pd.DataFrame, statistic: Callable[[np.ndarray], float]) -> Interval:
    """Interval over images of a statistic of an incomplete table, images x layers.

    A layer without a value in any image of a resample is all NaN there.
    """
    values = wide.to_numpy()

    def of(places: np.ndarray) -> float:
        sample = values[places[:, 0].astype(int)]
        return statistic(sample[:, ~np.isnan(sample).all(axis=0)])

    return bootstrap(np.arange(len(values), dtype=float)[:, None], of)


def _simulated(table: pd.DataFrame, high: float, low: float) -> tuple[str, dict[str, float]]:
    """Frequency in simulated neurons beside the mean bound, over the layers that have one."""
    rows = _pair(table, high, low)
    rows = rows[rows["bound"].notna() & (rows["positive"] > 0)]
    label = f"({high}, {low})"
    if rows.empty:
        return f"0 neurons were simulated at {label}.", {}
    positive, overtaken = int(rows["positive"].sum()), int(rows["overtaken"].sum())
    bound = float((rows["bound"] * rows["positive"]).sum() / positive)
    text = (
        f"At {label} the frequency over {positive} simulated neurons is "
        f"{overtaken / positive:.3f}, the mean bound {bound:.3f}."
    )
    return text, {f"frequency {label}": overtaken / positive, f"bound {label}": bound}


def frequencies(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of redrawn-overtaking that have a bound and neurons, with their two frequencies.

    Returns:
        The rows with the columns `frequency` (real neurons) and `simulated`, each among those
        neurons whose sum over large activations is positive.
    """
    rows = table[table["bound"].notna() & (table["positive"] > 0)]
    return rows.assign(
        frequency=rows["overtaken"] / rows["positive"],
        simulated=rows["simulated_overtaken"] / rows["simulated_positive"],
    )


def _redrawn(table: pd.DataFrame, high: float, low: float) -> tuple[str, dict[str, float]]:
    """Frequency in real neurons beside the bound, layer by layer; neurons share weights."""
    label = f"({high}, {low})"
    if table.empty:
        return "No layer has inputs that are all >= 0, so 0 layers were redrawn.", {}
    rows = frequencies(_pair(table, high, low))
    rows = rows[rows.groupby("layer_index")["image"].transform("count") > 1]
    if rows.empty:
        return f"At {label} 0 redrawn layers have a bound in two images.", {}
    layers = rows.assign(excess=rows["frequency"] - rows["bound"]).groupby("layer_index")
    intervals = [bootstrap_mean(layer["excess"]) for _, layer in layers]
    above = sum(interval.low > 0 for interval in intervals)
    zeros = int((layers["value_low"].max() == 0).sum())
    means = layers[["frequency", "bound"]].mean().mean()
    text = (
        f"At {label} the frequency in the neurons of {len(intervals)} redrawn layers is "
        f"{means['frequency']:.3f}, the bound {means['bound']:.3f}; it is above its bound in "
        f"{above} layers, and in {zeros} all small activations are zeros."
    )
    return text, {
        f"real neurons {label}": float(means["frequency"]),
        f"layers above the bound {label}": above,
        f"layers with zeros only {label}": zeros,
    }


def figure(claim: str, own: str) -> Callable[[Tables, Context], Verdict]:
    """Register the criterion of a figure of one network: that of Appendix I on its runs."""

    @criterion(claim, tables=OVERTAKING)
    def judgement(tables: Tables, context: Context) -> Verdict:
        if architecture(context.model) == own:
            return appendix_i(tables, context)
        command = " && ".join(commands_for(find_claim(claim)))
        return judge.not_run(
            f"The claim is about {own}, and this run is about {context.model}. Run `{command}`."
        )

    return judgement


figure_app4 = figure("binder-app4", "resnet50")
figure_app5 = figure("binder-app5", "densenet121")
figure_app6 = figure("binder-app6", "efficientnet_b0")


#: layers of EfficientNet-B0 in which the paper sees only non-positive activations, and the first of
#: those with at least a fifth; its numbers, from its Swish network
FULL_LAYERS, LATE = (0, 1, 3, 5), 11
LEAST_SHARE, LEAST_LATE, LEAST_FULL = 0.30, 0.20, 0.99


@criterion("binder-app7", tables=("activation-sparsity",))
@criterion("binder-j-sparsity", tables=("activation-sparsity",))
def sparsity(tables: Tables, context: Context) -> Verdict:
    """The sentence about EfficientNet-B0 for that network with Swish, else that about most layers.

    With ReLU6 in place of Swish a network of that name has no negative activations, and the
    numbers of its layers mean something else.
    """
    table = tables["activation-sparsity"]
    wide = table.pivot_table(index="image", columns="layer_index", values="non_positive")
    layers = wide.mean()
    swish = bool((table["negative"] > 0).any())
    if architecture(context.model) == "efficientnet_b0" and swish:
        if missing := sorted({*FULL_LAYERS, LATE} - set(wide)):
            raise UndefinedStatisticError(f"the run has no layer {missing[0]} of {len(layers)}")
        late, full = wide.loc[:, LATE:], wide[list(FULL_LAYERS)]
        verdicts = [
            _least(late, LEAST_LATE, f"the smallest share in layers {LATE} to {late.columns[-1]}"),
            _least(full, LEAST_FULL, f"the smallest in {', '.join(map(str, FULL_LAYERS))}"),
        ]
    else:
        many = bootstrap(
            wide.to_numpy(), lambda rows: float((rows.mean(axis=0) >= LEAST_SHARE).mean())
        )
        words = (
            f"{int((layers >= LEAST_SHARE).sum())} of {len(layers)} layers have at least "
            f"{LEAST_SHARE:.0%} non-positive activations, {_percent(many)}."
        )
        met: Value = "not-reproduced" if many.high <= 0.5 else "undecided"
        verdicts = [Verdict(value="reproduced" if many.low > 0.5 else met, evidence=words)]
    joined, median = combine(verdicts), float(layers.median())
    return judge.reworded(
        joined,
        f"{joined.evidence} Median share over layers {median:.0%}, {wide.shape[0]} images.",
        {"layers": len(layers), "median_share": median},
    )


def _least(wide: pd.DataFrame, limit: float, what: str) -> Verdict:
    """Whether the smallest mean share of some layers reaches a limit."""
    share = bootstrap(wide.to_numpy(), lambda rows: float(rows.mean(axis=0).min()))
    words = f"Non-positive activations: {what} is {_percent(share)} (limit {limit:.0%})."
    return Verdict(value=judge.at_least(share, limit), evidence=words)


def _percent(share: Interval) -> str:
    return f"{share.estimate:.0%} [{share.low:.0%}, {share.high:.0%}]"


def at_mean_quantiles(table: pd.DataFrame) -> pd.DataFrame:
    """The paper's own version: quantiles averaged over images, then one bound a layer and pair.

    Args:
        table: of :func:`overtaking`, any number of batches joined.

    Returns:
        One row a (layer_index, layer, q_high, q_low): value_high, value_low, sign, ratio, gamma,
        bound, and `mean_bound`, the mean over images of the bounds of each image (those that have
        one), of which the bound at the mean quantiles is no upper limit.
    """
    keys = ["layer_index", "layer", "q_high", "q_low"]
    groups = table.groupby(keys)
    means = groups[["value_high", "value_low"]].mean()
    means["gamma"], means["mean_bound"] = groups["gamma"].first(), groups["bound"].mean()
    cases = [quantile_ratio(low, high) for high, low in means[["value_high", "value_low"]].values]
    means["sign"], means["ratio"] = ([case[i] for case in cases] for i in (0, 1))
    means["bound"] = cauchy_tail(means["ratio"].to_numpy(), means["gamma"].to_numpy())
    return means.reset_index()
