"""A live run beside the recorded reference of its model: where do they differ beyond chance?"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import permutation_test

from sanitygap.archive import run_records
from sanitygap.errors import UsageError
from sanitygap.files import find_root, read_json, read_table
from sanitygap.inference import bootstrap_mean, holm
from sanitygap.models import Explainable
from sanitygap.runs import Study, open_run
from sanitygap.scores import occlusion_scores, randomization_scores
from sanitygap.table import find_table

LEVEL = 0.05

#: numbers of another processor or version of a library may differ by that much
TOLERANCE = 1e-3

AGREES, DIFFERS, NOT_COMPARED = "agrees", "differs beyond chance", "not compared"

Scores = Callable[[pd.DataFrame], pd.DataFrame]
"""From a table to images x methods."""

METRICS: dict[str, tuple[str, Scores]] = {
    "mean SSIM, top-down": ("randomization", randomization_scores),
    "mean SSIM of absolute maps, top-down": (
        "randomization",
        partial(randomization_scores, sign="absolute"),
    ),
    "mean rank correlation, top-down": (
        "randomization",
        partial(randomization_scores, similarity="spearman"),
    ),
    "mean squared error, top-down": (
        "randomization",
        partial(randomization_scores, similarity="mse"),
    ),
    "mean SSIM, bottom-up": (
        "randomization-bottom-up",
        partial(randomization_scores, order="bottom-up"),
    ),
    "mean SSIM, independent": (
        "randomization-independent",
        partial(randomization_scores, order="independent"),
    ),
    "mean softmax under occlusion": ("occlusion", occlusion_scores),
    "mean logit under occlusion": ("occlusion", partial(occlusion_scores, value="logit")),
}
"""What :func:`compare_metrics` compares: name -> table of a run, and its scores."""


class HeldRun(Study):
    """A run in any folder, such as one that was downloaded: read, never extended.

    Args:
        folder: holds ``run.json`` and the finished tables.

    Raises:
        UsageError: it holds no run.
    """

    def __init__(self, folder: Path) -> None:
        settings = read_json(folder / "run.json").get("settings")
        if not settings:
            raise UsageError(f"the folder {folder} holds no run: there is no run.json in it")
        super().__init__(folder=folder, **settings)

    @property
    def recorded(self) -> bool:
        """Always: nothing is computed into somebody's folder."""
        return True

    def _load_model(self) -> Explainable:
        """The model, unless that would import a module that only the run's files name."""
        source, colon, _ = self.settings.model.partition(":")
        if colon and source not in ("torchvision", "timm"):
            raise UsageError(
                f"the run in {self.folder} is about {self.settings.model}, which is not imported "
                "for a run in a folder; copy it into data/runs if you trust it"
            )
        return super()._load_model()


def find_run(name: str, root: Path | None = None) -> Study:
    """A run of the project by its name, or one in another folder by its path.

    Raises:
        UsageError: there is no such run or folder.
    """
    if "/" in name or (Path(name) / "run.json").is_file():
        return HeldRun(Path(name))
    return open_run(name, root)


def recorded_runs(root: Path | None = None, model: str | None = None) -> list[Study]:
    """The recorded runs of the project, in the order of their names, without damaged ones.

    Args:
        root: the project's folder.
        model: only those about this model spec.
    """
    root = root or find_root()
    records, _ = run_records(root)
    return [
        Study(run=folder.name, root=root)
        for folder, record in records.items()
        if record["recorded"] and model in (None, record["settings"]["model"])
    ]


