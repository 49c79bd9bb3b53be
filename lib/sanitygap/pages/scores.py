"""Pages about the randomisation test and the occlusion test."""

import pandas as pd
from pandas.io.formats.style import Styler

from sanitygap import show
from sanitygap.criteria.gap import FIGURE_METHODS, orderings
from sanitygap.figures import Plate
from sanitygap.inference import UndefinedStatisticError
from sanitygap.reductions import REDUCTIONS, Reduction
from sanitygap.runs import Study
from sanitygap.scores import UNSIGNED, randomization_scores, ranked_by

SIMILARITY_LABELS = {
    "ssim": "SSIM (low: passes the sanity check)",
    "spearman": "Spearman correlation (low: passes)",
    "mse": "normalised MSE (high: passes)",
}


@show.shows_several("randomization")
def randomization_curves(
    studies: list[Study], similarity: str = "ssim", sign: str = "signed"
) -> Plate:
    """Similarity against the depth of top-down randomisation (Binder et al., Fig. 2)."""
    frames, ticks = [], {}
    for study in studies:
        table = study.table("randomization")
        rows = table[(table["sign"] == sign) & (table["order"] == "top-down")]
        numbers = show.with_intervals(rows, ("method", "step", "steps", "stage"), similarity)
        numbers["depth"] = 100 * numbers["step"] / numbers["steps"]
        frames.append(numbers.assign(panel=show.panel(study, "randomization")))
        ticks = dict(zip(numbers["depth"], numbers["stage"], strict=True))
    alone = len(studies) == 1
    return show.curves(
        pd.concat(frames, ignore_index=True),
        "depth",
        xlabel="stage reached from the top" if alone else "stages redrawn, % of all",
        ylabel=SIMILARITY_LABELS[similarity],
        ticks=ticks if alone else None,
        caption=f"Top-down randomisation, {sign} maps: {SIMILARITY_LABELS[similarity]} against "
        f"depth. {show.about_all(studies, 'randomization', 'Bands')}",
    )


@show.shows_several("occlusion")
def occlusion_curves(
    studies: list[Study],
    patch: int = 15,
    value: str = "softmax",
    reduction: Reduction | None = None,
) -> Plate:
    """Prediction against the number of blurred regions (Binder et al., Fig. 1, App. 1).

    Args:
        studies: the runs, a panel each.
        patch: side of a region in pixels of a 224-pixel input.
        value: ``softmax`` or ``logit``.
        reduction: of the maps that rank the regions; by default sums of absolute values, or of
            signed ones where a run holds no other. The caption says which.
    """
    frames, named = [], []
    for study in studies:
        table = study.table("occlusion")
        ranking = reduction or held_ranking(table)
        rows = ranked_by(table, ranking)
        numbers = show.with_intervals(rows[rows["patch"] == patch], ("method", "regions"), value)
        frames.append(numbers.assign(panel=show.panel(study, "occlusion")))
        named.append(f"{show.about(study, 'occlusion')}, ranked by the {REDUCTIONS[ranking]}")
    return show.curves(
        pd.concat(frames, ignore_index=True),
        "regions",
        xlabel=f"regions of {patch} × {patch} pixels replaced by their blurred copy",
        ylabel=f"{value} of the target (low: faithful)",
        caption=f"Occlusion curves, patch {patch}: {value} of the target class as the regions "
        f"ranked highest by a map are blurred. {'; '.join(named)}. {show.BANDS}",
    )


def held_ranking(table: pd.DataFrame) -> Reduction:
    """The unsigned reduction where a table of occlusion holds it, else the signed one."""
    return "signed" if ranked_by(table, UNSIGNED).empty else UNSIGNED


@show.shows("greedy-occlusion")
def greedy_bound(study: Study) -> Plate:
    """What is left of the softmax under the best order that looks one region ahead."""
    best = study.table("greedy-occlusion")
    if best["image"].nunique() < 2:
        raise UndefinedStatisticError("one image has no mean with an interval")
    [patch] = best["patch"].unique()
    table = study.table("occlusion")
    reduction = held_ranking(table)
    rows = ranked_by(table, reduction)
    rows = rows[
        (rows["patch"] == patch)
        & rows["image"].isin(best["image"])
        & (rows["regions"] <= best["regions"].max())
        & rows["method"].isin((*FIGURE_METHODS, "noise"))
    ]
    both = pd.concat([rows, best.assign(method="greedy-order")], ignore_index=True)
    return show.curves(
        show.with_intervals(both, ("method", "regions"), "softmax").assign(
            panel=show.panel(study, "greedy-occlusion")
        ),
        "regions",
        xlabel=f"regions of {patch} × {patch} pixels replaced by their blurred copy",
        ylabel="softmax of the target (low: faithful)",
        caption="The greedy order tries every region that is left and takes the one that lowers "
        f"the softmax most; methods rank by the {REDUCTIONS[reduction]}. "
        f"{show.about(study, 'greedy-occlusion')}. Bands: 95 % bootstrap intervals over images.",
    )


@show.shows("randomization")
def range_sensitivity(study: Study) -> Styler:
    """Mean SSIM of each method for every choice of the range L."""
    table = study.table("randomization")
    names = {
        "ssim": "joint range",
        "ssim_robust": "99.9 % range",
        "ssim_L1": "L = 1",
        "ssim_L2": "L = 2",
    }
    means = pd.DataFrame(
        {shown: randomization_scores(table, name).mean() for name, shown in names.items()}
    )
    taus = orderings(table)
    means.loc["Kendall's τ with the joint range's order"] = [
        1.0,
        *(taus[name] for name in names if name != "ssim"),
    ]
    return show.display_table(
        means.rename_axis("method").reset_index(),
        f"Mean SSIM over the steps, for four ranges L. {show.about(study, 'randomization')}.",
    )


@show.shows("randomization")
def noise_against_methods(study: Study) -> Styler:
    """The noise control beside every method, on real attribution maps."""
    scores = randomization_scores(study.table("randomization"))
    rows = []
    for method in map(str, scores):
        pair = scores[list(dict.fromkeys((method, "noise")))].dropna()
        row = {"method": method} | show.bounds(show.shown_mean(pair[method]), "mean SSIM")
        if method != "noise":
            gap = show.shown_mean(pair[method] - pair["noise"])
            row |= {"minus noise": gap.estimate, "gap low": gap.low, "gap high": gap.high}
        rows.append(row)
    return show.display_table(
        pd.DataFrame(rows).sort_values("mean SSIM"),
        "Mean SSIM over the steps of top-down randomisation, lowest (best in that test) first. "
        f"{show.about(study, 'randomization')}; 95 % bootstrap intervals over images.",
    )
