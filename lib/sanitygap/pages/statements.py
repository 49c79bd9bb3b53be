"""Pages about formal statements and the activations they are applied to."""

import math
import re
from collections.abc import Callable, Hashable, Mapping
from html import escape

import pandas as pd
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler

from sanitygap.claims import load_claims, registry
from sanitygap.claims.verdicts import VERDICTS
from sanitygap.criteria.theory.activations import PAIRS, frequencies, handed_on
from sanitygap.figures.plate import Plate
from sanitygap.figures.theory_networks import redrawn_layers
from sanitygap.figures.theory_normalizers import map_dispersion as draw_dispersion
from sanitygap.figures.theory_normalizers import mean_shares as draw_shares
from sanitygap.inference import proportion_interval
from sanitygap.pages.shared import marked
from sanitygap.runs import Study
from sanitygap.show import (
    NothingToShowError,
    about,
    bounds,
    columns,
    display_table,
    model_of,
    panel,
    shown_mean,
    shows,
    text_table,
    with_intervals,
)
from sanitygap.words import listed, plural

Draw = Callable[[pd.DataFrame], Figure]


def described(draw: Draw, rows: pd.DataFrame, numbers: pd.DataFrame, settings: str) -> Plate:
    """A figure whose description is its caption, before the settings of what it shows.

    Args:
        draw: from :mod:`sanitygap.figures.theory` or its neighbours.
        rows: what it draws.
        numbers: what is offered as a download.
        settings: a sentence.
    """
    words = " ".join((draw.__doc__ or "").split())
    return Plate(draw(rows), words, f"{words} {settings}.", numbers)


@shows()
def statement_plate(study: Study, table: str, draw: Draw) -> Plate:
    """A figure about a formal statement; see :func:`described`."""
    numbers, parameters = study.table(table), study.made(table)["parameters"]
    knobs = ", ".join(f"{name} = {shown_knob(value)}" for name, value in parameters.items())
    return described(draw, numbers, numbers, f"Simulated: {knobs}, seed {study.settings.seed}")


def shown_knob(value: object) -> str:
    """A setting for a caption: lists without their brackets."""
    return listed(value) if isinstance(value, list | tuple) and value else str(value)


def proof_table(study: Study, table: str) -> Styler:
    """What a machine proved, and which false variants it refused."""
    rows = study.table(table)
    mutants = rows["kind"] == "mutant"
    asked = rows["statement"].where(~mutants, "Mutant: " + rows["statement"])
    answers = [_answer(row) for row in rows.to_dict("records")]
    unexpected = int((rows["outcome"] != rows["expected"]).sum())
    rest = f"Not as expected: {unexpected}." if unexpected else "Every answer is the expected one."
    return text_table(
        pd.DataFrame({"asked": asked.map(formula), "of": rows["method"], "answer": answers}),
        f"What the solver was asked and what it answered. {mutants.sum()} of {len(rows)} rows are "
        f"mutants: false variants, of which a sound check has to find a counterexample. {rest}",
    )


def _answer(row: Mapping[Hashable, str]) -> str:
    """An outcome with its counterexample, and what was expected if that is something else."""
    words = {"proved": "✓ proved", "counterexample": "✗ refuted"}
    answer = words.get(row["outcome"], f"? {row['outcome']}")
    if row["witness"]:
        answer += f": {formula(row['witness'].removesuffix(' at '))}"
    if row["outcome"] != row["expected"]:
        answer += f" (expected: {row['expected']})"
    return answer


#: letters and signs of a solver, and how they are set
SYMBOLS = {
    "gamma": "γ", "beta": "β", "lambda": "λ", "sigma": "σ", "rho": "ρ", "phi": "φ", "theta": "θ",
    "pi": "π", "sqrt": "√", "oo": "∞",
}  # fmt: skip
SIGNS = {"<=": "≤", ">=": "≥", "!=": "≠", "^2": "²", " x Input": " × Input"}


def formula(text: str) -> str:
    """A solver's words as HTML, with indices below the line: ``var_a`` or ``gamma_1``."""
    text = escape(typeset(text))
    text = re.sub(r"(?<=[^\W_])_([A-Za-z0-9]+)", r"<sub>\1</sub>", text)
    return re.sub(r"\bv_(?!\w)", "v<sub>∅</sub>", text)  # a game without players


def typeset(text: str) -> str:
    """A solver's ASCII with the usual signs: ``gamma_1 <= x^2`` becomes ``γ_1 ≤ x²``."""
    for word, sign in SYMBOLS.items():
        text = re.sub(rf"(?<![A-Za-z]){word}(?![A-Za-z])", sign, text)
    for letters, sign in SIGNS.items():
        text = text.replace(letters, sign)
    return text


