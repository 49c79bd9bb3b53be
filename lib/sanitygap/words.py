"""Words that pages, verdicts and messages share."""

from collections.abc import Sequence


def plural(number: int, noun: str) -> str:
    """``1 image``, ``2 images``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def listed(values: Sequence[object]) -> str:
    """``1``, ``1 and 2``, ``1, 2 and 3``."""
    *others, last = map(str, values)
    return f"{', '.join(others)} and {last}" if others else last


#: what means something to Markdown, HTML, LaTeX or matplotlib -> what looks like it
LOOKALIKES = str.maketrans('<>&$`*\\{}[]|^~#"', "‹›＆＄ʼ∗＼｛｝［］¦＾∼＃”")


def harmless(name: str) -> str:
    """A name from outside, of a file or a class, that is a word and nothing else on any page.

    Escapes would depend on where it is shown: in HTML, Markdown, a figure, a table in LaTeX.
    """
    return " ".join("".join(c if c.isprintable() else " " for c in name).split()).translate(
        LOOKALIKES
    )
