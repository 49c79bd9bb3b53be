"""Pages about the randomisation test, its free choices, and maps that know nothing of the model."""

from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

from sanitygap import show
from sanitygap.adebayo_metrics import SCALES
from sanitygap.chapters.randomization.judge import calibrated, excess, rank_changes, scores_by_task
from sanitygap.chapters.randomization.measure import DRAWS
from sanitygap.figures.maps import rank_lines, ranked
from sanitygap.figures.methods import label
from sanitygap.figures.plate import Plate
from sanitygap.judge import CONTROLS, FIGURE_METHODS, rows_of
from sanitygap.pages import side_by_side
from sanitygap.runs import Study
from sanitygap.scores import complete, occlusion_scores, randomization_scores

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
    numbers = show.by_run(
        studies,
        "randomization",
        lambda table: rows_of(table, sign=sign, order="top-down"),
        ("method", "step", "steps", "stage"),
        similarity,
    )
    alone = len(studies) == 1
    ticks = dict(zip(numbers["depth"], numbers["stage"], strict=True)) if alone else None
    return show.curves(
        numbers,
        "depth",
        xlabel="stage reached from the top" if alone else "stages redrawn, % of all",
        ylabel=SIMILARITY_LABELS[similarity],
        ticks=ticks,
        caption=f"Top-down randomisation, {sign} maps: {SIMILARITY_LABELS[similarity]} against "
        f"depth. {show.about_all(studies, 'randomization', 'Bands')}",
    )


def seed_numbers(own: pd.DataFrame, others: pd.DataFrame) -> pd.DataFrame:
    """Mean SSIM of each method under each draw, on the images and steps that all draws have.

    Args:
        own: the table ``randomization``.
        others: the table ``randomization-seeds``.

    Returns:
        One row a method and seed: ``method``, ``seed``, ``ssim``, and ``mean``, ``low``, ``high``,
        ``n`` over images with seeds averaged first. Images with an all-zero map under a method in
        any draw are left out for that method.
    """
    shared = {name: set(own[name]) & set(others[name]) for name in ("image", "stage", "method")}
    both = pd.concat([own, others], ignore_index=True)
    for name, values in shared.items():
        both = both[both[name].isin(values)]
    draws = {seed: randomization_scores(rows) for seed, rows in both.groupby("seed")}
    rows = []
    for method in next(iter(draws.values())):
        scores = pd.DataFrame({seed: table[method] for seed, table in draws.items()}).dropna()
        mean = show.interval(scores.mean(axis=1))
        rows += [
            {"method": method, "seed": seed, "ssim": float(scores[seed].mean())} | mean
            for seed in scores
        ]
    return pd.DataFrame(rows)


@show.shows("randomization", "randomization-seeds")
def seed_plate(study: Study) -> Plate:
    """Mean SSIM of each method under several draws of the random weights."""
    numbers = seed_numbers(study.table("randomization"), study.table("randomization-seeds"))
    ordered = numbers.sort_values("mean", kind="stable")
    sentences = [
        f"{label(str(method))}: draws from {rows['ssim'].min():.3f} to {rows['ssim'].max():.3f}, "
        f"interval over images {rows['low'].iloc[0]:.3f} to {rows['high'].iloc[0]:.3f}"
        for method, rows in ordered.groupby("method", sort=False)
    ]
    seeds = sorted(numbers["seed"].unique())
    plate = show.dots(
        ordered.rename(columns={"low": "null_low", "high": "null_high"}).drop(columns="mean"),
        caption=f"Mean SSIM over {study.table('randomization-seeds')['stage'].nunique()} steps of "
        "top-down randomisation, one mark for each draw of the weights (seeds "
        f"{', '.join(map(str, seeds))}). {show.about(study, 'randomization-seeds')}. Grey bars: "
        "95 % bootstrap intervals over images, draws averaged first.",
        row="method", series="seed", value="ssim", legend="seed", null="interval over images",
        xlabels="mean SSIM after randomisation (left: passes the sanity check)",
    )  # fmt: skip
    alt = f"Marks for {len(seeds)} draws of the weights. {'; '.join(sentences)}."
    return replace(plate, alt=alt, numbers=numbers)


