"""The ledger: claims of the papers, the criteria that judge them, and the verdicts of runs.

A claim comes from ``data/claims.yml``. Its criterion is a function, registered with
:func:`criterion`, from the tables of a run to a :class:`Verdict`. :func:`judge` calls it and
refuses what it may not return; :func:`write_verdicts` keeps the result with the run, and
:func:`collect` lists every claim with the verdicts of all runs.

Beside a run's ``verdicts.json``, in ``parts/``, lies a *seal* of each verdict that this machine
reached: a hash over the verdict and the code of its criterion. A verdict whose seal is broken is
none of today's.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import shlex
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, get_args

import pandas as pd
import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from sanitygap.errors import LackingMethodError, NotDefinedError, UsageError, unknown_name
from sanitygap.files import file_sha256, read_json, write_atomically
from sanitygap.fingerprint import of_function
from sanitygap.inference import UndefinedStatisticError
from sanitygap.settings import public_model

# the ledger

Paper = Literal[
    "binder-2022", "binder-2022-summary", "adebayo-2018", "sriram-conati-2022", "khakzar-2022",
    "cross",
]  # fmt: skip
Kind = Literal["formal", "empirical", "documentary"]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


#: stands in the ledger for a module of the person who runs the book
YOURS = "your_module"


def _of_library(name: str) -> bool:
    return name.partition(":")[0] in ("torchvision", "timm")


def is_architecture(name: str, own: str) -> bool:
    """Whether a model spec names an architecture of the ledger.

    Args:
        name: spec without weights.
        own: as the ledger writes it; ``your_module:NAME`` is the factory NAME of any module.
    """
    module, _, factory = own.partition(":")
    if module != YOURS:
        return name == own
    return ":" in name and name.rpartition(":")[2] == factory and not _of_library(name)


class Strict(BaseModel):
    """Unchangeable records without unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Entry = TypeVar("Entry", bound=Strict)


class Audit(Strict):
    """What an earlier audit of a statement found, and the statement as it corrected it."""

    finding: Text | None = None
    corrected: Text | None = None


class Faithful(Strict):
    """The paper's own setting, in the words of the command line.

    Attributes:
        models: model specs; empty if the page trains its own, or needs none.
        images: image spec; None if the claim needs no images.
        n_images: how many images the paper used; None if it does not say.
    """

    models: tuple[Text, ...] = ()
    images: Text | None = None
    n_images: int | None = Field(default=None, ge=1)

    def has_model(self, spec: str) -> bool:
        """Whether a spec names one of these architectures, with trained weights.

        That the weights are the paper's cannot be seen from the spec; the run records their
        checksum.
        """
        name, _, weights = spec.partition("@")
        own = any(is_architecture(name, model) for model in self.models)
        return not self.models or (own and weights != "random")

    def has_images(self, spec: str, n_images: int) -> bool:
        """Whether a spec names the paper's kind of images, and at least as many of them."""
        if self.images is None:
            return True
        same = spec.partition(":")[0] == self.images.partition(":")[0]
        return same and n_images >= (self.n_images or 1)


class Claim(Strict):
    """One claim of a paper. The head of ``data/claims.yml`` explains the fields."""

    id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]+(-[A-Za-z0-9]+)*$")]
    paper: Paper
    place: Text
    tier: Annotated[tuple[Literal["M", "S", "P", "D"], ...], Field(min_length=1)]
    kind: Kind
    statement: Text
    check: Text
    criterion: Text
    caveat: Text | None = None
    audit: Audit | None = None
    requires: Text | None = None
    faithful: Faithful | None = None
    networks: Text | None = None
    notebook: Text | None = None


def default_ledger() -> Path:
    """``data/claims.yml`` of this checkout, else of the working directory or a folder above it.

    Raises:
        UsageError: there is none.
    """
    here = Path.cwd()
    for folder in (Path(__file__).resolve().parents[3], here, *here.parents):
        if (folder / "data" / "claims.yml").is_file():
            return folder / "data" / "claims.yml"
    raise UsageError("there is no data/claims.yml here; run this inside the book's folder")


def load_claims(path: Path | None = None) -> list[Claim]:
    """The claims, in the order of the ledger.

    Args:
        path: a file like ``data/claims.yml``, which is the default.

    Raises:
        UsageError: what :func:`read_entries` says, or two entries with the same id.
    """
    claims = read_entries(path or default_ledger(), Claim)
    ids = [claim.id for claim in claims]
    if repeated := sorted({name for name in ids if ids.count(name) > 1}):
        raise UsageError(f"the ledger has several entries {repeated[0]!r}; give each its own id")
    return claims


