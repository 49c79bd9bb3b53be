"""Words that pages, verdicts and messages share."""

from collections.abc import Sequence


def plural(number: int, noun: str) -> str:
    """``1 image``, ``2 images``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def listed(values: Sequence[object]) -> str:
    """``1``, ``1 and 2``, ``1, 2 and 3``."""
    *others, last = map(str, values)
    return f"{', '.join(others)} and {last}" if others else last
