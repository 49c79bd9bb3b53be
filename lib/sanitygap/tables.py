"""Every table of the book: found by scanning the chapters, and the module that they share."""

from sanitygap import chapters, randomization_test  # noqa: F401
from sanitygap.table import TABLES

__all__ = ["TABLES"]

chapters.load_tables()
