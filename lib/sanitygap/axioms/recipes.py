"""How features are generated: the numbers of the optimisation, the authors' and this book's."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from sanitygap.axioms.scenarios import CHANGE, SOFTMAX


@dataclass(frozen=True)
class Recipe:
    """Numbers of the optimisation.

    Attributes:
        at_once: samples that are optimised side by side.
        max_steps: a sample that is not accepted by then is given up.
        min_steps: no sample is accepted before.
        warm_up: steps that only activate the outputs, at most; they end earlier for a sample
            whose goals have an average softmax above ``warm_enough``.
        warm_enough: see there; 1 never ends the warm-up early.
        learning_rate: of RMSprop.
        settle: steps after the warm-up in which a sample's step size halves; it goes on to fall as
            one over the steps. Infinity keeps it.
        goal_weight, constraint_weight, warm_weight: factors of the terms.
        bend: change of a logit beyond which a constraint's square goes on as a straight line; its
            slope would swamp the goals. Infinity is the square itself, as printed.
        objective: what a goal makes as large as possible: ``log-softmax``, the cross-entropy of
            Eq. (2) with c = 1, or ``logit``, Eq. (1) and the authors' code. A large logit alone
            takes the logits of similar classes along.
        constant: softmax that a goal aims at, as in Eq. (2), by squared distance; None is
            the objective.
        balance: weights of the terms, see :mod:`sanitygap.axioms.balance`.
        prior: ``decoder`` or ``pixels``.
        moving: whether patches are placed anew at every step.
        softmax, change: thresholds of acceptance.
        average: how much of the last average is kept in the moving average of the patches, from
            the end of the warm-up on; it is the average that is accepted. 0 is the patch itself.
        confirmations: fresh backgrounds and places over which a sample has to hold on average,
            after it did on the first quarter of them; 0 asks for the draw of the step alone.
        margin: by how much the thresholds are tightened for that average, as a share of the
            distance that they allow.
        patience: steps between two looks at a sample.
    """

    at_once: int = 6
    max_steps: int = 250
    min_steps: int = 10
    warm_up: int = 60
    warm_enough: float = 0.8
    learning_rate: float = 0.01
    settle: float = 30.0
    goal_weight: float = 50.0
    constraint_weight: float = 5.0
    warm_weight: float = 5.0
    bend: float = 1.0
    objective: Literal["logit", "log-softmax"] = "log-softmax"
    constant: float | None = None
    balance: Literal["focal", "key", "complement"] = "focal"
    prior: Literal["decoder", "pixels"] = "decoder"
    moving: bool = True
    softmax: float = SOFTMAX
    change: float = CHANGE
    average: float = 0.9
    confirmations: int = 16
    margin: float = 0.2
    patience: int = 5

    def settings(self) -> dict[str, Any]:
        """All numbers by name; they are part of the address of what they made."""
        return asdict(self)


#: the authors' numbers: one sample at a time, long warm-up, accepted on one draw
ORIGINAL = Recipe(
    at_once=1,
    max_steps=1500,
    min_steps=51,
    warm_up=300,
    warm_enough=1.0,
    settle=math.inf,
    objective="logit",
    bend=math.inf,
    average=0.0,
    goal_weight=10.0,
    margin=0.0,
    confirmations=0,
    patience=1,
)
