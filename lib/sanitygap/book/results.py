"""What the site tells about its results: their runs, their history, and how far they drift."""

from __future__ import annotations

import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from sanitygap.book.project import Project
from sanitygap.claims.amendments import amended_verdicts, load_amendments, load_earlier
from sanitygap.errors import UsageError
from sanitygap.files import git_output
from sanitygap.provenance import commits_of

GLOB = ":(glob)data/runs/*/verdicts.json"
"""The recorded verdicts, as git names their paths."""


def results(project: Project, run: str) -> dict[str, Any]:
    """The facts of a site about one run that are neither claims nor executions.

    Returns:
        ``runs`` (:func:`shown_runs`), ``recorded_claims``, ``recorded_tables`` (see
        :mod:`sanitygap.book.results`), ``amendments`` (see
        :mod:`sanitygap.claims.amendments`), ``changes`` (:func:`changes`), ``drift``
        (:func:`drift`) and ``first_screen`` (:func:`first_screen`).
    """
    shown = shown_runs(project, run)
    recorded = [one["name"] for one in shown if one["recorded"]]
    return {
        "run": run,
        "runs": shown,
        "recorded_claims": recorded_claims(project.root, recorded),
        "recorded_tables": recorded_tables(project.root, recorded),
        "amendments": amended_verdicts(load_amendments(), load_earlier()),
        "changes": changes(project.root),
        "drift": drift(project, run),
        "first_screen": first_screen(project),
    }


def first_screen(project: Project) -> dict[str, str]:
    """``html`` and ``caption`` of the view on the first page, from a recorded run; or nothing."""
    from sanitygap.chapters.attribution_maps.show import STAGES, stage_view
    from sanitygap.comparison import recorded_runs

    for study in recorded_runs(project.root):
        if study.made(STAGES):
            view = stage_view(study)
            return {"html": view.html(), "caption": view.caption}
    return {}


def shown_runs(project: Project, run: str) -> list[dict[str, Any]]:
    """Name, model, images, number of images, commits, time and machine of every run shown.

    The run that the chapters show stands first.
    """
    found = []
    for folder in project.shown_runs(run):
        record = project.run_record(folder.name)
        made = record.get("provenance", {})
        found.append(
            {
                "name": folder.name,
                "recorded": bool(record["recorded"]),
                "model": record["settings"]["model"],
                "trained": record.get("model", {}).get("pretrained", True),
                "images": record["settings"]["images"],
                "n_images": record.get("images", {}).get("n"),
                "profile": record["settings"]["profile"],
                "commits": commits_of(record),
                "started": made.get("started"),
                "device": made.get("device", "unknown"),
            }
        )
    return sorted(found, key=lambda one: one["name"] != run)


def changes(root: Path) -> list[dict[str, Any]]:
    """The history of the recorded verdicts, newest first, as git has kept it.

    Args:
        root: the checkout.

    Returns:
        One mapping for each commit and run: ``commit``, ``date``, ``run``, ``counts`` (verdict ->
        number of claims) and ``moved`` (id, verdict before, verdict after; None where there is
        none). The first record of a run has moved nothing. Empty outside git.
    """
    before: dict[str, dict[str, str]] = {}
    found: list[dict[str, Any]] = []
    for commit, date, path, blob in _log(root, GLOB):
        run = Path(path).parent.name
        verdicts = _verdicts(git_output(root, "cat-file", "blob", blob))
        old = before.get(run)
        before[run] = verdicts
        moved = [
            [claim, (old or {}).get(claim), verdicts.get(claim)]
            for claim in sorted({*(old or {}), *verdicts})
            if old is not None and old.get(claim) != verdicts.get(claim)
        ]
        if verdicts and (old is None or moved):
            found.append(
                {
                    "commit": commit,
                    "date": date,
                    "run": run,
                    "counts": dict(Counter(verdicts.values())),
                    "moved": moved,
                }
            )
    return found[::-1]


def _log(root: Path, *paths: str) -> Iterator[tuple[str, str, str, str]]:
    """Commit, date, path and blob of every change of files, oldest first; a deleted one has 0s."""
    lines = git_output(
        root, "log", "--format=%H %cI", "--raw", "--no-abbrev", "--no-renames", "--reverse",
        "--", *paths,
    ).decode()  # fmt: skip
    commit = date = ""
    for line in filter(None, lines.splitlines()):
        if line.startswith(":"):
            about, _, path = line.partition("\t")
            yield commit, date, path, about.split()[3]
        else:
            commit, _, date = line.partition(" ")


