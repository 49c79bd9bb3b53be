"""A theorem to play with: controls, settings to begin with, and what the theorem says of them.

``simulators.js`` draws and computes. Without it the settings are a table of the library's numbers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from sanitygap.figures.plate import Interactive, Plate
from sanitygap.figures.stepper import TEMPLATES
from sanitygap.figures.theory import points
from sanitygap.show import distinct


@dataclass(frozen=True)
class Control:
    """A slider through numbers, or a choice of words.

    Attributes:
        name: of what it sets.
        label: what readers call it.
        values: all that it can be set to.
        only: ``NAME=VALUE`` of another control, without which this one has no meaning.
    """

    name: str
    label: str
    values: Sequence[Any]
    only: str = ""

    @property
    def words(self) -> bool:
        """Whether it is a choice of words."""
        return isinstance(self.values[0], str)


@dataclass(frozen=True, eq=False)
class Simulator(Interactive):
    """What a figure function returns and a notebook shows, like a :class:`Plate`.

    Attributes:
        name: of the theorem, as ``simulators.js`` knows it.
        controls: what a reader can set.
        presets: title of a setting -> a value of each control.
        results: one row a preset and quantity: ``setting``, ``quantity``, ``estimate``.
        alt: what it shows, for those who cannot see it.
        caption: what is drawn and computed.
    """

    name: str
    controls: Sequence[Control]
    presets: Mapping[str, Mapping[str, Any]]
    results: pd.DataFrame
    alt: str
    caption: str

    @property
    def columns(self) -> list[str]:
        """The quantities, in their order."""
        return distinct(self.results["quantity"])

    def html(self) -> str:
        """The figure as a part of a page, complete without a script."""
        wide = self.results.pivot(index="setting", columns="quantity", values="estimate")
        return TEMPLATES.get_template("simulator.html").render(
            view=self, rows=wide.loc[list(self.presets), self.columns].to_dict("index")
        )

    def still(self) -> Plate:
        """The settings and their numbers, for formats without controls."""
        figure = points(self.results, "setting", "quantity", "value")
        return Plate(figure, self.alt, self.caption, self.results)
