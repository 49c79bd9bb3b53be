"""Criteria for Appendices I and J, and the end of G, of Binder et al. (2022): trained networks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from sanitygap.chapters.theorem_2.activations import quantile_ratio
from sanitygap.chapters.theorem_2.theory import cauchy_tail
from sanitygap.claims import Value, Verdict, combine, commands_for, criterion, find_claim
from sanitygap.inference import (
    Interval,
    UndefinedStatisticError,
    bootstrap,
    bootstrap_mean,
)
from sanitygap.judge import (
    Context,
    Tables,
    at_least,
    evidence_of,
    not_run,
    reworded,
    side,
)

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
    joined = (
        combine(tested) if tested else Verdict(value="undecided", evidence="0 pairs are tested.")
    )
    notes = [_simulated(pooled, *pair) for pair in PAIRS]
    notes += [_redrawn(redrawn, *pair) for pair in PAIRS]
    numbers = {name: value for _, values in notes for name, value in values.items()}
    words = " ".join(dict.fromkeys(text for text, _ in notes))
    return reworded(joined, f"{evidence_of(judged)} {words}", numbers)


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
    value = side(means, limit, "below")
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
        return not_run(
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
        verdicts = [
            Verdict(
                value=_more_than_half(many),
                evidence=f"{int((layers >= LEAST_SHARE).sum())} of {len(layers)} layers have at "
                f"least {LEAST_SHARE:.0%} non-positive activations, {many.estimate:.0%} "
                f"[{many.low:.0%}, {many.high:.0%}].",
            )
        ]
    joined, median = combine(verdicts), float(layers.median())
    return reworded(
        joined,
        f"{joined.evidence} Median share over layers {median:.0%}, {wide.shape[0]} images.",
        {"layers": len(layers), "median_share": median},
    )


def _least(wide: pd.DataFrame, limit: float, what: str) -> Verdict:
    """Whether the smallest mean share of some layers reaches a limit."""
    share = bootstrap(wide.to_numpy(), lambda rows: float(rows.mean(axis=0).min()))
    return Verdict(
        value=at_least(share, limit),
        evidence=f"Non-positive activations: {what} is {share.estimate:.0%} "
        f"[{share.low:.0%}, {share.high:.0%}] (limit {limit:.0%}).",
    )


def _more_than_half(share: Interval) -> Value:
    return (
        "reproduced" if share.low > 0.5 else "not-reproduced" if share.high <= 0.5 else "undecided"
    )


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
    means = table.groupby(keys, sort=True).agg(
        value_high=("value_high", "mean"),
        value_low=("value_low", "mean"),
        gamma=("gamma", "first"),
        mean_bound=("bound", "mean"),
    )
    cases = [quantile_ratio(low, high) for high, low in means[["value_high", "value_low"]].values]
    means["sign"], means["ratio"] = ([case[i] for case in cases] for i in (0, 1))
    means["bound"] = cauchy_tail(means["ratio"].to_numpy(), means["gamma"].to_numpy())
    return means.reset_index()
