"""Methods with their size behind the name: ``lime@200``, ``extremal-perturbation@800``."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial

from sanitygap.attribution import extremal, perturbation, surrogate
from sanitygap.attribution.method import METHODS, Method, Pass
from sanitygap.errors import UsageError


@dataclass(frozen=True)
class Size:
    """What a number behind the name of a method counts.

    Attributes:
        counts: plural of what is counted.
        least: the smallest number that the method can do with.
        make: from a number to the method's pass.
    """

    counts: str
    least: int
    make: Callable[[int], Pass]


SIZED = {
    name: Size("samples", 2, partial(surrogate.surrogate_pass, name))
    for name in surrogate.SURROGATES
} | {
    "perturbation-mask": Size("iterations", 1, perturbation.mask_pass),
    "extremal-perturbation": Size("steps", 1, extremal.mask_pass),
}
"""Method -> what its size counts."""


@cache
def with_size(name: str, number: str) -> Method:
    """A method of :data:`SIZED` with another size.

    Raises:
        UsageError: that is no number, or too small a one.
    """
    size = SIZED[name]
    if not number.isdecimal() or int(number) < size.least:
        raise UsageError(f"{name}@N takes N {size.counts}, at least {size.least}; not {number!r}")
    return replace(METHODS[name], name=f"{name}@{number}", compute=size.make(int(number)))