@shows()
def activation_plate(study: Study, table: str, draw: Draw) -> Plate:
    """A figure about activations; the numbers behind it are means over images."""
    rows = study.table(table)
    keys = [name for name in ("layer_index", "layer", "q_high", "q_low") if name in rows]
    numbers = rows.groupby(keys, as_index=False).mean(numeric_only=True)
    return described(draw, rows, numbers, about(study, table))


def _overtaking(study: Study) -> tuple[pd.DataFrame, str]:
    """How often real neurons of redrawn layers are overtaken, and words about the table."""
    table = frequencies(study.table("redrawn-overtaking"))
    if table.empty:
        raise NothingToShowError(
            f"{model_of(study)} has no convolution or dense layer that an activation module feeds "
            "directly, so there is nothing to redraw here."
        )
    redraws = study.made("redrawn-overtaking")["parameters"]["redraws"]
    return table, f"{about(study, 'redrawn-overtaking')}, {redraws} redraws an image"


@shows()
def redrawn_plate(study: Study) -> Plate:
    """Overtaking in the real neurons of redrawn layers beside the bound, layer by layer."""
    table, words = _overtaking(study)
    keys = ["q_high", "q_low", "layer_index", "layer"]
    means = table.groupby(keys, as_index=False)[["bound", "simulated"]].mean()
    numbers = _intervals(table, keys, "frequency").merge(means, on=keys)
    chosen = [pair in PAIRS for pair in zip(numbers["q_high"], numbers["q_low"], strict=True)]
    return described(redrawn_layers, numbers[chosen], numbers[chosen], words)


@shows()
def measured_overtaking(study: Study) -> Styler:
    """The bound on overtaking beside its frequency in real neurons with redrawn weights."""
    table, words = _overtaking(study)
    rows = []
    for (high, low), part in table.groupby(["q_high", "q_low"], sort=False):
        images = part.groupby("image")[["bound", "simulated", "frequency"]].mean()
        layers = part.groupby("layer_index")
        zeros = layers["value_low"].max() == 0
        above = layers["frequency"].mean() > layers["bound"].mean()
        rows.append(
            {"large: above V(q)": f"{high:g}", "small: below V(q)": f"{low:g}"}
            | {
                "mean bound": images["bound"].mean(),
                "simulated neurons": images["simulated"].mean(),
            }
            | bounds(shown_mean(images["frequency"]), "real neurons")
            | {"layers": layers.ngroups, "of them with V(q) = 0": int(zeros.sum())}
            | {"real neurons above the bound": int(above.sum())}
        )
    return display_table(
        rows,
        "Means over layers and images of the bound of Theorem 2 and of the two frequencies; 95 % "
        "bootstrap intervals over images. The last three columns count layers: all that the "
        "paper's rule covers, those whose small activations are zeros in every image, and those "
        f"whose mean frequency exceeds the mean bound. {words}.",
    )


def mse_terms(study: Study) -> Styler:
    """What the normalised MSE after the last step of the randomisation test is made of."""
    table = study.table("randomization")
    rows = table[(table["order"] == "top-down") & (table["sign"] == "signed")]
    rows = rows[rows["step"] == rows["step"].max()]
    rows = rows.assign(covariance=rows["product"] - rows["means"])
    names = {"mse": "MSE", "means": "means m", "covariance": "covariance c"}
    numbers = with_intervals(rows, ["method"], names, "term")
    numbers["value"] = [
        f"{row['mean']:z.3f} [{row['low']:z.3f}, {row['high']:z.3f}]"
        for row in numbers.to_dict("records")
    ]
    return display_table(
        side_by_side(numbers, "method", "term", "value"),
        "Normalised MSE of signed maps after the last step of top-down randomisation, and its two "
        f"terms; 95 % bootstrap intervals over images. {about(study, 'randomization')}.",
    )


def side_by_side(rows: pd.DataFrame, by: str, across: str, value: str) -> pd.DataFrame:
    """A row for each entry of one column, a column for each of another; in their orders."""
    wide = rows.pivot(index=by, columns=across, values=value)
    wide = wide.loc[rows[by].unique(), rows[across].unique()]
    return wide.reset_index().rename_axis(columns=None)


@shows()
def map_dispersion(study: Study) -> Plate:
    """How much two normalisers vary, on the network's own maps."""
    names = ("maximum_spread", "rms_spread")
    numbers = pd.concat([_own_maps(study, name).assign(value=name) for name in names])
    return described(draw_dispersion, numbers, numbers, about(study, "map-normalizers"))


