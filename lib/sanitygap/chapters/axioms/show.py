"""Generated inputs and their maps, metrics and judges, as in Khakzar et al. (2022)."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from IPython.display import Markdown
from pandas.io.formats.style import Styler

from sanitygap import show
from sanitygap.axioms import store
from sanitygap.axioms.metrics import CODED_SIGN, METRICS, SIGNS, Metric, metric_of
from sanitygap.axioms.metrics import wide as sums_of
from sanitygap.axioms.scenarios import SCENARIOS
from sanitygap.chapters.axioms.judge import (
    FIGURES,
    NAMES,
    layer_metrics,
    null_share,
    per_sample,
    rank_correlation,
)
from sanitygap.chapters.axioms.judge_features import LEAST, QUANTITIES, published
from sanitygap.chapters.axioms.measure import REFERENCES
from sanitygap.chapters.axioms.measure_examples import from_png
from sanitygap.chapters.axioms.show_features import about_samples
from sanitygap.errors import UsageError
from sanitygap.figures.maps import map_colors, rank_lines
from sanitygap.figures.methods import label
from sanitygap.figures.plate import Plate
from sanitygap.judge import CONTROLS, rows_of
from sanitygap.pages import side_by_side
from sanitygap.runs import Study
from sanitygap.scores import occlusion_scores, randomization_scores
from sanitygap.words import plural

#: what the metric of a scenario's examples is called
WORDS = {
    "null": "share of the null patch in both patches, absolute maps",
    "double": "Eq. 11, absolute maps",
    "single": "level of the patch for output b over that for output a, absolute maps",
    "saturation": "the smaller patch's share of both, absolute maps",
}


#: most maps beside each other
BAND = 5


@dataclass(frozen=True)
class MapRow:
    """A row of a figure of maps.

    Attributes:
        name: what stands on its left.
        picture: RGB values ``(3, H, W)`` in [0, 1].
        maps: method -> signed map ``(h, w)``.
    """

    name: str
    picture: torch.Tensor
    maps: Mapping[str, np.ndarray]


def map_rows(
    rows: Sequence[MapRow],
    caption: str,
    numbers: pd.DataFrame,
    titles: Mapping[str, str] | None = None,
) -> Plate:
    """Generated inputs and their maps: a row an input or an explained output, columns are methods.

    Maps of many methods stand in several bands, one below the other, so that they can be read.

    Args:
        rows: all with the same methods.
        caption: the figure's caption.
        numbers: the table behind it.
        titles: method -> what stands above its column; its label by default.
    """
    methods = list(rows[0].maps)
    titles = titles or {name: label(name).replace(" ", "\n", 1) for name in methods}
    across = math.ceil(len(methods) / math.ceil(len(methods) / BAND))
    grid: list[list[np.ndarray | None]] = []
    heads: list[list[str]] = []
    for start in range(0, len(methods), across):
        band = methods[start : start + across]
        gap = across - len(band)
        heads.append(["input", *(titles[name] for name in band), *[""] * gap])
        heads += [[""] * (across + 1)] * (len(rows) - 1)
        for row in rows:
            maps = [map_colors(row.maps[name], len(row.maps[name])) for name in band]
            grid.append([row.picture.permute(1, 2, 0).numpy(), *maps, *[None] * gap])
    labels = [row.name for row in rows] * (len(grid) // len(rows))
    figure = show.picture_grid(grid, labels=labels, titles=heads, size=(1.35, 1.5))
    alt = (
        f"Generated inputs and the attribution maps of "
        f"{', '.join(titles[name].replace(chr(10), ' ') for name in methods)} for "
        f"{', '.join(show.distinct(row.name for row in rows))}; red pixels speak for the output, "
        "blue ones against it."
    )
    return Plate(figure, alt, caption, numbers, pixels=True)


def bars(numbers: pd.DataFrame, caption: str, xlabel: str) -> Plate:
    """Values with intervals: a panel a quantity, a bar a method, the paper's value as a diamond.

    Args:
        numbers: columns ``panel``, ``method``, ``value``, ``low``, ``high`` and ``printed``.
        caption: the figure's caption.
        xlabel: what the values are.
    """
    methods, panels = show.distinct(numbers["method"]), numbers.groupby("panel", sort=False)
    size = (min(3.1, 7.4 / len(panels)) + 1.8 / len(panels), 0.34 * len(methods) + 1.2)
    figure, axes = show.panel_axes(len(panels), len(panels), size, sharey=True)
    for axis, (panel, rows) in zip(axes, panels, strict=True):
        places = rows["method"].map(methods.index)
        axis.barh(
            places, rows["value"], xerr=show.bar_lengths(rows, "value", "low", "high"),
            color="#2a93d1", ecolor="0.2", height=0.62,
        )  # fmt: skip
        axis.plot(rows["printed"], places, ls="", marker="D", ms=5, color="#b34a00")
        axis.set_title(str(panel), fontsize=10)
        axis.set_xlabel(xlabel)
        axis.locator_params(axis="x", nbins=4)
    axes[0].set_yticks(range(len(methods)), map(label, methods))
    axes[0].invert_yaxis()
    named = numbers["method"].map(label) + numbers["value"].map(" {:.2f}".format)
    sentences = [f"{panel}: {', '.join(named[rows.index])}" for panel, rows in panels]
    return Plate(figure, ". ".join(sentences) + ".", caption, numbers)


def drawn_rows(table: pd.DataFrame, scenario: str, samples: Sequence[int]) -> list[MapRow]:
    """The rows of a figure: a row a sample and explained output."""
    lines = []
    for sample in samples:
        rows = rows_of(table, scenario=scenario, sample=sample)
        picture = from_png(rows_of(rows, method="input")["values"].iloc[0])
        for output, part in rows[rows["method"] != "input"].groupby("output"):
            squares = zip(part["method"], part["values"], part["side"], strict=True)
            maps = {
                str(name): np.frombuffer(values, dtype=np.int8).reshape(side, side).astype(float)
                for name, values, side in squares
            }
            words = f"output {output}" if len(samples) == 1 else f"sample {sample}"
            lines.append(MapRow(words, picture, maps))
    return lines


@show.shows("axioms-examples")
def example_plate(study: Study, scenario: str, first: int = 0, count: int = 1) -> Plate:
    """Generated inputs of a scenario with the maps of all methods (Figs. 1 and 3 to 6).

    Args:
        study: the run.
        scenario: which one.
        first: place of the first sample that is shown among the accepted ones.
        count: how many are shown, at most.
    """
    table = study.table("axioms-examples")
    accepted = show.distinct(rows_of(table, scenario=scenario)["sample"])
    samples = accepted[first : first + count]
    if not samples:
        words = f"{len(accepted)} samples of the scenario {scenario!r} were accepted: too few for "
        raise show.NothingToShowError(f"{words}this.")
    words, numbers = _metrics(study, scenario, samples)
    listed = ", ".join(map(str, samples))
    which = (
        f"Accepted sample {listed} of the scenario {scenario!r} and its maps."
        if len(samples) == 1
        else f"Accepted samples of the scenario {scenario!r} in the order of their numbers, from "
        f"the {ordinal(first + 1)} on ({listed}), and their maps."
    )
    return map_rows(
        drawn_rows(table, scenario, samples),
        f"{which}{words} {about_samples(study, 'axioms-examples', scenario)}.",
        numbers,
    )


def ordinal(number: int) -> str:
    """A small number as a word of order."""
    words = ("first", "second", "third", "fourth")
    return words[number - 1] if number <= len(words) else f"{number}th"


def _metrics(study: Study, scenario: str, samples: Sequence[int]) -> tuple[str, pd.DataFrame]:
    """The metric of the examples beside the spread of all samples, in words and as a table."""
    numbers = pd.DataFrame({"scenario": scenario, "sample": list(samples)})
    if not show.holds(study, "axioms-scores"):
        return "", numbers
    value = next(found for _, own, found, _ in FIGURES.values() if own == scenario)
    scores = study.table("axioms-scores")
    names = [name for name in show.distinct(scores["method"]) if name in NAMES.values()]
    found = per_sample(scores, scenario, "absolute", value, names)
    shown = [sample for sample in samples if sample in found.index]
    if not shown:
        return "", numbers
    numbers = found.loc[shown].T.rename_axis("method")
    numbers.columns = pd.Index([f"sample {sample}" for sample in shown])
    numbers = numbers.assign(
        lower_quartile=found.quantile(0.25), upper_quartile=found.quantile(0.75), n=len(found)
    ).reset_index()
    enough = len(found) >= LEAST
    listed = ", ".join(
        f"{label(str(row['method']))} {row[f'sample {shown[0]}']:.2f}"
        + (f" ({row['lower_quartile']:.2f} to {row['upper_quartile']:.2f})" if enough else "")
        for row in numbers.to_dict("records")
    )
    spread = f", in brackets the quartiles of {len(found)} samples" if enough else ""
    return f" Metric of sample {shown[0]} ({WORDS[scenario]}){spread}: {listed}.", numbers


@show.shows("axioms-layer-examples")
def layer_plate(study: Study) -> Plate:
    """One input with a null feature and the maps of two methods at four layers (Fig. 2)."""
    table = study.table("axioms-layer-examples")
    if table.empty:
        raise show.NothingToShowError("No sample with a null feature was accepted.")
    sample = int(table["sample"].iloc[0])
    (row,) = drawn_rows(table, "null", [sample])
    by_method: dict[str, dict[str, np.ndarray]] = {}
    for name, values in row.maps.items():
        method, _, layer = name.partition("@")
        by_method.setdefault(method, {})[layer] = values
    layers = next(iter(by_method.values()))
    return map_rows(
        [MapRow(label(method), row.picture, maps) for method, maps in by_method.items()],
        f"Sample {sample}, whose second patch is null for the explained output, and maps from four "
        "layers; layer 1 is nearest to the input. "
        f"{about_samples(study, 'axioms-layer-examples')}.",
        table.drop(columns="values"),
        {layer: f"layer {depth}\n{layer}" for depth, layer in enumerate(layers, start=1)},
    )


#: how a reader gets what a table lacks
MORE_SAMPLES = (
    "A run with `-p feature_source=new` generates its own samples: `-p feature_samples=` says how "
    "many to try and `-p feature_steps=` for how long."
)

#: the variant of each metric, and the sign, that the paper's Table 1 is set beside
CODED = {"null": "coded", "double": "printed", "single": "coded", "saturation": "coded"}


@show.shows("axioms-scores")
def metric_plate(study: Study) -> Plate:
    """Table 1 beside the paper's numbers: each metric as the authors' code has it."""
    measured = _measured(study.table("axioms-scores"))
    frames = []
    for name, rows in measured.groupby("metric", sort=False):
        printed = published("Table 1", QUANTITIES[str(name)]).rename(NAMES)
        title = name if name == "saturation" else f"{name} feature"
        frames.append(rows.assign(panel=title, printed=rows["method"].map(printed)))
    frames.sort(key=lambda rows: list(CODED).index(rows["metric"].iloc[0]))
    numbers = pd.concat(frames or [measured]).dropna(subset=["value"])
    if numbers.empty:
        raise show.NothingToShowError("Too few samples were accepted, so no metric has a value.")
    counts = ", ".join(f"{k} {int(v)}" for k, v in numbers.groupby("panel")["n"].max().items())
    return bars(
        numbers,
        "The metrics as the authors' code computes them. Bars: this run, lines: 95 % bootstrap "
        "intervals over samples where there are enough of them. Diamonds: the paper's Table 1, "
        f"ResNet-18. {about_samples(study, 'axioms-scores')} ({counts}).",
        "value",
    )


def report_part(study: Study, methods: Sequence[str]) -> Plate | Markdown:
    """Table 1 for the methods of a report, on inputs that the project keeps for the network."""
    try:
        which = [name for name, one in SCENARIOS.items() if store.kept(study.model, one)]
    except UsageError:  # a report is written outside any project, too
        which = []
    if not which:
        model = study.settings.public()["model"]
        return Markdown(
            "Axioms are tested on inputs that the network generated itself, and there are none of "
            f"this network. `sanitygap features {model}`, called in a book of `sanitygap init`, "
            "makes some, in hours on a CPU; the same report, called there, then scores them."
        )
    study.table("axioms-scores", methods=methods, which=which, limit=1000, source="kept")
    return metric_plate(study)


def _measured(scores: pd.DataFrame, scenario: str | None = None) -> pd.DataFrame:
    """Metrics with intervals: all variants of one scenario, or the one that Table 1 has of each.

    Thousands of resamples a metric: only what is shown is worth its time.
    """
    chosen = [
        (metric, sign)
        for metric in METRICS
        for sign in SIGNS
        if metric.name == scenario or (scenario is None and _is_coded(metric, sign))
    ]
    rows, methods = [], map(str, show.distinct(scores["method"]))
    for method, (metric, sign) in itertools.product(methods, chosen):
        n = len(sums_of(scores, metric.name, method, sign))
        if n:
            known = not _over_zero(scores, metric, method, sign)
            interval = metric_of(scores, metric, method, sign)[0] if known else None
            values = show.bounds(interval, "value").values() if interval else [np.nan] * 3
            rows.append((method, metric.name, metric.variant, sign, *values, n))
    names = ["method", "metric", "variant", "sign", "value", "low", "high", "n"]
    return pd.DataFrame(rows, columns=names)


def _is_coded(metric: Metric, sign: str) -> bool:
    """Whether Table 1 is set beside a variant of a metric and a sign."""
    return (metric.variant, sign) == (CODED[metric.name], CODED_SIGN[metric.name])


def _over_zero(scores: pd.DataFrame, metric: Metric, method: str, sign: str) -> bool:
    """Whether Eq. (12) divides by a map that is 0 outside the patches: it has no value then."""
    if (metric.name, metric.variant) != ("single", "printed"):
        return False
    outside = sums_of(scores, metric.name, method, sign).filter(like="outside")
    return bool((outside == 0).any(axis=None))


@show.shows("axioms-scores")
def variant_table(study: Study, scenario: str) -> Styler:
    """All variants of one metric, signed and absolute, beside the paper's number.

    Where no variant has a value a sentence says why, and how to get more samples.
    """
    rows = _measured(study.table("axioms-scores"), scenario)
    if rows.empty:
        words = f"No sample of the scenario {scenario!r} was accepted. {MORE_SAMPLES}"
        raise show.NothingToShowError(words)
    n = int(rows["n"].max())
    if rows["value"].isna().all():
        several = f"{n} samples were accepted, and some resamples of so few have no spread"
        why = "only one sample was accepted, and an interval needs two" if n == 1 else several
        raise show.NothingToShowError(
            f"No metric of the scenario {scenario!r} has a value with an interval: {why}. "
            f"{MORE_SAMPLES}"
        )
    rows = rows.assign(
        column=rows["variant"] + ", " + rows["sign"],
        text=[
            "undefined" if np.isnan(value) else f"{value:.2f} [{low:.2f}, {high:.2f}]"
            for value, low, high in rows[["value", "low", "high"]].to_numpy(dtype=float)
        ],
    )
    empty = rows["value"].isna().groupby(rows["column"], sort=False).transform("all")
    left_out = show.distinct(rows.loc[empty, "column"])
    grid = side_by_side(rows[~empty], "method", "column", "text")
    printed = published("Table 1", QUANTITIES[scenario]).rename(NAMES)
    paper = [f"{printed[name]:.3f}" if name in printed else "" for name in grid["method"]]
    grid.insert(1, "paper", paper)
    formulas = "; ".join(f"{m.variant}: {m.formula}" for m in METRICS if m.name == scenario)
    return show.display_table(
        grid,
        f"{formulas}. 95 % bootstrap intervals over {plural(n, 'accepted sample')}; undefined: "
        "too few samples, no spread, or a division by 0."
        + (f" Undefined for every method, so not shown: {'; '.join(left_out)}." if left_out else "")
        + f" {about_samples(study, 'axioms-scores', scenario)}.",
    )


@show.shows("axioms-layers")
def depth_table(study: Study) -> Styler:
    """Table 2: two methods at four layers, beside the paper's numbers."""
    table = study.table("axioms-layers")
    values = layer_metrics(table).set_index(["method", "metric", "depth"])["value"]
    rows, depths = [], range(1, 5)
    methods = {"IBA": "iba", "GradCAM++": "grad-cam-plus-plus"}
    for name, (paper, method) in itertools.product(("null", "double", "single"), methods.items()):
        lacking = "no interval" if (table["scenario"] == name).any() else "no sample"
        printed = published("Table 2", QUANTITIES[name])[paper]
        own = {d: values.get((method, name, d)) for d in depths}
        rows.append(
            {"metric": name, "method": label(method)}
            | {f"layer {d}": lacking if own[d] is None else f"{own[d]:.3f}" for d in depths}
            | {f"paper {d}": f"{printed[f'layer {d}']:.3f}" for d in depths}
        )
    layers = dict(zip(table["depth"].astype(int), table["layer"], strict=True))
    listed = ", ".join(f"{depth}: {name}" for depth, name in sorted(layers.items())) or "none"
    return show.display_table(
        rows,
        f"Absolute maps; null: share of the null patch in both patches; double: Eq. (11); single: "
        f"Spearman correlation of levels. The paper: ResNet. Layers here, by depth: {listed}. "
        f"{about_samples(study, 'axioms-layers')}; a value needs an interval, which fewer than "
        f"{LEAST} samples rarely give.",
    )


