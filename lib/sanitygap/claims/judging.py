"""Criteria: functions from the tables of a run to a verdict, registered by claim."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import pandas as pd

from sanitygap.claims.ledger import Claim, find_claim
from sanitygap.claims.verdicts import Verdict, check_value
from sanitygap.errors import UsageError


@dataclass(frozen=True)
class CriterionContext:
    """What a verdict is about, besides the tables.

    Attributes:
        model, images: specs.
        n_images: number of images.
        seeds: seeds of the randomisation.
        paper_model: whether the model is the paper's own.
        paper_images: whether the images are the paper's own, and as many.
    """

    model: str
    images: str
    n_images: int
    seeds: tuple[int, ...] = (0,)
    paper_model: bool = False
    paper_images: bool = False

    @classmethod
    def of(
        cls, claim: Claim, model: str, images: str, n_images: int, seeds: Sequence[int] = (0,)
    ) -> CriterionContext:
        """The context of a run, compared with the paper's setting as the ledger describes it.

        Args:
            claim: the claim to be judged.
            model, images: specs as given to the run; paths in them are compared, not kept.
            n_images: number of images.
            seeds: seeds of the randomisation.
        """
        own = claim.faithful
        return cls(
            model.partition("@")[0],
            images.partition(":")[0],
            n_images,
            tuple(seeds),
            paper_model=own is not None and own.has_model(model),
            paper_images=own is not None and own.has_images(images, n_images),
        )


Tables = Mapping[str, pd.DataFrame]
Judgement = Callable[[Tables, CriterionContext], Verdict]


@dataclass(frozen=True)
class Criterion:
    """A registered criterion: the claim, the tables that it needs and the function."""

    claim: str
    tables: tuple[str, ...]
    function: Judgement


_CRITERIA: dict[str, Criterion] = {}


def criterion(claim_id: str, tables: Iterable[str] = ()) -> Callable[[Judgement], Judgement]:
    """Register a function as the criterion of a claim.

    Args:
        claim_id: id in the ledger.
        tables: names of the tables that the function reads.

    Raises:
        ValueError: another function is already the criterion of that claim.
    """

    def register(function: Judgement) -> Judgement:
        known = _CRITERIA.get(claim_id)
        if known and _place(known.function) != _place(function):
            raise ValueError(f"{_place(known.function)} already judges the claim {claim_id!r}")
        _CRITERIA[claim_id] = Criterion(claim_id, tuple(tables), function)
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


def judge(claim_id: str, tables: Tables, context: CriterionContext) -> Verdict:
    """Apply a claim's criterion to tables.

    Args:
        claim_id: id in the ledger.
        tables: at least the tables that the criterion names.
        context: what the tables are about.

    Returns:
        The verdict. ``reproduced`` becomes ``direction`` unless model and images are the
        paper's own.

    Raises:
        UsageError: unknown claim, no criterion, or a table that is missing.
        ValueError: the criterion returned a formal value for an empirical claim, or an empirical
            value for a formal or documentary one.
    """
    claim, found = find_claim(claim_id), find_criterion(claim_id)
    if missing := [name for name in found.tables if name not in tables]:
        raise UsageError(f"the claim {claim_id!r} needs the table(s) {', '.join(missing)}")
    verdict = found.function(tables, context)
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
