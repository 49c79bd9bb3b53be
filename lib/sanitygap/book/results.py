"""What the site tells about its results: their runs, their history, and how far they drift."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from sanitygap.book.project import Project
from sanitygap.book.recordings import recorded_claims, recorded_tables
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
        :mod:`sanitygap.book.recordings`), ``amendments`` (see
        :mod:`sanitygap.claims.amendments`), ``changes`` (:func:`changes`) and ``drift``
        (:func:`drift`).
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
    }


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
    lines = git_output(
        root, "log", "--format=%H %cI", "--name-only", "--reverse", "--", GLOB
    ).decode()
    before: dict[str, dict[str, str]] = {}
    found: list[dict[str, Any]] = []
    commit = date = ""
    for line in filter(None, lines.splitlines()):
        if not line.startswith("data/"):
            commit, _, date = line.partition(" ")
            continue
        run = Path(line).parent.name
        verdicts = _verdicts(git_output(root, "show", f"{commit}:{line}"))
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


def _verdicts(text: bytes) -> dict[str, str]:
    """Claim -> verdict of a ``verdicts.json``; empty where it was deleted or is not one."""
    try:
        return {one["claim"]: one["verdict"] for one in json.loads(text)}
    except (ValueError, TypeError, KeyError):
        return {}


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
