"""Pages about what replaces a region in the occlusion test."""

from typing import Any

import pandas as pd
import torch
from pandas.io.formats.style import Styler

from sanitygap import show
from sanitygap.criteria.occlusion_choices import comparisons, scores_by_replacement, swaps
from sanitygap.faithfulness import REGIONS, occlusion_steps
from sanitygap.figures import Plate
from sanitygap.figures.methods import label
from sanitygap.figures.pictures import picture_row
from sanitygap.figures.rank_lines import rank_lines, ranked
from sanitygap.replacements import REPLACEMENTS, replaced
from sanitygap.runs import Study
from sanitygap.seeds import normal, stable_seed
from sanitygap.words import listed, plural

REPLACED, OUTLIERS = "occlusion-replacements", "outlier-images"

STATISTICS = {
    "feature distance": ("distance", "Mahalanobis distance of features\n(right: further out)"),
    "entropy": ("entropy", "softmax entropy in nats\n(right: less certain)"),
    "colour mean": ("color_mean", "change of a region's mean colour"),
    "colour variance": ("color_variance", "change of its colour variance"),
}


@show.shows()
def replacement_pictures(study: Study, photo: int = 0) -> Plate:
    """One photograph with 30 regions in random order replaced in each way."""
    model = study.model
    images = show.pictured_images(study)
    inputs = model.prepare([images.open(photo)])
    seed = stable_seed(study.settings.seed, images.keys[photo])
    order = occlusion_steps(normal(tuple(inputs.shape[2:]), [seed], inputs), 15)
    pictures, rows = {"unchanged": inputs}, []
    for name, make in REPLACEMENTS.items():
        pictures[name] = replaced(inputs, make(model, inputs, [seed]), order, REGIONS)
    for name, changed in pictures.items():
        with torch.no_grad():
            probability = model.module(changed).softmax(1)[0, model.predict(inputs)[0]]
        rows.append({"replacement": name, "softmax": float(probability)})
    return picture_row(
        {name: model.preprocessing.to_rgb(x)[0].cpu() for name, x in pictures.items()},
        [f"{row['softmax']:.2f}" for row in rows],
        f"“{images.names[photo]}” with {REGIONS} regions of 15 × 15 pixels, in random order, "
        "replaced in five ways; below each the probability of the class that "
        f"{study.settings.public()['model']} predicts for the photograph. One image: a picture, "
        "not a measurement.",
        pd.DataFrame(rows),
    )


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
