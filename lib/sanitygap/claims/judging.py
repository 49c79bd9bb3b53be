"""Criteria: functions from the tables of a run to a verdict, registered by claim."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from types import MappingProxyType

import pandas as pd

from sanitygap.claims.ledger import Claim, find_claim
from sanitygap.claims.verdicts import Unjudged, Verdict, check_value
from sanitygap.errors import LackingMethodError, UsageError
from sanitygap.inference import UndefinedStatisticError


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
            model.partition("@")[0],
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
    """Claim id -> criterion, complete: every module of :mod:`sanitygap.criteria` is loaded."""
    from sanitygap.criteria import load_criteria  # its modules import this one

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