def _verdicts(text: bytes) -> dict[str, str]:
    """Claim -> verdict of a ``verdicts.json``."""
    return {one["claim"]: one["verdict"] for one in _records(text)}


def drift(project: Project, run: str) -> dict[str, Any]:
    """Where a run and the recorded one of its model differ beyond chance.

    Returns:
        ``notes``: sentences; ``rows``: those of :func:`sanitygap.comparison.compare_runs`;
        ``old``: recorded run -> its tables that other code computed.
    """
    record = project.run_record(run)
    if not record:
        return {"notes": [], "rows": [], "old": {}}
    from sanitygap.comparison import compare_runs, old_tables, recorded_runs
    from sanitygap.runs import open_run

    notes: list[str] = []
    outdated: dict[str, list[str]] = {}
    for study in recorded_runs(project.root):
        old, held = old_tables(study)
        notes.append(
            f"{len(held) - len(old)} of {len(held)} tables of the recorded run "
            f"{study.settings.run} were computed by the code that this book has now."
        )
        if old:
            outdated[study.settings.run] = old
    told: dict[str, Any] = {"notes": notes, "rows": [], "old": outdated}
    if record["recorded"]:
        notes.insert(0, "This site shows a recorded run itself.")
        return told
    model = record["settings"]["model"]
    others = recorded_runs(project.root, model)
    if not others:
        notes.insert(0, f"No recorded run is about {model}.")
        return told
    try:
        rows = compare_runs(open_run(run, project.root), others[0])
    except UsageError as error:
        notes.insert(0, f"This run was not compared: {error}.")
        return told
    differing = int((rows["verdict"] != "agrees").sum())
    notes.insert(
        0,
        f"Run {run} against {others[0].settings.run}: {differing} of {len(rows)} means differ "
        "beyond chance (two-sample permutation test over images, Holm, 5 %).",
    )
    shown = ["score", "method", "live", "recorded", "p_holm", "verdict"]
    return {**told, "rows": rows[shown].to_dict("records")}


UNCHANGED = 1e-4
"""Relative difference up to which two numbers count as the same."""

NO_RESULTS = ("seconds",)
"""Columns that tell how a row was made, not what was found."""


class State(NamedTuple):
    """A file as it was recorded: ``commit`` is empty for what only lies in the folder."""

    commit: str
    date: str
    blob: str


def recorded_claims(root: Path, runs: Sequence[str]) -> list[dict[str, Any]]:
    """Every claim of these runs, with its last two recordings that say different things.

    Args:
        root: the checkout.
        runs: names of runs.

    Returns:
        ``run``, ``claim``, ``now`` and ``before``: mappings with ``date``, ``verdict``,
        ``evidence`` and ``n_images``; ``before`` is None where the claim was recorded once, or
        always in the same words. Empty outside git.
    """
    found = []
    for run in runs:
        path = f"data/runs/{run}/verdicts.json"
        said: dict[str, list[dict[str, Any]]] = {}
        last: set[str] = set()
        for state in history(root, [path]).get(path, []):
            records = _records(_content(root, path, state))
            last = {str(record["claim"]) for record in records}
            for record in records:
                kept = ("verdict", "evidence", "n_images")
                shown = {"date": state.date, **{key: record.get(key) for key in kept}}
                states = said.setdefault(str(record["claim"]), [])
                if not states or any(states[-1][key] != shown[key] for key in kept):
                    states.append(shown)
        found += [
            {
                "run": run,
                "claim": claim,
                "now": states[-1],
                "before": states[-2] if len(states) > 1 else None,
            }
            for claim, states in said.items()
            if claim in last
        ]
    return found


def recorded_tables(root: Path, runs: Sequence[str]) -> list[dict[str, Any]]:
    """Every table of these runs, with its last two recordings.

    Args:
        root: the checkout.
        runs: names of runs.

    Returns:
        ``run``, ``table``, ``now``, ``before`` (mappings with ``date``, ``rows`` and ``images``;
        ``before`` is None where it was recorded once) and, of two, what :func:`difference` says.
        Empty outside git.
    """
    found = []
    for run in runs:
        paths = sorted((root / "data" / "runs" / run).glob("*.parquet"))
        names = [path.relative_to(root).as_posix() for path in paths]
        states = history(root, [f"data/runs/{run}"])
        for name in names:
            held = states.get(name, [])[-2:]
            if not held:
                continue
            frames = [pd.read_parquet(io.BytesIO(_content(root, name, state))) for state in held]
            shapes = [
                {"date": state.date, "rows": len(frame), "images": _images(frame)}
                for state, frame in zip(held, frames, strict=True)
            ]
            entry = {"run": run, "table": Path(name).stem, "now": shapes[-1], "before": None}
            if len(frames) > 1:
                entry |= {"before": shapes[0], **difference(*frames)}
            found.append(entry)
    return found


