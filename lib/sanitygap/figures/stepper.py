"""A figure that a reader steps through: a slider over frames, a choice of method, a table.

The page holds everything: one strip of pictures a method and the tables of the numbers.
``stepper.js`` turns them into a slider. Without it the strips and the tables are shown as they are.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from textwrap import fill

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader
from PIL import Image

from sanitygap.figures.methods import label
from sanitygap.figures.plate import Interactive, Plate
from sanitygap.show import picture_grid

#: bytes of all pictures of a panel; in the page they take 1.4 times as much
BUDGET = 600_000

#: under this name a panel holds what is the same for every method
EVERY_METHOD = ""

TEMPLATES = Environment(
    loader=PackageLoader("sanitygap", "data"), autoescape=True, trim_blocks=True, lstrip_blocks=True
)

Box = tuple[int, int, int, int]


@dataclass(frozen=True, eq=False)
class Regions:
    """Parts of the pictures that are marked one after the other.

    Attributes:
        boxes: method -> left, top, width and height, in their order.
        counts: how many of them are marked in each frame.
        size: height and width of the whole in the unit of the boxes: pixels of the network's
            input, and of a picture with something beneath it.
    """

    boxes: Mapping[str, Sequence[Box]]
    counts: Sequence[int]
    size: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Panel:
    """One place for a picture.

    Attributes:
        title: what it shows.
        pictures: method -> RGB pictures ``(H, W, 3)`` in ``[0, 1]``: one a frame, or a single one
            that stays. A single entry :data:`EVERY_METHOD` holds for all methods.
        beneath: a picture that the marked regions uncover.
        marks: whether the regions are outlined.
        column: method whose number in the first table is said beside it.
    """

    title: str
    pictures: Mapping[str, Sequence[np.ndarray]]
    beneath: np.ndarray | None = None
    marks: bool = False
    column: str = ""

    def row(self, method: str) -> Sequence[np.ndarray]:
        """The pictures of one method."""
        return self.pictures.get(method, self.pictures.get(EVERY_METHOD, ()))

    @property
    def moves(self) -> bool:
        """Whether the panel changes from frame to frame."""
        return self.beneath is not None or any(len(row) > 1 for row in self.pictures.values())


@dataclass(frozen=True, eq=False)
class Stepper(Interactive):
    """What a figure function returns and a notebook shows, like a :class:`Plate`.

    Attributes:
        step: what the slider moves through, such as ``network``.
        frames: name of each frame.
        panels: the pictures; the last that moves stands in the still picture of the figure.
        values: title -> numbers, a row a frame and a column a method. The first is drawn as a line.
        alt: what it shows, for those who cannot see it.
        caption: what was computed: model, image, seed, sizes.
        regions: what the panels mark, if anything.
        blocks: parts of the network, from the input on -> the first frame in which each is redrawn.
        told: what is said of each frame, if anything.
        start: the frame that is shown first.
    """

    step: str
    frames: Sequence[str]
    panels: Sequence[Panel]
    values: Mapping[str, pd.DataFrame]
    alt: str
    caption: str
    regions: Regions | None = None
    blocks: Mapping[str, int] | None = None
    told: Sequence[str] = ()
    start: int = 0

    @property
    def methods(self) -> list[str]:
        """The methods, in the order of the tables."""
        return [str(name) for name in next(iter(self.values.values())).columns]

    @cached_property
    def numbers(self) -> pd.DataFrame:
        """One row a method and frame, for download."""
        columns = {
            title: table.set_axis(list(self.frames)).T.stack()
            for title, table in self.values.items()
        }
        return pd.DataFrame(columns).rename_axis(["method", self.step]).reset_index()

    def picture(self, panel: Panel, method: str, frame: int) -> np.ndarray:
        """What a panel shows: ``(H, W, 3)``."""
        row = panel.row(method)
        shown = row[frame if len(row) > 1 else 0].copy()
        if panel.beneath is not None and self.regions is not None:
            marked = self.regions.boxes[method][: self.regions.counts[frame]]
            for left, top, width, height in marked:
                place = slice(top, top + height), slice(left, left + width)
                shown[place] = panel.beneath[place]
        return shown

    def html(self) -> str:
        """The figure as a part of a page, complete without a script."""
        regions = self.regions and asdict(self.regions)
        return TEMPLATES.get_template("stepper.html").render(view=self, regions=regions)

    def words(self, panel: Panel, method: str) -> str:
        """What the pictures of one method in a panel are."""
        words = ": ".join(filter(None, [label(method) if method else "", panel.title]))
        if len(panel.pictures[method]) > 1:
            words += f", {len(self.frames)} pictures from {self.frames[0]} to {self.frames[-1]}"
        return words

    def still(self) -> Plate:
        """Every method's first and last frame, for formats without a slider."""
        ends = (0, len(self.frames) - 1)
        columns = [(panel, 0, panel.title) for panel in self.panels if not panel.moves]
        moving = [panel for panel in self.panels if panel.moves]
        columns += [(panel, end, self.frames[end]) for panel in moving for end in ends]
        figure = picture_grid(
            [[self.picture(one, name, end) for one, end, _ in columns] for name in self.methods],
            labels=[label(method) for method in self.methods],
            titles=[fill(title, 16) for _, _, title in columns],
            size=(1.2, 1.07),
        )
        return Plate(figure, self.alt, self.caption, self.numbers, pixels=True)