NEEDED = ("axioms-scores", "randomization", "occlusion")


def judges(study: Study) -> dict[str, pd.DataFrame]:
    """Scores of the shared methods by each judge, units x methods; empty if one has none."""
    scores = {
        "null feature": per_sample(study.table("axioms-scores"), "null", "absolute", null_share),
        "randomisation": randomization_scores(study.table("randomization")),
        "occlusion": occlusion_scores(study.table("occlusion")),
    }
    left_out = (*CONTROLS, *REFERENCES)
    shared = [
        name
        for name in scores["randomisation"]
        if name not in left_out and all(name in table for table in scores.values())
    ]
    return {judge: table[shared].dropna() for judge, table in scores.items()} if shared else {}


@show.shows(*NEEDED)
def judges_plate(study: Study) -> Plate:
    """Ranks of the methods by each of the three judges; rank 1 is best."""
    scores = {judge: table.mean() for judge, table in judges(study).items()}
    if not scores:
        words = "No sample with a null feature was accepted, so one judge is silent."
        raise show.NothingToShowError(words)
    parts = [
        means.rename_axis("method").reset_index(name="score").assign(
            condition=judge, rank=means.rank(method="first").to_numpy()
        )
        for judge, means in scores.items()
    ]  # fmt: skip
    return rank_lines(
        pd.concat(parts, ignore_index=True),
        ylabel="rank (1: best)",
        caption="Ranks by the share of a null feature in absolute maps, by mean SSIM after "
        "top-down randomisation, and by mean softmax under occlusion; low is good in all three. "
        f"{about_samples(study, 'axioms-scores', 'null')}; {show.about(study, 'randomization')}.",
    )


@show.shows(*NEEDED)
def judges_table(study: Study) -> Styler:
    """Rank correlations between the three judges, with intervals."""
    rows = [
        {"judges": f"{first}, {second}", "methods": one.shape[1]}
        | show.bounds(rho, "Spearman")
        | {"units": rho.n}
        for (first, one), (second, other) in itertools.combinations(judges(study).items(), 2)
        if min(len(one), len(other)) > 1 and one.shape[1] > 2
        for rho in [rank_correlation(one, other)]
    ]
    if not rows:
        words = "Too few samples with a null feature were accepted for a correlation."
        raise show.NothingToShowError(words)
    return show.display_table(
        rows,
        "Spearman correlation between the mean scores of the shared methods; 95 % bootstrap "
        "intervals, images and generated inputs resampled independently.",
    )
