"""Pages about other orders, the two proposed repairs, and the check as a decision."""

import math
from collections.abc import Mapping
from contextlib import suppress

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
    gain,
    restricted_scores,
    signed,
)
from sanitygap.chapters.repairs.plots import order_curves, tau_dots
from sanitygap.figures.methods import label
from sanitygap.figures.plate import Plate
from sanitygap.inference import UndefinedStatisticError, holm, proportion_interval
from sanitygap.judge import FIGURE_METHODS, GUIDED, LRP
from sanitygap.runs import Study
from sanitygap.scores import complete, randomization_scores

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
    frames = []
    for study in studies:
        rows = signed(study.table(INDEPENDENT))
        numbers = show.with_intervals(rows, ("method", "step", "steps"), "ssim")
        numbers["depth"] = 100 * numbers["step"] / numbers["steps"]
        frames.append(numbers.assign(panel=show.panel(study, INDEPENDENT)))
    return show.curves(
        pd.concat(frames, ignore_index=True),
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
        images, methods = _complete(scores, faithful)[0].shape
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


def _complete(
    scores: Mapping[str, pd.DataFrame], faithful: pd.DataFrame
) -> tuple[pd.DataFrame, ...]:
    """The methods of the figures and the images that all scores have; the reference comes last."""
    tables = (*scores.values(), faithful)
    return complete(
        *(table[[name for name in FIGURE_METHODS if name in table]] for table in tables)
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
    *tables, reference = _complete(scores, faithful)
    shared = dict(zip(scores, tables, strict=True))
    rows = []
    for variant, table in shared.items():
        row = {"variant": variant} | show.bounds(show.shown_agreement(table, reference), "tau")
        row |= dict.fromkeys(("gain", "gain_low", "gain_high"), math.nan)
        if variant != plain:
            with suppress(UndefinedStatisticError):
                change, _ = gain(table, shared[plain], reference)
                row |= {
                    "gain": change.estimate, "gain_low": change.low, "gain_high": change.high
                }  # fmt: skip
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
    methods = _complete(scores, faithful)[0].shape[1]
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
    methods = _complete(scores, faithful)[0].shape[1]
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
    keys = [str(index) for index in tests.index]
    adjusted = holm(dict(zip(keys, tests["p"], strict=True)))
    tests["p"] = [adjusted[key] for key in keys]
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
        rate = proportion_interval(rejected, simulations)
        rows.append(
            {
                "explainer": explainer,
                "simulated tests": simulations,
                "images in a test": images,
                "rejections": rejected,
            }
            | show.bounds(rate, "rate")
        )
    return show.display_table(
        rows,
        f"Rejections at the nominal level of {LEVEL:.0%}, 95 % Wilson intervals. "
        f"{show.about(study, ALARMS)}.",
    )
