"""Verdicts: the words and how they are shown, what they need to say, and how criteria reach them.

A criterion is a function from the tables of a run to a verdict, registered by claim.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from types import MappingProxyType
from typing import Annotated, Literal, NamedTuple, get_args

import pandas as pd
from pydantic import BeforeValidator, Field, model_validator

from sanitygap.claims.ledger import Claim, Strict, find_claim
from sanitygap.errors import LackingMethodError, UsageError
from sanitygap.inference import UndefinedStatisticError
from sanitygap.settings import public_model

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
        ValueError: no verdict, one that is no outcome of a measurement, or two with a number of
            the same name.
    """
    values = {verdict.value for verdict in verdicts}
    if not values or not values <= {*get_args(EmpiricalValue), "undecided", "no-data"}:
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
    try:
        verdict = found.function(tables, context)
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
    "caveat": Shown(
        "◐", "partly", "It is true under a condition or reading that the text leaves out."
    ),
    "slip": Shown("✎", "partly", "A misprint or a slip of notation; the conclusion stands."),
    "false": Shown("✗", "disagrees", "It is false in general; a counterexample is given."),
    "reproduced": Shown(
        "✓", "agrees", "Measured on the paper's own model and images, and the criterion is met."
    ),
    "direction": Shown(
        "↗",
        "agrees",
        "Measured on another model or on fewer images: same "
        "direction, and the interval excludes zero.",
    ),
    "not-reproduced": Shown("✗", "disagrees", "Measured, and the criterion is not met."),
    "undecided": Shown("?", "open", "Measured, and the interval straddles the criterion."),
    "under-specified": Shown(
        "…", "open", "The text leaves a choice open, and the outcome depends on that choice."
    ),
    "no-data": Shown(
        "∅", "open", "The run holds no sample to judge it by, or fewer than the test needs."
    ),
    "not-run": Shown(
        "○", "open", "Not measured; the reason and the command that would run it are given."
    ),
}
"""Every verdict, in the order in which they are listed."""
