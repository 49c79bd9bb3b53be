"""Pages about the extended test of Sriram and Conati (2022), and about what tests can tell."""

import math

import numpy as np
import pandas as pd
import seaborn as sns
from pandas.io.formats.style import Styler

from sanitygap import show
from sanitygap.chapters.sriram.definitions import (
    BANDS,
    LEVEL,
    METHODS,
    THRESHOLD,
    criteria,
    image_sensitivities,
    layer_sensitivity,
    layer_table,
    perceived,
)
from sanitygap.chapters.sriram.judge import (
    IMAGES,
    WEEK,
    retest_sensitivity,
    seconds_of,
    sizes_of,
)
from sanitygap.chapters.sriram.judge_limits import by_reference
from sanitygap.chapters.sriram.printed import correlations, dunn, overall
from sanitygap.figures.methods import label, label_ends
from sanitygap.figures.plate import Plate
from sanitygap.inference import Interval, bootstrap_mean
from sanitygap.models.stages import LAYERS
from sanitygap.runs import Study
from sanitygap.words import plural

IPR, CHANGES = "ipr-test", "small-changes"

#: ways to compare two maps that the paper's words leave open
CONVENTIONS = ("ssim", "ssim_robust", "ssim_L1", "ssim_L2")

#: zero has no logarithm
LEAST = 1e-7


def _interval(values: pd.Series) -> Interval:
    kept = values.dropna()
    if len(kept) > 1:
        return bootstrap_mean(kept, LEVEL)
    only = float(kept.mean()) if len(kept) else math.nan
    return Interval(only, only, only, len(kept), LEVEL)


