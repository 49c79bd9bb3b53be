"""What the optimisation of a sample makes small: terms of goals and constraints, and weights.

Khakzar et al. 2022, App. 6.2, Eq. 14 and 15.
"""

from __future__ import annotations

import math

import torch

from sanitygap.axioms.recipes import Recipe

#: of the moving average of the keys, and its start
ALPHA, START = 0.1, 0.5

#: exponent of the focal weights in the authors' code
GAMMA = 0.8

#: keys are kept this far from 0 and 1, where the logarithm ends
MARGIN = 1e-4

#: a relative change is taken of logits no smaller than this, lest its slope has no bound
FLOOR = 0.5


def moving_average(average: torch.Tensor, key: torch.Tensor, alpha: float = ALPHA) -> torch.Tensor:
    """Eq. (15): the next average from the last one and a new key."""
    return alpha * key + (1 - alpha) * average


def goal_weight(average: torch.Tensor, balance: str = "focal") -> torch.Tensor:
    """Weight of "activate the output" from the average of its softmax.

    Args:
        average: in [0, 1].
        balance: ``focal`` is -(1 - k)^0.8 log k, as in the authors' code: an output that is
            reached weighs little. ``key`` is k, as the appendix words it: an output that is
            reached weighs most. ``complement`` is 1 - k.
    """
    if balance == "key":
        return average
    if balance == "complement":
        return 1 - average
    k = average.clamp(MARGIN, 1 - MARGIN)
    return -(1 - k).pow(GAMMA) * k.log()


def constraint_weight(average: torch.Tensor, balance: str = "focal") -> torch.Tensor:
    """Weight of "leave the output alone" from the average of its relative change.

    The focal weight is -k^0.8 log(1 - k): a constraint that holds weighs little.
    """
    if balance == "key":
        return average
    if balance == "complement":
        return 1 - average
    k = average.clamp(MARGIN, 1 - MARGIN)
    return -k.pow(GAMMA) * (1 - k).log()


def bent_square(change: torch.Tensor, bend: float) -> torch.Tensor:
    """The square of a change up to ``bend``, its tangent beyond; infinity gives the square."""
    size = change.abs()
    inner = size.clamp(max=bend)
    return inner * (2 * size - inner)


def goal_term(row: torch.Tensor, output: int, recipe: Recipe, warm: bool) -> torch.Tensor:
    """How far an output is from being activated.

    Args:
        row: logits ``(C,)``.
        output: index of the output.
        recipe: says how it is measured.
        warm: whether the warm-up lasts, which knows no constant.
    """
    if recipe.constant is not None and not warm:
        return (row.softmax(0)[output] - recipe.constant).square()
    if recipe.objective == "logit":
        return -row[output]
    others = torch.cat([row[:output], row[output + 1 :]]).logsumexp(0)
    return bent_square(torch.relu(recipe.aim - row[output] + others), recipe.bend)


def constraint_term(changed: torch.Tensor, reference: torch.Tensor, recipe: Recipe) -> torch.Tensor:
    """How far an output is from being left alone.

    Args:
        changed: logit with the patch.
        reference: logit without it; a constant.
        recipe: says how it is measured.
    """
    change = changed - reference
    if recipe.measure == "relative":
        smaller = torch.minimum(changed.detach().abs(), reference.abs()).clamp_min(FLOOR)
        allowed = math.atanh(recipe.change) * smaller
        change = torch.relu((change / allowed).abs() - recipe.slack)
    return bent_square(change, recipe.bend)


def constraint_factor(recipe: Recipe, goal: torch.Tensor, key: torch.Tensor) -> float:
    """Weight of a constraint.

    Args:
        recipe: of the generation.
        goal: moving average of the softmax of the same patch's goal.
        key: moving average of the constraint's relative change.
    """
    weight = recipe.constraint_weight * constraint_weight(key, recipe.balance)
    if recipe.bounds is None:
        return float(weight)
    # only the ratio of a patch's terms matters, since its step size does not depend on their size
    weight = weight / goal_weight(goal, recipe.balance)
    return float(weight.clamp(*recipe.bounds))


def goal_factor(recipe: Recipe, goal: torch.Tensor, warm: bool) -> float:
    """Weight of a goal; see :func:`constraint_factor`."""
    if warm:
        return recipe.warm_weight
    if recipe.bounds is not None:
        return recipe.goal_weight
    return float(recipe.goal_weight * goal_weight(goal, recipe.balance))
