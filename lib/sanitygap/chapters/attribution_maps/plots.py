"""A gallery: a reader picks an image, a method and an order, and steps through the stages.

Like a :class:`~sanitygap.figures.stepper.Stepper` it is a part of a page that holds everything:
one strip of maps an image and method, and the tables of the numbers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from sanitygap.figures.methods import label, styles
from sanitygap.figures.plate import Interactive, Plate
from sanitygap.figures.stepper import TEMPLATES, data_uri, shown_number, strips
from sanitygap.show import distinct, draw_curves, panel_axes, picture_grid

#: bytes of all maps; in the page they take 1.4 times as much
BUDGET = 1_200_000

#: bytes of all photographs
PHOTOGRAPHS = 100_000


@dataclass(frozen=True, eq=False)
class Gallery(Interactive):
    """What a figure function returns and a notebook shows, like a :class:`Plate`.

    Attributes:
        images: name of each image, all different.
        photographs: RGB ``(H, W, 3)`` in ``[0, 1]``, one an image.
        orders: order -> name of each of its networks and its place in the strips, in the order in
            which the slider shows them.
        maps: method -> image -> RGB pictures, one a network.
        scores: columns ``image``, ``method``, ``place`` and ``score``.
        score: what the score is called.
        alt: what it shows, for those who cannot see it.
        caption: what was computed: model, images, seed, sizes.
    """

    images: Sequence[str]
    photographs: Sequence[np.ndarray]
    orders: Mapping[str, Sequence[tuple[str, int]]]
    maps: Mapping[str, Mapping[str, Sequence[np.ndarray]]]
    scores: pd.DataFrame
    score: str
    alt: str
    caption: str

    def table(self, image: str, order: str) -> pd.DataFrame:
        """Scores of one image: a row a network of the order, a column a method."""
        own = self.scores[self.scores["image"] == image]
        wide = own.pivot(index="place", columns="method", values="score")[list(self.maps)]
        shown = wide.loc[[place for _, place in self.orders[order]]]
        return shown.set_axis([name for name, _ in self.orders[order]])

    @cached_property
    def numbers(self) -> pd.DataFrame:
        """One row an image, order, network and method, for download."""
        return pd.concat(
            [
                self.table(image, order)
                .melt(var_name="method", value_name=self.score, ignore_index=False)
                .reset_index(names="network")
                .assign(image=image, order=order)
                for image in self.images
                for order in self.orders
            ],
            ignore_index=True,
        )[["image", "order", "network", "method", self.score]]

    @property
    def networks(self) -> list[str]:
        """Name of each network in the order of the strips."""
        names: dict[int, str] = {}
        for networks in self.orders.values():
            for name, place in networks:
                names.setdefault(place, name)
        return [names[place] for place in sorted(names)]

    def html(self) -> str:
        """The figure as a part of a page, complete without a script."""
        rows = {(method, image): pictures for method in self.maps
                for image, pictures in self.maps[method].items()}  # fmt: skip
        keys = {f"{method} {image}": (method, image) for method, image in rows}
        files = strips({key: rows[pair] for key, pair in keys.items()}, BUDGET)
        photographs = strips(
            dict(zip(self.images, ([one] for one in self.photographs), strict=True)), PHOTOGRAPHS
        )
        return TEMPLATES.get_template("gallery.html").render(
            images=list(self.images),
            orders={order: list(networks) for order, networks in self.orders.items()},
            networks=self.networks,
            methods={method: label(method) for method in self.maps},
            photographs={image: data_uri(photographs[image]) for image in self.images},
            size=self.photographs[0].shape[:2],
            strips={keys[key]: data_uri(file) for key, file in files.items()},
            tables={
                (image, order): [
                    [shown_number(value) for value in row]
                    for row in self.table(image, order).to_numpy(float)
                ]
                for image in self.images
                for order in self.orders
            },
            score=self.score,
        )

    def still(self) -> Plate:
        """Every image's maps of the trained network, for formats without controls."""
        figure = picture_grid(
            [[pictures[image][0] for image in self.images] for pictures in self.maps.values()],
            labels=[label(method) for method in self.maps],
            titles=list(self.images),
            size=(1.7, 1.07),
        )
        return Plate(figure, self.alt, self.caption, self.numbers, pixels=True)


def relevance_lines(numbers: pd.DataFrame, caption: str) -> Plate:
    """How much relevance no neuron has kept yet, from the output to the input.

    Args:
        numbers: columns ``method``, ``depth``, ``module``, ``kind``, ``median``, ``low`` and
            ``high``: shares of what LRP started with.
        caption: the figure's caption.
    """
    methods = distinct(numbers["method"])
    figure, [axis] = panel_axes(1, 1, (8.6, 3.6))
    last = numbers.sort_values("depth").groupby("method", sort=False)["median"].last()
    looks = {
        method: {"color": style["color"], "ls": "--" if number else "-",
                 "label": f"{label(method)}: {last[method]:.2%} at the pixels"}
        for number, (method, style) in enumerate(styles(methods).items())
    }  # fmt: skip
    draw_curves(axis, numbers, "depth", looks=looks, value="median")
    for number, (method, look) in enumerate(looks.items()):
        marked = numbers[(numbers["method"] == method) & (numbers["kind"] == "depthwise")]
        color = look["color"]
        axis.plot(
            marked["depth"], marked["median"], "o", color=color, ms=5,
            mfc="white" if number else color,
            label="_" if number or marked.empty else "depthwise convolutions",
        )  # fmt: skip
    axis.set(
        xlabel="modules, from the output to the input",
        ylabel="share not yet kept",
        ylim=(-0.03, 1.05),
    )
    axis.legend(frameon=False, loc="upper right" if numbers["median"].min() < 0.5 else "lower left")
    return Plate(figure, _words(numbers), caption, numbers)


def _words(numbers: pd.DataFrame) -> str:
    sentences = ["Lines of the relevance that is not yet kept, from the output to the input."]
    for method, rows in numbers.groupby("method", sort=False):
        rows = rows.sort_values("depth")
        left = rows["median"].to_numpy()
        lost = -np.diff(left, prepend=1.0)
        place = int(lost.argmax())
        sentences.append(
            f"{label(str(method))}: 1 to {left[-1]:.4f}, the largest step {lost[place]:.4f} at "
            f"{rows['module'].iloc[place]}."
        )
    return " ".join(sentences)
