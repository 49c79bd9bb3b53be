"""How figures name and draw methods: one label, colour, marker and line each, in every figure."""

import zlib
from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
import seaborn as sns
import yaml
from matplotlib.axes import Axes
from numpy.typing import ArrayLike
from scipy.optimize import isotonic_regression

MARKERS = ("o", "s", "D", "^", "v", "P", "X", "*", "<", ">", "h", "8")
LINES = ("-", "--", "-.")

#: size of names beside lines and points
LETTERS = 8.0


@dataclass(frozen=True)
class Family:
    """Methods that share a colour.

    Attributes:
        colors: from dark to light; members lie between, in their order.
        members: method -> label, in a fixed order.
        mark: a method with this in its name belongs to the family although it is not listed.
    """

    colors: tuple[str, str]
    members: dict[str, str]
    mark: str


#: the colour of methods of a person's own: none of the families comes near it
OWN = ("#a3002b", "#ff5c7c")

_READ = yaml.safe_load(files("sanitygap").joinpath("data/methods.yml").read_text(encoding="utf-8"))
FAMILIES = tuple(Family(tuple(entry.pop("colors")), **entry) for entry in _READ["families"])
LABELS: dict[str, str] = dict(ChainMap(_READ["others"], *(family.members for family in FAMILIES)))


def label(method: str) -> str:
    """A method's name as figures write it."""
    known, _, choice = method.partition("@")
    if choice == "biases" and known in LABELS:
        return f"{LABELS[known]}, biases counted"
    if ":" in method:  # of a person's own
        return f"{method.rpartition(':')[2]} (own)"
    return LABELS.get(method, method)


def family(method: str) -> Family:
    """The family that a method belongs to; the last one takes what no other does."""
    if ":" in method:
        return Family(OWN, {}, "")
    listed = [one for one in FAMILIES if method in one.members]
    # from the last to the first: Grad-CAM is no gradient
    alike = [one for one in reversed(FAMILIES) if one.mark and one.mark in method]
    return (listed or alike or [FAMILIES[-1]])[0]


def styles(methods: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Colour, marker and line of each method: never told apart by colour alone.

    They depend on the method only, not on the company it is in.
    """
    made: dict[str, dict[str, Any]] = {}
    for method in methods:
        own = family(method)
        if method in own.members:
            place = list(own.members).index(method)
        else:
            place = zlib.crc32(method.encode()) % len(MARKERS)
        number = FAMILIES.index(own) if own in FAMILIES else len(FAMILIES)
        shades = sns.blend_palette(own.colors, max(len(own.members), 2))
        made[method] = {
            "color": shades[place % len(shades)],
            "marker": MARKERS[(place + 3 * number) % len(MARKERS)],
            "linestyle": ":" if own is FAMILIES[0] else LINES[place % len(LINES)],
        }
    return made


def spread(heights: ArrayLike, least: float) -> np.ndarray:
    """Heights moved apart until neighbours are ``least`` apart, as little as possible in total."""
    values = np.asarray(heights, dtype=float)
    order = np.argsort(values, kind="stable")
    steps = least * np.arange(len(values))
    apart = isotonic_regression(values[order] - steps).x + steps
    moved = np.empty_like(values)
    moved[order] = apart
    return moved


def label_ends(axis: Axes, ends: Mapping[str, tuple[float, float]]) -> None:
    """Name lines beside the axis, with thin leaders from their right ends and without overlap.

    Args:
        axis: its content has to be complete.
        ends: method -> where its line ends, in data coordinates.
    """
    _place_labels(axis, ends, lambda _: 1.08)


def label_points(axis: Axes, points: Mapping[str, tuple[float, float]]) -> None:
    """Name points at their right, without overlap.

    Args:
        axis: its content has to be complete.
        points: method -> point, in data coordinates.
    """
    _place_labels(axis, points, lambda x: x + 0.03)


def number_points(axis: Axes, points: np.ndarray) -> None:
    """Number points from 1 on, each where it is farthest from other points and their numbers.

    Args:
        axis: its content has to be complete.
        points: ``(N, 2)``, in data coordinates.
    """
    axis.autoscale_view()
    unit = axis.figure.dpi / 72
    places = (axis.transScale + axis.transLimits + axis.transAxes).transform(points) / unit
    # beside the crossing bars of an interval first
    angles = np.pi / 8 * np.array([2, 6, 10, 14, 1, 3, 5, 7, 9, 11, 13, 15, 0, 4, 8, 12])
    around = np.stack([np.cos(angles), np.sin(angles)], 1)
    taken = list(places)
    for index, place in enumerate(places):
        offsets = np.concatenate([around * radius for radius in (9.0, 14.0, 20.0)])
        others = np.array(taken[:index] + taken[index + 1 :])
        gaps = np.abs(place + offsets - others[:, None]) if len(others) else np.empty((0, 48, 2))
        # a number is wider than high; more room than it needs is worth nothing
        room = np.minimum((gaps / (12.0, 9.0)).max(2), 1.0).min(0, initial=1.0)
        offset = offsets[int(np.argmax(room))]
        taken.append(place + offset)
        axis.annotate(
            str(index + 1), points[index], xytext=tuple(offset), textcoords="offset points",
            ha="center", va="center", fontsize=LETTERS,
            arrowprops={"arrowstyle": "-", "color": "0.5", "lw": 0.5, "shrinkA": 0, "shrinkB": 3},
        )  # fmt: skip


def _place_labels(
    axis: Axes, points: Mapping[str, tuple[float, float]], column: Callable[[float], float]
) -> None:
    """Names at the column that the point's own column gives (both as shares of the axis).

    Methods without a value have no point, so they get no name.
    """
    points = {name: point for name, point in points.items() if np.isfinite(point).all()}
    if not points:
        return
    axis.autoscale_view()  # the limits are computed when asked for; the transformation is not asked
    inches = axis.bbox.height / axis.figure.dpi
    to_axes = axis.transScale + axis.transLimits
    places = {name: tuple(to_axes.transform(point)) for name, point in points.items()}
    heights = spread([place[1] for place in places.values()], 1.25 * LETTERS / 72 / inches)
    looks = styles(list(points))
    for (name, place), height in zip(places.items(), heights, strict=True):
        axis.annotate(
            label(name),
            xy=place,
            xycoords="axes fraction",
            xytext=(column(place[0]), height),
            textcoords="axes fraction",
            va="center",
            fontsize=LETTERS,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": looks[name]["color"], "lw": 0.7,
                        "shrinkA": 1, "shrinkB": 2, "relpos": (0, 0.5)},
        )  # fmt: skip