def step_counts(study: Study) -> Styler:
    """Steps of the papers' networks: stated, and counted in torchvision's networks."""
    rows = study.table("step-counts")
    papers = {"binder-2022": "Binder et al.", "sriram-conati-2022": "Sriram & Conati"}
    shown = rows.assign(
        left_trained=100 * rows["left_trained"], paper=rows["paper"].replace(papers)
    ).rename(columns={"left_trained": "left trained, % of parameters"})
    return show.display_table(
        shown,
        "What a step of the papers goes by, how many there are by the paper and in torchvision's "
        "networks, how many randomised models that makes, and what none of them redraws.",
    )


def initializations(study: Study) -> Styler:
    """Mean SSIM of each method under each way to redraw that the paper's words allow."""
    rows = study.table("initializations")
    rows = rows[rows["sign"] == "signed"]
    means = show.with_intervals(rows, ("method", "weights", "norms"), "ssim")
    means["way"] = means["weights"] + ", normalisation " + means["norms"]
    means["ssim"] = [
        f"{row.mean:.3f} [{row.low:.3f}, {row.high:.3f}]" for row in means.itertuples()
    ]
    return show.display_table(
        side_by_side(means, "method", "way", "ssim"),
        f"Mean SSIM over {rows['stage'].nunique()} steps of top-down randomisation, 95 % bootstrap "
        f"intervals over images. {show.about(study, 'initializations')}.",
    )


def configuration(study: Study) -> Styler:
    """What the paper leaves open about its set-up, as measured in this run."""
    rows = study.table("configurations")
    first = rows.iloc[0]
    open_fields = {
        "fan": "fan",
        "biases, largest magnitude": "biases",
        "normalisation, scale and shift": "norm_affine",
        "normalisation, running statistics": "norm_statistics",
    }
    weights, images = first["weights_sha256"][:12], first["images_sha256"][:12]
    fields = [
        ("trained weights", "published, without a version", f"SHA-256 {weights}"),
        ("images", "the first 1000 of ImageNet's validation set",
         f"{first['n_images']}, SHA-256 {images}"),
        ("distribution", "He et al. (2015)", _all(rows["distribution"])),
        *((field, "not stated", _all(rows[column])) for field, column in open_fields.items()),
    ]  # fmt: skip
    return show.display_table(
        pd.DataFrame(fields, columns=["field", "paper", "this run"]),
        "The set-up by the paper's App. A.1 and in this run, measured on the redrawn weights; "
        f"several entries are the ways that are compared. {show.about(study, 'configurations')}.",
    )


def _all(values: pd.Series) -> str:
    return " / ".join(show.distinct(f"{v:g}" if isinstance(v, float) else str(v) for v in values))


TASKS = "task-dependence"

SIMILARITIES = {
    "spearman": "rank correlation",
    "ssim": "SSIM, L = joint range",
    "ssim_L1": "SSIM, L = 1",
}


@show.shows("randomization")
def sign_plate(study: Study) -> Plate:
    """Similarity of absolute maps minus that of signed maps, as the network is redrawn."""
    table = study.table("randomization")
    table = table[(table["order"] == "top-down") & ~table["method"].isin(CONTROLS)]
    by_step = dict(list(table.groupby(["method", "step"])))
    methods, steps = dict.fromkeys(table["method"]), sorted(table["step"].unique())
    rows = [
        {"panel": words, "method": method, "step": step}
        | show.columns(show.or_nan(excess, by_step[method, step], method, step, value))
        for (value, words), method, step in product(SIMILARITIES.items(), methods, steps)
    ]
    return show.curves(
        pd.DataFrame(rows),
        "step",
        xlabel="stages redrawn from the top",
        ylabel="similarity of absolute − of signed maps",
        caption="Top-down randomisation: how much more similar absolute maps stay than signed "
        f"ones. {show.about(study, 'randomization')}. Bands: 95 % bootstrap intervals of the "
        "paired difference over images.",
    )


