"""Pages about other orders, the two proposed repairs, and the check as a decision."""

import math
from collections.abc import Mapping
from dataclasses import replace

import pandas as pd
from pandas.io.formats.style import Styler

from sanitygap import show
from sanitygap.chapters.repairs.judge import (
    LEVEL,
    RESAMPLES,
    component_scores,
    effects,
    faithful_scores,
    false_alarms,
    restricted_scores,
    signed,
)
from sanitygap.figures.methods import label, styles
from sanitygap.figures.plate import Plate
from sanitygap.inference import Interval, proportion_interval
from sanitygap.judge import GUIDED, LRP, adjusted, figure_methods
from sanitygap.rankings import agreement_gain
from sanitygap.runs import Study
from sanitygap.scores import randomization_scores

BOTTOM_UP, INDEPENDENT = "randomization-bottom-up", "randomization-independent"
RESTRICT, BASELINE = "outlook-restrict", "outlook-baseline"


@show.shows(BOTTOM_UP, "feature-map")
def order_plate(study: Study) -> Plate:
    """Top-down and bottom-up randomisation against the share of random parameters."""
    tables = [signed(study.table(name)) for name in ("randomization", BOTTOM_UP)]
    maps = pd.concat(tables, ignore_index=True)
    maps = maps[maps["image"].isin(tables[1]["image"])]
    features = study.table("feature-map").assign(method="last feature map")
    by = ("order", "method", "random_parameters")
    parts = [
        show.with_intervals(rows, by, value).assign(what=words)
        for rows, value, words in (
            (features, "correlation", "last feature map: correlation"),
            *(
                (maps[maps["method"] == method], "ssim", f"{label(method)}: SSIM")
                for method in (GUIDED, LRP, "gradient")
            ),
        )
    ]
    return order_curves(
        pd.concat(parts, ignore_index=True).rename(columns={"random_parameters": "share"}),
        float(tables[0]["random_parameters"].min()),
        "Similarity to the trained network against the share of random parameters, for weights "
        "redrawn from the output (top-down) and from the input (bottom-up). Feature map: Pearson "
        "correlation over positions of the sum of squared activations. Grey: shares that the "
        f"top-down order cannot have, because its first step redraws the whole classifier. "
        f"{show.about(study, BOTTOM_UP, 'Bands')}",
    )


@show.shows_several(INDEPENDENT)
def independent_curves(studies: list[Study]) -> Plate:
    """Similarity when one stage alone is redrawn, stage by stage."""
    return show.curves(
        show.by_run(studies, INDEPENDENT, signed, ("method", "step", "steps"), "ssim"),
        "depth",
        xlabel="the redrawn stage, % of the way from the output to the input",
        ylabel="SSIM (low: passes the sanity check)",
        caption="Independent randomisation: SSIM of signed maps when a single stage is redrawn. "
        f"{show.about_all(studies, INDEPENDENT, 'Bands')}",
    )


@show.shows_several(BOTTOM_UP)
def order_agreement(studies: list[Study]) -> Styler:
    """Which order of randomisation ranks methods more as occlusion does."""
    rows = []
    for study in studies:
        faithful = faithful_scores(study.table("occlusion"))
        scores = {
            order: randomization_scores(study.table(name), order=order)
            for order, name in (("top-down", "randomization"), ("bottom-up", BOTTOM_UP))
        }
        numbers = agreement_numbers(scores, "top-down", faithful)
        images, methods = figure_methods(*scores.values(), faithful)[0].shape
        numbers.insert(0, "model", show.model_of(study))
        rows.append(numbers.assign(methods=methods, images=images))
    heads = {
        "variant": "order", "tau": "Kendall's τ", "gain_low": "gain, low",
        "gain_high": "gain, high",
    }  # fmt: skip
    return show.display_table(
        pd.concat(rows, ignore_index=True).rename(columns=heads),
        "Kendall's τ between the ranking by mean SSIM over all steps of an order and the "
        "occlusion ranking, and how much it exceeds that of the top-down order; 95 % bootstrap "
        "intervals over images, resampled jointly.",
    )


def agreement_numbers(
    scores: Mapping[str, pd.DataFrame], plain: str, faithful: pd.DataFrame
) -> pd.DataFrame:
    """Kendall's tau of each variant of a score with a reference, and its gain over the plain one.

    Args:
        scores: variant -> images x methods.
        plain: the variant that the others are compared with.
        faithful: the reference, images x methods.

    Returns:
        One row a variant: ``variant``, ``tau``, ``low``, ``high``, ``gain``, ``gain_low``,
        ``gain_high``; no gain for the plain one and where it is undefined.
    """
    *tables, reference = figure_methods(*scores.values(), faithful)
    shared = dict(zip(scores, tables, strict=True))
    rows = []
    for variant, table in shared.items():
        row = {"variant": variant} | show.bounds(show.shown_agreement(table, reference), "tau")
        change = Interval(math.nan, math.nan, math.nan, 0)
        if variant != plain:
            change = show.or_nan(agreement_gain, table, shared[plain], reference)
        row |= {"gain": change.estimate, "gain_low": change.low, "gain_high": change.high}
        rows.append(row)
    return pd.DataFrame(rows)


