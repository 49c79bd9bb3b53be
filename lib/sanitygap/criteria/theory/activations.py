"""Criteria for Appendices I and J, and the end of G, of Binder et al. (2022): trained networks."""

from __future__ import annotations

import numpy as np
import pandas as pd

from sanitygap.activations import at_mean_quantiles
from sanitygap.claims import (
    CriterionContext,
    Value,
    Verdict,
    combine,
    criterion,
    verdict_from_interval,
)
from sanitygap.criteria.theory.evidence import Tables
from sanitygap.inference import bootstrap, bootstrap_mean, proportion_interval

PAIRS = {(0.95, 0.50): 0.15, (0.85, 0.10): 0.05}

OVERTAKING = ("activation-overtaking", "redrawn-overtaking")


def _overtaking(tables: Tables) -> Verdict:
    pooled, redrawn = (tables[name] for name in OVERTAKING)
    verdict = combine(
        [_median_bound(pooled, *pair, limit) for pair, limit in PAIRS.items()]
        + [_frequency(pooled, *pair) for pair in PAIRS]
        + ([_redrawn(redrawn, *pair) for pair in PAIRS] if len(redrawn) else [])
    )
    if len(redrawn):
        return verdict
    none = "No layer of the network has inputs that are all >= 0, so 0 layers were redrawn."
    return verdict.model_copy(update={"evidence": f"{verdict.evidence} {none}"})


def _pair(table: pd.DataFrame, high: float, low: float) -> pd.DataFrame:
    chosen = np.isclose(table["q_high"], high) & np.isclose(table["q_low"], low)
    return table[chosen]


def _median_bound(table: pd.DataFrame, high: float, low: float, limit: float) -> Verdict:
    """Median over layers of the mean bound over images, and of the bound at mean quantiles."""
    rows = _pair(table, high, low)
    wide = rows.pivot_table(index="image", columns="layer_index", values="bound", dropna=False)
    covered = wide.dropna(axis="columns")
    label = f"({high}, {low})"
    if covered.empty:
        return Verdict(
            value="no-data",
            evidence=f"At {label} 0 layers have quantiles that Appendix I covers.",
        )
    interval = bootstrap(covered.to_numpy(), lambda x: float(np.median(x.mean(0))))
    plugged = at_mean_quantiles(rows)["bound"].dropna().median()
    value = verdict_from_interval(interval.low, interval.high, limit, "below")
    if value == "direction":
        value = "reproduced" if plugged < limit else "not-reproduced"
    return Verdict(
        value=value,
        evidence=(
            f"At {label} the median over {covered.shape[1]} of {wide.shape[1]} layers of the "
            f"mean bound is {interval.estimate:.3f} [{interval.low:.3f}, {interval.high:.3f}], "
            f"at the mean quantiles {plugged:.3f} (limit {limit})."
        ),
        numbers={f"median bound {label}": interval.estimate, f"at means {label}": plugged},
    )


def _frequency(table: pd.DataFrame, high: float, low: float) -> Verdict:
    """Simulated conditional frequency against the mean bound, over the layers that have one."""
    rows = _pair(table, high, low)
    rows = rows[rows["bound"].notna() & (rows["positive"] > 0)]
    label = f"({high}, {low})"
    if rows.empty:
        return Verdict(value="no-data", evidence=f"0 neurons were simulated at {label}.")
    positive, overtaken = int(rows["positive"].sum()), int(rows["overtaken"].sum())
    bound = float((rows["bound"] * rows["positive"]).sum() / positive)
    frequency = overtaken / positive
    error = np.sqrt(frequency * (1 - frequency) / positive)
    return Verdict(
        value="reproduced" if frequency <= bound + 3 * error else "not-reproduced",
        evidence=(
            f"At {label} the frequency over {positive} simulated neurons is {frequency:.3f}, the "
            f"bound {bound:.3f}."
        ),
        numbers={f"frequency {label}": frequency, f"bound {label}": bound},
    )


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


