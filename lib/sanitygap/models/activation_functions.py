"""Activations as torch calls them: by a module, a function or a method, in place or not."""

from inspect import signature
from typing import Any

import torch
from torch.nn import functional


def _calls(*names: str) -> tuple[Any, ...]:
    """The functions and methods of torch with these names, and those that work in place."""
    return tuple(
        getattr(room, variant)
        for name in names
        for variant in (name, f"{name}_")
        for room in (functional, torch, torch.Tensor)
        if hasattr(room, variant)
    )


#: rectifiers that fall somewhere, so that their own gradient can be negative
FALLING = _calls("gelu", "silu", "mish", "hardswish", "prelu", "rrelu")

#: ReLU and what is used in its place: what is negative is cut off or damped
RECTIFIERS = (*_calls("relu", "relu6", "leaky_relu", "elu", "selu", "celu", "softplus"), *FALLING)

HARDTANH = _calls("hardtanh")

ACTIVATIONS = (*RECTIFIERS, *HARDTANH, *_calls("sigmoid", "hardsigmoid", "tanh"))


def is_rectifier(func: Any, args: Any, kwargs: dict[str, Any]) -> bool:
    """Whether a call is one of :data:`RECTIFIERS`, or a hardtanh from 0, which modules call ReLU6.

    Args:
        func: the function that is called.
        args, kwargs: with what it is called.
    """
    if func in HARDTANH:
        found = signature(functional.hardtanh).bind(*args, **kwargs).arguments
        return bool(found.get("min_val", -1.0) == 0)
    return func in RECTIFIERS


def is_in_place(func: Any, kwargs: dict[str, Any]) -> bool:
    """Whether a call of an activation changes its argument."""
    return bool(kwargs.get("inplace")) or getattr(func, "__name__", "").endswith("_")