@show.shows(RESTRICT)
def restriction_plate(study: Study) -> Plate:
    """Agreement with occlusion when change is measured only where the network responds."""
    table, faithful = study.table(RESTRICT), faithful_scores(study.table("occlusion"))
    plain = "all pixels"
    thresholds = sorted(set(table["threshold"]))
    scores = {plain: restricted_scores(table, thresholds[0], "ssim")}
    for threshold in thresholds:
        kept = table.loc[table["threshold"] == threshold, "kept"].mean()
        words = f"without {threshold:.0%} of the mass" if threshold else "non-zero pixels"
        scores[f"{words} ({kept:.0%} of pixels kept)"] = restricted_scores(
            table, threshold, "restricted"
        )
    methods = figure_methods(*scores.values(), faithful)[0].shape[1]
    return tau_dots(
        agreement_numbers(scores, plain, faithful),
        "Repair 1. Mean SSIM of top-down randomisation over the windows whose centre pixel "
        "contributes to the activations below the redrawn stages; pixels that contribute least "
        f"are dropped up to a share of the mass. Kendall's τ over {methods} methods of Figs. 1 and "
        f"2 with the occlusion ranking. {show.about(study, RESTRICT, 'Bars')}",
    )


@show.shows(BASELINE)
def component_plate(study: Study) -> Plate:
    """Similarity of whole maps and of their parts that do not go through a skip."""
    table = study.table(BASELINE)
    if table.empty:
        raise show.NothingToShowError(
            f"{show.model_of(study)} has no skip connection, so there is no part of an explanation "
            "that a skip carries. The second repair says nothing about it."
        )
    return show.dots(
        show.with_intervals(signed(table), ("method", "component"), "ssim"),
        row="method",
        series="component",
        xlabels="mean SSIM after redrawing one branch",
        caption="Repair 2. One weighted branch beside a skip is redrawn, "
        f"{table['stage'].nunique()} residual blocks in turn. Total: SSIM of the whole map. "
        "Residual: SSIM of the part of the map that does not go through that block's skip. "
        f"{show.about(study, BASELINE, 'Bars')}",
    )


@show.shows(BASELINE)
def baseline_plate(study: Study) -> Plate:
    """Agreement with occlusion with and without what the skip carries."""
    table = study.table(BASELINE)
    if table.empty:
        raise show.NothingToShowError("Without a part to leave out there is no ranking to compare.")
    faithful = faithful_scores(study.table("occlusion"))
    names = {"whole map": "total", "without the skip's part": "residual"}
    scores = {words: component_scores(table, component) for words, component in names.items()}
    methods = figure_methods(*scores.values(), faithful)[0].shape[1]
    return tau_dots(
        agreement_numbers(scores, "whole map", faithful),
        f"Repair 2: Kendall's τ over {methods} methods of Figs. 1 and 2 between the mean SSIM "
        "after redrawing one branch and the occlusion ranking. "
        f"{show.about(study, BASELINE, 'Bars')}",
    )


RETEST, ALARMS = "test-retest", "false-rejections"

PANELS = {"ssim": "SSIM", "spearman": "rank correlation"}


@show.shows(RETEST)
def retest_plate(study: Study) -> Plate:
    """Similarity of two maps of the same network, beside that with randomised ones."""
    table = study.table(RETEST)
    numbers = show.with_intervals(table, ("method", "step", "stage"), PANELS)
    numbers = numbers.rename(columns={"method": "row"})
    last = numbers["step"].max()
    numbers["series"] = [
        "the same network" if step == 0 else "all stages" if step == last else f"down to {stage}"
        for step, stage in zip(numbers["step"], numbers["stage"], strict=True)
    ]
    return show.dots(
        numbers,
        caption="Similarity of a first map of the trained network to a second one of the same "
        "network, with new draws of sampling methods, and to maps of randomised networks. "
        f"{show.about(study, RETEST, 'Bars')}",
        xlabels={words: f"{words} with the first map" for words in PANELS.values()},
        legend="second map",
    )


