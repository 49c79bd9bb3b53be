"""Pages about formal statements and the activations they are applied to."""

import math
import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from html import escape

import pandas as pd
from IPython.display import Markdown
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler

from sanitygap.claims import load_claims, registry
from sanitygap.claims.verdicts import VERDICTS
from sanitygap.criteria.theory.activations import PAIRS, frequencies, handed_on
from sanitygap.figures import Plate, theme, theory_networks, theory_normalizers
from sanitygap.figures.methods import label
from sanitygap.inference import proportion_interval
from sanitygap.pages.shared import (
    about,
    display_table,
    marked,
    panel,
    shown_mean,
    text_table,
    with_intervals,
)
from sanitygap.runs import Study
from sanitygap.words import listed, plural


def statement_plate(study: Study, table: str, draw: Callable[[pd.DataFrame], Figure]) -> Plate:
    """A figure about a formal statement, with the numbers and settings behind it.

    Args:
        study: the run.
        table: the table it is drawn from.
        draw: from :mod:`sanitygap.figures.theory`; its description becomes the caption.
    """
    theme()
    numbers = study.table(table)
    about_it = " ".join((draw.__doc__ or "").split())
    made = study.made(table)
    knobs = ", ".join(f"{name} = {shown_knob(value)}" for name, value in made["parameters"].items())
    caption = f"{about_it} Simulated: {knobs}, seed {study.settings.seed}."
    return Plate(draw(numbers), about_it, caption, numbers)


def proof_table(study: Study, table: str) -> Styler:
    """What a machine proved, and which false variants it refused."""
    rows = study.table(table)
    shown = pd.DataFrame(
        {
            "asked": [
                lowered(escape(typeset(f"Mutant: {text}" if kind == "mutant" else text)))
                for text, kind in zip(rows["statement"], rows["kind"], strict=True)
            ],
            "of": rows["method"],
            "answer": [_answer(row) for row in rows.to_dict("records")],
        }
    )
    unexpected = int((rows["outcome"] != rows["expected"]).sum())
    mutants = int((rows["kind"] == "mutant").sum())
    return text_table(
        shown,
        f"What the solver was asked and what it answered. {mutants} of {len(rows)} rows are "
        "mutants: false variants, of which a sound check has to find a counterexample. "
        + (
            f"Not as expected: {unexpected}." if unexpected else "Every answer is the expected one."
        ),
    )


def _answer(row: Mapping[Hashable, str]) -> str:
    """An outcome with its counterexample, and what was expected if that is something else."""
    words = {"proved": "✓ proved", "counterexample": "✗ refuted"}
    answer = words.get(row["outcome"], f"? {row['outcome']}")
    if row["witness"]:
        answer += f": {lowered(escape(typeset(row['witness'].removesuffix(' at '))))}"
    if row["outcome"] != row["expected"]:
        answer += f" (expected: {row['expected']})"
    return answer


def shown_knob(value: object) -> str:
    """A setting for a caption: lists without their brackets."""
    return listed(value) if isinstance(value, list | tuple) and value else str(value)


SYMBOLS = {
    "gamma": "γ", "beta": "β", "lambda": "λ", "sigma": "σ", "rho": "ρ", "phi": "φ", "theta": "θ",
    "pi": "π", "sqrt": "√", "oo": "∞",
}  # fmt: skip


def lowered(text: str) -> str:
    """Indices of a solver's names below the line: ``var_a`` as HTML."""
    text = re.sub(r"(?<=[^\W_])_([A-Za-z0-9]+)", r"<sub>\1</sub>", text)
    return re.sub(r"\bv_(?!\w)", "v<sub>∅</sub>", text)  # a game without players


def typeset(text: str) -> str:
    """A solver's ASCII with the usual signs: ``gamma_1 <= x^2`` becomes ``γ_1 ≤ x²``."""
    for word, sign in SYMBOLS.items():
        text = re.sub(rf"(?<![A-Za-z]){word}(?![A-Za-z])", sign, text)
    for letters, sign in (
        ("<=", "≤"),
        (">=", "≥"),
        ("!=", "≠"),
        ("^2", "²"),
        (" x Input", " × Input"),
    ):
        text = text.replace(letters, sign)
    return text