def shown_number(value: float) -> str:
    """Three decimals with a proper minus sign; a word where there is no number."""
    return f"{value:.3f}".replace("-", "−") if np.isfinite(value) else "undefined"


#: heights in pixels that are tried where pictures take too much room as they are
HEIGHTS = (160, 128, 112, 96, 80, 64)

#: of JPEG, 0 to 95; maps are noisy, and more would double their size for no visible gain
QUALITY = 55


def strip(pictures: Sequence[np.ndarray], height: int | None = None) -> bytes:
    """Pictures side by side, in their order.

    Args:
        pictures: RGB, ``(H, W, 3)`` in ``[0, 1]``, all of one shape.
        height: of each in the strip, in pixels; the width follows. As they are by default.

    Returns:
        A JPEG file. Its colours have the full resolution: red and blue pixels of a map lie side
        by side, and what most formats do to colours would make them grey.
    """
    rows, columns = pictures[0].shape[:2]
    height = height or rows
    width = max(1, round(height * columns / rows))
    sheet = Image.new("RGB", (width * len(pictures), height))
    for place, picture in enumerate(pictures):
        small = Image.fromarray((np.clip(picture, 0, 1) * 255).round().astype(np.uint8))
        if small.size != (width, height):
            small = small.resize((width, height), Image.Resampling.LANCZOS)
        sheet.paste(small, (place * width, 0))
    buffer = io.BytesIO()
    sheet.save(buffer, "JPEG", quality=QUALITY, subsampling=0, optimize=True)
    return buffer.getvalue()


def strips(rows: Mapping[str, Sequence[np.ndarray]], budget: int) -> dict[str, bytes]:
    """One strip a row, all of one height: as they are, or the largest that fits the budget.

    Args:
        rows: name -> pictures, all of one shape.
        budget: bytes that all strips may take together; the smallest height may take more.
    """
    full = next(iter(rows.values()))[0].shape[0]
    made: dict[str, bytes] = {}
    for height in (full, *(height for height in HEIGHTS if height < full)):
        made = {name: strip(pictures, height) for name, pictures in rows.items()}
        if sum(map(len, made.values())) <= budget:
            break
    return made


def data_uri(jpeg: bytes) -> str:
    """The address of a JPEG file that is written into the page itself.

    The slashes of base64 are percent-encoded, so that no chance run of letters between two of
    them is taken for a folder of this machine (see :mod:`sanitygap.book.gatekeeper`).
    """
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode().replace("/", "%2F")


TEMPLATES.globals |= {
    "data_uri": data_uri,
    "label": label,
    "number": shown_number,
    "strips": partial(strips, budget=BUDGET),
}

#: at most that many pictures a method -> pixels of their height; longer views have smaller ones
VIEW_HEIGHTS = {1: 160, 12: 96, 1000: 80}


SCALE = (
    "Red speaks for the class, blue against it; each map has its own scale, cut at its 99.5 % "
    "quantile, and each pixel shown is the mean of those that it covers."
)