@show.shows("randomization", "occlusion")
def sign_agreement(study: Study) -> Styler:
    """Kendall's tau between the occlusion ranking and randomisation rankings, by sign."""
    occluded = occlusion_scores(study.table("occlusion"))
    rows = []
    for value, words in SIMILARITIES.items():
        for sign in ("signed", "absolute"):
            random = randomization_scores(study.table("randomization"), value, sign)
            first, second = complete(
                *(table[[m for m in FIGURE_METHODS if m in table]] for table in (random, occluded))
            )
            tau = show.columns(show.shown_agreement(first, second), "Kendall's τ")
            rows.append({"similarity": words, "maps": sign} | tau)
    return show.display_table(
        rows,
        "Agreement of the randomisation ranking with the occlusion ranking of the methods that "
        "the paper's figures name, 95 % bootstrap intervals over images; above 0 the tests agree. "
        f"{show.about(study, 'randomization')}.",
    )


@show.shows(TASKS)
def task_plate(study: Study) -> Plate:
    """The order of the methods under randomisation on each task."""
    table = study.table(TASKS)
    accuracy = table.groupby("task", sort=False)["accuracy"].mean()
    listed = ", ".join(f"{task} {share:.0%}" for task, share in accuracy.items())
    return rank_lines(
        ranked(scores_by_task(table)),
        ylabel="rank by mean SSIM\n(1 = passes best)",
        caption="Rank of each method by its mean SSIM over the four steps of top-down "
        f"randomisation of a small network, signed maps. {table['network'].nunique()} networks a "
        f"task, {table['image'].nunique() // table['task'].nunique()} test images each. Test "
        f"accuracy: {listed}. Seed {study.settings.seed}.",
    )


@show.shows(TASKS)
def task_changes(study: Study, most: int = 8) -> Styler:
    """The largest changes of rank between two tasks, and how many networks share them."""
    table = study.table(TASKS)
    changes = rank_changes(scores_by_task(table))
    sizes = changes["change"].map(lambda change: abs(change.estimate))
    ranks = _ranks_by_network(table)
    rows = []
    for index in sizes.sort_values(ascending=False, kind="stable").index[:most]:
        row = changes.loc[index]
        moves = ranks[row["other"], row["method"]] - ranks[row["one"], row["method"]]
        same = int((moves * row["change"].estimate > 0).sum())
        rows.append(
            {
                "method": row["method"],
                "from": f"{row['one']} ({row['rank_one']:.0f})",
                "to": f"{row['other']} ({row['rank_other']:.0f})",
                "change": f"{row['change'].estimate:+.0f}",
                "interval": f"[{row['change'].low:+.0f}, {row['change'].high:+.0f}]",
                "networks that move the same way": f"{same} of {len(moves)}",
            }
        )
    return show.display_table(
        rows,
        "Changes of rank between tasks, the largest first. Intervals: bootstrap over test images, "
        "95 % together for all methods and pairs of tasks.",
    )


def _ranks_by_network(table: pd.DataFrame) -> pd.DataFrame:
    """Networks x (task, method): rank by mean SSIM of signed maps, network by network."""
    means = (
        table[table["sign"] == "signed"]
        .groupby(["network", "task", "method"], sort=False)["ssim"]
        .mean()
    )
    ranks = means.groupby(["network", "task"], sort=False).rank()
    return ranks.unstack(["task", "method"])


MPRT = "mprt-variants"

PANELS = {
    "book": "this book: SSIM, signed",
    "image_ssim": "SSIM, absolute",
    "flat_ssim": "SSIM of one row",
    "spearman": "MPRT: Spearman",
    "smooth": "smooth MPRT: Spearman",
}