@shows()
def mean_shares(study: Study) -> Plate:
    """The share of the mean in the second moment: the network's own maps, and random networks."""
    random = study.table("second-moment-rationale")
    names = {
        "Sensitivity, l2": "sensitivity-l2",
        "Gradient, mean": "gradient",
        "Gradient x Input": "gradient-x-input",
    }
    others = random[["method", "estimate", "low", "high"]].assign(
        method=random["method"].map(names), value="random networks", n=random["draws"]
    )
    own = _own_maps(study, "mean_share").assign(value=panel(study, "map-normalizers"))
    numbers = pd.concat([own, others])
    return described(draw_shares, numbers, numbers, about(study, "map-normalizers"))


def _own_maps(study: Study, column: str) -> pd.DataFrame:
    """Means over images of a column of the table map-normalizers."""
    table = study.table("map-normalizers")
    return _intervals(table, ["method"], column).rename(columns={"mean": "estimate"})


def _intervals(table: pd.DataFrame, by: list[str], value: str) -> pd.DataFrame:
    """As :func:`with_intervals`; a group of a single image gets its mean without an interval."""
    numbers = with_intervals(table, by, value)
    single = table.groupby(by, sort=False)[value].mean().to_numpy()
    return numbers.assign(mean=numbers["mean"].fillna(pd.Series(single)), n=numbers["n"].clip(1))


def normalizer_rankings(study: Study) -> Styler:
    """The order of the methods by MSE for three normalisers, on the network's own maps."""
    table = study.table("map-normalizers")
    names = {
        "mse_second_moment": "second moment",
        "mse_deviation": "standard deviation",
        "mse_maximum": "maximum",
    }
    zero = table.loc[table[list(names)].isna().any(axis=1), "image"].unique()
    rows = table[~table["image"].isin(zero)]
    means = rows.groupby("method", sort=False)[list(names)].mean().rename(columns=names)
    ranks = means.rank(ascending=False).astype(int)
    words = means.map("{:.3f}".format).astype(object) + " (" + ranks.astype(str) + ")"
    left_out = (
        f"{plural(len(zero), 'image')} left out, because a method's map of the redrawn network is "
        "zero everywhere. "
        if len(zero)
        else ""
    )
    return display_table(
        words.reset_index(),
        "Mean squared difference between the map of the trained network and that of the network "
        "with all weights redrawn, after dividing both maps by the quantity named; in brackets the "
        f"rank, 1 for the largest. {left_out}{about(study, 'map-normalizers')}.",
    )


def positive_share(study: Study) -> Styler:
    """How often the map of a positive logit sums to something positive."""
    table, rows = study.table("positive-evidence"), []
    for (method, state), every in table.groupby(["method", "state"], sort=False):
        part = every[every["logit"] > 0]
        if len(part):
            share = proportion_interval(int((part["relevance"] > 0).sum()), len(part))
            passed = handed_on(every) if str(method).startswith("lrp") else math.nan
            rows.append(
                {"method": method, "network": state}
                | columns(share, "share with positive sum")
                | {"handed on": passed}
            )
    return display_table(
        rows,
        "Share of maps of positive logits whose values sum to something positive, 95 % Wilson "
        "intervals. Handed on: the sum of the map, which is what LRP hands on to the pixels of the "
        "1 that it starts with, median over images; a conservative rule has 1. "
        f"{about(study, 'positive-evidence')}.",
    )


def audit(study: Study) -> Styler:
    """Every formal statement that has a criterion: its verdict, and the corrected statement."""
    claims = [
        claim
        for claim in load_claims()
        if claim.paper == "binder-2022" and claim.kind == "formal" and claim.id in registry()
    ]
    judged = {row["claim"]: row for row in study.judge(*[c.id for c in claims]).to_dict("records")}
    rows = []
    for claim in claims:
        verdict = judged[claim.id]["verdict"]
        place, corrected = claim.place, claim.audit.corrected if claim.audit else ""
        link = f'<a href="{claim.notebook}.html">{place}</a>' if claim.notebook else place
        rows.append(
            {
                "statement": f'<a href="../book/ledger.html#{claim.id}">{claim.id}</a>',
                "where": link,
                "verdict": f"{VERDICTS[verdict].sign} {verdict}",
                "evidence": marked(judged[claim.id]["evidence"]),
                "corrected statement": marked(corrected or "–"),
            }
        )
    return text_table(
        rows,
        f"{len(rows)} formal statements, judged on the tables of the run {study.settings.run}.",
    )
