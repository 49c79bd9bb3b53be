"""Generated inputs and their maps, as in the figures of Khakzar et al. (2022)."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from sanitygap.criteria.khakzar_features import LEAST
from sanitygap.criteria.khakzar_figures import FIGURES
from sanitygap.criteria.khakzar_methods import NAMES, per_sample
from sanitygap.experiments.axiom_pictures import from_png
from sanitygap.figures.axioms import MapRow, map_rows
from sanitygap.figures.methods import label
from sanitygap.figures.plate import Plate
from sanitygap.runs import Study
from sanitygap.show import NothingToShowError, distinct, holds, shows
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
