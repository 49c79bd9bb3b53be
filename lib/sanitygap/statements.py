"""Pages about formal statements: their figures, and what a machine proved."""

import re
from collections.abc import Callable, Hashable, Mapping
from html import escape

import pandas as pd
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler

from sanitygap.figures.plate import Plate
from sanitygap.runs import Study
from sanitygap.show import need_rows, shows, text_table, with_intervals
from sanitygap.words import listed

Draw = Callable[[pd.DataFrame], Figure]


def described(draw: Draw, rows: pd.DataFrame, numbers: pd.DataFrame, settings: str) -> Plate:
    """A figure whose description is its caption, before the settings of what it shows.

    Args:
        draw: from :mod:`sanitygap.figures.theory` or its neighbours.
        rows: what it draws.
        numbers: what is offered as a download.
        settings: a sentence.
    """
    need_rows(rows)
    words = " ".join((draw.__doc__ or "").split())
    return Plate(draw(rows), words, f"{words} {settings}.", numbers)


@shows()
def statement_plate(study: Study, table: str, draw: Draw) -> Plate:
    """A figure about a formal statement; see :func:`described`."""
    numbers, parameters = study.table(table), study.made(table)["parameters"]
    words = ", ".join(
        f"{name} = {listed(value) if isinstance(value, list | tuple) and value else value}"
        for name, value in parameters.items()
    )
    return described(draw, numbers, numbers, f"Simulated: {words}, seed {study.settings.seed}")


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
    """A solver's ASCII as HTML with the usual signs: ``gamma_1 <= x^2`` becomes ``γ₁ ≤ x²``."""
    for word, sign in SYMBOLS.items():
        text = re.sub(rf"(?<![A-Za-z]){word}(?![A-Za-z])", sign, text)
    for letters, sign in SIGNS.items():
        text = text.replace(letters, sign)
    text = re.sub(r"(?<=[^\W_])_([A-Za-z0-9]+)", r"<sub>\1</sub>", escape(text))
    return re.sub(r"\bv_(?!\w)", "v<sub>∅</sub>", text)  # a game without players


def _intervals(table: pd.DataFrame, by: list[str], value: str) -> pd.DataFrame:
    """As :func:`with_intervals`; a group of a single image gets its mean without an interval."""
    numbers = with_intervals(table, by, value)
    single = table.groupby(by, sort=False)[value].mean().to_numpy()
    return numbers.assign(mean=numbers["mean"].fillna(pd.Series(single)), n=numbers["n"].clip(1))
