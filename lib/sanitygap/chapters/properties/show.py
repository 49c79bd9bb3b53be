"""Positive evidence in real networks (Binder et al. 2022, App. G)."""

import math

from pandas.io.formats.style import Styler

from sanitygap.chapters.properties.judge import handed_on
from sanitygap.inference import proportion_interval
from sanitygap.runs import Study
from sanitygap.show import (
    about,
    columns,
    display_table,
)


def positive_share(study: Study) -> Styler:
    """How often the map of a positive logit sums to something positive."""
    table, rows = study.table("positive-evidence"), []
    for (method, state), every in table.groupby(["method", "state"], sort=False):
        part = every[every["logit"] > 0]
        if len(part):
            share = proportion_interval(int((part["relevance"] > 0).sum()), len(part))
            passed = handed_on(every) if str(method).startswith("lrp") else math.nan
            rows.append(
                {"method": method, "network": state}
                | columns(share, "share with positive sum")
                | {"handed on": passed}
            )
    return display_table(
        rows,
        "Share of maps of positive logits whose values sum to something positive, 95 % Wilson "
        "intervals. Handed on: the sum of the map, which is what LRP hands on to the pixels of the "
        "1 that it starts with, median over images; a conservative rule has 1. "
        f"{about(study, 'positive-evidence')}.",
    )
