"""Verdicts: the words, what they need to say for themselves, and how criteria reach them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, get_args

from pydantic import BeforeValidator, Field, model_validator

from sanitygap.claims.ledger import Claim, Strict

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
