"""Runs: what was computed, from what, by which code; resumable, and never passed off as current.

A run lives in ``data/runs/NAME``: ``run.json`` (settings and provenance), one ``TABLE.parquet`` a
table with a ``TABLE.json`` that says how it was made, ``verdicts.json``, and ``parts/`` with the
parts computed so far. A part's file name is a hash over all that determines its numbers, so
resuming, sharing the work and extending a run by more images are the same thing: the parts that
exist are kept, the others are computed.
"""

import json
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from platform import node
from typing import Any

import pandas as pd
import torch
from tqdm import tqdm

from sanitygap import cluster, fingerprint
from sanitygap.attribution.check import check_method
from sanitygap.claims import (
    CriterionContext,
    Record,
    Verdict,
    find_claim,
    find_criterion,
    in_order,
    judge,
    read_verdicts,
    registry,
    write_verdicts,
)
from sanitygap.errors import (
    DamagedError,
    NotDefinedError,
    NotRecordedError,
    UsageError,
    unknown_name,
)
from sanitygap.files import (
    content_sha256,
    file_sha256,
    find_root,
    locked,
    read_json,
    read_table,
    remove_leftovers,
    replacing,
    write_atomically,
    write_table,
)
from sanitygap.images import ImageSet, load_images
from sanitygap.importing import from_here, is_own
from sanitygap.library import as_maps, read_maps
from sanitygap.models import Explainable, load_model
from sanitygap.models.preflight import check_model
from sanitygap.provenance import commit, provenance
from sanitygap.settings import Settings
from sanitygap.table import Context, Part, Table, columns_of, find_table
from sanitygap.tables import TABLES

#: images of a profile where none are asked for; None means all
IMAGES_OF_PROFILE = {"smoke": 2, "quick": 12, "full": None}

#: stands before the names of precomputed maps where those of own methods have their module
PRECOMPUTED = "precomputed"

#: what a passport lists at length
LONG = ("parts", "versions")


