"""Reading machine proofs and tidy tables for the criteria of the formal statements."""

from collections.abc import Callable, Sequence
from functools import wraps

import pandas as pd

from sanitygap.claims import CriterionContext, Verdict, criterion
from sanitygap.errors import UsageError
from sanitygap.judge import Tables

Judge = Callable[..., Verdict]
Judgement = Callable[[Tables, CriterionContext], Verdict]


def formal_criterion(
    claim: str, *names: str, settled: Sequence[str] = ()
) -> Callable[[Judge], Judgement]:
    """Register the criterion of a formal statement, a function of its tables in their order.

    Args:
        claim: id in the ledger.
        names: of the tables.
        settled: statements of the first table, one of proofs, without which the verdict is
            ``undecided``.
    """

    def register(judge: Judge) -> Judgement:
        @wraps(judge)
        def judgement(tables: Tables, context: CriterionContext) -> Verdict:
            return unsettled(tables[names[0]], *settled) or judge(*(tables[n] for n in names))

        return criterion(claim, tables=names)(judgement)

    return register


def outcome(proofs: pd.DataFrame, name: str) -> str:
    """The outcome of one machine-checked statement.

    Raises:
        UsageError: if the table does not hold exactly one row of that name.
    """
    rows = proofs.loc[proofs["name"] == name, "outcome"]
    if len(rows) != 1:
        raise UsageError(
            f"the proofs hold {len(rows)} rows named {name!r} instead of one; "
            "compute the table again with this version of the library"
        )
    return str(rows.iloc[0])


def proved(proofs: pd.DataFrame, *names: str) -> bool:
    """Whether every named statement was proved."""
    return all(outcome(proofs, name) == "proved" for name in names)


def refuted(proofs: pd.DataFrame, *names: str) -> bool:
    """Whether every named statement has a verified counterexample."""
    return all(outcome(proofs, name) == "counterexample" for name in names)


def witness(proofs: pd.DataFrame, name: str) -> str:
    """The counterexample to the named statement, as text."""
    outcome(proofs, name)
    return str(proofs.loc[proofs["name"] == name, "witness"].iloc[0])


def unsettled(proofs: pd.DataFrame, *names: str) -> Verdict | None:
    """`undecided` if a named statement was neither proved nor refuted, else None."""
    open_ = [name for name in names if outcome(proofs, name) not in ("proved", "counterexample")]
    if not open_:
        return None
    return Verdict(
        value="undecided",
        evidence=f"The machine check left {len(open_)} statements open: {'; '.join(open_)}.",
        reason="raise the time limit of the machine proofs",
        numbers={"unsettled": len(open_)},
    )


def encoding_is_sound(proofs: pd.DataFrame) -> bool:
    """Whether every mutant was refuted: no encoding proves a wrong variant."""
    mutants = proofs.loc[proofs["kind"] == "mutant", "outcome"]
    return len(mutants) > 0 and bool((mutants == "counterexample").all())
