"""Every plot of the book: tidy numbers in, a :class:`Plate` or a matplotlib figure out."""

from sanitygap.figures.plate import Plate, theme

__all__ = ["Plate", "theme"]
