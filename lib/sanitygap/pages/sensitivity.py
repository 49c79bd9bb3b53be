"""Pages about the extended test of Sriram and Conati (2022)."""

from collections.abc import Iterable

import pandas as pd
from IPython.display import Markdown
from pandas.io.formats.style import Styler

from sanitygap.criteria.sriram_documents import IMAGES, WEEK, seconds_of
from sanitygap.criteria.sriram_results import of_methods
from sanitygap.figures import Plate, theme
from sanitygap.figures.dots import interval_dots
from sanitygap.figures.methods import label
from sanitygap.figures.sensitivity import layer_grid
from sanitygap.inference import Interval, bootstrap_mean
from sanitygap.models.stages import LAYERS
from sanitygap.pages.noise import holding, nothing_recorded
from sanitygap.pages.shared import about, display_table, panel
from sanitygap.runs import Study
from sanitygap.sensitivity.group_tests import correlations, dunn, overall
from sanitygap.sensitivity.scores import (
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

IPR = "ipr-test"

#: ways to compare two maps that the paper's words leave open
CONVENTIONS = ("ssim", "ssim_robust", "ssim_L1", "ssim_L2")


def _interval(values: pd.Series) -> Interval:
    kept = values.dropna()
    if len(kept) > 1:
        return bootstrap_mean(kept, LEVEL)
    only = float(kept.mean()) if len(kept) else float("nan")
    return Interval(only, only, only, len(kept), LEVEL)


def sensitivity_plate(studies: Study | Iterable[Study], table: str = IPR) -> Plate | Markdown:
    """S^I of every method with its interval, and the share of images that meet Definition 2."""
    theme()
    several = holding(studies, table)
    if not several:
        return nothing_recorded(table)
    rows = []
    for study in several:
        held = study.table(table)
        scores = image_sensitivities(held)
        for name in scores:
            found = _interval(scores[name])
            whole = layer_table(held, str(name)).dropna()
            share = criteria(whole)["meets"] if len(whole) else float("nan")
            for kind, values in (
                ("$S^I$", (found.estimate, found.low, found.high)),
                ("Definition 2", (share, share, share)),
            ):
                rows.append(
                    {"row": str(name), "series": panel(study, table), "panel": kind,
                     "mean": values[0], "low": values[1], "high": values[2], "n": found.n}
                )  # fmt: skip
    where = "; ".join(
        f"{about(study, table)}, {study.table(table)['stage'].nunique()} of "
        f"{int(study.table(table)['steps'].iloc[0])} layers"
        for study in several
    )
    return interval_dots(
        pd.DataFrame(rows),
        caption="Sensitivity $S^I$, one minus the mean SSIM over layers that are redrawn one at a "
        "time, and the share of images for which every layer changes the map (Definition 2). "
        f"Line: the threshold of {THRESHOLD:g}. {where}. Bars: 90 % bootstrap intervals over "
        "images. Signed maps, second-moment normalisation, windows of 7, L = joint range.",
        xlabels={
            "$S^I$": "$S^I$ (right: more sensitive)",
            "Definition 2": "share of images sensitive to every layer",
        },
        lines={"$S^I$": THRESHOLD},
        legend="network" if len(several) > 1 else "",
    )


def layer_sensitivities(study: Study) -> Plate:
    """Mean S of each method and layer."""
    theme()
    table = study.table(IPR)
    rows = []
    for name in dict.fromkeys(table["method"]):
        means = layer_sensitivity(layer_table(table, name)).mean()
        rows += [
            {"method": name, "stage": stage, "sensitivity": float(value)}
            for stage, value in means.items()
        ]
    return layer_grid(
        pd.DataFrame(rows),
        f"Mean S over images, layer by layer. {about(study, IPR)}. Signed maps, second-moment "
        "normalisation, L = joint range; images without a similarity are left out.",
    )


def criterion_table(study: Study) -> Styler:
    """S^I beside what it hides: layers and images that are not sensitive."""
    table = study.table(IPR)
    rows = []
    for name in dict.fromkeys(table["method"]):
        ssim = layer_table(table, name)
        whole = ssim.dropna()
        found = criteria(whole) if len(whole) else dict.fromkeys(
            ("S", "meets", "least_layer", "insensitive"), float("nan")
        )  # fmt: skip
        rows.append(
            {"method": label(name), "$S^I$": found["S"],
             "images that meet Definition 2": found["meets"],
             "least sensitive layer, mean S": found["least_layer"],
             "insensitive pairs of image and layer": found["insensitive"],
             "images": len(whole), "without similarity": len(ssim) - len(whole)}
        )  # fmt: skip
    return display_table(
        pd.DataFrame(rows),
        f"What the mean $S^I$ says and what it hides, threshold SSIM 0.99. {about(study, IPR)}.",
    )


def band_table(study: Study) -> Styler:
    """How similar the maps would be perceived, by the paper's Table 1."""
    table = study.table(IPR)
    rows = []
    for name in dict.fromkeys(table["method"]):
        values = layer_table(table, name).stack().dropna()
        shares = values.map(perceived).value_counts(normalize=True)
        rows.append(
            {"method": label(name)} | {band: float(shares.get(band, 0.0)) for band in BANDS}
        )
    return display_table(
        pd.DataFrame(rows),
        "Share of the pairs of image and layer in each class of perceived similarity (Table 1 of "
        f"the paper, made for photographs). {about(study, IPR)}.",
    )


def convention_table(study: Study) -> Styler:
    """S^I under the choices that the paper leaves open, and the order of the seven methods."""
    table = study.table(IPR)
    columns = {}
    for sign in ("signed", "absolute"):
        for value in CONVENTIONS:
            columns[f"{sign}, {value}"] = image_sensitivities(table, value, sign).mean()
    wide = pd.DataFrame(columns)
    first = wide.loc[[name for name in METHODS if name in wide.index]]
    taus = first.corr(method="kendall").iloc[0]
    shown = wide.rename(index=label).rename_axis("method").reset_index()
    return display_table(
        shown,
        "$S^I$ by sign of the maps and range L of the SSIM (joint range of the pair, of its "
        "central 99.9 %, 1, 2). Kendall's tau with the first column, over the paper's methods: "
        + ", ".join(f"{name} {value:+.2f}" for name, value in taus.iloc[1:].items())
        + f". {about(study, IPR)}.",
    )


def method_differences(study: Study) -> Styler:
    """Kruskal-Wallis and Dunn, as the paper's references suggest, beside a paired test."""
    scores = of_methods(study.table(IPR)).dropna()
    if len(scores) < 2:
        return display_table(
            pd.DataFrame({"images": [len(scores)]}), "Too few images to compare methods."
        )
    found, pairs = overall(scores), dunn(scores)
    shown = pairs.assign(first=pairs["first"].map(label), second=pairs["second"].map(label)).rename(
        columns={"p_holm": "p (Holm)"}
    )
    return display_table(
        shown,
        f"Dunn's pairwise comparisons of $S^i$ ({len(scores)} images). All methods alike: "
        f"Kruskal-Wallis p = {found['kruskal']:.2g}, which takes them for different images; "
        f"Friedman, for the same images, p = {found['friedman']:.2g}. {about(study, IPR)}.",
    )


def image_correlations(study: Study) -> Styler:
    """Tables 2 and 3 over images instead of architectures: correlations of S^i."""
    scores = of_methods(study.table(IPR)).dropna()
    if len(scores) < 4:
        return display_table(
            pd.DataFrame({"images": [len(scores)]}), "Too few images for correlations over them."
        )
    ranked, linear = correlations(scores, "spearman"), correlations(scores, "pearson")
    shown = {}
    for one in scores:
        above = [ranked[pair] for pair in ranked if pair[0] == one]
        below = [linear[pair] for pair in linear if pair[1] == one]
        shown[label(str(one))] = [*below, "1", *above]
    frame = pd.DataFrame(shown, index=[label(str(name)) for name in scores]).T
    return display_table(
        frame.rename_axis("method").reset_index(),
        "Correlation of $S^i$ over images: Spearman above the diagonal, Pearson below. Marks: * p "
        "≤ 0.05, ** p ≤ 0.01, *** p ≤ 0.001, each after Holm's correction over the pairs. "
        f"n = {len(scores)} images. {about(study, IPR)}.",
    )


def printed_marks(study: Study) -> Styler:
    """Printed correlations over five architectures, and the marks that they deserve."""
    table = study.table("printed-correlations")
    rows = table[(table["mark"] != "ns") | (table["mark_t"] != "ns")]
    paper = {"sriram-table2": "2, Spearman", "sriram-table3": "3, Pearson"}
    shown = pd.DataFrame(
        {
            "table": rows["claim"].map(paper),
            "pair": rows["first"] + " with " + rows["second"],
            "printed": rows["printed"],
            "mark": rows["mark"],
            "p, t": rows["p_t"],
            "its mark": rows["mark_t"],
            "p, exact": rows["p_exact"],
            "mark, exact": rows["mark_exact"],
            "mark, Holm": rows["mark_holm"],
        }
    )
    return display_table(
        shown,
        "Pairs of Tables 2 and 3 that are marked, or would be. Five architectures; p-values of "
        "the t approximation, of the exact test (Spearman only), and marks after Holm's "
        "correction over the 21 pairs of a table.",
    )


def projected_times(study: Study) -> Styler:
    """Time of the paper's whole test, from the part that this run timed."""
    table = study.table(IPR)
    times = seconds_of(table)
    rows = []
    for name, seconds in times.items():
        rows.append(
            {"method": label(name), "seconds for one image and network": seconds}
            | {
                f"{network}, hours": seconds * IMAGES * (layers.stated + 1) / 3600
                for network, layers in LAYERS.items()
            }
        )
    frame = pd.DataFrame(rows)
    frame.loc[len(frame)] = ["all", *frame.iloc[:, 1:].sum()]
    knobs = study.made(IPR).get("parameters", {})
    sizes = ", ".join(
        f"{key} {knobs[key]}" for key in ("path_steps", "lime_samples") if key in knobs
    )
    return display_table(
        frame,
        f"Hours for {IMAGES} images and the paper's numbers of layers, if each image and network "
        f"took as long as {study.settings.public()['model']} here"
        + (f" ({sizes})" if sizes else " (all points of the paper's scale)")
        + f". The paper: about {WEEK:.0f} hours for each on an RTX 2060. {about(study, IPR)}; "
        f"device {study.settings.device}.",
    )