def activation_plate(study: Study, table: str, draw: Callable[[pd.DataFrame], Figure]) -> Plate:
    """A figure about activations: the numbers behind it are means over images.

    Args:
        study: the run.
        table: the table it is drawn from.
        draw: from :mod:`sanitygap.figures.theory_networks`; its description becomes the caption.
    """
    theme()
    rows = study.table(table)
    words = " ".join((draw.__doc__ or "").split())
    keys = [name for name in ("layer_index", "layer", "q_high", "q_low") if name in rows]
    numbers = rows.groupby(keys, as_index=False).mean(numeric_only=True)
    return Plate(draw(rows), words, f"{words} {about(study, table)}.", numbers)


def _no_layer(study: Study) -> Markdown:
    """Said where no layer can be redrawn as Theorem 2 assumes."""
    return Markdown(
        f"> {study.settings.public()['model']} has no convolution or dense layer that an "
        "activation module feeds directly, so there is nothing to redraw here."
    )


def redrawn_plate(study: Study) -> Plate | Markdown:
    """Overtaking in the real neurons of redrawn layers beside the bound, layer by layer."""
    theme()
    table = frequencies(study.table("redrawn-overtaking"))
    if table.empty:
        return _no_layer(study)
    keys = ["q_high", "q_low", "layer_index", "layer"]
    numbers = _intervals(table, keys, "frequency").merge(
        table.groupby(keys, as_index=False)[["bound", "simulated"]].mean(), on=keys
    )
    chosen = zip(numbers["q_high"], numbers["q_low"], strict=True)
    numbers = numbers[[pair in PAIRS for pair in chosen]]
    words = " ".join((theory_networks.redrawn_layers.__doc__ or "").split())
    caption = f"{words} {about(study, 'redrawn-overtaking')}, {_redraws(study)}."
    return Plate(theory_networks.redrawn_layers(numbers), words, caption, numbers)


def measured_overtaking(study: Study) -> Styler | Markdown:
    """The bound on overtaking beside its frequency in real neurons with redrawn weights."""
    rows = study.table("redrawn-overtaking")
    table = frequencies(rows)
    if table.empty:
        return _no_layer(study)
    shown = []
    for (high, low), part in table.groupby(["q_high", "q_low"], sort=False):
        images = part.groupby("image")[["bound", "simulated", "frequency"]].mean()
        share = shown_mean(images["frequency"])
        layers = part.groupby("layer_index")
        shown.append(
            {
                "large: above V(q)": f"{high:g}",
                "small: below V(q)": f"{low:g}",
                "mean bound": images["bound"].mean(),
                "simulated neurons": images["simulated"].mean(),
                "real neurons": share.estimate,
                "low": share.low,
                "high": share.high,
                "layers": layers.ngroups,
                "of them with V(q) = 0": int((layers["value_low"].max() == 0).sum()),
                "real neurons above the bound": int(
                    (layers["frequency"].mean() > layers["bound"].mean()).sum()
                ),
            }
        )
    return display_table(
        pd.DataFrame(shown),
        f"Means over layers and images of the bound of Theorem 2 and of the two frequencies; 95 % "
        f"bootstrap intervals over images. The last three columns count layers: all that the "
        f"paper's rule covers, those whose small activations are zeros in every image, and those "
        f"whose mean frequency exceeds the mean bound. {about(study, 'redrawn-overtaking')}, "
        f"{_redraws(study)}.",
    )


def _redraws(study: Study) -> str:
    """How often the weights were drawn again, for captions."""
    return f"{study.made('redrawn-overtaking')['parameters']['redraws']} redraws an image"


def mse_terms(study: Study) -> Styler:
    """What the normalised MSE after the last step of the randomisation test is made of."""
    table = study.table("randomization")
    rows = table[(table["order"] == "top-down") & (table["sign"] == "signed")]
    rows = rows[rows["step"] == rows["step"].max()]
    rows = rows.assign(covariance=rows["product"] - rows["means"])
    names = {"mse": "MSE", "means": "means m", "covariance": "covariance c"}
    shown = []
    for method, part in rows.groupby("method", sort=False):
        row: dict[str, object] = {"method": label(str(method))}
        for column, name in names.items():
            interval = shown_mean(part.groupby("image")[column].mean())
            row[name] = f"{interval.estimate:z.3f} [{interval.low:z.3f}, {interval.high:z.3f}]"
        shown.append(row)
    return display_table(
        pd.DataFrame(shown),
        f"Normalised MSE of signed maps after the last step of top-down randomisation, and its two "
        f"terms; 95 % bootstrap intervals over images. {about(study, 'randomization')}.",
    )