@show.shows(MPRT)
def neighbour_plate(study: Study) -> Plate:
    """The scores of this book and of its neighbours for the same methods."""
    table = study.table(MPRT)
    random = table[table["layers"] > 0]
    frames = []
    for value, title in PANELS.items():
        draw = DRAWS[0] if value == "book" else "smooth" if value == "smooth" else DRAWS[1]
        column = "spearman" if value == "smooth" else value
        part = show.with_intervals(random[random["draw"] == draw], ("method",), column)
        frames.append(part.assign(panel=title, series="score", row=part["method"]))
    count = random["layers"].nunique()
    return show.dots(
        pd.concat(frames, ignore_index=True),
        caption=f"Mean similarity over {count} networks whose layers are random from the top. "
        "First panel: weights drawn as in this book. Others: the layers' own initialisers, one "
        "seed for all layers, as in the peer. Smooth: mean map of noisy copies of the image. "
        f"{show.about(study, MPRT, 'Bars')}",
        xlabels="similarity (down: passes)",
    )


def _mean(rows: pd.DataFrame, value: str) -> float:
    return float(rows.groupby("image")[value].mean().mean())


@show.shows(MPRT)
def disagreement_table(study: Study) -> Styler:
    """Each difference between this book's numbers and the peer's, switched on alone."""
    table = study.table(MPRT)
    rows = []
    for method in show.distinct(table["method"]):
        own = table[table["method"] == method]
        ours, theirs = own[own["draw"] == DRAWS[0]], own[own["draw"] == DRAWS[1]]
        random, redrawn = ours[ours["layers"] > 0], theirs[theirs["layers"] > 0]
        rows.append(
            {
                "method": method,
                "flattening: SSIM": _mean(random, "image_ssim"),
                "of one row": _mean(random, "flat_ssim"),
                "averaging: without the original": _mean(redrawn, "spearman"),
                "with it": _mean(theirs, "spearman"),
                "seeds: one a layer": _mean(random, "spearman"),
                "one for all": _mean(redrawn, "spearman"),
                "sign: absolute": _mean(random, "spearman"),
                "signed": _mean(random, "spearman_signed"),
            }
        )
    doubles = float(table["doubles"].iloc[0])
    return show.display_table(
        rows,
        "Means over the same maps, two columns for each difference. Flattening: windows of 7 x 7 "
        "or 7 x 1, absolute maps. Averaging: Spearman with or without the 1.0 of the trained "
        "network. Seeds: He-normal weights with a seed for each layer, or the layers' own "
        f"initialisers with one seed; {doubles:.0%} of the weight tensors here have the shape of "
        f"an earlier one, and so its numbers. {show.about(study, MPRT)}.",
    )


@show.shows(MPRT)
def efficient_table(study: Study) -> Styler:
    """Efficient MPRT: rise of the complexity from the trained to the random network."""
    table = study.table(MPRT)
    last = table[table["layers"] == table["layers"].max()]
    plain = last[last["draw"] == DRAWS[1]]
    rows = []
    for method, part in plain.groupby("method", sort=False):
        values = part.groupby("image")["rise"].mean().dropna()
        rows.append(
            {"method": method}
            | show.bounds(show.shown_mean(values), "rise")
            | {"rise": float(values.mean()), "MPRT, last layer": _mean(part, "spearman")}
        )
    frame = pd.DataFrame(rows).sort_values("rise", ascending=False, ignore_index=True)
    return show.display_table(
        frame,
        "Relative rise of the entropy of a map's histogram (100 bins) once all layers are random: "
        "efficient MPRT asks for a high rise and compares no maps. 95 % bootstrap intervals over "
        f"images. {show.about(study, MPRT)}.",
    )


CALIBRATION, NULLS = "metric-calibration", "smooth-nulls"
RANDOM_GRADIENT, EDGES = "random-gradient", "edge-input"

#: column of both tables of controls -> its words
CONTROL_SIMILARITIES = {
    "spearman": "Spearman correlation",
    "hog_pearson": "HOG correlation",
    "ssim": "SSIM",
}


