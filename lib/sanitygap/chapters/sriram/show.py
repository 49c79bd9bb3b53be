"""Pages about the extended test of Sriram and Conati (2022)."""

import math

import pandas as pd
from pandas.io.formats.style import Styler

from sanitygap.chapters.sriram.judge import IMAGES, WEEK, of_methods, seconds_of
from sanitygap.chapters.sriram.plots import layer_grid
from sanitygap.chapters.sriram.printed import correlations, dunn, overall
from sanitygap.chapters.sriram.scores import (
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
from sanitygap.figures.methods import label
from sanitygap.figures.plate import Plate
from sanitygap.inference import Interval, bootstrap_mean
from sanitygap.models.stages import LAYERS
from sanitygap.runs import Study
from sanitygap.show import (
    about,
    bounds,
    display_table,
    distinct,
    dots,
    holds,
    model_of,
    panel,
    require,
    shows,
    shows_several,
)

IPR = "ipr-test"

#: ways to compare two maps that the paper's words leave open
CONVENTIONS = ("ssim", "ssim_robust", "ssim_L1", "ssim_L2")


def _interval(values: pd.Series) -> Interval:
    kept = values.dropna()
    if len(kept) > 1:
        return bootstrap_mean(kept, LEVEL)
    only = float(kept.mean()) if len(kept) else math.nan
    return Interval(only, only, only, len(kept), LEVEL)


def _layers(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Method -> its SSIM, images x layers."""
    return {name: layer_table(table, name) for name in distinct(table["method"])}


@shows_several()
def sensitivity_plate(studies: list[Study], table: str = IPR) -> Plate:
    """S^I of every method with its interval, and the share of images that meet Definition 2."""
    holders = [study for study in studies if holds(study, table)]
    if not holders:
        require(studies[0], table)
    rows, words = [], []
    for study in holders:
        held = study.table(table)
        scores = image_sensitivities(held)
        for name, ssim in _layers(held).items():
            sensitivity, whole = _interval(scores[name]), ssim.dropna()
            share = criteria(whole)["meets"] if len(whole) else math.nan
            place = {"row": name, "series": panel(study, table)}
            rows += [
                place | {"panel": "$S^I$"} | bounds(sensitivity) | {"n": sensitivity.n},
                place | {"panel": "Definition 2", "mean": share, "low": share, "high": share,
                         "n": sensitivity.n},
            ]  # fmt: skip
        stages = f"{held['stage'].nunique()} of {int(held['steps'].iloc[0])} layers"
        words.append(f"{about(study, table)}, {stages}")
    return dots(
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


@shows()
def layer_sensitivities(study: Study) -> Plate:
    """Mean S of each method and layer."""
    layers = _layers(study.table(IPR))
    means = {name: layer_sensitivity(ssim).mean() for name, ssim in layers.items()}
    numbers = pd.concat(means, names=["method", "stage"]).reset_index(name="sensitivity")
    return layer_grid(
        numbers,
        f"Mean S over images, layer by layer. {about(study, IPR)}. Signed maps, second-moment "
        "normalisation, L = joint range; images without a similarity are left out.",
    )


def criterion_table(study: Study) -> Styler:
    """S^I beside what it hides: layers and images that are not sensitive."""
    words = {
        "S": "$S^I$",
        "meets": "images that meet Definition 2",
        "least_layer": "least sensitive layer, mean S",
        "insensitive": "insensitive pairs of image and layer",
    }
    rows = []
    for name, ssim in _layers(study.table(IPR)).items():
        whole = ssim.dropna()
        values = criteria(whole) if len(whole) else dict.fromkeys(words, math.nan)
        rows.append(
            {"method": name}
            | {words[key]: values[key] for key in words}
            | {"images": len(whole), "without similarity": len(ssim) - len(whole)}
        )
    return display_table(
        rows,
        f"What the mean $S^I$ says and what it hides, threshold SSIM 0.99. {about(study, IPR)}.",
    )


def band_table(study: Study) -> Styler:
    """How similar the maps would be perceived, by the paper's Table 1."""
    rows = []
    for name, ssim in _layers(study.table(IPR)).items():
        shares = ssim.stack().dropna().map(perceived).value_counts(normalize=True)
        rows.append({"method": name} | {band: float(shares.get(band, 0.0)) for band in BANDS})
    return display_table(
        rows,
        "Share of the pairs of image and layer in each class of perceived similarity (Table 1 of "
        f"the paper, made for photographs). {about(study, IPR)}.",
    )


def convention_table(study: Study) -> Styler:
    """S^I under the choices that the paper leaves open, and the order of the seven methods."""
    table = study.table(IPR)
    wide = pd.DataFrame(
        {
            f"{sign}, {value}": image_sensitivities(table, value, sign).mean()
            for sign in ("signed", "absolute")
            for value in CONVENTIONS
        }
    )
    taus = wide.loc[wide.index.isin(METHODS)].corr(method="kendall").iloc[0, 1:]
    return display_table(
        wide.rename_axis("method").reset_index(),
        "$S^I$ by sign of the maps and range L of the SSIM (joint range of the pair, of its "
        "central 99.9 %, 1, 2). Kendall's tau with the first column, over the paper's methods: "
        + ", ".join(f"{name} {value:+.2f}" for name, value in taus.items())
        + f". {about(study, IPR)}.",
    )


def method_differences(study: Study) -> Styler:
    """Kruskal-Wallis and Dunn, as the paper's references suggest, beside a paired test."""
    scores = of_methods(study.table(IPR)).dropna()
    if len(scores) < 2:
        return display_table([{"images": len(scores)}], "Too few images to compare methods.")
    p = overall(scores)
    pairs = dunn(scores.rename(columns=label)).rename(columns={"p_holm": "p (Holm)"})
    return display_table(
        pairs,
        f"Dunn's pairwise comparisons of $S^i$ ({len(scores)} images). All methods alike: "
        f"Kruskal-Wallis p = {p['kruskal']:.2g}, which takes them for different images; "
        f"Friedman, for the same images, p = {p['friedman']:.2g}. {about(study, IPR)}.",
    )


def image_correlations(study: Study) -> Styler:
    """Tables 2 and 3 over images instead of architectures: correlations of S^i."""
    scores = of_methods(study.table(IPR)).dropna().rename(columns=label)
    if len(scores) < 4:
        words = "Too few images for correlations over them."
        return display_table([{"images": len(scores)}], words)
    grid = pd.DataFrame("1", index=scores.columns.rename("method"), columns=scores.columns)
    for (first, second), value in correlations(scores, "spearman").items():
        grid.loc[first, second] = value
    for (first, second), value in correlations(scores, "pearson").items():
        grid.loc[second, first] = value
    return display_table(
        grid.reset_index(),
        "Correlation of $S^i$ over images: Spearman above the diagonal, Pearson below. Marks: * p "
        "≤ 0.05, ** p ≤ 0.01, *** p ≤ 0.001, each after Holm's correction over the pairs. "
        f"n = {len(scores)} images. {about(study, IPR)}.",
    )


def printed_marks(study: Study) -> Styler:
    """Printed correlations over five architectures, and the marks that they deserve."""
    table = study.table("printed-correlations")
    rows = table[(table["mark"] != "ns") | (table["mark_t"] != "ns")]
    words = {
        "table": "table", "pair": "pair", "printed": "printed", "mark": "mark", "p_t": "p, t",
        "mark_t": "its mark", "p_exact": "p, exact", "mark_exact": "mark, exact",
        "mark_holm": "mark, Holm",
    }  # fmt: skip
    paper = {"sriram-table2": "2, Spearman", "sriram-table3": "3, Pearson"}
    rows = rows.assign(
        table=rows["claim"].map(paper), pair=rows["first"] + " with " + rows["second"]
    )
    return display_table(
        rows[list(words)].rename(columns=words),
        "Pairs of Tables 2 and 3 that are marked, or would be. Five architectures; p-values of "
        "the t approximation, of the exact test (Spearman only), and marks after Holm's "
        "correction over the 21 pairs of a table.",
    )


def projected_times(study: Study) -> Styler:
    """Time of the paper's whole test, from the part that this run timed."""
    times = pd.Series(seconds_of(study.table(IPR)))
    hours = {
        f"{network}, hours": times * IMAGES * (layers.stated + 1) / 3600
        for network, layers in LAYERS.items()
    }
    frame = pd.DataFrame({"seconds for one image and network": times, **hours})
    frame.loc["all"] = frame.sum()
    given = study.made(IPR).get("parameters", {})
    every = "all points of the paper's scale"
    sizes = [f"{key} {given[key]}" for key in ("path_steps", "lime_samples") if key in given]
    return display_table(
        frame.rename_axis("method").reset_index(),
        f"Hours for {IMAGES} images and the paper's numbers of layers, if each image and network "
        f"took as long as {study.settings.public()['model']} here "
        f"({', '.join(sizes) or every})"
        f". The paper: about {WEEK:.0f} hours for each on an RTX 2060. {about(study, IPR)}; "
        f"device {study.settings.device}.",
    )


def hook_table(study: Study) -> Styler:
    """What captum can hook in the paper's networks, and what that leaves of the method."""
    counts = study.table("ipr-architectures")[["network", "relu_calls", "relu_modules"]]
    silent = study.table("silent-hooks").set_index("network")["difference"]
    words = {
        "relu_calls": "ReLU or ReLU6 called",
        "relu_modules": "modules captum can hook",
        "difference": "captum's guided backpropagation minus gradient, relative",
    }
    return display_table(
        counts.assign(difference=counts["network"].map(silent)).rename(columns=words),
        "torchvision's networks with random weights, on which the answer does not depend. 0: the "
        "two maps are equal to the last bit.",
    )


def agreement_table(study: Study) -> Styler:
    """Versions of methods beside each other: ours, captum's, and what they are confused with."""
    pairs = study.table("captum-agreement").groupby(["network", "method", "other"], sort=False)
    rows = [
        {
            "network": model_of(study) if network == "run" else network,
            "map": _named(str(first)),
            "beside": _named(str(second)),
            "relative difference": float(part["relative"].max()),
            "correlation": float(part["correlation"].mean()),
            "completeness error": float(part["completeness"].abs().max()),
            "refused": next((why for why in part["refused"] if why), ""),
        }
        for (network, first, second), part in pairs
    ]
    return display_table(
        rows,
        "Largest relative difference and mean correlation of two versions over images; for "
        "DeepLIFT how far the first one's sum is from the change of the logit. "
        f"{about(study, 'captum-agreement')}.",
    )


def _named(method: str) -> str:
    own = method.removeprefix("captum ")
    return label(own) if own == method else f"{label(own)}, captum"


def path_table(study: Study) -> Styler:
    """DeepLIFT and gradient x input beside integrated gradients, with and without biases."""
    groups = study.table("deeplift-path").groupby(["biases", "method"], sort=False)
    rows = [
        {
            "networks": "with biases" if biases else "without biases",
            "method": method,
            "mean correlation": float(part["correlation"].mean()),
            "lowest correlation": float(part["correlation"].min()),
            "largest relative difference": float(part["relative"].max()),
            "count": len(part),
        }
        for (biases, method), part in groups
    ]
    return display_table(
        rows,
        "Maps beside integrated gradients (400 points, zero baseline) in small random networks "
        "with two convolutions and ReLU, double precision.",
    )