def difference(before: pd.DataFrame, now: pd.DataFrame) -> dict[str, Any]:
    """How the values of a table changed where both recordings hold the same row.

    Rows are the same if all their columns that are no measurements agree: names, whole numbers
    and, where these do not tell all rows apart, fractions that are the same set in both, such as
    the strengths of a noise.

    Returns:
        ``paired``: rows that both hold, None where rows cannot be told apart; ``changed``: those
        of them with a value that differs; ``column``: the measured column whose mean moved most,
        in units of its spread, with its means over the paired rows, ``mean_before`` and
        ``mean_now``, or None where nothing changed.
    """
    shared = [str(c) for c in now if c in before and c not in NO_RESULTS]
    values = [c for c in shared if all(_measured(frame[c]) for frame in (before, now))]
    keys = [c for c in shared if c not in values and not _pictured(now[c])]
    if any(_ambiguous(frame, keys) for frame in (before, now)):
        keys += [c for c in values if set(before[c].dropna()) == set(now[c].dropna())]
        values = [c for c in values if c not in keys]
    nothing = {"column": None, "mean_before": None, "mean_now": None}
    if any(_ambiguous(frame, keys) for frame in (before, now)):
        return {"paired": None, "changed": None, **nothing}
    first, second = (
        frame[[*keys, *values]].assign(**{c: frame[c].astype(str) for c in keys})
        for frame in (before, now)
    )
    both = first.merge(second, on=keys, suffixes=(" before", " now"))
    old, new = (both[[f"{c} {when}" for c in values]].to_numpy(float) for when in ("before", "now"))
    same = np.isclose(old, new, rtol=UNCHANGED, atol=1e-12, equal_nan=True)
    told = {"paired": len(both), "changed": int((~same).any(axis=1).sum())}
    if same.all():
        return {**told, **nothing}
    known = np.isfinite(old) & np.isfinite(new)
    shifts = {}
    for place, column in enumerate(values):
        a, b = (side[known[:, place], place] for side in (old, new))
        if len(a) and not same[:, place].all():
            means = float(a.mean()), float(b.mean())
            shifts[column] = (abs(means[1] - means[0]) / (float(b.std()) or 1.0), *means)
    if not shifts:  # a value is there in one recording only
        return {**told, **nothing}
    column = max(shifts, key=lambda name: shifts[name][0])
    _, mean_before, mean_now = shifts[column]
    return {**told, "column": column, "mean_before": mean_before, "mean_now": mean_now}


def history(root: Path, paths: Sequence[str]) -> dict[str, list[State]]:
    """The recorded states of files, oldest first; the last is what lies in the folder now.

    Args:
        root: the checkout.
        paths: files or folders below it.
    """
    found: dict[str, list[State]] = {}
    for commit, date, path, blob in _log(root, *paths):
        states = found.setdefault(path, [])
        if blob.strip("0") and (not states or states[-1].blob != blob):
            states.append(State(commit, date, blob))
    for path, states in found.items():
        file = root / path
        if file.is_file() and (not states or states[-1].blob != blob_id(file.read_bytes())):
            states.append(State("", "not committed", ""))
    return {path: states for path, states in found.items() if states and (root / path).is_file()}


def blob_id(content: bytes) -> str:
    """The name under which git keeps a file with this content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _content(root: Path, path: str, state: State) -> bytes:
    if state.blob:
        return git_output(root, "cat-file", "blob", state.blob)
    return (root / path).read_bytes()


def _records(content: bytes) -> list[Mapping[str, Any]]:
    """The records of a ``verdicts.json``; none where it was deleted or is not one."""
    try:
        return [one for one in json.loads(content) if {"claim", "verdict"} <= set(one)]
    except (ValueError, TypeError):
        return []


def _ambiguous(table: pd.DataFrame, keys: Sequence[str]) -> bool:
    """Whether these columns do not tell the rows of a table apart."""
    return not keys or bool(table[list(keys)].astype(str).duplicated().any())


def _measured(column: pd.Series) -> bool:
    """Whether a column holds what was measured, and not what a row is about."""
    return pd.api.types.is_float_dtype(column) or pd.api.types.is_bool_dtype(column)


def _pictured(column: pd.Series) -> bool:
    """Whether a column holds pictures or maps as bytes, which name no row."""
    return any(isinstance(value, bytes) for value in column)


def _images(table: pd.DataFrame) -> int | None:
    return int(table["image"].nunique()) if "image" in table else None