def _redrawn(table: pd.DataFrame, high: float, low: float) -> Verdict:
    """Real neurons against the bound in every layer; neurons share weights, images do not."""
    label = f"({high}, {low})"
    rows = frequencies(_pair(table, high, low))
    rows = rows[rows.groupby("layer_index")["image"].transform("count") > 1]
    if rows.empty:
        return Verdict(
            value="no-data", evidence=f"At {label} 0 redrawn layers have a bound in two images."
        )
    layers = rows.assign(excess=rows["frequency"] - rows["bound"]).groupby("layer_index")
    intervals = [bootstrap_mean(layer["excess"]) for _, layer in layers]
    above = sum(interval.low > 0 for interval in intervals)
    unsettled = sum(interval.low <= 0 < interval.high for interval in intervals)
    zeros = int((layers["value_low"].max() == 0).sum())
    means = layers[["frequency", "bound"]].mean().mean()
    value: Value = "not-reproduced" if above else "undecided" if unsettled else "reproduced"
    return Verdict(
        value=value,
        evidence=(
            f"At {label} the frequency in the neurons of {len(intervals)} redrawn layers is "
            f"{means['frequency']:.3f}, the bound {means['bound']:.3f}; it is above its bound in "
            f"{above} layers (open in {unsettled}), and in {zeros} all small activations are zeros."
        ),
        numbers={
            f"real neurons {label}": means["frequency"],
            f"layers above the bound {label}": above,
            f"layers with zeros only {label}": zeros,
        },
    )


@criterion("binder-i-prob", tables=OVERTAKING)
def appendix_i(tables: Tables, context: CriterionContext) -> Verdict:
    return _overtaking(tables)


@criterion("binder-app4", tables=OVERTAKING)
def figure_app4(tables: Tables, context: CriterionContext) -> Verdict:
    return _overtaking(tables)


@criterion("binder-app5", tables=OVERTAKING)
def figure_app5(tables: Tables, context: CriterionContext) -> Verdict:
    return _overtaking(tables)


@criterion("binder-app6", tables=OVERTAKING)
def figure_app6(tables: Tables, context: CriterionContext) -> Verdict:
    return _overtaking(tables)


def _sparsity(tables: Tables, context: CriterionContext) -> Verdict:
    table = tables["activation-sparsity"]
    layers = table.groupby("layer_index")["non_positive"].mean()
    images = table["image"].nunique()
    if "efficientnet" in context.model:
        late = layers[layers.index >= 11]
        full = layers[layers.index.isin([0, 1, 3, 5])]
        passes = bool(len(late)) and bool((late >= 0.20).all()) and bool((full >= 0.99).all())
        evidence = (
            f"Of the layers from 11 on {int((late >= 0.20).sum())} of {len(late)} have at least "
            f"20 % non-positive activations; layers 0, 1, 3 and 5 have "
            f"{', '.join(f'{share:.0%}' for share in full)} ({images} images)."
        )
    else:
        share = float((layers >= 0.30).mean())
        passes = share > 0.5
        evidence = (
            f"{int((layers >= 0.30).sum())} of {len(layers)} layers have at least 30 % "
            f"non-positive activations ({images} images)."
        )
    value: Value = "reproduced" if passes else "not-reproduced"
    return Verdict(
        value=value,
        evidence=evidence,
        numbers={"layers": len(layers), "median_share": float(layers.median())},
    )


@criterion("binder-j-sparsity", tables=("activation-sparsity",))
def appendix_j(tables: Tables, context: CriterionContext) -> Verdict:
    return _sparsity(tables, context)


@criterion("binder-app7", tables=("activation-sparsity",))
def figure_app7(tables: Tables, context: CriterionContext) -> Verdict:
    return _sparsity(tables, context)


@criterion("binder-g-practice", tables=("positive-evidence",))
def positive_evidence(tables: Tables, context: CriterionContext) -> Verdict:
    """Reads one row an (image, method, state): logit of the target and sum of its map."""
    table = tables["positive-evidence"]
    positive = table[table["logit"] > 0].assign(dominant=lambda rows: rows["relevance"] > 0)
    parts = []
    for (method, state), rows in positive.groupby(["method", "state"], sort=False):
        if not str(method).startswith("lrp"):
            continue
        share = proportion_interval(int(rows["dominant"].sum()), len(rows))
        value = verdict_from_interval(share.low, share.high, 0.95, "above")
        parts.append(
            Verdict(
                value="reproduced" if value == "direction" else value,
                evidence=(
                    f"{method}, {state}: {share.estimate:.0%} of {len(rows)} maps of positive "
                    f"logits have a positive sum [{share.low:.0%}, {share.high:.0%}]."
                ),
                numbers={f"{method} {state}": share.estimate},
            )
        )
    return combine(parts)
