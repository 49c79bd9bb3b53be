"""Pages about the tests of Adebayo et al. (2018), and about the definitions of its appendix."""

import pandas as pd
from pandas.io.formats.style import Styler

from sanitygap import show
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
from sanitygap.words import plural

#: test accuracy that the appendix states for MNIST, in percent
STATED = {"CNN": CNN_ACCURACY, "MLP": MLP_ACCURACY}


ORDERS = {"bottom-up": "bottom-up (reverse)", "independent": "independent"}


SCORES = ["ssim", "ssim_gaussian", "spearman", "hog_pearson", "hog_spearman"]


def choice_label(order: str, weights: str, explained: str) -> str:
    """A choice in words, without what is as in the first one."""
    other = "class of the random network" if explained == "random" else ""
    return ", ".join(filter(None, [weights.replace("-", " "), ORDERS.get(order, ""), other]))


@show.shows("trained-networks")
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
    return show.display_table(
        rows,
        f"Networks of Appendix B, trained with Adam; {show.about(study, 'trained-networks')}. "
        "Brackets: 95 % Wilson intervals over test images.",
    )


def _both_scales(rows: pd.DataFrame, by: tuple[str, ...], before: str = "") -> pd.DataFrame:
    """Rank correlations of absolute and of signed maps, with intervals, a panel each."""
    parts = [
        show.with_intervals(
            rows_of(rows, maps=maps).dropna(subset=["spearman"]), by, {"spearman": before + words}
        )
        for maps, words in SCALES.items()
    ]
    return pd.concat(parts, ignore_index=True)


@show.shows("parameter-test-grey")
def cascade_plate(study: Study, network: str = "CNN") -> Plate:
    """Rank correlation over the cascade, absolute and signed (Fig. 12).

    Args:
        study: the run.
        network: ``CNN`` or ``MLP``.
    """
    name = "parameter-test-grey"
    table = one_test(study.table(name), network=network, **TOP_DOWN)
    numbers = _both_scales(table, ("method", "step", "stage"), f"{network}, ")
    return show.curves(
        numbers,
        "step",
        xlabel="random layers, from the logits downwards",
        ylabel="Spearman correlation\n(down: the map changes)",
        ticks=dict(zip(numbers["step"].astype(float), numbers["stage"], strict=True)),
        caption="Rank correlation of maps before and after cascading randomisation with a truncated"
        f" normal, trained on {table['data'].iloc[0]}. {table['image'].nunique()} test images, "
        f"{plural(table['seed'].nunique(), 'redraw')}, averaged first. {show.about(study, name)}. "
        f"{show.BANDS}",
    )


@show.shows()
def choice_plate(study: Study, table: str = "parameter-test") -> Plate:
    """Each choice that the test leaves open, with the whole network random.

    Args:
        study: the run.
        table: ``parameter-test``, on the run's model, or ``parameter-test-grey``, on the CNN.
    """
    show.require(study, table)
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
    return show.dots(
        numbers.rename(columns={"method": "row"}),
        caption="Rank correlation with the whole network random, for each choice. "
        f"{zero} of {len(ends)} comparisons have no value, because a map is zero everywhere. "
        f"{show.about(study, table)}. {show.BARS}",
        xlabels="Spearman correlation\n(left: the map changes)",
        lines=dict.fromkeys(SCALES.values(), 0.0),
        legend="choice",
    )


@show.shows("parameter-test-grey")
def independent_table(study: Study) -> Styler:
    """One layer random at a time: rank correlation of each method, from the output to the input."""
    name = "parameter-test-grey"
    rows = one_test(study.table(name), network="CNN", order="independent")
    wide = rows.pivot_table(
        index=["method", "maps"], columns=["step", "stage"], values="spearman", sort=False
    )
    wide.columns = wide.columns.get_level_values("stage")
    return show.display_table(
        wide.rename(SCALES, level="maps").reset_index(),
        "Mean Spearman correlation with one layer of the CNN random, from the output to the input. "
        f"{show.about(study, name)}.",
    )


@show.shows("parameter-test")
def metric_agreement(study: Study) -> Styler:
    """The five similarities beside each other, with the whole network random."""
    rows = rows_of(study.table("parameter-test"), **TOP_DOWN)
    rows = rows[rows["step"] == rows["step"].max()]
    means = rows.groupby(["method", "maps"], sort=False)[SCORES].mean()
    return show.display_table(
        means.rename(SCALES, level="maps").reset_index(),
        "Means of the similarities at the deepest step, truncated normal. ssim and hog_pearson are "
        "those of the appendix, ssim_gaussian and hog_spearman those of the authors' code. "
        f"{show.about(study, 'parameter-test')}.",
    )


@show.shows("data-randomization")
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
        show.with_intervals(rows_of(table, maps=maps).dropna(subset=[column]), by, {column: words})
        for words, (column, maps) in MEASURES.items()
    ]
    return _compared(
        frames,
        f"Similarity of the maps of the {network} trained on true labels to those of two others, "
        f"on {table['image'].nunique()} test images of {data}. {show.about(study, name)}. "
        f"{show.BARS}",
        "similarity\n(left: the maps differ)", 0.0, "compared with a network of",
    )  # fmt: skip


@show.shows("regression-surrogate")
def bone_age_plate(study: Study) -> Plate:
    """Fig. 7 in numbers, on a surrogate: trained and random regression networks."""
    name = "regression-surrogate"
    table = rows_of(study.table(name), maps="absolute")
    panels = {"spearman": "Spearman, absolute maps", "ssim": "SSIM, absolute maps"}
    frames = [
        show.with_intervals(table.dropna(subset=[column]), ("method", "compared"), {column: words})
        for column, words in panels.items()
    ]
    error, guess = table["error"].iloc[0], table["error_of_mean"].iloc[0]
    return _compared(
        frames,
        "Maps of a network that estimates the value of a digit, beside those of the same "
        f"network with all weights random. Mean absolute error {error:.2f}; always guessing the "
        f"mean gives {guess:.2f}. {show.about(study, name)}. {show.BARS[:-1]} "
        f"({table['image'].nunique()} digits, {table['seed'].nunique()} draws).",
        "similarity", 0.5, "compared",
    )  # fmt: skip


def _compared(
    frames: list[pd.DataFrame], caption: str, xlabel: str, line: float, legend: str
) -> Plate:
    """Similarities to other networks: columns ``method``, ``compared`` and ``panel``."""
    numbers = pd.concat(frames, ignore_index=True)
    return show.dots(
        numbers.rename(columns={"method": "row", "compared": "series"}),
        caption=caption, xlabels=xlabel, lines=dict.fromkeys(numbers["panel"], line), legend=legend,
    )  # fmt: skip


@show.shows("method-definitions")
def definition_table(study: Study, *claims: str) -> Styler:
    """The measured quantities behind some definitions of the appendix.

    Args:
        study: the run.
        claims: ids in the ledger.
    """
    table = study.table("method-definitions")
    rows = table[table["claim"].isin(claims)]
    if claims == ("adebayo-metrics",):
        rows = rows.groupby(["quantity", "subject"], sort=False)["value"].mean().reset_index()
    if claims == ("adebayo-def",):
        rows = rows_of(rows, quantity="channels")
    rows = rows.assign(value=rows["value"].map("{:.4g}".format))
    rows = rows.drop(columns="claim", errors="ignore")
    return show.display_table(rows, f"Measured; {show.about(study, 'method-definitions')}.")
