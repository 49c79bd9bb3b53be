"""What the optimisation of a sample makes small: terms for goals and for constraints."""

from __future__ import annotations

import math

import torch

from sanitygap.axioms import balance
from sanitygap.axioms.recipes import Recipe

#: a relative change is taken of logits no smaller than this, lest its slope has no bound
FLOOR = 0.5


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
    return balance.bent_square(torch.relu(recipe.aim - row[output] + others), recipe.bend)


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
    return balance.bent_square(change, recipe.bend)


def constraint_factor(recipe: Recipe, goal: torch.Tensor, key: torch.Tensor) -> float:
    """Weight of a constraint.

    Args:
        recipe: of the generation.
        goal: moving average of the softmax of the same patch's goal.
        key: moving average of the constraint's relative change.
    """
    weight = recipe.constraint_weight * balance.constraint_weight(key, recipe.balance)
    if recipe.bounds is None:
        return float(weight)
    # only the ratio of a patch's terms matters, since its step size does not depend on their size
    weight = weight / balance.goal_weight(goal, recipe.balance)
    return float(weight.clamp(*recipe.bounds))


def goal_factor(recipe: Recipe, goal: torch.Tensor, warm: bool) -> float:
    """Weight of a goal; see :func:`constraint_factor`."""
    if warm:
        return recipe.warm_weight
    if recipe.bounds is not None:
        return recipe.goal_weight
    return float(recipe.goal_weight * balance.goal_weight(goal, recipe.balance))