def beside_ledger(name: str) -> Path:
    """The file of that name beside the ledger."""
    return default_ledger().with_name(name)


def read_entries(path: Path, kind: type[Entry]) -> list[Entry]:
    """The entries of a YAML file as records of a kind.

    Raises:
        UsageError: no such file, not YAML, or an entry with a missing, unknown or wrong field.
    """
    if not path.is_file():
        raise UsageError(f"there is no file {str(path)!r}; name one like those beside the ledger")
    return list(_read_entries(path, path.stat().st_mtime_ns, kind))


@cache
def _read_entries(path: Path, _changed: int, kind: type[Entry]) -> tuple[Entry, ...]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        entries = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{path.name} is not valid YAML: {one_line(error)}") from None
    return validated(kind, entries, path.name)


def find_claim(claim_id: str) -> Claim:
    """The claim with an id.

    Raises:
        UsageError: there is no such claim; the message names similar ones.
    """
    claims = {claim.id: claim for claim in load_claims()}
    if claim_id not in claims:
        raise unknown_name("claim", claim_id, list(claims))
    return claims[claim_id]


def why_not_run(claim: Claim, model: str | None = None) -> str:
    """Why a claim has no verdict, with the command that would compute it, in Markdown.

    Args:
        claim: the claim.
        model: one of the paper's own models; all of them by default.
    """
    needs = f" The paper's own setting needs: {claim.requires}" if claim.requires else ""
    if claim.notebook is None:
        return f"No page computes this claim yet.{needs}"
    commands = " && ".join(commands_for(claim, model=model))
    return f"Not computed in the chosen runs.{needs} Run `{commands}`."


def commands_for(claim: Claim, model: str | None = None) -> list[str]:
    """The shell commands that compute a claim in the paper's own setting, one for each model.

    The run is called ``mine``, with the model's name where the paper has several. ``WEIGHTS`` and
    ``PATH`` in them stand for files of the person who runs them. Empty if no
    notebook computes the claim.

    Args:
        claim: the claim.
        model: only the command for this one of the paper's own models.
    """
    if claim.notebook is None:
        return []
    own = claim.faithful or Faithful()
    commands = []
    for spec in (model,) if model else own.models or (None,):
        words = ["sanitygap", "execute", claim.notebook, "--profile", "full"]
        if spec:
            words += ["--model", f"{spec}@WEIGHTS"]
        if own.images:
            words += ["--images", own.images]
        if own.n_images:
            words += ["--n-images", str(own.n_images)]
        several = spec and len(own.models) > 1
        words += ["--run", f"mine-{spec.rpartition(':')[2]}" if spec and several else "mine"]
        commands.append(shlex.join(words))
    return commands


def models_not_run(claim: Claim, models: Collection[str]) -> list[str]:
    """The paper's own models on which an empirical claim was not judged.

    Args:
        claim: the claim; one that is not empirical has no model of its own.
        models: the models on which it was judged, without weights.
    """
    if claim.kind != "empirical" or claim.faithful is None:
        return []
    return [
        model
        for model in claim.faithful.models
        if not any(is_architecture(name, model) for name in models)
    ]


def validated(kind: type[Entry], entries: Any, place: str) -> tuple[Entry, ...]:
    """Entries of a file as records of a kind.

    Args:
        kind: such as :class:`Claim`.
        entries: what the file holds.
        place: the file, for the message.

    Raises:
        UsageError: an entry does not fit; the message names the first one and its field.
    """
    try:
        return TypeAdapter(tuple[kind, ...]).validate_python(entries)  # type: ignore[valid-type]
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:])
        index = first["loc"][0] if first["loc"] else None
        entry = entries[index] if isinstance(index, int) and isinstance(entries, list) else None
        name = (entry.get("id") or entry.get("claim") if isinstance(entry, dict) else None) or index
        about = f"entry {name!r}: " if index is not None else ""
        field = f"{where}: " if where else ""
        raise UsageError(f"{place}, {about}{field}{first['msg']}; correct the file") from None


def one_line(error: object) -> str:
    """The message of an error without line breaks."""
    return " ".join(str(error).split())


# verdicts and criteria

FormalValue = Literal["holds", "caveat", "slip", "false"]
EmpiricalValue = Literal["reproduced", "direction", "not-reproduced"]
OpenValue = Literal["undecided", "under-specified", "no-data", "not-run"]
Value = FormalValue | EmpiricalValue | OpenValue

