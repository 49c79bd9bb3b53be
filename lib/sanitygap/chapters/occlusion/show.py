"""Pages about occlusion curves (Binder et al. 2022, Fig. 1, App. 1) and about replacements."""

from typing import Any

import pandas as pd
from pandas.io.formats.style import Styler

from sanitygap import show
from sanitygap.chapters.occlusion.judge import comparisons, scores_by_replacement, swaps
from sanitygap.faithfulness import REGIONS
from sanitygap.figures.maps import rank_lines, ranked
from sanitygap.figures.methods import label
from sanitygap.figures.plate import Plate
from sanitygap.inference import UndefinedStatisticError
from sanitygap.judge import FIGURE_METHODS
from sanitygap.reductions import REDUCTIONS, Reduction
from sanitygap.runs import Study
from sanitygap.scores import UNSIGNED, ranked_by
from sanitygap.words import listed, plural


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


REPLACED, OUTLIERS = "occlusion-replacements", "outlier-images"

STATISTICS = {
    "feature distance": ("distance", "Mahalanobis distance of features\n(right: further out)"),
    "entropy": ("entropy", "softmax entropy in nats\n(right: less certain)"),
    "colour mean": ("color_mean", "change of a region's mean colour"),
    "colour variance": ("color_variance", "change of its colour variance"),
}


@show.shows(OUTLIERS)
def outlier_plate(study: Study) -> Plate:
    """How far replaced images are from ordinary ones, by four statistics."""
    table = study.table(OUTLIERS)
    titles = {column: title for title, (column, _) in STATISTICS.items()}
    numbers = show.with_intervals(table, ("replacement",), titles).assign(series="mean")
    return show.dots(
        numbers.rename(columns={"replacement": "row"}),
        caption=f"Images with {REGIONS} regions of 15 × 15 pixels replaced, in random order. "
        "Feature distance: to the centre of other, unchanged images, in the space of the features "
        "below the classifier, covariance after Ledoit and Wolf. Colours: RGB in 0 to 1, "
        f"averaged over the replaced regions. {show.about(study, OUTLIERS)}, "
        f"{plural(table['seed'].nunique(), 'random order')}. {show.BARS}",
        xlabels={panel: words for panel, (_, words) in STATISTICS.items()},
    )


@show.shows(REPLACED)
def replacement_ranks(study: Study, value: str = "softmax") -> Plate:
    """The order of the methods under occlusion for each replacement."""
    table = study.table(REPLACED)
    conditions = dict(scores_by_replacement(table, value))
    absolute = scores_by_replacement(table, value, "absolute")
    conditions |= {f"{name}, absolute maps": scores for name, scores in absolute.items()}
    every = sorted(table["regions"].unique())
    return rank_lines(
        ranked(conditions),
        ylabel="rank under occlusion (1 = most faithful)",
        caption=f"Ranks by the mean {value} after {listed(every)} replaced regions of "
        "15 × 15 pixels, for five replacements; on the right for regions ranked by the mean of "
        f"absolute values. {show.about(study, REPLACED)}.",
    )


@show.shows(REPLACED)
def replacement_swaps(study: Study, most: int = 10) -> Styler:
    """Pairs of methods whose order depends on the replacement, the clearest first."""
    turned = swaps(comparisons(scores_by_replacement(study.table(REPLACED))))
    beyond = int((turned["p"] < 0.05).sum())
    rows: list[dict[str, Any]] = [
        {
            "pair": f"{label(row['first'])} − {label(row['second'])}",
            "lower under": row["one"],
            "difference there": row["difference_one"],
            "higher under": row["other"],
            "difference here": row["difference_other"],
            "p (Holm)": row["p"],
        }
        for row in turned.head(most).to_dict("records")
    ]
    shown = pd.DataFrame(rows, columns=list(rows[0]) if rows else ["pair"])
    return show.display_table(
        shown,
        f"Orders of two methods that two replacements turn round: {len(turned)}, of which {beyond} "
        f"beyond chance on both sides (permutation tests over images, corrected over all pairs "
        f"and replacements); p is the larger of the two. {show.about(study, REPLACED)}.",
    )
