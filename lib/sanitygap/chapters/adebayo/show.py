"""Pages about the parameter test and the data test of Adebayo et al. (2018)."""

import pandas as pd
from pandas.io.formats.style import Styler

from sanitygap.adebayo_metrics import SCALES
from sanitygap.chapters.adebayo.judge import (
    CNN_ACCURACY,
    MEASURES,
    MLP_ACCURACY,
    TOP_DOWN,
    last,
    one_test,
)
from sanitygap.figures.plate import Plate
from sanitygap.inference import proportion_interval
from sanitygap.judge import rows_of
from sanitygap.runs import Study
from sanitygap.show import (
    BANDS,
    BARS,
    about,
    curves,
    display_table,
    dots,
    require,
    shows,
    with_intervals,
)
from sanitygap.words import plural

#: test accuracy that the appendix states for MNIST, in percent
STATED = {"CNN": CNN_ACCURACY, "MLP": MLP_ACCURACY}


ORDERS = {"bottom-up": "bottom-up (reverse)", "independent": "independent"}


SCORES = ["ssim", "ssim_gaussian", "spearman", "hog_pearson", "hog_spearman"]


def choice_label(order: str, weights: str, explained: str) -> str:
    """A choice in words, without what is as in the first one."""
    other = "class of the random network" if explained == "random" else ""
    return ", ".join(filter(None, [weights.replace("-", " "), ORDERS.get(order, ""), other]))


@shows("trained-networks")
def network_table(study: Study, purpose: str = "accuracy") -> Styler:
    """The networks of the appendix with their accuracy, beside what the appendix states.

    Args:
        study: the run.
        purpose: ``accuracy``, or ``labels`` for those that are compared by their labels.
    """
    rows = []
    for row in rows_of(study.table("trained-networks"), purpose=purpose).to_dict("records"):
        test = proportion_interval(int(row["test_right"]), int(row["test_images"]))
        stated = {"stated for MNIST": f"{STATED[str(row['network'])]} %"}
        rows.append(
            {
                "network": row["network"],
                "data": row["data"],
                "labels": row["labels"],
                "width": "as stated" if row["shrink"] == 1 else f"1/{row['shrink']}",
                "training images": row["train_images"],
                "epochs": row["epochs"],
                "training accuracy": f"{row['train_right'] / row['train_images']:.1%}",
                "test accuracy": f"{test.estimate:.1%} [{test.low:.1%}, {test.high:.1%}]",
            }
            | (stated if purpose == "accuracy" else {})
        )
    return display_table(
        rows,
        f"Networks of Appendix B, trained with Adam; {about(study, 'trained-networks')}. Brackets: "
        "95 % Wilson intervals over test images.",
    )


def _both_scales(rows: pd.DataFrame, by: tuple[str, ...], before: str = "") -> pd.DataFrame:
    """Rank correlations of absolute and of signed maps, with intervals, a panel each."""
    parts = [
        with_intervals(
            rows_of(rows, maps=maps).dropna(subset=["spearman"]), by, {"spearman": before + words}
        )
        for maps, words in SCALES.items()
    ]
    return pd.concat(parts, ignore_index=True)


@shows("parameter-test-grey")
def cascade_plate(study: Study, network: str = "CNN") -> Plate:
    """Rank correlation over the cascade, absolute and signed (Fig. 12).

    Args:
        study: the run.
        network: ``CNN`` or ``MLP``.
    """
    name = "parameter-test-grey"
    table = one_test(study.table(name), network=network, **TOP_DOWN)
    numbers = _both_scales(table, ("method", "step", "stage"), f"{network}, ")
    return curves(
        numbers,
        "step",
        xlabel="random layers, from the logits downwards",
        ylabel="Spearman correlation\n(down: the map changes)",
        ticks=dict(zip(numbers["step"].astype(float), numbers["stage"], strict=True)),
        caption="Rank correlation of maps before and after cascading randomisation with a truncated"
        f" normal, trained on {table['data'].iloc[0]}. {table['image'].nunique()} test images, "
        f"{plural(table['seed'].nunique(), 'redraw')}, averaged first. {about(study, name)}. "
        f"{BANDS}",
    )


