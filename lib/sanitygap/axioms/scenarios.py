"""The four controlled experiments: what patches have to do to outputs (Khakzar et al., Eq. 3-9)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch

from sanitygap.errors import unknown_name

#: which patches are present: bit 0 is the first, bit 1 the second
NONE, FIRST, SECOND, BOTH = range(4)
COALITIONS = ("none", "first", "second", "both")

#: the authors accept a sample above this softmax of every goal ...
SOFTMAX = 0.94
#: ... and below this key of every constraint
CHANGE = 0.14


@dataclass(frozen=True)
class Goal:
    """A patch activates an output when it is alone.

    Attributes:
        patch: 0 or 1.
        output: 0 for a, 1 for b.
        coalition: what is present.
    """

    patch: int
    output: int
    coalition: int


@dataclass(frozen=True)
class Constraint:
    """Adding a patch leaves an output alone.

    Attributes:
        patch: the patch that is added.
        output: 0 for a, 1 for b.
        coalition: what is present with it.
        without: what is present without it.
    """

    patch: int
    output: int
    coalition: int
    without: int


@dataclass(frozen=True)
class Scenario:
    """One controlled experiment.

    Attributes:
        name: ``null``, ``single``, ``double`` or ``saturation``.
        patches: how many.
        goals, constraints: what the patches have to do.
        explained: outputs whose attribution maps the metrics compare.
        offset: how far the second patch lies below and right of the first, as shares of the
            image's side, where the two move together; None places each patch on its own.
    """

    name: str
    patches: int
    goals: tuple[Goal, ...]
    constraints: tuple[Constraint, ...]
    explained: tuple[int, ...]
    offset: tuple[float, float] | None = None

    @property
    def coalitions(self) -> range:
        """All sets of patches, by bit mask."""
        return range(2**self.patches)

    def members(self, coalition: int) -> tuple[bool, ...]:
        """Which patches are present in a coalition."""
        return tuple(bool(coalition >> patch & 1) for patch in range(self.patches))


A, B = 0, 1

SCENARIOS: Mapping[str, Scenario] = MappingProxyType(
    {
        scenario.name: scenario
        for scenario in (
            # Eq. 3 and 4: the second patch is null for output a, with the first one and alone
            Scenario(
                "null",
                2,
                (Goal(0, A, FIRST), Goal(1, B, SECOND)),
                (Constraint(1, A, BOTH, FIRST), Constraint(1, A, SECOND, NONE)),
                (A,),
            ),
            # Eq. 5: the only patch is null for output b
            Scenario("single", 1, (Goal(0, A, FIRST),), (Constraint(0, B, FIRST, NONE),), (A, B)),
            # Eq. 6 and 7: each patch is null for the other one's output, beside the other one
            Scenario(
                "double",
                2,
                (Goal(0, A, FIRST), Goal(1, B, SECOND)),
                (Constraint(0, B, BOTH, SECOND), Constraint(1, A, BOTH, FIRST)),
                (A, B),
            ),
            # Eq. 8 and 9: either patch is enough for output a. A network that ends in an average
            # adds up what lies far apart; one patch can only silence the other where receptive
            # fields overlap. So the second lies below the first, with a gap of 10 pixels in 224.
            # The authors' code fixes their corners, at (5, 5) and (133, 133)
            Scenario(
                "saturation",
                2,
                (Goal(0, A, FIRST), Goal(1, A, SECOND)),
                (Constraint(0, A, BOTH, SECOND), Constraint(1, A, BOTH, FIRST)),
                (A,),
                offset=(96 / 224, 0.0),
            ),
        )
    }
)

#: Eq. 1 alone: a patch for an output, with nothing to leave alone; no experiment of its own
GOAL_ONLY = Scenario("goal", 1, (Goal(0, A, FIRST),), (), (A,))


def find_scenario(name: str) -> Scenario:
    """The scenario of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in SCENARIOS:
        raise unknown_name("scenario", name, list(SCENARIOS))
    return SCENARIOS[name]


def relative_change(with_feature: torch.Tensor, without: torch.Tensor) -> torch.Tensor:
    """tanh(|x - y| / min(|x|, |y|)), the key of a constraint, Eq. (14); in [0, 1].

    Where the smaller one is 0 the quotient is undefined; the key is 1 there, and 0 if both are 0.

    Args:
        with_feature, without: logits of the same shape.
    """
    change = (with_feature - without).abs()
    smaller = torch.minimum(with_feature.abs(), without.abs())
    quotient = torch.where(change == 0, torch.zeros_like(change), change / smaller)
    return quotient.tanh()


def keys(
    scenario: Scenario, logits: torch.Tensor, softmax: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The keys of Eq. (14) from the outputs of all coalitions.

    Args:
        scenario: of the sample.
        logits: of outputs a and b, ``(..., coalitions, 2)``.
        softmax: likewise.

    Returns:
        Softmax of each goal ``(..., goals)`` and relative change of each constraint
        ``(..., constraints)``.
    """
    reached = [softmax[..., goal.coalition, goal.output] for goal in scenario.goals]
    changed = [
        relative_change(
            logits[..., rule.coalition, rule.output], logits[..., rule.without, rule.output]
        )
        for rule in scenario.constraints
    ]
    return torch.stack(reached, -1), torch.stack(changed or [logits[..., 0, 0]], -1)[
        ..., : len(changed)
    ]


def holds(
    scenario: Scenario,
    logits: torch.Tensor,
    softmax: torch.Tensor,
    least: float = SOFTMAX,
    most: float = CHANGE,
) -> torch.Tensor:
    """Whether every goal is reached and every constraint holds: bool, ``(...,)``.

    Args:
        scenario, logits, softmax: as in :func:`keys`.
        least: softmax that a goal has to exceed.
        most: relative change that a constraint must stay below.
    """
    reached, changed = keys(scenario, logits, softmax)
    return (reached > least).all(-1) & (changed < most).all(-1)
