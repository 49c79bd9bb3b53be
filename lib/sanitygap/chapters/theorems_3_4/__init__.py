"""Theorems 3 and 4: rank correlation, normalised error, and what maps are divided by."""
