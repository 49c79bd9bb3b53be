"""Generated inputs and their maps, as in the figures of Khakzar et al. (2022)."""

import itertools
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
import pandas as pd
import torch
from pandas.io.formats.style import Styler

from sanitygap.axioms.metrics import CODED_SIGN, METRICS, SIGNS, Metric, metric_of
from sanitygap.axioms.metrics import wide as sums_of
from sanitygap.axioms.scenarios import COALITIONS, SCENARIOS, keys
from sanitygap.chapters.axioms.judge import (
    FIGURES,
    NAMES,
    layer_metrics,
    null_share,
    per_sample,
    rank_correlation,
)
from sanitygap.chapters.axioms.judge_features import LEAST
from sanitygap.chapters.axioms.judge_formal import QUANTITIES, published
from sanitygap.chapters.axioms.measure import REFERENCES
from sanitygap.chapters.axioms.measure_examples import from_png
from sanitygap.chapters.axioms.plots import SYMBOLS, MapRow, bars, map_rows
from sanitygap.figures.maps import rank_lines
from sanitygap.figures.methods import label
from sanitygap.figures.plate import Plate
from sanitygap.inference import proportion_interval
from sanitygap.judge import CONTROLS
from sanitygap.pages import side_by_side
from sanitygap.runs import Study
from sanitygap.scores import occlusion_scores, randomization_scores
from sanitygap.show import (
    NothingToShowError,
    about,
    bounds,
    display_table,
    distinct,
    holds,
    picture_grid,
    shows,
)
from sanitygap.words import plural

#: what the metric of a scenario's examples is called
WORDS = {
    "null": "share of the null patch in both patches, absolute maps",
    "double": "Eq. 11, absolute maps",
    "single": "level of the patch for output b over that for output a, absolute maps",
    "saturation": "the smaller patch's share of both, absolute maps",
}


def about_samples(study: Study, table: str, scenario: str | None = None) -> str:
    """Model, number of samples and seed of a table of generated inputs, for captions."""
    settings, rows = study.settings.public(), study.table(table)
    if scenario is not None:
        rows = rows[rows["scenario"] == scenario]
    words = f"{settings['model']}, seed {settings['seed']}, profile {settings['profile']}"
    if "sample" not in rows:
        return words
    by = ["scenario", "sample"] if "scenario" in rows else ["sample"]
    count = len(rows.drop_duplicates(by))
    words += f", {plural(count, 'sample')}"
    if study.recorded and not study.is_current(table):
        words += "; computed by an earlier version of the code"
    return words


def rows_of(table: pd.DataFrame, scenario: str, samples: Sequence[int]) -> list[MapRow]:
    """The rows of a figure: a row a sample and explained output."""
    lines = []
    for sample in samples:
        rows = table[(table["scenario"] == scenario) & (table["sample"] == sample)]
        picture = from_png(rows.loc[rows["method"] == "input", "values"].iloc[0])
        rows = rows[rows["method"] != "input"]
        for output, part in rows.groupby("output"):
            maps = {
                str(row["method"]): np.frombuffer(row["values"], dtype=np.int8)
                .reshape(row["side"], row["side"])
                .astype(float)
                for row in part.to_dict("records")
            }
            words = f"output {output}" if len(samples) == 1 else f"sample {sample}"
            lines.append(MapRow(words, picture, maps))
    return lines


