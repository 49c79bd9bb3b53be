"""Records: the verdicts that a run keeps, and the list of all claims with all verdicts.

Beside ``verdicts.json``, in ``parts/``, lies a *seal* of each verdict that this machine reached: a
hash over the verdict and the code of its criterion. A verdict whose seal is broken is none of
today's.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from sanitygap.claims.ledger import (
    Text,
    find_claim,
    load_claims,
    models_not_run,
    one_line,
    validated,
    why_not_run,
)
from sanitygap.claims.verdicts import CriterionContext, Value, Verdict, check_value, registry
from sanitygap.errors import UsageError, unknown_name
from sanitygap.files import file_sha256, read_json, write_atomically
from sanitygap.fingerprint import of_function

COPIED = ("id", "paper", "statement", "criterion", "tier", "notebook")
"""Fields of a claim in the rows of :func:`collect`."""

OUTDATED = (
    "The tables of this run or the criterion have changed since the verdict; execute the chapter "
    "again."
)


class Record(Verdict):
    """A verdict as a run keeps it: one element of ``verdicts.json``.

    Attributes:
        claim: id of the claim.
        model, images: the specs of the run.
        n_images: number of images.
        tables: name -> SHA-256 of the tables it was computed from.
    """

    value: Value = Field(alias="verdict")
    claim: Text
    model: Text
    images: Text
    n_images: int = Field(ge=0)
    tables: dict[str, str] = Field(default_factory=dict)

    @classmethod
    def of(
        cls,
        claim: str,
        verdict: Verdict,
        context: CriterionContext,
        tables: Mapping[str, str] | None = None,
    ) -> Record:
        """The record of a verdict; ``tables`` maps names to SHA-256 checksums."""
        return cls(
            claim=claim,
            model=context.model,
            images=context.images,
            n_images=context.n_images,
            verdict=verdict.value,
            evidence=verdict.evidence,
            reason=verdict.reason,
            numbers=verdict.numbers,
            tables=dict(tables or {}),
        )

    def is_current(self, run: Path) -> bool:
        """Whether tables and criterion are still those that it was reached with.

        The criteria of a recorded run are not asked: its verdicts are data, which the building of a
        site compares with those of today's criteria.

        Args:
            run: the run's folder.
        """
        paths = {run / f"{name}.parquet": digest for name, digest in self.tables.items()}
        return all(path.is_file() and file_sha256(path) == paths[path] for path in paths) and (
            bool(read_json(run / "run.json").get("recorded")) or self.is_sealed(run)
        )

    def counts(self, run: Path) -> list[int]:
        """On how many images the tables rest that it was reached from, each number once."""
        passports = (read_json(run / f"{name}.json") for name in self.tables)
        return sorted({made["images"] for made in passports if made.get("images")})

    def is_sealed(self, run: Path) -> bool:
        """Whether this machine reached it, as it stands, by the criterion as it stands."""
        return read_json(_seals(run)).get(self._key) == self._seal

    @property
    def _key(self) -> str:
        return f"{self.claim} {self.model}"

    @property
    def _seal(self) -> str:
        found = registry().get(self.claim)
        code = of_function(found.function) if found else "no criterion"
        return hashlib.sha256(f"{code} {self.model_dump_json()}".encode()).hexdigest()


def read_verdicts(path: Path) -> list[Record]:
    """The records of a ``verdicts.json``; none if there is no such file.

    Raises:
        UsageError: the file is not a list of records.
    """
    if not path.is_file():
        return []
    place = f"{path.parent.name}/{path.name}"
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"{place} is not JSON: {one_line(error)}; judge the run again") from None
    return list(validated(tuple[Record, ...], entries, place))


def _seals(run: Path) -> Path:
    """The seals of a run's verdicts: a file beside what was computed, which no one publishes."""
    return run / "parts" / "verdicts.json"


def seal(run: Path, records: Iterable[Record]) -> None:
    """Note that today's criteria reach these verdicts on the tables in a run's folder."""
    seals = read_json(_seals(run)) | {record._key: record._seal for record in records}
    write_atomically(_seals(run), json.dumps(seals, indent=1))


def write_verdicts(path: Path, records: Iterable[Record]) -> None:
    """Merge verdicts just reached into a ``verdicts.json``, in place of those of claim and model.

    They stand in the order of the ledger.

    The file is written under a temporary name and renamed.

    Raises:
        UsageError: what is there is unreadable, or a claim is unknown.
    """
    reached = list(records)
    merged = {record._key: record for record in read_verdicts(path)}
    for record in reached:
        check_value(find_claim(record.claim), record.value)
        merged[record._key] = record
    places = {claim.id: place for place, claim in enumerate(load_claims())}
    write_atomically(path, as_json(sorted(merged.values(), key=lambda one: places[one.claim])))
    seal(path.parent, reached)


def as_json(records: Iterable[Record]) -> str:
    """The text of a ``verdicts.json``."""
    entries = [record.model_dump(by_alias=True) for record in records]
    return json.dumps(entries, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def collect(runs: Sequence[Path], run: str | None = None) -> list[dict[str, Any]]:
    """Every claim with its verdicts, one row for each run and model, in the order of the ledger.

    Args:
        runs: folders of runs.
        run: only the run of this name.

    Returns:
        Rows with the keys ``id``, ``paper``, ``statement``, ``criterion``, ``tier``, ``notebook``,
        ``run``, ``model``, ``verdict``, ``evidence``, ``reason``, ``numbers`` and ``n`` (on how
        many images the tables of the verdict rest, each number once). An empirical
        claim also has a row ``not-run`` for each of the paper's own models that no run is about,
        and any other claim without a verdict has one with no model; the reason says what it needs
        and how to run it. So does a verdict whose tables or criterion have changed since.

    Raises:
        UsageError: no run of that name, or an unreadable or unknown verdict in a run.
    """
    chosen = [folder for folder in runs if run in (None, folder.name)]
    if run is not None and not chosen:
        raise unknown_name("run", run, [folder.name for folder in runs])
    claims = load_claims()
    found: dict[str, list[tuple[Path, Record]]] = {claim.id: [] for claim in claims}
    for folder in chosen:
        for record in read_verdicts(folder / "verdicts.json"):
            if record.claim not in found:
                raise UsageError(
                    f"the run {folder.name!r} has a verdict on the unknown claim "
                    f"{record.claim!r}; delete it from verdicts.json"
                )
            found[record.claim].append((folder, record))
    rows = []
    for claim in claims:
        fields = claim.model_dump(mode="json")
        shared = {key: fields[key] for key in COPIED}
        for folder, record in found[claim.id]:
            check_value(claim, record.value)
            says = {
                "verdict": record.value,
                "evidence": record.evidence,
                "reason": record.reason,
                "numbers": record.numbers,
            }
            if not record.is_current(folder):
                says = {"verdict": "not-run", "evidence": "", "reason": OUTDATED, "numbers": {}}
            of = {"run": folder.name, "model": record.model}
            rows.append(shared | of | says | {"n": record.counts(folder)})
        missing: list[str | None] = [*models_not_run(claim, {r.model for _, r in found[claim.id]})]
        if not found[claim.id] and not missing:
            missing = [None]
        rows += [
            shared
            | {"run": run if model is None else None, "model": model, "verdict": "not-run"}
            | {"evidence": "", "reason": why_not_run(claim, model), "numbers": {}, "n": []}
            for model in missing
        ]
    return rows
