"""The ledger: claims of the papers, the criteria that judge them, and the verdicts of runs.

A claim comes from ``data/claims.yml``. Its criterion is a function, registered with
:func:`criterion`, from the tables of a run to a :class:`Verdict`. :func:`judge` calls it and
refuses what it may not return; :func:`write_verdicts` keeps the result with the run, and
:func:`collect` lists every claim with the verdicts of all runs.
"""

from sanitygap.claims.ledger import (
    Audit,
    Claim,
    Faithful,
    commands_for,
    find_claim,
    load_claims,
    models_not_run,
    why_not_run,
)
from sanitygap.claims.records import Record, collect, read_verdicts, write_verdicts
from sanitygap.claims.verdicts import (
    ALLOWED,
    VERDICTS,
    Criterion,
    CriterionContext,
    Value,
    Verdict,
    check_value,
    combine,
    criterion,
    find_criterion,
    in_order,
    judge,
    registry,
    verdict_from_interval,
)

__all__ = [
    "ALLOWED",
    "VERDICTS",
    "Audit",
    "Claim",
    "Criterion",
    "CriterionContext",
    "Faithful",
    "Record",
    "Value",
    "Verdict",
    "check_value",
    "collect",
    "combine",
    "commands_for",
    "criterion",
    "find_claim",
    "find_criterion",
    "in_order",
    "judge",
    "load_claims",
    "models_not_run",
    "read_verdicts",
    "registry",
    "verdict_from_interval",
    "why_not_run",
    "write_verdicts",
]