@shows("axioms-examples")
def example_plate(study: Study, scenario: str, first: int = 0, count: int = 1) -> Plate:
    """Generated inputs of a scenario with the maps of all methods (Figs. 1 and 3 to 6).

    Args:
        study: the run.
        scenario: which one.
        first: place of the first sample that is shown among the accepted ones.
        count: how many are shown, at most.
    """
    table = study.table("axioms-examples")
    accepted = distinct(table.loc[table["scenario"] == scenario, "sample"])
    samples = accepted[first : first + count]
    if not samples:
        count = len(accepted)
        words = f"{count} samples of the scenario {scenario!r} were accepted: too few for this."
        raise NothingToShowError(words)
    words, numbers = _metrics(study, scenario, samples)
    listed = ", ".join(map(str, samples))
    which = (
        f"Accepted sample {listed} of the scenario {scenario!r} and its maps."
        if len(samples) == 1
        else f"Accepted samples of the scenario {scenario!r} in the order of their numbers, from "
        f"the {ordinal(first + 1)} on ({listed}), and their maps."
    )
    return map_rows(
        rows_of(table, scenario, samples),
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
    if not holds(study, "axioms-scores"):
        return "", numbers
    value = next(found for _, own, found, _ in FIGURES.values() if own == scenario)
    scores = study.table("axioms-scores")
    names = [name for name in distinct(scores["method"]) if name in NAMES.values()]
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


@shows("axioms-layer-examples")
def layer_plate(study: Study) -> Plate:
    """One input with a null feature and the maps of two methods at four layers (Fig. 2)."""
    table = study.table("axioms-layer-examples")
    if table.empty:
        raise NothingToShowError("No sample with a null feature was accepted.")
    sample = int(table["sample"].iloc[0])
    (row,) = rows_of(table, "null", [sample])
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


#: below this a computed value is rounding
ROUNDING = 1e-12

#: how a reader gets what a table lacks
MORE_SAMPLES = (
    "A run with `-p feature_source=new` generates its own samples: `-p feature_samples=` says how "
    "many to try and `-p feature_steps=` for how long."
)

#: the variant of each metric, and the sign, that the paper's Table 1 is set beside
CODED = {"null": "coded", "double": "printed", "single": "coded", "saturation": "coded"}


@shows("axioms-samples")
def feature_report(study: Study) -> Styler:
    """How many samples were accepted, after how many steps, and how well they hold afresh."""
    table = study.table("axioms-samples")
    rows: list[dict[str, Any]] = []
    for name, part in table.groupby("scenario", sort=False):
        each = part.drop_duplicates("sample")
        accepted = int(each["accepted"].sum())
        measured = fresh_keys(part[part["accepted"]], str(name))
        by_sample = measured.groupby("sample")["holds"]
        seconds = shown_value(each["seconds"].sum() / accepted) if accepted else "–"
        rows.append(
            {
                "scenario": name,
                "attempts": len(each),
                "given up at once": int((each["steps"] == 0).sum()),
                "accepted": accepted,
                "median steps": shown_value(each.loc[each["accepted"], "steps"].median()),
                "processor s an accepted one": seconds,
                "fresh draws that hold": shares(measured["holds"]),
                "samples: first fresh draw holds": shares(by_sample.first()),
                "samples: most fresh draws hold": shares((by_sample.mean() > 0.5).astype(float)),
                "mean softmax": measured["softmax"].mean(),
                "mean relative change": measured["change"].mean(),
            }
        )
    counts = [row["accepted"] for row in rows]
    few = (
        f" This is a handful: {sum(counts)} accepted samples, where the paper has 1000 a scenario."
    )
    few = "" if min(counts) >= 100 else few
    origin = ", ".join(sorted(set(table["source"])))
    least = " or ".join(f"{value:g}" for value in sorted(set(table["reference_least"])))
    return display_table(
        rows,
        f"Accepted samples, measured again on {table['draw'].nunique()} fresh backgrounds and "
        f"positions each: every softmax above {table['softmax_least'].iloc[0]:g} and every "
        f"relative change below {table['change_most'].iloc[0]:g}. Given up at once: the constraint "
        f"compares with a logit below {least} standard deviations of all logits. In brackets: 95 % "
        "Wilson intervals over samples; draws of one sample are not independent, so their share "
        "has none. Means are over draws, of the worst goal and constraint. "
        f"{about_samples(study, 'axioms-samples')}; source: {origin}.{few}",
    )


def shares(met: pd.Series) -> str:
    """The share of ones, with how many there are; with an interval where each is a sample."""
    if met.empty:
        return "none accepted"
    if met.index.name != "sample":
        return f"{met.mean():.0%} of {len(met)}"
    interval = proportion_interval(int(met.sum()), len(met))
    return f"{interval.estimate:.0%} [{interval.low:.0%}, {interval.high:.0%}] of {len(met)}"


def fresh_keys(rows: pd.DataFrame, scenario: str) -> pd.DataFrame:
    """Smallest softmax, largest change, and whether all holds, for every sample and draw."""
    if rows.empty:
        return pd.DataFrame(columns=["sample", "softmax", "change", "holds"], dtype=float)
    chosen = SCENARIOS[scenario]
    names = [COALITIONS[coalition] for coalition in chosen.coalitions]
    outputs = [f"{value}_{output}" for value in ("logit", "softmax") for output in "ab"]
    wide = rows.pivot(index=["sample", "draw"], columns="coalition", values=outputs)
    values = np.stack([wide[output][names].to_numpy() for output in outputs], axis=-1)
    logits, softmaxes = torch.from_numpy(values).split(2, dim=-1)
    softmax, change = keys(chosen, logits, softmaxes)
    least, most = rows["softmax_least"].iloc[0], rows["change_most"].iloc[0]
    holds = (softmax > least).all(1) & (change < most).all(1)
    return pd.DataFrame(
        {
            "sample": wide.index.get_level_values("sample"),
            "softmax": softmax.amin(1).numpy(),
            "change": change.amax(1).numpy(),
            "holds": holds.double().numpy(),
        }
    )


@shows("axioms-growth")
def growth_plate(study: Study) -> Plate:
    """The patches of one sample as they come into being."""
    table = study.table("axioms-growth")
    if table.empty:
        raise NothingToShowError("Every sample was given up before its first step.")
    second = "f_null" if table["scenario"].iloc[0] == "null" else "f_b"
    change = [f"\nchange {value:.2f}" if value == value else "" for value in table["change"]]
    table = table.assign(note=[f"softmax {value:.2f}" for value in table["softmax"]])
    table["note"] += change
    patches = table.groupby("patch", sort=False)
    grown = {"f_a" if patch == 1 else second: rows for patch, rows in patches}
    steps = distinct(table["step"])
    ends = "; ".join(f"{name}: {rows['note'].iloc[-1]}" for name, rows in grown.items())
    return Plate(
        picture_grid(
            [
                [from_png(pixels).permute(1, 2, 0).numpy() for pixels in rows["pixels"]]
                for rows in grown.values()
            ],
            labels=[SYMBOLS[name] for name in grown],
            titles=[f"step {step}" for step in steps],
            notes=[list(rows["note"]) for rows in grown.values()],
            size=(1.2, 1.65),
        ),
        f"Patches at steps {', '.join(map(str, steps))} of their optimisation. At the end {ends}.",
        "Two patches over the steps of their optimisation. Softmax: of the patch's own output, on "
        "that step's background; change: the largest relative change of output a by the second "
        f"patch, once the warm-up is over. {about_samples(study, 'axioms-growth')}.",
        table.drop(columns=["pixels", "note"]),
        pixels=True,
    )


@shows("axioms-statements")
def axiom_statements(study: Study) -> Styler:
    """What can be decided about games, metrics and keys without a network."""
    rows = statement_rows(study.table("axioms-statements"))
    return display_table(rows, "Computed or proved without any network; unfold a row to see it.")


def statement_rows(table: pd.DataFrame) -> pd.DataFrame:
    """One row a claim: how many cases it was tried on, and their values folded up."""
    values = [
        f"{escape(str(quantity))} = {shown_value(value)}"
        for quantity, value in zip(table["quantity"], table["value"], strict=True)
    ]
    cases = table.assign(values=values).groupby(["claim", "case"], sort=False)["values"]
    rows = []
    for claim, part in cases.agg(", ".join).groupby("claim", sort=False):
        part = part.droplevel("claim")
        lines = "<br>".join(f"<b>{escape(str(case))}</b>: {v}" for case, v in part.items())
        count = plural(int((table["claim"] == claim).sum()), "value")
        rows.append(
            {
                "claim": f'<a href="../book/ledger.html#{claim}">{claim}</a>',
                "cases": len(part),
                "what was computed": f"<details><summary>{count}</summary>{lines}</details>",
            }
        )
    return pd.DataFrame(rows)


def shown_value(value: float) -> str:
    """Three digits, all of a larger number; 0 for what rounding leaves of it, a dash for none."""
    if np.isnan(value):
        return "–"
    if np.isinf(value):
        return "∞" if value > 0 else "−∞"
    if 1000 <= abs(value) < 1e6:
        return f"{value:.0f}".replace("-", "−")
    return "0" if abs(value) < ROUNDING else f"{value:.3g}".replace("-", "−")


@shows("axioms-toy")
def toy_table(study: Study) -> Styler:
    """The share of the null patch in a network whose wiring makes it null."""
    table = study.table("axioms-toy")
    sums = table.groupby(["method", "sign"], sort=False)[["first", "second"]].mean().reset_index()
    sums["null share"] = sums["second"] / (sums["first"] + sums["second"])
    return display_table(
        side_by_side(sums, "method", "sign", "null share")[["method", "signed", "absolute"]],
        f"Share of the patch that is null by its wiring, means over {table['sample'].nunique()} "
        "inputs.",
    )


@shows("axioms-scores")
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
        raise NothingToShowError("Too few samples were accepted, so no metric has a value.")
    counts = ", ".join(f"{k} {int(v)}" for k, v in numbers.groupby("panel")["n"].max().items())
    return bars(
        numbers,
        "The metrics as the authors' code computes them. Bars: this run, lines: 95 % bootstrap "
        "intervals over samples where there are enough of them. Diamonds: the paper's Table 1, "
        f"ResNet-18. {about_samples(study, 'axioms-scores')} ({counts}).",
        "value",
    )


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
    unknown = dict.fromkeys(("value", "low", "high"), np.nan)
    rows: list[dict[str, Any]] = []
    for method in map(str, distinct(scores["method"])):
        for metric, sign in chosen:
            n = len(sums_of(scores, metric.name, method, sign))
            if n == 0:
                continue
            known = not _over_zero(scores, metric, method, sign)
            interval = metric_of(scores, metric, method, sign)[0] if known else None
            rows.append(
                {"method": method, "metric": metric.name, "variant": metric.variant, "sign": sign}
                | (bounds(interval, "value") if interval else unknown)
                | {"n": n}
            )
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


@shows("axioms-scores")
def variant_table(study: Study, scenario: str) -> Styler:
    """All variants of one metric, signed and absolute, beside the paper's number.

    Where no variant has a value a sentence says why, and how to get more samples.
    """
    rows = _measured(study.table("axioms-scores"), scenario)
    if rows.empty:
        words = f"No sample of the scenario {scenario!r} was accepted. {MORE_SAMPLES}"
        raise NothingToShowError(words)
    n = int(rows["n"].max())
    if rows["value"].isna().all():
        several = f"{n} samples were accepted, and some resamples of so few have no spread"
        why = "only one sample was accepted, and an interval needs two" if n == 1 else several
        raise NothingToShowError(
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
    left_out = distinct(rows.loc[empty, "column"])
    grid = side_by_side(rows[~empty], "method", "column", "text")
    printed = published("Table 1", QUANTITIES[scenario]).rename(NAMES)
    paper = [f"{printed[name]:.3f}" if name in printed else "" for name in grid["method"]]
    grid.insert(1, "paper", paper)
    formulas = "; ".join(f"{m.variant}: {m.formula}" for m in METRICS if m.name == scenario)
    return display_table(
        grid,
        f"{formulas}. 95 % bootstrap intervals over {plural(n, 'accepted sample')}; undefined: "
        "too few samples, no spread, or a division by 0."
        + (f" Undefined for every method, so not shown: {'; '.join(left_out)}." if left_out else "")
        + f" {about_samples(study, 'axioms-scores', scenario)}.",
    )


@shows("axioms-layers")
def depth_table(study: Study) -> Styler:
    """Table 2: two methods at four layers, beside the paper's numbers."""
    table = study.table("axioms-layers")
    values = layer_metrics(table).set_index(["method", "metric", "depth"])["value"]
    rows = []
    for name in ("null", "double", "single"):
        lacking = "no interval" if (table["scenario"] == name).any() else "no sample"
        for paper, method in (("IBA", "iba"), ("GradCAM++", "grad-cam-plus-plus")):
            printed = published("Table 2", QUANTITIES[name])[paper]
            row = {"metric": name, "method": label(method)}
            for depth in range(1, 5):
                known = (method, name, depth) in values.index
                row[f"layer {depth}"] = f"{values[method, name, depth]:.3f}" if known else lacking
            row |= {f"paper {depth}": f"{printed[f'layer {depth}']:.3f}" for depth in range(1, 5)}
            rows.append(row)
    layers = dict(zip(table["depth"].astype(int), table["layer"], strict=True))
    listed = ", ".join(f"{depth}: {name}" for depth, name in sorted(layers.items())) or "none"
    return display_table(
        rows,
        f"Absolute maps; null: share of the null patch in both patches; double: Eq. (11); single: "
        f"Spearman correlation of levels. The paper: ResNet. Layers here, by depth: {listed}. "
        f"{about_samples(study, 'axioms-layers')}; a value needs an interval, which fewer than "
        f"{LEAST} samples rarely give.",
    )


@shows("axioms-variants")
def variants_table(study: Study) -> Styler:
    """Other ways to generate: what they reach on fresh backgrounds and positions."""
    table, rows = study.table("axioms-variants"), []
    for name, part in table.groupby("variant", sort=False):
        each = part.drop_duplicates("sample")
        first = part[part["coalition"] == "first"]
        rows.append(
            {
                "variant": name,
                "samples": len(each),
                "accepted": int(each["accepted"].sum()),
                "median steps": shown_value(each["steps"].median()),
                "mean softmax of output a": first["softmax_a"].mean(),
                "variation of the patch": each["variation"].mean(),
            }
        )
    return display_table(
        rows,
        "Other priors, places, balances and goals, after at most "
        f"{int(table['steps'].max())} steps; softmax on fresh backgrounds and positions, with the "
        f"samples that were given up. {about_samples(study, 'axioms-variants')}.",
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


@shows(*NEEDED)
def judges_plate(study: Study) -> Plate:
    """Ranks of the methods by each of the three judges; rank 1 is best."""
    scores = {judge: table.mean() for judge, table in judges(study).items()}
    if not scores:
        words = "No sample with a null feature was accepted, so one judge is silent."
        raise NothingToShowError(words)
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
        f"{about_samples(study, 'axioms-scores', 'null')}; {about(study, 'randomization')}.",
    )


@shows(*NEEDED)
def judges_table(study: Study) -> Styler:
    """Rank correlations between the three judges, with intervals."""
    rows = [
        {"judges": f"{first}, {second}", "methods": one.shape[1]}
        | bounds(rho, "Spearman")
        | {"units": rho.n}
        for (first, one), (second, other) in itertools.combinations(judges(study).items(), 2)
        if min(len(one), len(other)) > 1 and one.shape[1] > 2
        for rho in [rank_correlation(one, other)]
    ]
    if not rows:
        words = "Too few samples with a null feature were accepted for a correlation."
        raise NothingToShowError(words)
    return display_table(
        rows,
        "Spearman correlation between the mean scores of the shared methods; 95 % bootstrap "
        "intervals, images and generated inputs resampled independently.",
    )
