"""Means with their intervals as dots, under the name that some pages know."""

from sanitygap.show import dots as interval_dots

__all__ = ["interval_dots"]