ALLOWED: Mapping[str, tuple[str, ...]] = {
    "formal": get_args(FormalValue) + get_args(OpenValue),
    "documentary": get_args(FormalValue) + get_args(OpenValue),
    "empirical": get_args(EmpiricalValue) + get_args(OpenValue),
}
"""Kind of a claim -> values its verdicts may have."""

Number = Annotated[float, BeforeValidator(float), Field(allow_inf_nan=False)]


class Verdict(Strict):
    """What a criterion says about a claim.

    Attributes:
        value: one of the words in :data:`ALLOWED`.
        evidence: one sentence with the numbers it rests on.
        reason: why the verdict is not a plain yes or no; required for what was not tested.
        numbers: name -> finite number, for machines. Pages show two kinds of them: how many of the
            conditions are ``held``, ``against`` the claim and ``open``; and ``share: PART``, from 0
            to 1, the share of specifications in which that part of the claim holds, ``share: all``
            for the whole of it. A specification is a full set of the choices that a paper leaves
            open.
    """

    value: Value
    evidence: str = ""
    reason: str = ""
    numbers: dict[str, Number] = Field(default_factory=dict)

    @field_validator("numbers", mode="before")
    @classmethod
    def _with_value(cls, numbers: Mapping[str, float]) -> dict[str, float]:
        """Without statistics that have no value on the data; infinite ones are mistakes."""
        return {name: value for name, value in numbers.items() if not math.isnan(value)}

    @model_validator(mode="after")
    def _explains_itself(self) -> Verdict:
        if self.value in ("under-specified", "not-run"):
            if not self.reason.strip():
                raise ValueError(f"the verdict {self.value!r} needs a reason")
        elif not re.search(r"\d", self.evidence):
            raise ValueError(f"the verdict {self.value!r} needs evidence with a number in it")
        return self


