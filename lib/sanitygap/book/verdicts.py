"""How verdicts are shown: a word, a sign beside it, and what the word means."""

from __future__ import annotations

from typing import NamedTuple


class Shown(NamedTuple):
    """Sign and meaning of a verdict; ``tone`` groups verdicts that share a colour."""

    sign: str
    tone: str
    meaning: str


VERDICTS = {
    "holds": Shown("✓", "agrees", "The statement is proved, or no check contradicts it."),
    "caveat": Shown(
        "◐", "partly", "It is true under a condition or reading that the text leaves out."
    ),
    "slip": Shown("✎", "partly", "A misprint or a slip of notation; the conclusion stands."),
    "false": Shown("✗", "disagrees", "It is false in general; a counterexample is given."),
    "reproduced": Shown(
        "✓", "agrees", "Measured on the paper's own model and images, and the criterion is met."
    ),
    "direction": Shown(
        "↗",
        "agrees",
        "Measured on another model or on fewer images: same "
        "direction, and the interval excludes zero.",
    ),
    "not-reproduced": Shown("✗", "disagrees", "Measured, and the criterion is not met."),
    "undecided": Shown("?", "open", "Measured, and the interval straddles the criterion."),
    "under-specified": Shown(
        "…", "open", "The text leaves a choice open, and the outcome depends on that choice."
    ),
    "no-data": Shown(
        "∅", "open", "The run holds no sample to judge it by, or fewer than the test needs."
    ),
    "not-run": Shown(
        "○", "open", "Not measured; the reason and the command that would run it are given."
    ),
}
"""Every verdict, in the order in which they are listed."""
