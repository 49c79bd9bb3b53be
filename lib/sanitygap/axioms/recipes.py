"""How features are generated: the numbers of the optimisation, the authors' and this book's.

Where :class:`Recipe` departs from :data:`ORIGINAL`, and why. The thresholds are the same.

- Many samples side by side; the authors make one at a time.
- A goal is the log-odds of its output, up to an aim beyond the threshold, not the logit: a large
  logit takes the logits of similar classes along, and what is reached needs no more.
- A constraint is the change relative to the logit, as it is accepted, not the change itself:
  where the logit of a bare background is 2, a change of 0.3 is too much; where a feature makes it
  25, a change of 3 is not.
- A patch's constraints join in once its own goal is near, not after 300 steps. The focal weights
  keep their form, but only their ratio counts, and it has bounds: unbounded, a goal that is reached
  has no say, and the optimisation swings between the two.
- Terms that are met by far rest: they are looked at every few steps.
- A sample that cannot succeed is given up early: before the first step if its constraint compares
  with a logit near 0 on a bare background, where any change is a large one; after some steps if its
  output does not stir.
- Two saturating patches are neighbours that move together, see :data:`~.scenarios.SCENARIOS`. The
  authors fix their corners further apart, with half the learning rate, 1000 steps and 200 of
  warm-up; the benchmark compares the other scenarios.
- What is accepted is an average over steps, and it has to meet all thresholds on nearly all of
  some fresh draws; the authors accept what meets them once, on the draw of the step.
"""

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
        warm_up: steps in which a patch's constraints are left out, at most; they end earlier once
            the average softmax of its goal is above ``warm_enough``.
        warm_enough: see there; 1 never ends the warm-up early.
        learning_rate: of RMSprop.
        settle: steps after the warm-up in which a sample's step size halves; it goes on to fall as
            one over the steps. Infinity keeps it.
        goal_weight, constraint_weight, warm_weight: factors of the terms.
        bounds: smallest and largest weight of a constraint beside its patch's goal; None weighs
            each term by itself.
        bend: size of a term's argument beyond which its square goes on as a straight line; its
            slope would swamp the other terms. Infinity is the square itself, as printed.
        objective: what a goal makes as large as possible: ``odds``, the log-odds of the output up
            to ``aim``, or ``logit``, Eq. (1) and the authors' code.
        aim: log-odds that a goal aims at; 5 is a softmax of 0.993.
        measure: what a constraint makes small: ``relative``, the relative change in units of the
            threshold, or ``absolute``, the change of the logit.
        slack: relative change, as a share of the threshold, that is small enough.
        constant: softmax that a goal aims at, as in Eq. (2), by squared distance; None is
            the objective.
        balance: weights of the terms, see :mod:`sanitygap.axioms.balance`.
        prior: ``decoder`` or ``pixels``.
        moving: whether patches are placed anew at every step.
        softmax, change: thresholds of acceptance.
        average: how much of the last average is kept in the moving average of the patches, from
            the end of the warm-up on; it is the average that is accepted. 0 is the patch itself.
        confirmations: fresh backgrounds and places on which a sample has to meet all thresholds;
            0 asks for the draw of the step alone.
        failures: how many of them it may miss.
        patience: steps between two looks at a sample.
        rest: a term that is met by far is looked at every so many steps; 1 never rests.
        least_reference: size of a bare background's logit, in standard deviations of all its
            logits, below which a sample is given up before the first step if a constraint compares
            with it.
        trial: steps after which a sample is given up if the average softmax of a goal is below
            ``stirred``.
        stirred: see there; 0 never gives up.
    """

    at_once: int = 6
    max_steps: int = 240
    min_steps: int = 10
    warm_up: int = 100
    warm_enough: float = 0.6
    learning_rate: float = 0.01
    settle: float = 40.0
    goal_weight: float = 1.0
    constraint_weight: float = 1.0
    warm_weight: float = 1.0
    bounds: tuple[float, float] | None = (0.03, 2.0)
    bend: float = 2.0
    objective: Literal["logit", "odds"] = "odds"
    aim: float = 5.0
    measure: Literal["absolute", "relative"] = "relative"
    slack: float = 0.2
    constant: float | None = None
    balance: Literal["focal", "key", "complement"] = "focal"
    prior: Literal["decoder", "pixels"] = "decoder"
    moving: bool = True
    softmax: float = SOFTMAX
    change: float = CHANGE
    average: float = 0.9
    confirmations: int = 64
    failures: int = 3
    patience: int = 5
    rest: int = 4
    least_reference: float = 1.5
    trial: int = 100
    stirred: float = 0.05

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
    goal_weight=10.0,
    constraint_weight=5.0,
    warm_weight=5.0,
    bounds=None,
    bend=math.inf,
    objective="logit",
    measure="absolute",
    average=0.0,
    confirmations=0,
    failures=0,
    patience=1,
    rest=1,
    least_reference=0.0,
    stirred=0.0,
)
