"""Every table of the book: found by scanning the chapters, and the modules that they share."""

from sanitygap import chapters, occlusion, sanity_check  # noqa: F401
from sanitygap.table import TABLES

__all__ = ["TABLES"]

chapters.load_tables()