class Unjudged(Exception):
    """The tables do not allow a criterion to judge; carries the verdict that says why."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.reason or verdict.evidence)
        self.verdict = verdict


def verdict_from_interval(
    low: float, high: float, threshold: float, direction: Literal["above", "below"]
) -> EmpiricalValue | OpenValue:
    """The verdict of "the quantity lies above (or below) the threshold", from its interval.

    Args:
        low, high: bounds of the interval.
        threshold: 0 for paired differences.
        direction: the side that the claim asserts.

    Returns:
        ``direction`` if the whole interval lies on that side, ``not-reproduced`` if it lies on
        the other, ``undecided`` if it touches the threshold.

    Raises:
        ValueError: a bound is NaN, or the bounds are in the wrong order.
    """
    if not low <= high or math.isnan(threshold):
        raise ValueError(f"[{low}, {high}] against {threshold} is not an interval and a threshold")
    if low <= threshold <= high:
        return "undecided"
    return "direction" if (low > threshold) == (direction == "above") else "not-reproduced"


def combine(verdicts: Sequence[Verdict]) -> Verdict:
    """The verdict of a criterion with several conditions, all of which have to be met.

    Returns:
        ``reproduced`` if all are reproduced, ``direction`` if all are one of the two, ``no-data``
        if there was nothing to judge any of them by, ``not-reproduced`` if any is, else
        ``undecided``; evidence and numbers are joined.

    Raises:
        UndefinedStatisticError: no verdict.
        ValueError: one that is no outcome of a measurement, or two with a number of
            the same name.
    """
    values = {verdict.value for verdict in verdicts}
    if not values:
        raise UndefinedStatisticError("0 of the criterion's conditions can be judged on these data")
    if not values <= {*get_args(EmpiricalValue), "undecided", "no-data"}:
        raise ValueError(f"cannot combine the verdicts {sorted(values)}")
    value: Value = "undecided"
    if "not-reproduced" in values:
        value = "not-reproduced"
    elif values == {"no-data"}:
        value = "no-data"
    elif not values & {"undecided", "no-data"}:
        value = "reproduced" if values == {"reproduced"} else "direction"
    numbers: dict[str, float] = {}
    for verdict in verdicts:
        if shared := numbers.keys() & verdict.numbers.keys():
            raise ValueError(f"two conditions name a number {min(shared)!r}")
        numbers |= verdict.numbers
    return Verdict(
        value=value,
        evidence=" ".join(dict.fromkeys(v.evidence for v in verdicts if v.evidence)),
        reason=" ".join(dict.fromkeys(v.reason for v in verdicts if v.reason)),
        numbers=numbers,
    )


def check_value(claim: Claim, value: str) -> None:
    """Refuse a verdict that the kind of the claim does not allow.

    Raises:
        ValueError: a formal value for an empirical claim, or an empirical one for another kind.
    """
    if value not in ALLOWED[claim.kind]:
        raise ValueError(f"the {claim.kind} claim {claim.id!r} cannot have the verdict {value!r}")


@dataclass(frozen=True)
class CriterionContext:
    """What a verdict is about, besides the tables.

    Attributes:
        model, images: specs.
        n_images: number of images.
        seeds: seeds of the randomisation.
        paper_model: whether the model is the paper's own.
        paper_images: whether the images are the paper's own, and as many.
        verdicts: verdicts of the same run and model on the claims that the criterion rests on;
            a claim that was not judged, or whose tables have changed since, is missing.
    """

    model: str
    images: str
    n_images: int
    seeds: tuple[int, ...] = (0,)
    paper_model: bool = False
    paper_images: bool = False
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        claim: Claim,
        model: str,
        images: str,
        n_images: int,
        seeds: Sequence[int] = (0,),
        verdicts: Mapping[str, Verdict] | None = None,
    ) -> CriterionContext:
        """The context of a run, compared with the paper's setting as the ledger describes it.

        Args:
            claim: the claim to be judged.
            model, images: specs as given to the run; paths in them are compared, not kept.
            n_images: number of images.
            seeds: seeds of the randomisation.
            verdicts: the run's verdicts on the claims that the criterion rests on.
        """
        own = claim.faithful
        return cls(
            public_model(model),
            images.partition(":")[0],
            n_images,
            tuple(seeds),
            paper_model=own is not None and own.has_model(model),
            paper_images=own is not None and own.has_images(images, n_images),
            verdicts=dict(verdicts or {}),
        )


Tables = Mapping[str, pd.DataFrame]
Judgement = Callable[[Tables, CriterionContext], Verdict]


@dataclass(frozen=True)
class Criterion:
    """A registered criterion.

    Attributes:
        claim: id in the ledger.
        tables: names of the tables that the function reads.
        function: from tables and context to a verdict.
        rests_on: ids of the claims whose verdicts the function reads from its context.
    """

    claim: str
    tables: tuple[str, ...]
    function: Judgement
    rests_on: tuple[str, ...] = ()


_CRITERIA: dict[str, Criterion] = {}


def criterion(
    claim_id: str, tables: Iterable[str] = (), rests_on: Iterable[str] = ()
) -> Callable[[Judgement], Judgement]:
    """Register a function as the criterion of a claim.

    Args:
        claim_id: id in the ledger.
        tables: names of the tables that the function reads.
        rests_on: ids of the claims whose verdicts it reads, from ``context.verdicts``.

    Raises:
        ValueError: another function is already the criterion of that claim.
    """

    def register(function: Judgement) -> Judgement:
        known = _CRITERIA.get(claim_id)
        if known and _place(known.function) != _place(function):
            raise ValueError(f"{_place(known.function)} already judges the claim {claim_id!r}")
        _CRITERIA[claim_id] = Criterion(claim_id, tuple(tables), function, tuple(rests_on))
        return function

    return register


def registry() -> Mapping[str, Criterion]:
    """Claim id -> criterion, complete: every module of :mod:`sanitygap.chapters` is loaded."""
    from sanitygap.chapters import load_criteria  # its modules import this one

    load_criteria()
    return MappingProxyType(_CRITERIA)


def find_criterion(claim_id: str) -> Criterion:
    """The criterion of a claim.

    Raises:
        UsageError: there is no such claim, or nothing judges it yet.
    """
    find_claim(claim_id)
    found = registry().get(claim_id)
    if found is None:
        raise UsageError(f"no criterion is written for the claim {claim_id!r} yet; leave it out")
    return found


def in_order(claim_ids: Iterable[str]) -> list[str]:
    """The claims, each after those among them that its criterion rests on.

    Raises:
        UsageError: an unknown claim, or one that no criterion is written for.
        graphlib.CycleError: criteria rest on each other.
    """
    wanted = list(dict.fromkeys(claim_ids))
    graph = {claim: set(find_criterion(claim).rests_on) & set(wanted) for claim in wanted}
    return list(TopologicalSorter(graph).static_order())


def judge(claim_id: str, tables: Tables, context: CriterionContext) -> Verdict:
    """Apply a claim's criterion to tables.

    Args:
        claim_id: id in the ledger.
        tables: at least the tables that the criterion names.
        context: what the tables are about.

    Returns:
        The verdict; ``undecided`` where a statistic of the criterion has no value on these
        tables, ``no-data`` if one of them has no row, ``not-run`` where they hold nothing of a
        method that it needs. ``reproduced`` becomes ``direction`` unless model and images are the
        paper's own.

    Raises:
        UsageError: unknown claim, no criterion, or a table that is missing.
        ValueError: the criterion returned a formal value for an empirical claim, or an empirical
            value for a formal or documentary one.
    """
    claim, found = find_claim(claim_id), find_criterion(claim_id)
    if missing := [name for name in found.tables if name not in tables]:
        raise UsageError(f"the claim {claim_id!r} needs the table(s) {', '.join(missing)}")
    undefined = [tables[name].attrs.get("undefined") for name in found.tables]
    try:
        if reason := next(filter(None, undefined), ""):
            raise NotDefinedError(reason)
        verdict = found.function(tables, context)
    except NotDefinedError as error:
        verdict = Verdict(value="not-run", reason=f"Not defined on {context.model}: {error}.")
    except Unjudged as stopped:
        verdict = stopped.verdict
    except LackingMethodError as error:
        reason = f"{error}, which the criterion needs on {context.model}"
        reason = f"{reason[0].upper()}{reason[1:]}: not defined for it, or left out."
        verdict = Verdict(value="not-run", reason=reason)
    except UndefinedStatisticError as error:
        empty = any(tables[name].empty for name in found.tables)
        verdict = Verdict(value="no-data" if empty else "undecided", evidence=str(error))
    check_value(claim, verdict.value)
    if verdict.value != "reproduced" or (context.paper_model and context.paper_images):
        return verdict
    other = " and ".join(
        name
        for name, own in (("model", context.paper_model), ("images", context.paper_images))
        if not own
    )
    reason = f"{verdict.reason} Not the paper's own {other}.".strip()
    return verdict.model_copy(update={"value": "direction", "reason": reason})


def _place(function: Judgement) -> str:
    return f"{function.__module__}.{function.__qualname__}"


class Shown(NamedTuple):
    """Sign and meaning of a verdict; ``tone`` groups verdicts that share a colour."""

    sign: str
    tone: str
    meaning: str


VERDICTS = {
    "holds": Shown("✓", "agrees", "The statement is proved, or no check contradicts it."),
    "caveat": Shown("◐", "partly", "It is true under a condition or reading that the text leaves "
                    "out."),
    "slip": Shown("✎", "partly", "A misprint or a slip of notation; the conclusion stands."),
    "false": Shown("✗", "disagrees", "It is false in general; a counterexample is given."),
    "reproduced": Shown("✓", "agrees", "Measured on the paper's own model and images, and the "
                        "criterion is met."),
    "direction": Shown("↗", "agrees", "Measured on another model or on fewer images: same "
                       "direction, and the interval excludes zero."),
    "not-reproduced": Shown("✗", "disagrees", "Measured, and the criterion is not met."),
    "undecided": Shown("?", "open", "Measured, and the interval straddles the criterion."),
    "under-specified": Shown("…", "open", "The text leaves a choice open, and the outcome depends "
                             "on that choice."),
    "no-data": Shown("∅", "open", "The run holds no sample to judge it by, or fewer than the test "
                     "needs."),
    "not-run": Shown("○", "open", "Not measured; the reason and the command that would run it are "
                     "given."),
}  # fmt: skip
"""Every verdict, in the order in which they are listed."""


# what a run keeps

COPIED = ("id", "paper", "statement", "criterion", "tier", "notebook")
"""Fields of a claim in the rows of :func:`collect`."""

SAID = {"evidence", "reason", "numbers"}
"""Fields of a verdict there, besides its value."""

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
            tables=dict(tables or {}),
            **verdict.model_dump(exclude={"value"}),
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
        """On how many images the tables rest that it was reached from, each number once.

        A table about networks trained for the purpose rests on test images of their own.
        """
        passports = [read_json(run / f"{name}.json") for name in self.tables]
        own = [made.get("parameters", {}).get("test_images") for made in passports]
        return sorted({made.get("images") or n for made, n in zip(passports, own, strict=True)} - {
            None, 0
        })  # fmt: skip

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
    return list(validated(Record, entries, place))


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
            says = {"verdict": record.value, **record.model_dump(include=SAID)}
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