@show.shows(CALIBRATION)
def calibration_table(study: Study) -> Styler:
    """Every printed number of the calibration beside its simulated distribution."""
    found = calibrated(study.table(CALIBRATION))
    for column, form in (
        ("value", "+.5f"),
        ("mean", "+.5f"),
        ("deviation", ".5f"),
        ("errors", ".1f"),
    ):
        found[column] = [format(value, form) for value in found[column]]
    heads = {
        "subject": "pair", "quantity": "similarity", "value": "printed", "mean": "simulated mean",
        "deviation": "standard deviation of a pair", "errors": "distance / standard errors of 50",
        "pairs": "pairs here",
    }  # fmt: skip
    sides = ", ".join(map(str, sorted(set(study.table(CALIBRATION)["side"]))))
    return show.display_table(
        found[list(heads)].rename(columns=heads),
        "Printed calibration and simulation. The standard error of a mean of 50 pairs is the "
        "standard deviation of a pair over √50. Rows of attribution methods: map against Gaussian "
        f"mask. Sides of the maps: {sides} pixels. {show.about(study, CALIBRATION)}.",
    )


@show.shows(NULLS)
def null_table(study: Study) -> Styler:
    """How wide the null distribution of Spearman's correlation is for smooth maps."""
    table = study.table(NULLS)
    root = np.sqrt(table["pixels"])
    table = table.assign(
        ratio=table["deviation"] / table["independent"],
        by_length=table["deviation"] / (table["length"] / root),
    )
    heads = {
        "source": "source", "smoothing": "filter or block / pixels", "length": "correlation length",
        "deviation": "standard deviation", "independent": "1/√(n−1)", "ratio": "their ratio",
        "by_length": "over length/√n",
    }  # fmt: skip
    by = ["source", "smoothing"]
    shown = table[list(heads)].groupby(by, sort=False).mean().reset_index()
    shown["source"] = [label(str(source)) for source in shown["source"]]
    return show.display_table(
        shown.rename(columns=heads),
        "Standard deviation of Spearman's correlation between maps without any relation: simulated "
        "noise after a Gaussian filter, and maps against themselves in shuffled blocks. "
        f"{show.about(study, NULLS)}.",
    )


def _similarities(table: pd.DataFrame, by: tuple[str, str]) -> pd.DataFrame:
    """Means of the similarities that a table has, without those that are undefined throughout."""
    held = {
        name: words for name, words in CONTROL_SIMILARITIES.items() if table[name].notna().any()
    }
    return show.with_intervals(table, by, held).dropna(subset="mean")


@show.shows(RANDOM_GRADIENT)
def random_gradient_plate(study: Study) -> Plate:
    """Input times a random gradient, beside another one, the input, and gradient x input."""
    table = study.table(RANDOM_GRADIENT)
    numbers = _similarities(table, ("second", "maps"))
    numbers["maps"] = numbers["maps"].map(SCALES)
    return show.dots(
        numbers.rename(columns={"second": "row", "maps": "series"}),
        caption="Input times a random gradient, compared with three other maps. Overlap of its "
        f"strongest pixels with edges: {table['overlap'].mean():.2f}, by chance "
        f"{table['edges'].mean():.2f}. {show.about(study, RANDOM_GRADIENT)}, "
        f"{table['seed'].nunique()} random gradients an image. {show.BARS}",
        xlabels="similarity",
        lines=dict.fromkeys(CONTROL_SIMILARITIES.values(), 0.0),
        legend="scaling",
    )


@show.shows(EDGES)
def edge_plate(study: Study) -> Plate:
    """Maps of images beside maps of their edges, and beside the edges themselves."""
    table = rows_of(study.table(EDGES), maps="absolute")
    return show.dots(
        _similarities(table, ("method", "second")).rename(
            columns={"method": "row", "second": "series"}
        ),
        caption="Absolute maps of images, compared with those of the same images with all but "
        f"their edges set to zero ({table['edges'].mean():.0%} of the pixels are kept), and with "
        f"the edges themselves. {show.about(study, EDGES, 'Bars')}",
        xlabels="similarity\n(right: alike)",
        lines=dict.fromkeys(CONTROL_SIMILARITIES.values(), 0.0),
        legend="compared with the",
    )
