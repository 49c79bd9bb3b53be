"""A live run beside the recorded reference of its model: where do they differ beyond chance?"""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd
from scipy.stats import permutation_test

from sanitygap.errors import UsageError
from sanitygap.files import find_root, read_json
from sanitygap.inference import bootstrap_mean, holm
from sanitygap.runs import Study
from sanitygap.scores import occlusion_scores, randomization_scores

LEVEL = 0.05


def recorded_runs(root: Path | None = None, model: str | None = None) -> list[Study]:
    """The recorded runs of the project, in the order of their names.

    Args:
        root: the project's folder.
        model: only those about this model spec.
    """
    root = root or find_root()
    found = []
    for path in sorted((root / "data" / "runs").glob("*/run.json")):
        record = read_json(path)
        if record.get("recorded") and model in (None, record["settings"]["model"]):
            found.append(Study(run=path.parent.name, root=root))
    return found


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
    pairs = {name: (live[name].dropna(), recorded[name].dropna()) for name in methods}
    for name, pair in pairs.items():
        if min(map(len, pair)) < 2:
            raise UsageError(
                f"{name!r} has scores for fewer than two images in one of the runs, so they cannot "
                "be compared; use more images"
            )
    pvalues = {
        name: float(
            permutation_test(
                pair,
                lambda a, b, axis: a.mean(axis) - b.mean(axis),
                n_resamples=resamples,
                vectorized=True,
                rng=0,
            ).pvalue
        )
        for name, pair in pairs.items()
    }
    adjusted = holm(pvalues)
    rows = []
    for name, (ours, theirs) in pairs.items():
        here, there = bootstrap_mean(ours), bootstrap_mean(theirs)
        rows.append(
            {
                "method": name,
                "live": here.estimate,
                "live_low": here.low,
                "live_high": here.high,
                "live_n": here.n,
                "recorded": there.estimate,
                "recorded_low": there.low,
                "recorded_high": there.high,
                "recorded_n": there.n,
                "p_holm": adjusted[name],
                "verdict": "differs beyond chance" if adjusted[name] < LEVEL else "agrees",
            }
        )
    return pd.DataFrame(rows)


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


def outdated(studies: Iterable[Study]) -> list[str]:
    """One line for each compared table that the code installed now would make otherwise."""
    return [
        f"the table {table!r} of the run {study.settings.run!r} was computed by other code"
        for study in studies
        for table in ("randomization", "occlusion")
        if study.made(table) and not study.is_current(table)
    ]


def read(study: Study, table: str) -> pd.DataFrame:
    """A finished table of a run, as it is stored."""
    return pd.read_parquet(study.folder / f"{table}.parquet")