class Study:
    """A run with the tables and verdicts that notebooks ask it for.

    Args:
        run, profile, model, images, n_images, device, seed, methods: see :class:`Settings`.
        root: the folder that holds ``data/runs``; found from the working directory by default.
        folder: of the run, if it is not the one of its name in ``data/runs``.
        maps: file with precomputed maps for the occlusion test, see :func:`sanitygap.read_maps`.

    Raises:
        UsageError: unusable settings, or a run of that name about another model or other images.
    """

    def __init__(
        self,
        *,
        root: Path | None = None,
        folder: Path | None = None,
        maps: str | None = None,
        **settings: Any,
    ) -> None:
        self.settings = Settings.checked(**settings)
        self.folder = folder or (root or find_root()) / "data" / "runs" / self.settings.run
        self._maps = maps
        self.context = Context(
            self._load_model, self._load_images, self.settings.seed, self._load_maps
        )
        self._asked: dict[str, dict[str, Any]] = {}
        self._adopt()

    @property
    def recorded(self) -> bool:
        """Whether the run is a recorded one, whose tables are read and never recomputed."""
        return bool(self.record.get("recorded"))

    @property
    def asked(self) -> tuple[str, ...]:
        """Names of the tables that have been asked for so far."""
        return tuple(self._asked)

    @property
    def model(self) -> Explainable:
        """The model, loaded on first use."""
        return self.context.model

    @property
    def images(self) -> ImageSet:
        """The images, loaded on first use."""
        return self.context.images

    @cached_property
    def record(self) -> dict[str, Any]:
        """The content of ``run.json``; empty before anything was computed."""
        return read_json(self.folder / "run.json")

    def check(self) -> list[str]:
        """Load model and images and try them, so that unusable ones are refused before work starts.

        Returns:
            What is odd about the person's own methods, a sentence each.

        Raises:
            UsageError: a model or images that cannot be loaded, a model that fails the preflight,
                an own method that gives no maps, or precomputed maps that do not fit.
        """
        failed = [found for found in check_model(self.model, methods=()) if not found.passed]
        if failed:
            told = "; ".join(f"{found.check} ({found.detail})" for found in failed)
            raise UsageError(
                f"{self.model.spec} fails {len(failed)} checks: {told[:200]}; see "
                "`sanitygap check-model`"
            )
        first = self.context.batch(range(min(2, len(self.images))))
        first.precomputed  # noqa: B018  (they are read here)
        odd = []
        for name in self.settings.methods:
            findings = check_method(name, self.model, first.inputs)
            if not findings[0].passed:
                raise UsageError(findings[0].detail)
            odd += [f"{name}: {found.detail}" for found in findings if not found.passed]
        return odd

    def table(self, name: str, **parameters: Any) -> pd.DataFrame:
        """A table of the run, computed if the run does not hold it.

        Args:
            name: of a table.
            parameters: the table's own that differ from the profile's; None is as good as none.
                Where there are none, those of the first time hold.

        Returns:
            The tidy table. Its ``attrs`` say how it was made: :meth:`made` without its long lists.

        Raises:
            UsageError: unknown table, unknown or unusable parameter, other parameters than the
                first time, or a recorded run that does not hold the table with these.
        """
        entry = find_table(name)
        given = entry.checked(parameters)
        held = self._asked.get(name, given)
        told, asked = (self._arguments(entry, these) for these in (held, given))
        if given and told != asked:
            other = {key: value for key, value in told.items() if value != asked[key]}
            raise UsageError(
                f"this page has used the table {name!r} with {other} before, and may use one "
                "version of a table only; ask for it with these parameters first"
            )
        table = self._recorded_table(entry, held) if self.recorded else self._table(entry, held)
        self._asked[name] = held
        return table

    def _arguments(self, entry: Table, given: Mapping[str, Any]) -> dict[str, Any]:
        """All parameters of a table, the run's own methods among its methods."""
        arguments = entry.arguments(self.settings.profile, given)
        if entry.own and not self.recorded:
            listed = dict.fromkeys([*arguments["methods"], *self.settings.methods])
            arguments["methods"] = tuple(listed)
        return arguments

    def _table(self, entry: Table, given: Mapping[str, Any]) -> pd.DataFrame:
        """A table of a run that is not recorded."""
        with locked(self.folder / "parts", entry.name):  # another notebook may be computing it
            try:
                parts = self._compute(entry, given)
            except NotDefinedError as error:
                return self._left_empty(entry, given, str(error))
            return self._assemble(entry, given, parts)

    def parts(self, name: str, **parameters: Any) -> list[Part]:
        """The parts that a table is cut into, in its order.

        Args:
            name, parameters: as in :meth:`table`.

        Raises:
            UsageError: unknown table, or unknown or unusable parameter.
        """
        entry = find_table(name)
        return entry.parts(self.context, **self._arguments(entry, entry.checked(parameters)))

    def judge(self, *claims: str) -> pd.DataFrame:
        """Apply the criteria of claims to this run's tables and keep the verdicts with the run.

        Args:
            claims: ids in the ledger.

        Returns:
            One row a claim: ``claim``, ``verdict``, ``evidence``, ``reason``.

        Raises:
            UsageError: an unknown claim, or one that no criterion is written for.
        """
        records = self._judged(claims, self._current_verdicts())
        if not self.recorded:
            with locked(self.folder / "parts", "verdicts"):
                write_verdicts(self.folder / "verdicts.json", records.values())
        rows = [
            {"claim": r.claim, "verdict": r.value, "evidence": r.evidence, "reason": r.reason}
            for r in (records[claim] for claim in claims)
        ]
        return pd.DataFrame(rows)

    def judge_again(self) -> list[Record]:
        """Replace the verdicts of a recorded run by those of today's criteria.

        Returns:
            The records of all claims whose tables the run holds, in the order of ``verdicts.json``.

        Raises:
            UsageError: the run is not a recorded one.
        """
        if not self.recorded:
            raise UsageError(
                f"{self.settings.run!r} is not a recorded run; its claims are judged when their "
                "chapters are executed"
            )
        held = {path.stem for path in self.folder.glob("*.parquet")}
        claims = [claim for claim, entry in registry().items() if held >= set(entry.tables)]
        records = self._judged(claims, {})
        target = self.folder / "verdicts.json"
        with replacing(target) as temporary:  # verdicts of other claims are not kept
            write_verdicts(temporary, records.values())
        return list(records.values())

    def _judged(self, claims: Iterable[str], known: Mapping[str, Verdict]) -> dict[str, Record]:
        """Claim -> its verdict, each after those it rests on; ``known`` are verdicts of others."""
        needed = {name for claim in claims for name in find_criterion(claim).tables}
        tables = {name: self._of_papers(self.table(name)) for name in sorted(needed)}
        verdicts, records = dict(known), {}
        for claim in in_order(claims):
            found = find_criterion(claim)
            about = [tables[name].attrs for name in found.tables if tables[name].attrs["images"]]
            context = CriterionContext.of(
                find_claim(claim),
                self._model_and_weights(),
                self._image_specs(about),
                min((int(made["images"]) for made in about), default=0),
                [self.settings.seed],
                {name: verdicts[name] for name in found.rests_on if name in verdicts},
            )
            verdicts[claim] = judge(claim, tables, context)
            hashes = {name: file_sha256(self.folder / f"{name}.parquet") for name in found.tables}
            records[claim] = Record.of(claim, verdicts[claim], context, hashes)
        return records

    def _of_papers(self, table: pd.DataFrame) -> pd.DataFrame:
        """A table without a person's own methods: no claim of a paper is about those."""
        if not self.settings.methods or "method" not in table:
            return table
        return table[~table["method"].isin(self.settings.methods)].reset_index(drop=True)

    def _image_specs(self, about: Iterable[Mapping[Any, Any]]) -> str:
        """The images that tables are about, as their passports say: a recorded run may mix them."""
        own = self.settings.public()["images"]
        specs = dict.fromkeys(str(made.get("settings", {}).get("images", own)) for made in about)
        return " and ".join(specs) or str(own)

    def _current_verdicts(self) -> dict[str, Verdict]:
        """Verdicts kept with the run whose tables have not changed since."""
        return {
            record.claim: record
            for record in read_verdicts(self.folder / "verdicts.json")
            if record.is_current(self.folder)
        }

    def made(self, name: str) -> dict[str, Any]:
        """How a table was made: settings, code, parts, seconds, commit; empty if it was not."""
        return read_json(self.folder / f"{name}.json")

    def _about(self, name: str) -> dict[str, Any]:
        """What a table carries of :meth:`made`: pandas copies it at every step, so nothing long."""
        return {key: value for key, value in self.made(name).items() if key not in LONG}

    def is_current(self, name: str) -> bool:
        """Whether a table was made by the code that is installed now."""
        made = self.made(name)
        if not made or name not in TABLES:
            return False
        return bool(made.get("fingerprint") == fingerprint.of_function(TABLES[name].measure))

    def _model_and_weights(self) -> str:
        """The public model spec, which says where the weights are random, for the ledger."""
        spec = str(self.settings.public()["model"])
        trained = self.record.get("model", {}).get("pretrained", True)
        return spec if trained or spec.endswith("@random") else f"{spec}@random"

    def _recorded_table(self, entry: Table, given: Mapping[str, Any]) -> pd.DataFrame:
        path = self.folder / f"{entry.name}.parquet"
        if not path.is_file():
            raise NotRecordedError(
                f"the recorded run {self.settings.run!r} holds no table {entry.name!r}; compute it "
                "in a run of another name"
            )
        self._check_table(entry.name)
        table = read_table(path)
        table.attrs.update(self._about(entry.name))
        for key, value in given.items():
            held = table.attrs["parameters"].get(key)
            if json.dumps(held) != json.dumps(value):
                raise UsageError(
                    f"the recorded run {self.settings.run!r} holds {entry.name!r} with {key} = "
                    f"{held!r}, not {value!r}; compute it in a run of another name"
                )
        return table

    def _compute(self, entry: Table, given: Mapping[str, Any]) -> list[Part]:
        """The parts of a table, after computing those that are missing."""
        with locked(self.folder / "parts", "run"):
            self._begin()
        parts = entry.parts(self.context, **self._arguments(entry, given))
        if not parts:
            raise UsageError(f"these settings leave nothing of the table {entry.name!r} to compute")
        missing = {part.id: part for part in parts if not part_path(self.folder, part).is_file()}
        if missing and cluster.VARIABLE in os.environ and not self._maps:
            settings = self.settings.model_dump(mode="json")
            cluster.compute(self.folder, settings, entry.name, dict(given), list(missing))
            return parts
        for part in tqdm(missing.values(), desc=entry.name, unit="part", disable=len(missing) < 2):
            write_part(part_path(self.folder, part), part)
        return parts

    def _assemble(
        self, entry: Table, given: Mapping[str, Any], parts: Sequence[Part]
    ) -> pd.DataFrame:
        target = self.folder / f"{entry.name}.parquet"
        addresses = [part.id for part in parts]
        made = self.made(entry.name)
        current = target.is_file() and made.get("sha256") == file_sha256(target)
        if current and made["parts"] == addresses:
            table = read_table(target)
        else:
            frames = [_read_part(part_path(self.folder, part), part) for part in parts]
            seconds = sum(frame.attrs.get("seconds", 0.0) for frame in frames)
            for frame in frames:
                frame.attrs.clear()
            filled = [frame for frame in frames if len(frame)] or frames[:1]
            table = pd.concat(filled, ignore_index=True)
            images = len({position for part in parts for position in part.images})
            self._keep(entry, given, table, images=images, seconds=seconds, parts=addresses)
        table.attrs.update(self._about(entry.name))
        return table

    def _left_empty(self, entry: Table, given: Mapping[str, Any], reason: str) -> pd.DataFrame:
        """A table that is not defined for the model or the images: no row, and the reason."""
        table = pd.DataFrame(columns=list(columns_of(entry.name)))
        self._keep(entry, given, table, images=0, seconds=0.0, parts=[], undefined=reason)
        table.attrs.update(self._about(entry.name))
        return table

    def _keep(
        self,
        entry: Table,
        given: Mapping[str, Any],
        table: pd.DataFrame,
        seconds: float,
        **about: Any,
    ) -> None:
        """Write a table and its passport."""
        target = self.folder / f"{entry.name}.parquet"
        passport = target.with_suffix(".json")
        # if it is killed between the two files, the new table has no passport, not an old one
        passport.unlink(missing_ok=True)
        write_table(target, table)
        made = {
            "table": entry.name,
            "settings": self.settings.public(),
            "parameters": self._arguments(entry, given),
            **about,
            "rows": len(table),
            "seconds": round(seconds, 1),
            "fingerprint": fingerprint.of_function(entry.measure),
            "versions": fingerprint.versions(),
            "sha256": file_sha256(target),
            "commit": commit(),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        write_atomically(passport, json.dumps(made, indent=1))

    def _check_table(self, name: str) -> None:
        """Refuse a table that is not the one that its passport is about."""
        known = self.made(name).get("sha256")
        if known and known != file_sha256(self.folder / f"{name}.parquet"):
            raise DamagedError(
                f"the table {name!r} of the run {self.settings.run!r} was changed after it was "
                "made; restore the file, or make the table again"
            )

    def _adopt(self) -> None:
        """Take the settings of an existing run of this name, or refuse to mix two."""
        if not self.record:
            return
        old = self.record["settings"]
        if self.recorded:
            self.settings = Settings.checked(**old)
            return
        for key in ("model", "images", "seed", "profile"):
            new = getattr(self.settings, key)
            if old[key] != self.settings.public()[key]:
                raise self._mixed(f"is about {key} {old[key]!r}, not {new!r}")

    def _mixed(self, problem: str) -> UsageError:
        return UsageError(
            f"the run {self.settings.run!r} {problem}; choose another name with --run, or start it "
            "over with --fresh"
        )

    def _begin(self) -> None:
        """Write ``run.json``, unless it says the same already.

        Raises:
            UsageError: the run was begun with other weights or other images. A spec does not tell
                these apart, because files and folders are left out of it.
        """
        record = {
            "settings": self.settings.public(),
            "recorded": False,
            "model": {
                "spec": self.model.spec,
                "weights_sha256": self.model.weights_sha256,
                "pretrained": self.model.pretrained,
                "input_size": self.model.preprocessing.size,
                "stages": [stage.name for stage in self.model.stages],
            },
            "images": {
                "spec": self.images.spec.partition(":")[0],
                "n": len(self.images),
                "sha256": self.images.sha256,
            },
        }
        remove_leftovers(self.folder.rglob(f".*.{node()}.*.part"))
        old = read_json(self.folder / "run.json")
        if old:
            if old["model"]["weights_sha256"] != self.model.weights_sha256:
                raise self._mixed(f"is about other weights of {self.model.spec!r}")
            if old["images"]["n"] == len(self.images) and old["images"] != record["images"]:
                raise self._mixed(f"is about {len(self.images)} other images")
            if {key: old.get(key) for key in record} == record:
                self.record = old
                return
        self.record = record | {"provenance": provenance(self.settings.device)}
        write_atomically(self.folder / "run.json", json.dumps(self.record, indent=1))

    def _load_model(self) -> Explainable:
        return load_model(self.settings.model, self.settings.device, self.settings.seed)

    def _load_images(self) -> ImageSet:
        wanted = self.settings.n_images
        if wanted is None:
            images = load_images(self.settings.images)
            most = IMAGES_OF_PROFILE[self.settings.profile]
            return images if most is None or most >= len(images) else images.take(most)
        return load_images(self.settings.images, wanted)

    def _load_maps(self) -> dict[str, torch.Tensor]:
        """The precomputed maps, named so that they are told from methods."""
        given = read_maps(from_here(self._maps)) if self._maps else {}
        side = self.model.preprocessing.size
        fitting = as_maps(given, (len(self.images), side, side))
        if odd := [name for name in given if not is_own(f"{PRECOMPUTED}:{name}")]:
            raise UsageError(f"name maps with letters, digits and underscores, not {odd[0]!r}")
        return {f"{PRECOMPUTED}:{name}": maps for name, maps in fitting.items()}


def open_run(run: str, root: Path | None = None) -> Study:
    """An existing run with the settings that it was made with.

    Raises:
        UsageError: there is no such run.
    """
    root = root or find_root()
    path = root / "data" / "runs" / Settings.checked(run=run).run / "run.json"
    if not path.is_file():
        known = sorted(other.parent.name for other in (root / "data" / "runs").glob("*/run.json"))
        raise unknown_name("run", run, known)
    return Study(root=root, **read_json(path)["settings"])


def part_path(folder: Path, part: Part) -> Path:
    """Where a part is kept in the folder of its run."""
    return folder / "parts" / part.table.name / f"{part.id}.parquet"


def write_part(path: Path, part: Part) -> pd.DataFrame:
    """Measure a part and keep it, with how long it took and what it said."""
    started = time.perf_counter()
    rows = part.compute()
    rows.attrs = {"seconds": time.perf_counter() - started, "sha256": content_sha256(rows)}
    write_table(path, rows)
    return rows


def _read_part(path: Path, part: Part) -> pd.DataFrame:
    """A part that was kept; measured again if it does not hold what was written."""
    try:
        rows = read_table(path)
    except DamagedError:
        return write_part(path, part)
    if rows.attrs.get("sha256") != content_sha256(rows):
        return write_part(path, part)
    return rows
