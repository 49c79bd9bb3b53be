"""Amendments: criteria that were changed, why, and which verdicts the recorded runs had before.

What was changed, and why, is written by hand in ``data/amendments.yml``. The verdicts under the
earlier criterion are not: they are those of the recorded runs at the last commit at which it held.
``data/amended-verdicts.csv`` keeps them, so that a copy of this project without its history has
them too. Whoever adds an amendment makes that file again::

    python -m sanitygap.claims.amendments
"""

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
from pydantic import Field, StringConstraints

from sanitygap.claims import Strict, Text, beside_ledger, default_ledger, find_claim, read_entries
from sanitygap.errors import UsageError
from sanitygap.files import git_output, write_atomically

COLUMNS = ("until", "claim", "run", "verdict")

Earlier = Mapping[tuple[str, str], Mapping[str, str]]
"""Commit and claim -> run -> verdict."""


class Amendment(Strict):
    """A change of a criterion; the head of ``data/amendments.yml`` explains the fields."""

    claims: Annotated[tuple[Text, ...], Field(min_length=1)]
    date: date
    until: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
    was: Text
    now: Text
    reason: Text
    seen: Text
    confirmed: Text


def load_amendments(path: Path | None = None) -> list[Amendment]:
    """The amendments, oldest first.

    Args:
        path: a file like ``data/amendments.yml``, which is the default.

    Raises:
        UsageError: what :func:`~sanitygap.claims.read_entries` says, a claim that the ledger lacks,
            or entries that are not in the order of their dates.
    """
    path = path or beside_ledger("amendments.yml")
    amendments = read_entries(path, Amendment)
    for claim in {claim for amendment in amendments for claim in amendment.claims}:
        find_claim(claim)
    dates = [amendment.date for amendment in amendments]
    if dates != sorted(dates):
        raise UsageError(f"{path.name} is not in the order of its dates; put the oldest first")
    return amendments


def load_earlier() -> dict[tuple[str, str], dict[str, str]]:
    """The verdicts before each amendment: commit and claim -> run -> verdict.

    Raises:
        UsageError: there is no ``data/amended-verdicts.csv``.
    """
    path = beside_ledger("amended-verdicts.csv")
    if not path.is_file():
        raise UsageError(f"there is no {path.name}; make it with python -m {_MAKER}")
    earlier: dict[tuple[str, str], dict[str, str]] = {}
    for row in pd.read_csv(path, dtype=str).to_dict("records"):
        earlier.setdefault((row["until"], row["claim"]), {})[row["run"]] = row["verdict"]
    return earlier


def amended_verdicts(amendments: Sequence[Amendment], earlier: Earlier) -> list[dict[str, Any]]:
    """Every amendment with the verdicts of recorded runs before it and after it.

    Args:
        amendments: oldest first.
        earlier: of :func:`load_earlier`.

    Returns:
        One mapping each, oldest first: the fields of the amendment, the date as text, and
        ``verdicts``: claim -> ``before`` and ``after``, mappings of runs to verdicts. ``after`` is
        what a later amendment found, and None where the present verdict is the outcome.
    """
    told = []
    for number, amendment in enumerate(amendments):
        verdicts = {}
        for claim in amendment.claims:
            later = next((a for a in amendments[number + 1 :] if claim in a.claims), None)
            verdicts[claim] = {
                "before": earlier.get((amendment.until, claim), {}),
                "after": earlier.get((later.until, claim), {}) if later else None,
            }
        told.append(amendment.model_dump(mode="json") | {"verdicts": verdicts})
    return told


def verdicts_at(root: Path, commit: str) -> dict[tuple[str, str], str]:
    """What the recorded runs said at a commit.

    Args:
        root: the checkout.
        commit: its hash.

    Returns:
        Claim and run -> verdict.

    Raises:
        UsageError: the history does not reach back to that commit.
    """
    if not git_output(root, "cat-file", "-t", commit):
        raise UsageError(f"there is no commit {commit[:12]} here; fetch the whole history")
    paths = git_output(root, "ls-tree", "-r", "--name-only", commit, "--", "data/runs").decode()
    verdicts = {}
    for path in map(Path, paths.splitlines()):
        if path.name == "verdicts.json":
            for record in json.loads(git_output(root, "show", f"{commit}:{path.as_posix()}")):
                verdicts[record["claim"], path.parent.name] = record["verdict"]
    return verdicts


def as_csv(root: Path, amendments: Sequence[Amendment]) -> str:
    """The verdicts before each amendment as text, from the history of a checkout."""
    rows = []
    for until in dict.fromkeys(amendment.until for amendment in amendments):
        wanted = {claim for a in amendments if a.until == until for claim in a.claims}
        for (claim, run), verdict in sorted(verdicts_at(root, until).items()):
            if claim in wanted:
                rows.append((until, claim, run, verdict))
    return pd.DataFrame(rows, columns=COLUMNS).to_csv(index=False, lineterminator="\n")


def main() -> None:
    """Write ``data/amended-verdicts.csv`` from ``data/amendments.yml`` and the history."""
    text = as_csv(default_ledger().parents[1], load_amendments())
    write_atomically(beside_ledger("amended-verdicts.csv"), text)


_MAKER = "sanitygap.claims.amendments"

if __name__ == "__main__":
    try:
        main()
    except UsageError as problem:
        print(f"sanitygap: {problem}", file=sys.stderr)
        sys.exit(2)
