"""Sanity Checks, Checked: the helper library behind the executable companion book.

Data goes one way: a spec becomes a model and images, these become attribution maps, maps become
scores in tidy tables, tables are kept in a run, and figures and verdicts are made from a run.
"""

from sanitygap import _torchvision  # noqa: F401  (mends the import of torchvision)

__version__ = "0.1.0"
