"""Pages about other orders of randomisation, and about the two repairs that the paper proposes."""

import math
from collections.abc import Iterable, Mapping

import pandas as pd
from IPython.display import Markdown
from pandas.io.formats.style import Styler

from sanitygap.criteria.gap import FIGURE_METHODS, GUIDED, LRP
from sanitygap.criteria.outlook import (
    component_scores,
    faithful_scores,
    gain,
    restricted_scores,
    signed,
)
from sanitygap.figures import Plate, theme
from sanitygap.figures.methods import label
from sanitygap.figures.outlook import component_dots, order_curves, tau_dots
from sanitygap.figures.tests_of_maps import curves
from sanitygap.inference import UndefinedStatisticError
from sanitygap.pages.noise import holding, nothing_recorded
from sanitygap.pages.shared import (
    about,
    display_table,
    panel,
    shown_agreement,
    with_intervals,
)
from sanitygap.runs import Study
from sanitygap.scores import complete, randomization_scores

BOTTOM_UP = "randomization-bottom-up"


def order_plate(study: Study) -> Plate | Markdown:
    """Top-down and bottom-up randomisation against the share of random parameters."""
    theme()
    if not holding(study, BOTTOM_UP, "feature-map"):
        return nothing_recorded(BOTTOM_UP)
    tables = [signed(study.table(name)) for name in ("randomization", BOTTOM_UP)]
    images = set(tables[1]["image"])
    maps = pd.concat(tables, ignore_index=True)
    features = study.table("feature-map")
    by = ("order", "method", "random_parameters")
    parts = [
        with_intervals(features.assign(method="last feature map"), by, "correlation").assign(
            what="last feature map: correlation"
        )
    ]
    for method in (GUIDED, LRP, "gradient"):
        rows = maps[(maps["method"] == method) & maps["image"].isin(images)]
        parts.append(with_intervals(rows, by, "ssim").assign(what=f"{label(method)}: SSIM"))
    numbers = pd.concat(parts, ignore_index=True).rename(columns={"random_parameters": "share"})
    start = float(tables[0]["random_parameters"].min())
    return order_curves(
        numbers,
        start,
        "Similarity to the trained network against the share of random parameters, for weights "
        "redrawn from the output (top-down) and from the input (bottom-up). Feature map: Pearson "
        "correlation over positions of the sum of squared activations. Grey: shares that the "
        f"top-down order cannot have, because its first step redraws the whole classifier. "
        f"{about(study, BOTTOM_UP)}. Bands: 95 % bootstrap intervals over images.",
    )


def independent_curves(studies: Study | Iterable[Study]) -> Plate | Markdown:
    """Similarity when one stage alone is redrawn, stage by stage."""
    theme()
    name = "randomization-independent"
    several = holding(studies, name)
    if not several:
        return nothing_recorded(name)
    frames = []
    for study in several:
        rows = signed(study.table(name))
        numbers = with_intervals(rows, ("method", "step", "steps"), "ssim")
        numbers["depth"] = 100 * numbers["step"] / numbers["steps"]
        frames.append(numbers.assign(panel=panel(study, name)))
    where = "; ".join(about(study, name) for study in several)
    return curves(
        pd.concat(frames, ignore_index=True),
        "depth",
        xlabel="the redrawn stage, % of the way from the output to the input",
        ylabel="SSIM (low: passes the sanity check)",
        caption="Independent randomisation: SSIM of signed maps when a single stage is redrawn. "
        f"{where}. Bands: 95 % bootstrap intervals over images.",
    )


def order_agreement(studies: Study | Iterable[Study]) -> Styler | Markdown:
    """Which order of randomisation ranks methods more as occlusion does."""
    rows = []
    for study in holding(studies, BOTTOM_UP):
        faithful = faithful_scores(study.table("occlusion"))
        scores = {
            order: randomization_scores(study.table(name), order=order)
            for order, name in (("top-down", "randomization"), ("bottom-up", BOTTOM_UP))
        }
        numbers = agreement_numbers(scores, "top-down", faithful)
        methods, images = _shared(scores, faithful)
        rows += [
            {"model": study.settings.public()["model"], "order": row.pop("variant")}
            | row
            | {"methods": methods, "images": images}
            for row in numbers.to_dict("records")
        ]
    if not rows:
        return nothing_recorded(BOTTOM_UP)
    heads = {
        "tau": "Kendall's τ", "gain_low": "gain, low", "gain_high": "gain, high",
    }  # fmt: skip
    return display_table(
        pd.DataFrame(rows).rename(columns=heads),
        "Kendall's τ between the ranking by mean SSIM over all steps of an order and the "
        "occlusion ranking, and how much it exceeds that of the top-down order; 95 % bootstrap "
        "intervals over images, resampled jointly.",
    )


