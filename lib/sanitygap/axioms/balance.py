"""How the terms of a generation are balanced (Khakzar et al. 2022, App. 6.2, Eq. 14 and 15)."""

from __future__ import annotations

import torch

#: of the moving average of the keys, and its start
ALPHA, START = 0.1, 0.5

#: exponent of the focal weights in the authors' code
GAMMA = 0.8

#: keys are kept this far from 0 and 1, where the logarithm ends
MARGIN = 1e-4


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