def map_dispersion(study: Study) -> Plate:
    """How much two normalisers vary, on the network's own maps."""
    return _normalizer_plate(
        study, theory_normalizers.map_dispersion, ("maximum_spread", "rms_spread")
    )


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
    return _normalizer_plate(study, theory_normalizers.mean_shares, ("mean_share",), others)


def _normalizer_plate(
    study: Study,
    draw: Callable[[pd.DataFrame], Figure],
    columns: Sequence[str],
    others: pd.DataFrame | None = None,
) -> Plate:
    """Means over images of columns of the table map-normalizers, and what stands beside them."""
    theme()
    table = study.table("map-normalizers")
    parts = [
        _intervals(table, ["method"], column)
        .rename(columns={"mean": "estimate"})
        .assign(value=column if len(columns) > 1 else panel(study, "map-normalizers"))
        for column in columns
    ]
    numbers = pd.concat([*parts, *([] if others is None else [others])], ignore_index=True)
    words = " ".join((draw.__doc__ or "").split())
    return Plate(draw(numbers), words, f"{words} {about(study, 'map-normalizers')}.", numbers)


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
    shown = means.map("{:.3f}".format).astype(object) + " (" + ranks.astype(str) + ")"
    shown.index = pd.Index([label(str(name)) for name in shown.index], name="method")
    left_out = (
        f"{plural(len(zero), 'image')} left out, because a method's map of the redrawn network is "
        "zero everywhere. "
        if len(zero)
        else ""
    )
    return display_table(
        shown.reset_index(),
        "Mean squared difference between the map of the trained network and that of the network "
        "with all weights redrawn, after dividing both maps by the quantity named; in brackets the "
        f"rank, 1 for the largest. {left_out}{about(study, 'map-normalizers')}.",
    )


def _intervals(table: pd.DataFrame, by: list[str], value: str) -> pd.DataFrame:
    """As :func:`with_intervals`; a group of a single image gets no interval."""
    counts = table.groupby(by)[value].transform("count")
    several = with_intervals(table[counts > 1], by, value)
    single = table[counts == 1][[*by, value]].rename(columns={value: "mean"}).assign(n=1)
    order = table[by].drop_duplicates()
    return order.merge(pd.concat([several, single], ignore_index=True), on=by)


def positive_share(study: Study) -> Styler:
    """How often the map of a positive logit sums to something positive."""
    rows = study.table("positive-evidence")
    table = []
    for (method, state), every in rows.groupby(["method", "state"], sort=False):
        part = every[every["logit"] > 0]
        if part.empty:
            continue
        share = proportion_interval(int((part["relevance"] > 0).sum()), len(part))
        table.append(
            {
                "method": label(str(method)),
                "network": state,
                "share with positive sum": share.estimate,
                "low": share.low,
                "high": share.high,
                "n": len(part),
                "handed on": handed_on(every) if str(method).startswith("lrp") else math.nan,
            }
        )
    return display_table(
        pd.DataFrame(table),
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
    found = {row["claim"]: row for row in study.judge(*[c.id for c in claims]).to_dict("records")}
    rows = []
    for claim in claims:
        verdict = found[claim.id]
        corrected = claim.audit.corrected if claim.audit and claim.audit.corrected else "–"
        place = (
            f'<a href="{claim.notebook}.html">{claim.place}</a>' if claim.notebook else claim.place
        )
        rows.append(
            {
                "statement": f'<a href="../book/ledger.html#{claim.id}">{claim.id}</a>',
                "where": place,
                "verdict": f"{VERDICTS[verdict['verdict']].sign} {verdict['verdict']}",
                "evidence": marked(verdict["evidence"]),
                "corrected statement": marked(corrected),
            }
        )
    return text_table(
        pd.DataFrame(rows),
        f"{len(rows)} formal statements, judged on the tables of the run {study.settings.run}.",
    )