def _layers(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Method -> its SSIM, images x layers."""
    return {name: layer_table(table, name) for name in show.distinct(table["method"])}


def _criteria(ssim: pd.DataFrame) -> dict[str, float]:
    """:func:`criteria` over images that have a similarity in every layer; NaN if there are none."""
    whole = ssim.dropna()
    names = ("S", "meets", "least_layer", "insensitive")
    return criteria(whole) if len(whole) else dict.fromkeys(names, math.nan)


@show.shows_several()
def sensitivity_plate(studies: list[Study], table: str = IPR) -> Plate:
    """S^I of every method with its interval, and the share of images that meet Definition 2."""
    holders = [study for study in studies if show.holds(study, table)]
    if not holders:
        show.require(studies[0], table)
    rows, words = [], []
    for study in holders:
        held = study.table(table)
        scores = image_sensitivities(held)
        for name, ssim in _layers(held).items():
            mean, share = _interval(scores[name]), _criteria(ssim)["meets"]
            place = {"row": name, "series": show.panel(study, table)}
            for title, values in (
                ("$S^I$", mean), ("Definition 2", Interval(share, share, share, mean.n)),
            ):  # fmt: skip
                rows.append(place | {"panel": title} | show.columns(values))
        stages = f"{held['stage'].nunique()} of {int(held['steps'].iloc[0])} layers"
        words.append(f"{show.about(study, table)}, {stages}")
    return show.dots(
        pd.DataFrame(rows),
        caption="Sensitivity $S^I$, one minus the mean SSIM over layers that are redrawn one at a "
        "time, and the share of images for which every layer changes the map (Definition 2). "
        f"Line: the threshold of {THRESHOLD:g}. {'; '.join(words)}. Bars: 90 % bootstrap intervals "
        "over images. Signed maps, second-moment normalisation, windows of 7, L = joint range.",
        xlabels={
            "$S^I$": "$S^I$ (right: more sensitive)",
            "Definition 2": "share of images sensitive to every layer",
        },
        lines={"$S^I$": THRESHOLD},
        legend="network" if len(holders) > 1 else None,
    )


@show.shows(IPR)
def layer_sensitivities(study: Study) -> Plate:
    """Mean S of each method and layer, as a table of shades."""
    means = {name: layer_sensitivity(s).mean() for name, s in _layers(study.table(IPR)).items()}
    numbers = pd.concat(means, names=["method", "stage"]).reset_index(name="sensitivity")
    layers = show.distinct(numbers["stage"])
    grid = numbers.pivot(index="method", columns="stage", values="sensitivity")
    grid = grid.loc[list(means), layers]
    size = (min(9.4, 4.2 + 0.55 * len(layers)), 1.6 + 0.34 * len(grid))
    figure, (axis,) = show.panel_axes(1, 1, size)
    sns.heatmap(
        grid, ax=axis, cmap="viridis", vmin=0, vmax=max(1.0, float(grid.max().max())),
        annot=len(layers) <= 12, fmt=".2f", annot_kws={"size": 7}, linewidths=0.4,
        cbar_kws={"label": "mean S"},
    )  # fmt: skip
    axis.set_yticklabels(map(label, means), rotation=0)
    axis.set(xlabel="redrawn layer, from the output to the input", ylabel="")
    axis.tick_params(axis="x", rotation=60)
    sentences = [
        f"{label(str(name))}: {row.min():.2f} ({row.idxmin()}) to {row.max():.2f} ({row.idxmax()})."
        for name, row in grid.iterrows()
        if row.notna().any()
    ]
    return Plate(
        figure,
        f"Mean S of {len(grid)} methods for {len(layers)} layers. {' '.join(sentences)}",
        f"Mean S over images, layer by layer. {show.about(study, IPR)}. Signed maps, second-moment "
        "normalisation, L = joint range; images without a similarity are left out.",
        numbers,
    )


def criterion_table(study: Study) -> Styler:
    """S^I beside what it hides: layers and images that are not sensitive."""
    words = {
        "S": "$S^I$",
        "meets": "images that meet Definition 2",
        "least_layer": "least sensitive layer, mean S",
        "insensitive": "insensitive pairs of image and layer",
    }
    layers = _layers(study.table(IPR))
    table = pd.DataFrame({name: _criteria(ssim) for name, ssim in layers.items()}).T
    without = pd.Series({name: int(s.isna().any(axis=1).sum()) for name, s in layers.items()})
    table = table.rename(columns=words).assign(images=[len(s) for s in layers.values()] - without)
    return show.display_table(
        table.assign(**{"without similarity": without}).reset_index(names="method"),
        f"What the mean $S^I$ says and what it hides, threshold SSIM 0.99. "
        f"{show.about(study, IPR)}.",
    )


def band_table(study: Study) -> Styler:
    """How similar the maps would be perceived, by the paper's Table 1."""
    shares = {
        name: ssim.stack().dropna().map(perceived).value_counts(normalize=True)
        for name, ssim in _layers(study.table(IPR)).items()
    }
    table = pd.DataFrame(shares).T.reindex(columns=list(BANDS)).fillna(0.0)
    return show.display_table(
        table.reset_index(names="method"),
        "Share of the pairs of image and layer in each class of perceived similarity (Table 1 of "
        f"the paper, made for photographs). {show.about(study, IPR)}.",
    )


def convention_table(study: Study) -> Styler:
    """S^I under the choices that the paper leaves open, and the order of the seven methods."""
    table = study.table(IPR)
    wide = pd.DataFrame(
        {
            f"{sign}, {value}": image_sensitivities(table, None, value, sign).mean()
            for sign in ("signed", "absolute")
            for value in CONVENTIONS
        }
    )
    taus = wide.loc[wide.index.isin(METHODS)].corr(method="kendall").iloc[0, 1:]
    return show.display_table(
        wide.rename_axis("method").reset_index(),
        "$S^I$ by sign of the maps and range L of the SSIM (joint range of the pair, of its "
        "central 99.9 %, 1, 2). Kendall's tau with the first column, over the paper's methods: "
        + ", ".join(f"{name} {value:+.2f}" for name, value in taus.items())
        + f". {show.about(study, IPR)}.",
    )


def method_differences(study: Study) -> Styler:
    """Kruskal-Wallis and Dunn, as the paper's references suggest, beside a paired test."""
    scores = image_sensitivities(study.table(IPR), METHODS).dropna()
    if len(scores) < 2:
        return show.display_table([{"images": len(scores)}], "Too few images to compare methods.")
    p = overall(scores)
    return show.display_table(
        dunn(scores.rename(columns=label)).rename(columns={"p_holm": "p (Holm)"}),
        f"Dunn's pairwise comparisons of $S^i$ ({len(scores)} images). All methods alike: "
        f"Kruskal-Wallis p = {p['kruskal']:.2g}, which takes them for different images; "
        f"Friedman, for the same images, p = {p['friedman']:.2g}. {show.about(study, IPR)}.",
    )


def image_correlations(study: Study) -> Styler:
    """Tables 2 and 3 over images instead of architectures: correlations of S^i."""
    scores = image_sensitivities(study.table(IPR), METHODS).dropna().rename(columns=label)
    if len(scores) < 4:
        words = "Too few images for correlations over them."
        return show.display_table([{"images": len(scores)}], words)
    grid = pd.DataFrame("1", index=scores.columns.rename("method"), columns=scores.columns)
    for (first, second), value in correlations(scores, "spearman").items():
        grid.loc[first, second] = value
    for (first, second), value in correlations(scores, "pearson").items():
        grid.loc[second, first] = value
    return show.display_table(
        grid.reset_index(),
        "Correlation of $S^i$ over images: Spearman above the diagonal, Pearson below. Marks: * p "
        "≤ 0.05, ** p ≤ 0.01, *** p ≤ 0.001, each after Holm's correction over the pairs. "
        f"n = {len(scores)} images. {show.about(study, IPR)}.",
    )


def printed_marks(study: Study) -> Styler:
    """Printed correlations over five architectures, and the marks that they deserve."""
    rows = study.table("printed-correlations")
    rows = rows[(rows["mark"] != "ns") | (rows["mark_t"] != "ns")]
    words = {
        "table": "table", "pair": "pair", "printed": "printed", "mark": "mark", "p_t": "p, t",
        "mark_t": "its mark", "p_exact": "p, exact", "mark_exact": "mark, exact",
        "mark_holm": "mark, Holm",
    }  # fmt: skip
    paper = {"sriram-table2": "2, Spearman", "sriram-table3": "3, Pearson"}
    rows = rows.assign(
        table=rows["claim"].map(paper), pair=rows["first"] + " with " + rows["second"]
    )
    return show.display_table(
        rows[list(words)].rename(columns=words),
        "Pairs of Tables 2 and 3 that are marked, or would be. Five architectures; p-values of "
        "the t approximation, of the exact test (Spearman only), and marks after Holm's "
        "correction over the 21 pairs of a table.",
    )


def projected_times(study: Study) -> Styler:
    """Time of the paper's whole test, from the part that this run timed."""
    times = pd.Series(seconds_of(study.table(IPR)))
    frame = pd.DataFrame({"seconds for one image and network": times})
    for network, layers in LAYERS.items():
        frame[f"{network}, hours"] = times * IMAGES * (layers.stated + 1) / 3600
    frame.loc["all"] = frame.sum()
    sizes = sizes_of(study.made(IPR).get("parameters", {})) or "all points of the paper's scale"
    return show.display_table(
        frame.rename_axis("method").reset_index(),
        f"Hours for {IMAGES} images and the paper's numbers of layers, if each image and network "
        f"took as long as {show.model_of(study)} here ({sizes})"
        f". The paper: about {WEEK:.0f} hours for each on an RTX 2060. {show.about(study, IPR)}; "
        f"device {study.settings.device}.",
    )


def hook_table(study: Study) -> Styler:
    """What captum can hook in the paper's networks, and what that leaves of the method."""
    counts = study.table("ipr-architectures")[["network", "relu_calls", "relu_modules"]]
    words = {
        "relu_calls": "ReLU or ReLU6 called",
        "relu_modules": "modules captum can hook",
        "difference": "captum's guided backpropagation minus gradient, relative",
    }
    return show.display_table(
        counts.merge(study.table("silent-hooks"), "left")[["network", *words]].rename(
            columns=words
        ),
        "torchvision's networks with random weights, on which the answer does not depend. 0: the "
        "two maps are equal to the last bit.",
    )


def agreement_table(study: Study) -> Styler:
    """Versions of methods beside each other: ours, captum's, and what they are confused with."""
    table = study.table("captum-agreement")
    table = table.assign(
        network=table["network"].replace("run", show.model_of(study)),
        map=table["method"].map(_named),
        beside=table["other"].map(_named),
        completeness=table["completeness"].abs(),
    )
    rows = table.groupby(["network", "map", "beside"], sort=False).agg(
        **{
            "relative difference": ("relative", "max"),
            "correlation": ("correlation", "mean"),
            "completeness error": ("completeness", "max"),
            "refused": ("refused", "max"),
        }
    )
    return show.display_table(
        rows.reset_index(),
        "Largest relative difference and mean correlation of two versions over images; for "
        "DeepLIFT how far the first one's sum is from the change of the logit. "
        f"{show.about(study, 'captum-agreement')}.",
    )


def _named(method: str) -> str:
    own = method.removeprefix("captum ")
    return label(own) if own == method else f"{label(own)}, captum"


def path_table(study: Study) -> Styler:
    """DeepLIFT and gradient x input beside integrated gradients, with and without biases."""
    table = study.table("deeplift-path")
    networks = table["biases"].map({True: "with biases", False: "without biases"})
    rows = table.groupby([networks.rename("networks"), "method"], sort=False).agg(
        **{
            "mean correlation": ("correlation", "mean"),
            "lowest correlation": ("correlation", "min"),
            "largest relative difference": ("relative", "max"),
            "count": ("relative", "size"),
        }
    )
    return show.display_table(
        rows.reset_index(),
        "Maps beside integrated gradients (400 points, zero baseline) in small random networks "
        "with two convolutions and ReLU, double precision.",
    )


# what tests can and cannot tell


@show.shows(CHANGES)
def small_change_plate(study: Study) -> Plate:
    """S as weights or image are moved a little, on logarithmic axes: what vanishes, what not."""
    table = study.table(CHANGES)
    numbers = show.with_intervals(table, ("moved", "method", "share"), "sensitivity")
    kinds, limits, sentences = numbers.groupby("moved", sort=False), ["mean", "low", "high"], []
    figure, axes = show.panel_axes(len(kinds), 1, (8.6, 3.7))
    for axis, (kind, part) in zip(axes, kinds, strict=True):
        ends = show.draw_curves(axis, part.assign(**part[limits].clip(lower=LEAST)), "share")
        for method, rows in part.sort_values("share").groupby("method", sort=False):
            first, last = rows.iloc[0], rows.iloc[-1]
            sentences.append(
                f"{kind}, {label(str(method))}: S {first['mean']:.2g} at {first['share']:g} to "
                f"{last['mean']:.2g} at {last['share']:g}."
            )
        weights = kind == "weights"
        xlabel = "share of the way to redrawn weights" if weights else "noise on the image"
        axis.axhline(THRESHOLD, color="0.4", lw=0.9, ls=":")
        axis.set(xscale="log", yscale="log", xlabel=xlabel, ylabel="S")
        axis.set_title(f"{kind} moved", fontsize=10)
        label_ends(axis, ends)
    return Plate(
        figure,
        " ".join(sentences),
        "S as the weights of one layer are moved a share of the way to redrawn ones (mean over "
        f"{table.loc[table['stage'] != '', 'stage'].nunique()} layers), and as Gaussian noise of "
        "that share of the image's norm is added to the image. Dotted: the threshold of 0.01. "
        f"{show.about(study, CHANGES)}. Bands: 95 % bootstrap intervals over images; S below 1e-7 "
        "is drawn at 1e-7.",
        numbers,
    )


@show.shows("threshold-sweep")
def threshold_table(study: Study) -> Styler:
    """How much noise on a map counts as a change, by kind of map and scaling."""
    table = study.table("threshold-sweep")
    wide = table.pivot(index=["map", "scaling"], columns="noise", values="sensitivity")
    wide.columns = [
        "a second map" if np.isinf(level) else f"noise {level:g}" for level in wide.columns
    ]
    return show.display_table(
        wide.reset_index(),
        "Mean S between a map in [0, 1] and the same map with Gaussian noise of a standard "
        f"deviation, or an unrelated map of its kind; {int(table['pairs'].iloc[0])} simulated "
        "pairs of 96 x 96 pixels.",
    )


@show.shows("ipr-references")
def choice_table(study: Study) -> Styler:
    """S^I under other references of integrated gradients and DeepLIFT, and surrogates of LIME."""
    table = study.table("ipr-references")
    rows = []
    for method in show.distinct(table["method"]):
        for choice, scores in by_reference(table, method).items():
            row = {"method": method, "reference or surrogate": choice}
            row |= show.bounds(show.shown_mean(scores), "$S^I$")
            rows.append(row | {"$S^I$": float(scores.mean()), "images": len(scores)})
    return show.display_table(
        rows,
        f"$S^I$ over {plural(table['stage'].nunique(), 'layer')}. 95 % bootstrap intervals over "
        f"images. {show.about(study, 'ipr-references')}.",
    )


#: explainers that are known inside out, and what they depend on
TRUTHS = {
    "noise": "nothing: it is drawn anew",
    "noise-fixed": "nothing: it is noise, the same for an image",
    "edges": "the image, not the network",
    "centre": "neither image nor network",
    "gradient": "the network's slope at the image",
    "guided-backprop": "positive paths through the network",
    "lime": "the network's answers to masked images",
}


@show.shows("ipr-test", "ipr-retest", CHANGES)
def what_tests_tell(study: Study) -> Styler:
    """Explainers that are known inside out, and what each test says of them."""
    table, changes = study.table("ipr-test"), study.table(CHANGES)
    again = retest_sensitivity(study.table("ipr-retest"))
    changes = changes[changes["moved"] == "weights"]
    smallest = changes["share"].min()
    robust = changes[changes["share"] == smallest].groupby("method")["sensitivity"].mean()
    rows = []
    for name in (name for name in TRUTHS if name in set(table["method"])):
        scores = _criteria(layer_table(table, name))
        rows.append(
            {
                "explainer": label(name),
                "what it depends on": TRUTHS[name],
                "$S^I$": scores["S"],
                "passes $S^I$ ≥ 0.01": "yes" if scores["S"] >= THRESHOLD else "no",
                "images that meet Definition 2": scores["meets"],
                "S, same network asked twice": again.get(name, np.nan),
                f"S, weights moved by {smallest:g}": float(robust.get(name, np.nan)),
            }
        )
    return show.display_table(
        rows,
        f"What the tests say of explainers. {show.about(study, 'ipr-test')}; second map: "
        f"{show.about(study, 'ipr-retest')}; moved weights: {show.about(study, CHANGES)}.",
    )


@show.shows("gated-layer")
def gated_table(study: Study) -> Styler:
    """A layer that does not matter, redrawn: a correct explanation has to stay."""
    table = study.table("gated-layer")
    rows = table.groupby(["gate", "method"], sort=False).agg(
        **{
            "lowest SSIM": ("ssim", "min"),
            "largest change of a logit": ("logits", "max"),
            "error of the explanation": ("error", "max"),
        }
    )
    return show.display_table(
        rows.reset_index(),
        f"{table['network'].nunique()} small networks, linear in the pixels but for a branch with "
        "a gate. The layer in the branch is redrawn. With the gate at 0 the true contributions of "
        "the pixels are known.",
    )
