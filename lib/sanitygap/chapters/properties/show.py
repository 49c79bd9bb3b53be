"""Appendices A.2, F and G in figures, and positive evidence in real networks."""

import math

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler

from sanitygap import show
from sanitygap.chapters.properties.judge import handed_on
from sanitygap.figures.theory import REFERENCE, lines, points, shades
from sanitygap.inference import proportion_interval
from sanitygap.runs import Study


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
                | show.columns(share, "share with positive sum")
                | {"handed on": passed}
            )
    return show.display_table(
        rows,
        "Share of maps of positive logits whose values sum to something positive, 95 % Wilson "
        "intervals. Handed on: the sum of the map, which is what LRP hands on to the pixels of the "
        "1 that it starts with, median over images; a conservative rule has 1. "
        f"{show.about(study, 'positive-evidence')}.",
    )


def example_neuron(table: pd.DataFrame) -> Figure:
    """Size of what each method gives the six inputs of one neuron, against their contributions.
    Filled: positive contributions, to which Eq. (9) applies; they must rise from left to right.
    Hollow: negative ones. Last panel: with a zigzag on top of the neuron, which rises and falls,
    the largest contribution gets the smallest Shapley value."""
    cases = table.groupby(["method", "setting"], sort=False)
    figure, axes = show.panel_axes(len(cases), len(cases), (2.25, 2.9))
    for axis, ((method, setting), rows) in zip(axes, cases, strict=True):
        rows = rows.sort_values("contribution")
        for sign, face in ((1, "C0"), (-1, "white")):
            part = rows[np.sign(rows["contribution"]) == sign]
            axis.plot(part["contribution"], part["relevance"].abs(), "o-", color="C0", mfc=face)
        axis.axvline(0, **REFERENCE)
        axis.set(xlabel="contribution w x", title=f"{method},\n{setting}", ylim=(0, None))
    axes[0].set_ylabel("|R(x)|")
    return figure


def adaptive_beta(table: pd.DataFrame) -> Figure:
    """Left: β of a neuron against the balance of its contributions, |N| / P, as Eq. (10) demands
    and as Eq. (11) prints it; dashed, the cap of 3. The grey curve is the share of random neurons
    of at most that balance. Right: by how much each choice misses Eq. (10)."""
    figure, axes = show.panel_axes(2, 2, (4.75, 3.6))
    panels = {"beta": "β", "residual": "β / (1 + β) - |N| / P"}
    for axis, (column, words) in zip(axes, panels.items(), strict=True):
        lines(axis, table, "balance", "formula", column)
        axis.set(xlabel="balance |N| / P", ylabel=words)
    share, neurons = axes[0].twinx(), table[table["formula"] == "printed"]
    share.fill_between(neurons["balance"], neurons["share"], color="0.85", lw=0, zorder=0)
    share.set(ylim=(0, 1), yticks=(0, 0.5, 1), ylabel="share of random neurons")
    share.grid(False)
    axes[0].set_zorder(share.get_zorder() + 1)
    axes[0].patch.set_visible(False)
    cap = float(table.loc[table["formula"] == "solved, capped", "beta"].max())
    axes[0].axhline(cap, **REFERENCE)
    axes[0].set_ylim(0, 5)
    axes[0].legend()
    return figure


def monotonicity(table: pd.DataFrame) -> Figure:
    """Share of pairs of inputs of one neuron in which the larger positive contribution gets the
    smaller explanation, with 95 % intervals, by what lies on top of the neuron and, for LRP-β, by
    whether the inputs feed a common neuron. Eq. (9) says that there are none."""
    rows = table[table["version"] == "non-strict"].sort_values("method", kind="stable")
    rows = rows.assign(case=rows["method"] + ": " + rows["setting"])
    figure = points(rows, "case", "method", "violating pairs", 0)
    figure.axes[0].xaxis.set_major_formatter("{x:.0%}")
    return figure


def layer_sums(table: pd.DataFrame) -> Figure:
    """Share of networks with a positive logit in which the relevance of some layer does not sum to
    something positive, by method and by the scale of the non-positive biases. Appendix G says that
    there are none. Absorbed: the bias takes its share of the denominator of the rule."""
    trainings = table.groupby("training", sort=False)
    top = max(0.05, float(table["estimate"].max()))
    figure, axes = show.panel_axes(len(trainings), 2, (4.5, 4.0), sharey=True)
    for axis, (training, rows) in zip(axes, trainings, strict=True):
        wide = rows.pivot_table(index="method", columns="bias_scale", values="estimate", sort=False)
        shades(axis, wide, ".1%", cmap="Oranges", vmax=top, cbar=False)
        axis.set(xlabel="scale of the biases", title=f"{training} networks")
    return figure
