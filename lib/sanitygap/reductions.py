"""Reductions: how a map with colour channels becomes one number a pixel.

No paper of this book says which one it uses, and it matters: the values of guided backpropagation
change their sign from pixel to pixel, so they cancel in a sum over a region unless they are made
positive before.
"""

from typing import Literal

import torch

from sanitygap.errors import unknown_name

Reduction = Literal["signed", "abs-sum", "sum-abs", "l2"]

REDUCTIONS: dict[Reduction, str] = {
    "signed": "sum over channels",
    "abs-sum": "absolute value of the sum over channels",
    "sum-abs": "sum over channels of absolute values",
    "l2": "root of the sum over channels of squares",
}


def reduce(values: torch.Tensor, reduction: Reduction) -> torch.Tensor:
    """One number a pixel.

    Args:
        values: ``(N, C, H, W)``.
        reduction: a key of :data:`REDUCTIONS`.

    Returns:
        ``(N, H, W)``.

    Raises:
        UsageError: unknown reduction.
    """
    if reduction == "signed":
        return values.sum(1)
    if reduction == "abs-sum":
        return values.sum(1).abs()
    if reduction == "sum-abs":
        return values.abs().sum(1)
    if reduction == "l2":
        return values.square().sum(1).sqrt()
    raise unknown_name("reduction", reduction, list(REDUCTIONS))