def on_shared_steps(first: pd.DataFrame, second: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two tables ``randomization`` cut to the steps that both hold."""
    shared = set(first["step"]) & set(second["step"])
    return first[first["step"].isin(shared)], second[second["step"].isin(shared)]


def compare(live: pd.DataFrame, recorded: pd.DataFrame, resamples: int = 9999) -> pd.DataFrame:
    """Mean scores of two runs on different images, method by method.

    Args:
        live, recorded: scores, images x methods.
        resamples: of the two-sample permutation test.

    Returns:
        One row a method: both means with intervals, numbers of images, the p-value of the
        difference after Holm's correction over the methods, and ``agrees`` or
        ``differs beyond chance``.

    Raises:
        UsageError: a method has scores for fewer than two images in one of the runs.
    """
    methods = [str(name) for name in live if name in recorded]
    for name in methods:
        if min(live[name].count(), recorded[name].count()) < 2:
            raise UsageError(
                f"{name!r} has scores for fewer than two images in one of the runs, so they cannot "
                "be compared; use more images"
            )
    return _corrected(pd.DataFrame(_rows(live[methods], recorded[methods], resamples)))


def _rows(
    live: pd.DataFrame, recorded: pd.DataFrame, resamples: int
) -> Iterator[dict[str, object]]:
    """One row a method, with the p-value ``p`` of its difference; NaN below two images."""
    for name in live:
        ours, theirs = live[name].dropna(), recorded[name].dropna()
        row: dict[str, object] = {"method": name}
        for column, scores in (("live", ours), ("recorded", theirs)):
            mean = bootstrap_mean(scores) if len(scores) else None
            row |= {
                column: mean.estimate if mean else float("nan"),
                f"{column}_low": mean.low if mean else float("nan"),
                f"{column}_high": mean.high if mean else float("nan"),
                f"{column}_n": len(scores),
            }
        row["p"] = float("nan")
        if min(len(ours), len(theirs)) >= 2:
            row["p"] = permutation_test(
                (ours, theirs),
                lambda a, b, axis: a.mean(axis) - b.mean(axis),
                n_resamples=resamples,
                vectorized=True,
                rng=0,
            ).pvalue
        yield row


def _corrected(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with Holm's correction over all of them, and what follows from it."""
    if rows.empty:
        return rows
    pvalues = rows["p"].dropna()
    adjusted = holm({str(number): float(p) for number, p in pvalues.items()})
    rows = rows.drop(columns="p")
    rows["p_holm"] = [adjusted.get(str(number), float("nan")) for number in rows.index]
    rows["verdict"] = [
        NOT_COMPARED if pd.isna(p) else DIFFERS if p < LEVEL else AGREES for p in rows["p_holm"]
    ]
    return rows


def compare_metrics(live: Study, recorded: Study, resamples: int = 9999) -> pd.DataFrame:
    """Every metric of :data:`METRICS` that two runs share, method by method.

    The test treats images as a sample, so two runs about the same images agree more often than it
    allows. Holm's correction is over the methods of a metric: if nothing but chance separates the
    runs, the probability that a metric shows any difference is at most 5 %.

    Args:
        live, recorded: the runs.
        resamples: of each two-sample permutation test.

    Returns:
        The rows of :func:`compare` with a column ``score`` before them. A method with scores for
        fewer than two images in one of the runs is ``not compared``.

    Raises:
        UsageError: there is no table that both runs hold.
    """
    frames = []
    for metric, (table, scores) in METRICS.items():
        if not (live.made(table) and recorded.made(table)):
            continue
        ours, theirs = read(live, table), read(recorded, table)
        if "step" in ours:
            ours, theirs = on_shared_steps(ours, theirs)
        if ours.empty or theirs.empty:
            continue
        first, second = scores(ours), scores(theirs)
        shared = [name for name in first if name in second]
        rows = pd.DataFrame(_rows(first[shared], second[shared], resamples))
        frames.append(_corrected(rows).assign(score=metric))
    if not frames:
        raise UsageError(
            f"the runs {live.settings.run!r} and {recorded.settings.run!r} share no finished table "
            f"among {', '.join(dict.fromkeys(table for table, _ in METRICS.values()))}; compute "
            "one for both"
        )
    joined = pd.concat(frames, ignore_index=True)
    return joined[["score", *(column for column in joined if column != "score")]]


def compare_runs(live: Study, recorded: Study) -> pd.DataFrame:
    """:func:`compare` for the randomisation and the occlusion scores of two runs.

    Scores are compared on the steps that both runs hold.

    Returns:
        The rows of :func:`compare` with a column ``score`` before them.

    Raises:
        UsageError: there is no table that both runs hold.
    """
    frames = []
    if live.made("randomization") and recorded.made("randomization"):
        ours, theirs = on_shared_steps(read(live, "randomization"), read(recorded, "randomization"))
        rows = compare(randomization_scores(ours), randomization_scores(theirs))
        frames.append(rows.assign(score="mean SSIM after randomisation"))
    if live.made("occlusion") and recorded.made("occlusion"):
        ours, theirs = (occlusion_scores(read(run, "occlusion")) for run in (live, recorded))
        frames.append(compare(ours, theirs).assign(score="mean softmax under occlusion"))
    if not frames:
        raise UsageError(
            f"the runs {live.settings.run!r} and {recorded.settings.run!r} share no finished table "
            "randomization or occlusion; compute one for both"
        )
    joined = pd.concat(frames, ignore_index=True)
    return joined[["score", *(column for column in joined if column != "score")]]


def measure_again(
    study: Study, parts: int, seed: int = 0, tables: Iterable[str] | None = None
) -> pd.DataFrame:
    """A sample of the parts of a run, measured anew and compared with what the run holds.

    Rows are matched by their columns that are no fractions; durations are not compared.

    Args:
        study: the run.
        parts: how many, each of another table.
        seed: of the sample.
        tables: choose among these; all that the run holds by default.

    Returns:
        One row a part: ``table``, ``rows``, ``difference`` (largest, relative to the largest
        absolute value of the column), and ``verdict``: ``agrees`` or ``differs``.

    Raises:
        UsageError: the run's images are not here, or it holds none of the tables.
    """
    held = [name for name in old_tables(study)[1] if tables is None or name in set(tables)]
    if not held:
        raise UsageError(f"the run {study.settings.run!r} holds none of these tables")
    draws = np.random.default_rng(seed)
    rows = []
    for name in draws.permutation(held)[:parts]:
        entry, stored = find_table(name), read(study, name)
        given = study.made(name)["parameters"]
        known = {key: value for key, value in given.items() if key in entry.defaults}
        cut = entry.parts(study.context, **known)
        fresh = cut[int(draws.integers(len(cut)))].compute()
        difference = largest_difference(fresh, stored)
        rows.append(
            {
                "table": name,
                "rows": len(fresh),
                "difference": difference,
                "verdict": AGREES if difference <= TOLERANCE else "differs",
            }
        )
    return pd.DataFrame(rows)


def largest_difference(fresh: pd.DataFrame, stored: pd.DataFrame) -> float:
    """Between the fractions in rows that are alike otherwise; infinite where a row is missing."""
    values = [c for c in fresh.select_dtypes(np.floating) if c != "seconds"]
    keys = [c for c in fresh if c not in values and c != "seconds"]
    if set(fresh) != set(stored):
        return float("inf")
    order = [frame.groupby(keys, dropna=False).cumcount() for frame in (fresh, stored)]
    both = fresh.assign(copy=order[0]).merge(
        stored.assign(copy=order[1]), "left", [*keys, "copy"], suffixes=("", " stored"),
        indicator=True,
    )  # fmt: skip
    if (both["_merge"] != "both").any():
        return float("inf")
    largest = 0.0
    for name in values:
        ours, theirs = (both[column].to_numpy(float) for column in (name, f"{name} stored"))
        if (np.isnan(ours) != np.isnan(theirs)).any():
            return float("inf")
        scale = np.nanmax(np.abs(theirs), initial=1e-12)
        largest = max(largest, float(np.nanmax(np.abs(ours - theirs), initial=0.0) / scale))
    return largest


def outdated(studies: Iterable[Study]) -> list[str]:
    """One line for each compared table that the code installed now would make otherwise."""
    return [
        f"the table {table!r} of the run {study.settings.run!r} was computed by other code"
        for study in studies
        for table in ("randomization", "occlusion")
        if study.made(table) and not study.is_current(table)
    ]


def old_tables(study: Study) -> tuple[list[str], list[str]]:
    """The tables of a run that the code installed now would make otherwise, and all its tables."""
    held = sorted(path.stem for path in study.folder.glob("*.parquet") if study.made(path.stem))
    return [table for table in held if not study.is_current(table)], held


def read(study: Study, table: str) -> pd.DataFrame:
    """A finished table of a run, as it is stored."""
    return read_table(study.folder / f"{table}.parquet")
