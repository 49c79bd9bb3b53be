"""Criteria of Khakzar et al. (2022) about layers (Table 2) and the examples in its figures."""

from collections.abc import Callable

import pandas as pd
from scipy.stats import spearmanr

from sanitygap.axioms.metrics import METRICS, metric_of
from sanitygap.claims import Verdict, criterion
from sanitygap.criteria.khakzar_features import LEAST
from sanitygap.criteria.khakzar_formal import table2_trends
from sanitygap.criteria.khakzar_methods import (
    NAMES,
    level_ratio,
    null_share,
    samples,
    shared_share,
    smaller_share,
)
from sanitygap.judge import Context, Tables, measured, no_data


def layer_metrics(table: pd.DataFrame) -> pd.DataFrame:
    """Method, metric and depth -> value: shares for null and double, Eq. (12) for single."""
    variants = {"null": "patches", "double": "printed", "single": "coded"}
    chosen = {
        name: next(m for m in METRICS if (m.name, m.variant) == (name, variant))
        for name, variant in variants.items()
    }
    rows = []
    for (method, depth), part in table.groupby(["method", "depth"]):
        short = str(method).partition("@")[0]
        for name, metric in chosen.items():
            interval, n = metric_of(part, metric, str(method), "absolute")
            if interval is not None:
                rows.append((short, name, int(float(str(depth))), interval.estimate, n))
    return pd.DataFrame(rows, columns=["method", "metric", "depth", "value", "n"])


@criterion("khakzar-table2", tables=("axioms-layers",))
def table2(tables: Tables, context: Context) -> Verdict:
    printed = table2_trends()
    kept = sum(rho < 0 and lowest for rho, lowest in printed.values())
    text = (
        f"Printed table: {kept} of {len(printed)} rows fall with depth and are lowest at layer 4."
    )
    values = layer_metrics(tables["axioms-layers"])
    if values.empty or int(values["n"].min()) < LEAST or values["depth"].nunique() < 4:
        return no_data(text, "Too few accepted samples to measure the rows again.")
    good = []
    for (method, metric), row in values.groupby(["method", "metric"]):
        ordered = row.sort_values("depth")
        rho = float(spearmanr(ordered["depth"], ordered["value"]).statistic)
        lowest = bool(ordered["value"].iloc[-1] == ordered["value"].min())
        good.append((f"{method} {metric} ρ = {rho:+.1f}", rho < 0 and lowest))
    failing = [name for name, ok in good if not ok]
    return measured(
        not failing and kept == len(printed),
        f"{text} Measured here: {len(good) - len(failing)} of {len(good)}"
        + (f"; not {', '.join(failing)}." if failing else "."),
        {"printed rows": kept, "measured rows": len(good) - len(failing)},
        value="reproduced",
    )


#: figure -> table, scenario, quantity, and which of the accepted samples are shown
FIGURES: dict[str, tuple[str, str, Callable[[pd.DataFrame], pd.Series], slice]] = {
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
    low, high = values.quantile(0.25), values.quantile(0.75)
    examples = values.iloc[drawn]
    outside = [
        f"sample {sample}: {name}"
        for sample, row in examples.iterrows()
        for name in values
        if not low[str(name)] <= row[str(name)] <= high[str(name)]
    ]
    count = examples.size
    listed = ", ".join(outside[:4]) + (" …" if len(outside) > 4 else "")
    return Verdict(
        value="not-reproduced" if outside else "reproduced",
        evidence=f"{count - len(outside)} of {count} values of the shown examples lie in the "
        f"interquartile range of {len(values)} samples" + (f"; not {listed}." if outside else "."),
        reason="Half of all values lie outside an interquartile range by its definition."
        if outside
        else "",
    )


def _register(claim: str, table: str) -> None:
    @criterion(claim, tables=(table,))
    def figure(tables: Tables, context: Context) -> Verdict:
        return typical(tables[table], claim)

    figure.__qualname__ = f"figure {claim}"


for _claim, (_table, *_) in FIGURES.items():
    _register(_claim, _table)