@shows()
def choice_plate(study: Study, table: str = "parameter-test") -> Plate:
    """Each choice that the test leaves open, with the whole network random.

    Args:
        study: the run.
        table: ``parameter-test``, on the run's model, or ``parameter-test-grey``, on the CNN.
    """
    require(study, table)
    rows = study.table(table)
    if "network" in rows:
        rows = one_test(rows_of(rows, network="CNN"))
    rows = rows[rows["order"] != "independent"]
    ends = last(rows)
    ends = rows if ends.empty else ends
    choice = ["order", "weights", "explained"]
    numbers = _both_scales(ends, ("method", *choice))
    numbers["series"] = [choice_label(*row) for row in numbers[choice].to_numpy()]
    zero = int(ends["spearman"].isna().sum())
    return dots(
        numbers.rename(columns={"method": "row"}),
        caption="Rank correlation with the whole network random, for each choice. "
        f"{zero} of {len(ends)} comparisons have no value, because a map is zero everywhere. "
        f"{about(study, table)}. {BARS}",
        xlabels="Spearman correlation\n(left: the map changes)",
        lines=dict.fromkeys(SCALES.values(), 0.0),
        legend="choice",
    )


@shows("parameter-test-grey")
def independent_table(study: Study) -> Styler:
    """One layer random at a time: rank correlation of each method, from the output to the input."""
    name = "parameter-test-grey"
    rows = one_test(study.table(name), network="CNN", order="independent")
    wide = rows.pivot_table(
        index=["method", "maps"], columns=["step", "stage"], values="spearman", sort=False
    )
    wide.columns = wide.columns.get_level_values("stage")
    return display_table(
        wide.rename(SCALES, level="maps").reset_index(),
        "Mean Spearman correlation with one layer of the CNN random, from the output to the input. "
        f"{about(study, name)}.",
    )


@shows("parameter-test")
def metric_agreement(study: Study) -> Styler:
    """The five similarities beside each other, with the whole network random."""
    rows = rows_of(study.table("parameter-test"), **TOP_DOWN)
    rows = rows[rows["step"] == rows["step"].max()]
    means = rows.groupby(["method", "maps"], sort=False)[SCORES].mean()
    return display_table(
        means.rename(SCALES, level="maps").reset_index(),
        "Means of the similarities at the deepest step, truncated normal. ssim and hog_pearson are "
        "those of the appendix, ssim_gaussian and hog_spearman those of the authors' code. "
        f"{about(study, 'parameter-test')}.",
    )


@shows("data-randomization")
def label_plate(study: Study, network: str = "CNN") -> Plate:
    """Similarity of maps: to a network with random labels, and to another one with true labels.

    Args:
        study: the run.
        network: ``CNN`` or ``MLP``.
    """
    name = "data-randomization"
    table = rows_of(study.table(name), network=network)
    data, by = table["data"].iloc[0], ("method", "compared")
    table = rows_of(table, data=data)
    frames = [
        with_intervals(rows_of(table, maps=maps).dropna(subset=[column]), by, {column: words})
        for words, (column, maps) in MEASURES.items()
    ]
    return _compared(
        pd.concat(frames, ignore_index=True),
        f"Similarity of the maps of the {network} trained on true labels to those of two others, "
        f"on {table['image'].nunique()} test images of {data}. {about(study, name)}. {BARS}",
        "similarity\n(left: the maps differ)", 0.0, "compared with a network of",
    )  # fmt: skip


@shows("regression-surrogate")
def bone_age_plate(study: Study) -> Plate:
    """Fig. 7 in numbers, on a surrogate: trained and random regression networks."""
    name = "regression-surrogate"
    table = rows_of(study.table(name), maps="absolute")
    panels = {"spearman": "Spearman, absolute maps", "ssim": "SSIM, absolute maps"}
    frames = [
        with_intervals(table.dropna(subset=[column]), ("method", "compared"), {column: words})
        for column, words in panels.items()
    ]
    error, guess = table["error"].iloc[0], table["error_of_mean"].iloc[0]
    return _compared(
        pd.concat(frames, ignore_index=True),
        "Maps of a network that estimates the value of a digit, beside those of the same "
        f"network with all weights random. Mean absolute error {error:.2f}; always guessing the "
        f"mean gives {guess:.2f}. {about(study, name)}. {BARS[:-1]} "
        f"({table['image'].nunique()} digits, {table['seed'].nunique()} draws).",
        "similarity", 0.5, "compared",
    )  # fmt: skip


def _compared(numbers: pd.DataFrame, caption: str, xlabel: str, line: float, legend: str) -> Plate:
    """Similarities to other networks: columns ``method``, ``compared`` and ``panel``."""
    return dots(
        numbers.rename(columns={"method": "row", "compared": "series"}),
        caption=caption,
        xlabels=xlabel,
        lines=dict.fromkeys(numbers["panel"], line),
        legend=legend,
    )
