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
from sanitygap.inference import bootstrap, proportion_interval

PAIRS = {(0.95, 0.50): 0.15, (0.85, 0.10): 0.05}


def _overtaking(tables: Tables) -> Verdict:
    table = tables["activation-overtaking"]
    return combine(
        [_median_bound(table, *pair, limit) for pair, limit in PAIRS.items()]
        + [_frequency(table, *pair) for pair in PAIRS]
    )


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
            value="undecided",
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
        return Verdict(value="undecided", evidence=f"0 neurons were simulated at {label}.")
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


@criterion("binder-i-prob", tables=("activation-overtaking",))
def appendix_i(tables: Tables, context: CriterionContext) -> Verdict:
    return _overtaking(tables)


@criterion("binder-app4", tables=("activation-overtaking",))
def figure_app4(tables: Tables, context: CriterionContext) -> Verdict:
    return _overtaking(tables)


@criterion("binder-app5", tables=("activation-overtaking",))
def figure_app5(tables: Tables, context: CriterionContext) -> Verdict:
    return _overtaking(tables)


@criterion("binder-app6", tables=("activation-overtaking",))
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
