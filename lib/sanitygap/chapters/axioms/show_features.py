"""Pages about generated features: how they grow, how well they hold, and what needs no network."""

from html import escape

import numpy as np
import pandas as pd
import torch
from pandas.io.formats.style import Styler

from sanitygap import show
from sanitygap.axioms.scenarios import COALITIONS, SCENARIOS, keys
from sanitygap.chapters.axioms.measure_examples import from_png
from sanitygap.figures.plate import Plate
from sanitygap.inference import proportion_interval
from sanitygap.judge import rows_of
from sanitygap.pages import side_by_side
from sanitygap.runs import Study
from sanitygap.words import plural

#: a patch's name -> as it is set in a figure
SYMBOLS = {"f_a": "$f_a$", "f_b": "$f_b$", "f_null": r"$f_\mathrm{null}$"}

#: below this a computed value is rounding
ROUNDING = 1e-12


def about_samples(study: Study, table: str, scenario: str | None = None) -> str:
    """Model, number of samples and seed of a table of generated inputs, for captions."""
    settings, rows = study.settings.public(), study.table(table)
    if scenario is not None:
        rows = rows_of(rows, scenario=scenario)
    words = f"{settings['model']}, seed {settings['seed']}, profile {settings['profile']}"
    by = [name for name in ("scenario", "sample") if name in rows]
    if "sample" not in by:
        return words
    words += f", {plural(len(rows.drop_duplicates(by)), 'sample')}"
    return words


@show.shows("axioms-samples")
def feature_report(study: Study) -> Styler:
    """How many samples were accepted, after how many steps, and how well they hold afresh."""
    table = study.table("axioms-samples")
    rows = []
    for name, part in table.groupby("scenario", sort=False):
        each = part.drop_duplicates("sample")
        accepted = each[each["accepted"]]
        measured = fresh_keys(part[part["accepted"]], str(name))
        by_sample = measured.groupby("sample")["holds"]
        seconds = shown_value(each["seconds"].sum() / len(accepted)) if len(accepted) else "–"
        rows.append(
            {
                "scenario": name,
                "attempts": len(each),
                "given up at once": int((each["steps"] == 0).sum()),
                "accepted": len(accepted),
                "median steps": shown_value(accepted["steps"].median()),
                "processor s an accepted one": seconds,
                "fresh draws that hold": shares(measured["holds"]),
                "samples: first fresh draw holds": shares(by_sample.first()),
                "samples: most fresh draws hold": shares((by_sample.mean() > 0.5).astype(float)),
                "mean softmax": measured["softmax"].mean(),
                "mean relative change": measured["change"].mean(),
            }
        )
    counts, few = pd.DataFrame(rows)["accepted"], ""
    if counts.min() < 100:
        few = f" This is a handful: {counts.sum()} accepted samples, where the paper has 1000 a "
        few += "scenario."
    origin = ", ".join(sorted(set(table["source"])))
    least = " or ".join(f"{value:g}" for value in sorted(set(table["reference_least"])))
    return show.display_table(
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
    outputs = ["logit_a", "logit_b", "softmax_a", "softmax_b"]
    wide = rows.pivot(index=["sample", "draw"], columns="coalition", values=outputs)
    values = np.stack([wide[output][names].to_numpy() for output in outputs], axis=-1)
    logits, softmaxes = torch.from_numpy(values).split(2, dim=-1)
    softmax, change = keys(chosen, logits, softmaxes)
    least, most = rows["softmax_least"].iloc[0], rows["change_most"].iloc[0]
    holds = (softmax > least).all(1) & (change < most).all(1)
    worst = {"softmax": softmax.amin(1), "change": change.amax(1), "holds": holds.double()}
    samples = {"sample": wide.index.get_level_values("sample")}
    return pd.DataFrame(samples | {name: value.numpy() for name, value in worst.items()})


@show.shows("axioms-growth")
def growth_plate(study: Study) -> Plate:
    """The patches of one sample as they come into being."""
    table = study.table("axioms-growth")
    if table.empty:
        raise show.NothingToShowError("Every sample was given up before its first step.")
    second = "f_null" if table["scenario"].iloc[0] == "null" else "f_b"
    changes = "\nchange " + table["change"].map("{:.2f}".format)
    notes = "softmax " + table["softmax"].map("{:.2f}".format)
    table = table.assign(note=notes + changes.where(table["change"].notna(), ""))
    patches = table.groupby("patch", sort=False)
    grown = {"f_a" if patch == 1 else second: rows for patch, rows in patches}
    steps = show.distinct(table["step"])
    ends = "; ".join(f"{name}: {rows['note'].iloc[-1]}" for name, rows in grown.items())
    return Plate(
        show.picture_grid(
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


@show.shows("axioms-statements")
def axiom_statements(study: Study) -> Styler:
    """What can be decided about games, metrics and keys without a network."""
    table = study.table("axioms-statements")
    values = table["quantity"].map(escape) + " = " + table["value"].map(shown_value)
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
    words = "Computed or proved without any network; unfold a row to see it."
    return show.display_table(rows, words)


def shown_value(value: float) -> str:
    """Three digits, all of a larger number; 0 for what rounding leaves of it, a dash for none."""
    if np.isnan(value):
        return "–"
    if np.isinf(value):
        return "∞" if value > 0 else "−∞"
    if 1000 <= abs(value) < 1e6:
        return f"{value:.0f}".replace("-", "−")
    return "0" if abs(value) < ROUNDING else f"{value:.3g}".replace("-", "−")


@show.shows("axioms-toy")
def toy_table(study: Study) -> Styler:
    """The share of the null patch in a network whose wiring makes it null."""
    table = study.table("axioms-toy")
    sums = table.groupby(["method", "sign"], sort=False)[["first", "second"]].mean().reset_index()
    sums["null share"] = sums["second"] / (sums["first"] + sums["second"])
    return show.display_table(
        side_by_side(sums, "method", "sign", "null share")[["method", "signed", "absolute"]],
        f"Share of the patch that is null by its wiring, means over {table['sample'].nunique()} "
        "inputs.",
    )


@show.shows("axioms-variants")
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
    return show.display_table(
        rows,
        "Other priors, places, balances and goals, after at most "
        f"{int(table['steps'].max())} steps; softmax on fresh backgrounds and positions, with the "
        f"samples that were given up. {about_samples(study, 'axioms-variants')}.",
    )