@show.shows(RETEST)
def effect_table(study: Study) -> Styler:
    """The binary test of every method: is there an effect of randomisation?"""
    tests = effects(study.table(RETEST))
    tests["p"] = adjusted(tests["p"])
    tests["effect"] = ["yes" if p < LEVEL else "not shown" for p in tests["p"]]
    shown = tests[["method", "step", "retest", "randomized", "n", "p", "effect"]]
    return show.display_table(
        shown.rename(columns={"randomized": "after randomisation", "p": "p (Holm)"}),
        "SSIM of a second map of the same network (retest) and of the randomised one (step: how "
        f"many stages are random), and the one-sided permutation test over images "
        f"({RESAMPLES} exchanges, or all). {show.about(study, RETEST)}.",
    )


@show.shows(ALARMS)
def alarm_table(study: Study) -> Styler:
    """How often the test rejects for explainers that know nothing of the model."""
    table = study.table(ALARMS)
    rows = []
    for explainer in dict.fromkeys(table["explainer"]):
        rejected, simulations, images = false_alarms(table, explainer)
        counts = {"simulated tests": simulations, "images in a test": images}
        counts |= {"rejections": rejected}
        rate = show.bounds(proportion_interval(rejected, simulations), "rate")
        rows.append({"explainer": explainer} | counts | rate)
    return show.display_table(
        rows,
        f"Rejections at the nominal level of {LEVEL:.0%}, 95 % Wilson intervals. "
        f"{show.about(study, ALARMS)}.",
    )


ORDERS = {
    "top-down": {"linestyle": "-", "marker": "o"},
    "bottom-up": {"linestyle": "--", "marker": "s"},
}


def order_curves(numbers: pd.DataFrame, start: float, caption: str) -> Plate:
    """Similarity against the share of random parameters, for both cumulative orders.

    Args:
        numbers: columns ``what`` (the panel), ``order``, ``method``, ``share``, ``mean``, ``low``,
            ``high``.
        start: lowest share at which both orders are compared.
        caption: the figure's caption.
    """
    panels = show.distinct(numbers["what"])
    percent = numbers.assign(share=100 * numbers["share"])
    figure, axes = show.panel_axes(len(panels), 2, (4.4, 3.6), sharey=True)
    for axis, what in zip(axes, panels, strict=True):
        rows = percent[percent["what"] == what]
        [style] = styles(show.distinct(rows["method"])).values()
        looks = {
            order: {"color": style["color"], "ms": 4, **look} for order, look in ORDERS.items()
        }
        show.draw_curves(axis, rows, "share", series="order", looks=looks)
        axis.axvspan(0, 100 * start, color="0.94", zorder=0)
        axis.set_title(what, fontsize=10)
        axis.set(xlabel="random parameters, % of all", xlim=(-2, 102))
        if axis in axes[::2]:
            axis.set_ylabel("similarity to the trained network")
    axes[-1].legend(frameon=False)
    sentences = []
    for (name, way), rows in numbers.groupby(["what", "order"], sort=False):
        first, last = (rows.sort_values("share").iloc[place] for place in (0, -1))
        sentences.append(
            f"{name}, {way}: from {first['mean']:.2f} at {first['share']:.0%} to "
            f"{last['mean']:.2f} at {last['share']:.0%} of the parameters."
        )
    return Plate(figure, " ".join(sentences), caption, numbers)


def tau_dots(numbers: pd.DataFrame, caption: str) -> Plate:
    """Kendall's tau with the occlusion ranking, one row a variant of the randomisation score.

    Args:
        numbers: columns ``variant``, ``tau``, ``low``, ``high``, and ``gain``, ``gain_low``,
            ``gain_high`` over the variant it repairs (NaN for that one).
        caption: the figure's caption.
    """
    names = {
        "Kendall's τ with the occlusion ranking\n(right: the tests agree)": ("tau", "low", "high"),
        "change of τ\n(right: the repair helps)": ("gain", "gain_low", "gain_high"),
    }
    panels = [
        numbers[["variant", *own]]
        .set_axis(["row", "mean", "low", "high"], axis=1)
        .assign(panel=words)
        for words, own in names.items()
    ]
    plate = show.dots(pd.concat(panels), caption=caption, lines=dict.fromkeys(names, 0.0))
    plate.figure.axes[0].set(xlim=(-1.05, 1.05), xticks=(-1, -0.5, 0, 0.5, 1))
    sentences = [
        f"{row['variant']}: tau {row['tau']:+.2f}"
        + ("" if pd.isna(row["gain"]) else f", change {row['gain']:+.2f}")
        for row in numbers.to_dict("records")
    ]
    alt = f"Agreement with the occlusion ranking: {'; '.join(sentences)}."
    return replace(plate, alt=alt, numbers=numbers)
