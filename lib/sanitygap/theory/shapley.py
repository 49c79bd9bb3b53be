"""Exact Shapley values of games with few players, batched.

A game of d players is a tensor of its values over all 2^d coalitions, shape (..., 2^d), indexed by
the bit mask of the coalition: entry 0b101 is the value of players 0 and 2 together.
"""

from functools import cache
from math import comb

import torch


def coalitions(players: int) -> torch.Tensor:
    """Membership of every coalition: bool, (2^players, players), row = bit mask."""
    masks = torch.arange(2**players)[:, None]
    return (masks >> torch.arange(players)) % 2 == 1


@cache
def _weights(players: int) -> torch.Tensor:
    """Matrix (2^players, players) that turns the values of a game into Shapley values.

    Entry (S, i) is +c(|S| - 1) if i is in S and -c(|S|) if not, with
    c(s) = 1 / (d C(d - 1, s)), Eq. (60) of Binder et al. (2022).
    """
    members = coalitions(players)
    size = members.sum(1, keepdim=True)
    c = [1 / (players * comb(players - 1, s)) for s in range(players)]
    table = torch.tensor([*c, 0.0, 0.0], dtype=torch.float64)  # the padding is never used
    return torch.where(members, table[(size - 1).clamp(min=0)], -table[size])


def shapley_values(values: torch.Tensor) -> torch.Tensor:
    """Shapley values (..., players) of games (..., 2^players), float64.

    They sum to the value of the grand coalition minus that of the empty one.
    """
    players = values.shape[-1].bit_length() - 1
    return values.double() @ _weights(players)
