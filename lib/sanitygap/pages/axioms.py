"""Pages about generated features and the axioms that they test (Khakzar et al. 2022)."""

from html import escape

import numpy as np
import pandas as pd
import torch
from IPython.display import Markdown
from pandas.io.formats.style import Styler

from sanitygap.axioms.metrics import CODED_SIGN, METRICS, SIGNS, Metric, metric_of
from sanitygap.axioms.metrics import wide as sums_of
from sanitygap.axioms.scenarios import COALITIONS, SCENARIOS, keys
from sanitygap.criteria.khakzar_features import LEAST
from sanitygap.criteria.khakzar_figures import layer_metrics
from sanitygap.criteria.khakzar_formal import QUANTITIES, published
from sanitygap.criteria.khakzar_methods import NAMES
from sanitygap.experiments.axiom_pictures import from_png
from sanitygap.figures import Plate, theme
from sanitygap.figures.axioms import bars, patch_rows
from sanitygap.figures.methods import label
from sanitygap.inference import Interval, proportion_interval
from sanitygap.pages.axiom_examples import about_samples
from sanitygap.pages.axiom_examples import example_plate as example_plate  # part of this page
from sanitygap.pages.noise import holding, nothing_recorded
from sanitygap.pages.shared import display_table
from sanitygap.runs import Study
from sanitygap.words import plural