def _shared(scores: Mapping[str, pd.DataFrame], faithful: pd.DataFrame) -> tuple[int, int]:
    """Number of methods and of images that all scores have."""
    tables = [
        table[[name for name in FIGURE_METHODS if name in table]]
        for table in (*scores.values(), faithful)
    ]
    images, methods = complete(*tables)[0].shape
    return methods, images


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
        ``gain_high``.
    """
    kept = [
        table[[name for name in FIGURE_METHODS if name in table]]
        for table in (*scores.values(), faithful)
    ]
    *tables, reference = complete(*kept)
    shared = dict(zip(scores, tables, strict=True))
    rows = []
    for variant, table in shared.items():
        tau = shown_agreement(table, reference)
        row = {"variant": variant, "tau": tau.estimate, "low": tau.low, "high": tau.high}
        if variant == plain:
            row |= dict.fromkeys(("gain", "gain_low", "gain_high"), float("nan"))
        else:
            row |= _gain(table, shared[plain], reference)
        rows.append(row)
    return pd.DataFrame(rows)


def _gain(table: pd.DataFrame, plain: pd.DataFrame, reference: pd.DataFrame) -> dict[str, float]:
    """How much closer a ranking is to the reference than the plain one; NaN if undefined."""
    try:
        change, _ = gain(table, plain, reference)
    except UndefinedStatisticError:
        return dict.fromkeys(("gain", "gain_low", "gain_high"), math.nan)
    return {"gain": change.estimate, "gain_low": change.low, "gain_high": change.high}


def restriction_plate(study: Study) -> Plate | Markdown:
    """Agreement with occlusion when change is measured only where the network responds."""
    theme()
    if not holding(study, "outlook-restrict"):
        return nothing_recorded("outlook-restrict")
    table, faithful = study.table("outlook-restrict"), faithful_scores(study.table("occlusion"))
    plain = "all pixels"
    thresholds = sorted(set(table["threshold"]))
    scores = {plain: restricted_scores(table, thresholds[0], "ssim")}
    for threshold in thresholds:
        kept = table.loc[table["threshold"] == threshold, "kept"].mean()
        words = f"without {threshold:.0%} of the mass" if threshold else "non-zero pixels"
        scores[f"{words} ({kept:.0%} of pixels kept)"] = restricted_scores(
            table, threshold, "restricted"
        )
    methods, _ = _shared(scores, faithful)
    return tau_dots(
        agreement_numbers(scores, plain, faithful),
        "Repair 1. Mean SSIM of top-down randomisation over the windows whose centre pixel "
        "contributes to the activations below the redrawn stages; pixels that contribute least "
        f"are dropped up to a share of the mass. Kendall's τ over {methods} methods of Figs. 1 and "
        f"2 with the occlusion ranking. {about(study, 'outlook-restrict')}. Bars: 95 % bootstrap "
        "intervals over images.",
    )


def component_plate(study: Study) -> Plate | Markdown:
    """Similarity of whole maps and of their parts that do not go through a skip."""
    theme()
    if not holding(study, "outlook-baseline"):
        return nothing_recorded("outlook-baseline")
    table = study.table("outlook-baseline")
    if table.empty:
        return _no_skip(study)
    numbers = with_intervals(signed(table), ("method", "component"), "ssim")
    return component_dots(
        numbers,
        f"Repair 2. One weighted branch beside a skip is redrawn, {table['stage'].nunique()} "
        "residual blocks in turn. Total: SSIM of the whole map. Residual: SSIM of the part of the "
        f"map that does not go through that block's skip. {about(study, 'outlook-baseline')}. "
        "Bars: 95 % bootstrap intervals over images.",
    )


def baseline_plate(study: Study) -> Plate | Markdown:
    """Agreement with occlusion with and without what the skip carries."""
    theme()
    if not holding(study, "outlook-baseline"):
        return nothing_recorded("outlook-baseline")
    table = study.table("outlook-baseline")
    if table.empty:
        return Markdown("> Without a part to leave out there is no ranking to compare.")
    faithful = faithful_scores(study.table("occlusion"))
    names = {"whole map": "total", "without the skip's part": "residual"}
    scores = {words: component_scores(table, component) for words, component in names.items()}
    methods, _ = _shared(scores, faithful)
    return tau_dots(
        agreement_numbers(scores, "whole map", faithful),
        f"Repair 2: Kendall's τ over {methods} methods of Figs. 1 and 2 between the mean SSIM "
        "after redrawing one branch and the occlusion ranking. "
        f"{about(study, 'outlook-baseline')}. "
        "Bars: 95 % bootstrap intervals over images.",
    )


def _no_skip(study: Study) -> Markdown:
    return Markdown(
        f"> {study.settings.public()['model']} has no skip connection, so there is no part of an "
        "explanation that a skip carries. The second repair says nothing about it."
    )