def feature_report(study: Study) -> Styler | Markdown:
    """How many samples were accepted, after how many steps, and how well they hold afresh."""
    if not holding(study, "axioms-samples"):
        return nothing_recorded("axioms-samples")
    table = study.table("axioms-samples")
    rows = []
    for name, part in table.groupby("scenario", sort=False):
        each = part.drop_duplicates("sample")
        accepted = int(each["accepted"].sum())
        measured = fresh_keys(part[part["accepted"]], str(name))
        by_sample = measured.groupby("sample")["holds"]
        rows.append(
            {
                "scenario": name,
                "attempts": len(each),
                "given up at once": int((each["steps"] == 0).sum()),
                "accepted": accepted,
                "median steps": shown_value(each.loc[each["accepted"], "steps"].median()),
                "processor s an accepted one": shown_value(each["seconds"].sum() / accepted)
                if accepted
                else "–",
                "fresh draws that hold": shares(measured["holds"]),
                "samples: first fresh draw holds": shares(by_sample.first()),
                "samples: most fresh draws hold": shares((by_sample.mean() > 0.5).astype(float)),
                "mean softmax": measured["softmax"].mean(),
                "mean relative change": measured["change"].mean(),
            }
        )
    draws, origin = table["draw"].nunique(), ", ".join(sorted(set(table["source"])))
    least = " or ".join(f"{value:g}" for value in sorted(set(table["reference_least"])))
    counts = [int(str(row["accepted"])) for row in rows]
    handful = (
        ""
        if min(counts) >= 100
        else f" This is a handful: {sum(counts)} accepted samples, where the paper has 1000 a "
        "scenario."
    )
    return display_table(
        pd.DataFrame(rows),
        f"Accepted samples, measured again on {draws} fresh backgrounds and positions each: every "
        f"softmax above {table['softmax_least'].iloc[0]:g} and every relative change below "
        f"{table['change_most'].iloc[0]:g}. Given up at once: the constraint compares with a logit "
        f"below {least} standard deviations of all logits. In brackets: 95 % Wilson intervals over "
        "samples; draws of one sample are not independent, so their share has none. Means are over "
        "draws, of the worst goal and constraint. "
        f"{about_samples(study, 'axioms-samples')}; source: {origin}.{handful}",
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
    chosen = SCENARIOS[scenario]
    names = [COALITIONS[coalition] for coalition in chosen.coalitions]
    found: dict[str, torch.Tensor] = {}
    for value in ("logit", "softmax"):
        wide = [
            rows.pivot(index=["sample", "draw"], columns="coalition", values=f"{value}_{output}")
            for output in "ab"
        ]
        if rows.empty:
            return pd.DataFrame(columns=["sample", "softmax", "change", "holds"], dtype=float)
        found[value] = torch.stack(
            [torch.tensor(table[names].to_numpy().copy()) for table in wide], dim=-1
        )
    softmax, change = keys(chosen, found["logit"], found["softmax"])
    least, most = rows["softmax_least"].iloc[0], rows["change_most"].iloc[0]
    holds = (softmax > least).all(1) & (change < most).all(1)
    return pd.DataFrame(
        {
            "sample": wide[0].index.get_level_values("sample"),
            "softmax": softmax.amin(1).numpy(),
            "change": change.amax(1).numpy(),
            "holds": holds.double().numpy(),
        }
    )


def growth_plate(study: Study) -> Plate | Markdown:
    """The patches of one sample as they come into being."""
    theme()
    if not holding(study, "axioms-growth"):
        return nothing_recorded("axioms-growth")
    table = study.table("axioms-growth")
    if table.empty:
        return Markdown("> Every sample was given up before its first step.")
    names = {1: "f_a", 2: "f_null"} if table["scenario"].iloc[0] == "null" else {1: "f_a", 2: "f_b"}
    patches: dict[str, dict[int, torch.Tensor]] = {}
    notes: dict[str, dict[int, str]] = {}
    for row in table.to_dict("records"):
        name = names[row["patch"]]
        patches.setdefault(name, {})[row["step"]] = from_png(row["pixels"])
        change = "" if np.isnan(row["change"]) else f"\nchange {row['change']:.2f}"
        notes.setdefault(name, {})[row["step"]] = f"softmax {row['softmax']:.2f}{change}"
    return patch_rows(
        patches,
        notes,
        "Two patches over the steps of their optimisation. Softmax: of the patch's own output, on "
        "that step's background; change: the largest relative change of output a by the second "
        f"patch, once the warm-up is over. {about_samples(study, 'axioms-growth')}.",
        table.drop(columns="pixels"),
    )


def axiom_statements(study: Study) -> Styler | Markdown:
    """What can be decided about games, metrics and keys without a network."""
    if not holding(study, "axioms-statements"):
        return nothing_recorded("axioms-statements")
    rows = statement_rows(study.table("axioms-statements"))
    return display_table(rows, "Computed or proved without any network; unfold a row to see it.")


def statement_rows(table: pd.DataFrame) -> pd.DataFrame:
    """One row a claim: how many cases it was tried on, and their values folded up."""
    rows = []
    for claim, part in table.groupby("claim", sort=False):
        cases = {
            str(case): ", ".join(
                f"{escape(str(row['quantity']))} = {shown_value(row['value'])}"
                for row in of_case.to_dict("records")
            )
            for case, of_case in part.groupby("case", sort=False)
        }
        lines = "<br>".join(f"<b>{escape(case)}</b>: {values}" for case, values in cases.items())
        rows.append(
            {
                "claim": f'<a href="../book/ledger.html#{claim}">{claim}</a>',
                "cases": len(cases),
                "what was computed": f"<details><summary>{plural(len(part), 'value')}</summary>"
                f"{lines}</details>",
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


def toy_table(study: Study) -> Styler | Markdown:
    """The share of the null patch in a network whose wiring makes it null."""
    if not holding(study, "axioms-toy"):
        return nothing_recorded("axioms-toy")
    table = study.table("axioms-toy")
    sums = table.groupby(["method", "sign"], sort=False)[["first", "second"]].mean().reset_index()
    sums["null share"] = sums["second"] / (sums["first"] + sums["second"])
    wide = sums.pivot(index="method", columns="sign", values="null share")
    wide = wide.loc[list(dict.fromkeys(sums["method"])), ["signed", "absolute"]].reset_index()
    wide["method"] = [label(name) for name in wide["method"]]
    return display_table(
        wide.rename_axis(columns=None),
        f"Share of the patch that is null by its wiring, means over {table['sample'].nunique()} "
        "inputs.",
    )


def metric_plate(study: Study) -> Plate | Markdown:
    """Table 1 beside the paper's numbers: each metric as the authors' code has it."""
    theme()
    measured = _measured(study)
    if measured is None:
        return nothing_recorded("axioms-scores")
    titles = {"null": "null feature", "double": "double feature", "single": "single feature",
              "saturation": "saturation"}  # fmt: skip
    frames = []
    for name, variant in CODED.items():
        rows = measured[
            (measured["metric"] == name)
            & (measured["variant"] == variant)
            & (measured["sign"] == CODED_SIGN[name])
        ]
        printed = published("Table 1", QUANTITIES[name]).rename(NAMES)
        frames.append(rows.assign(panel=titles[name], printed=rows["method"].map(printed)))
    numbers = pd.concat(frames, ignore_index=True)
    numbers = numbers.dropna(subset=["value"])
    if numbers.empty:
        return Markdown("> Too few samples were accepted, so no metric has a value.")
    counts = ", ".join(f"{k} {int(v)}" for k, v in numbers.groupby("panel")["n"].max().items())
    return bars(
        numbers,
        [title for title in titles.values() if title in set(numbers["panel"])],
        "The metrics as the authors' code computes them. Bars: this run, lines: 95 % "
        "bootstrap intervals over samples where there are enough of them. Diamonds: the paper's "
        "Table 1, "
        f"ResNet-18. {about_samples(study, 'axioms-scores')} ({counts}).",
        "value",
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


def _measured(study: Study, scenario: str | None = None) -> pd.DataFrame | None:
    """Metrics with intervals: all variants of one scenario, or the one that Table 1 has of each.

    Thousands of resamples a metric: only what is shown is worth its time.
    """
    if not holding(study, "axioms-scores"):
        return None
    scores, rows = study.table("axioms-scores"), []
    for method in dict.fromkeys(scores["method"]):
        for metric in METRICS:
            coded = CODED[metric.name] == metric.variant
            if metric.name != scenario if scenario else not coded:
                continue
            for sign in SIGNS if scenario else (CODED_SIGN[metric.name],):
                n = len(sums_of(scores, metric.name, str(method), sign))
                if n == 0:
                    continue
                interval = None
                if not _over_zero(scores, metric, str(method), sign):
                    interval, n = metric_of(scores, metric, str(method), sign)
                found = interval or Interval(np.nan, np.nan, np.nan, n)
                rows.append(
                    (method, metric.name, metric.variant, sign)
                    + (found.estimate, found.low, found.high, n)
                )
    columns = ["method", "metric", "variant", "sign", "value", "low", "high", "n"]
    return pd.DataFrame(rows, columns=columns)


def _over_zero(scores: pd.DataFrame, metric: Metric, method: str, sign: str) -> bool:
    """Whether Eq. (12) divides by a map that is 0 outside the patches: it has no value then."""
    if (metric.name, metric.variant) != ("single", "printed"):
        return False
    outside = sums_of(scores, metric.name, method, sign).filter(like="outside")
    return bool((outside == 0).any(axis=None))


def variant_table(study: Study, scenario: str) -> Styler | Markdown:
    """All variants of one metric, signed and absolute, beside the paper's number.

    Where no variant has a value a sentence says why, and how to get more samples.
    """
    measured = _measured(study, scenario)
    if measured is None:
        return nothing_recorded("axioms-scores")
    rows = measured[measured["metric"] == scenario]
    if rows.empty:
        return Markdown(f"> No sample of the scenario {scenario!r} was accepted. {MORE_SAMPLES}")
    n = int(rows["n"].max())
    if rows["value"].isna().all():
        why = (
            "only one sample was accepted, and an interval needs two"
            if n == 1
            else f"{n} samples were accepted, and some resamples of so few have no spread"
        )
        return Markdown(
            f"> No metric of the scenario {scenario!r} has a value with an interval: {why}. "
            f"{MORE_SAMPLES}"
        )
    columns = rows["variant"] + ", " + rows["sign"]
    empty = rows["value"].isna().groupby(columns, sort=False).transform("all")
    left_out = list(dict.fromkeys(columns[empty]))
    rows = rows[~empty]
    printed = published("Table 1", QUANTITIES[scenario]).rename(NAMES)
    shown = pd.DataFrame(
        {
            "method": [label(str(name)) for name in rows["method"]],
            "column": rows["variant"] + ", " + rows["sign"],
            "text": [
                "undefined" if np.isnan(value) else f"{value:.2f} [{low:.2f}, {high:.2f}]"
                for value, low, high in rows[["value", "low", "high"]].to_numpy(dtype=float)
            ],
        }
    )
    grid = shown.pivot(index="method", columns="column", values="text")
    grid = grid.loc[list(dict.fromkeys(shown["method"])), list(dict.fromkeys(shown["column"]))]
    by_label = {label(str(name)): f"{value:.3f}" for name, value in printed.items()}
    grid.insert(0, "paper", [by_label.get(name, "") for name in grid.index])
    formulas = "; ".join(f"{m.variant}: {m.formula}" for m in METRICS if m.name == scenario)
    return display_table(
        grid.reset_index().rename_axis(columns=None),
        f"{formulas}. 95 % bootstrap intervals over {plural(n, 'accepted sample')}; undefined: "
        "too few samples, no spread, or a division by 0."
        + (f" Undefined for every method, so not shown: {'; '.join(left_out)}." if left_out else "")
        + f" {about_samples(study, 'axioms-scores', scenario)}.",
    )


def depth_table(study: Study) -> Styler | Markdown:
    """Table 2: two methods at four layers, beside the paper's numbers."""
    if not holding(study, "axioms-layers"):
        return nothing_recorded("axioms-layers")
    table = study.table("axioms-layers")
    values = layer_metrics(table)
    layers = dict(zip(table["depth"].astype(int), table["layer"], strict=True))
    rows = []
    for name in ("null", "double", "single"):
        lacking = "no interval" if (table["scenario"] == name).any() else "no sample"
        for paper, method in (("IBA", "iba"), ("GradCAM++", "grad-cam-plus-plus")):
            printed = published("Table 2", QUANTITIES[name])[paper]
            own = values[(values["method"] == method) & (values["metric"] == name)]
            known = own.set_index("depth")["value"]
            rows.append(
                {"metric": name, "method": label(method)}
                | {
                    f"layer {depth}": f"{known[depth]:.3f}" if depth in known else lacking
                    for depth in range(1, 5)
                }
                | {f"paper {depth}": f"{printed[f'layer {depth}']:.3f}" for depth in range(1, 5)}
            )
    listed = ", ".join(f"{depth}: {name}" for depth, name in sorted(layers.items())) or "none"
    return display_table(
        pd.DataFrame(rows),
        f"Absolute maps; null: share of the null patch in both patches; double: Eq. (11); single: "
        f"Spearman correlation of levels. The paper: ResNet. Layers here, by depth: {listed}. "
        f"{about_samples(study, 'axioms-layers')}; a value needs an interval, which fewer than "
        f"{LEAST} samples rarely give.",
    )


def variants_table(study: Study) -> Styler | Markdown:
    """Other ways to generate: what they reach on fresh backgrounds and positions."""
    if not holding(study, "axioms-variants"):
        return nothing_recorded("axioms-variants")
    table = study.table("axioms-variants")
    rows = []
    for name, part in table.groupby("variant", sort=False):
        each = part.drop_duplicates("sample")
        first = part[part["coalition"] == "first"]
        rows.append(
            {
                "variant": name,
                "samples": len(each),
                "accepted": int(each["accepted"].sum()),
                "median steps": shown_value(each["steps"].median()),
                "mean softmax of output a": float(first["softmax_a"].mean()),
                "variation of the patch": float(each["variation"].mean()),
            }
        )
    return display_table(
        pd.DataFrame(rows),
        "Other priors, places, balances and goals, after at most "
        f"{int(table['steps'].max())} steps; softmax on fresh backgrounds and positions, with the "
        f"samples that were given up. {about_samples(study, 'axioms-variants')}.",
    )
