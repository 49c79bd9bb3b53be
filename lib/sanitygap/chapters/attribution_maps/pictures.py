"""Maps of single photographs as a network is redrawn, computed as the page is executed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from sanitygap import show
from sanitygap.attribution import Sampling, attribute
from sanitygap.attribution.applicable import defined
from sanitygap.figures.maps import map_colors, map_grid, stage_grid
from sanitygap.figures.methods import label
from sanitygap.figures.plate import Interactive, Plate
from sanitygap.figures.stepper import (
    EVERY_METHOD,
    SCALE,
    TEMPLATES,
    VIEW_HEIGHTS,
    Panel,
    Stepper,
    data_uri,
    shown_number,
    strips,
)
from sanitygap.images import ImageSet
from sanitygap.models.explainable import Explainable
from sanitygap.randomization import ORDERS, RandomTwin, steps
from sanitygap.runs import Study
from sanitygap.sanity_check import CORE_METHODS
from sanitygap.seeds import stable_seed
from sanitygap.similarity import Reference


@dataclass(frozen=True)
class Photographs:
    """A few photographs and what the trained model says of them.

    Attributes:
        pictures: what the model sees, RGB ``(H, W, 3)`` in ``[0, 1]``.
        names: of the photographs.
        classes: names of the explained classes.
    """

    pictures: list[np.ndarray]
    names: list[str]
    classes: list[str]


@dataclass(frozen=True)
class ExampleMaps(Photographs):
    """Maps of a few photographs, for the trained model and as stages are redrawn.

    Attributes:
        maps: step -> method -> signed maps ``(N, H, W)``; the first step is ``trained``.
    """

    maps: dict[str, dict[str, Tensor]]

    @property
    def steps(self) -> list[str]:
        """Names of the steps."""
        return list(self.maps)


@dataclass(frozen=True)
class OrderMaps(Photographs):
    """Maps of a few photographs for the networks of all three orders of randomisation.

    Networks that two orders share, such as the one that is redrawn completely, are there once.

    Attributes:
        orders: order -> the stage that each step adds, and the place of its network.
        maps: method -> signed maps ``(K, N, H, W)`` of all networks; the first is the trained one.
    """

    orders: dict[str, list[tuple[str, int]]]
    maps: dict[str, Tensor]


def explained(
    model: Explainable,
    images: ImageSet,
    methods: Sequence[str],
    seed: int,
    sampling: Sampling | None,
) -> tuple[Photographs, Callable[[str], dict[str, Tensor]]]:
    """A few images with the classes that the trained model predicts, and what makes their maps.

    Returns:
        The images; and a function: name of a network, which seeds all sampling, -> method -> maps
        ``(N, H, W)`` of the model as it is when that is called.
    """
    inputs = model.prepare([images.open(position) for position in range(len(images))])
    targets, known = model.predict(inputs), defined(model, methods)
    pixels = model.preprocessing.to_rgb(inputs).permute(0, 2, 3, 1).cpu().numpy()
    classes = [model.class_name(int(target)) for target in targets]

    def maps(network: str) -> dict[str, Tensor]:
        keys = [stable_seed(key, seed, network) for key in images.keys]
        made = attribute(model, inputs, targets, known, keys, sampling)
        return {name: values.cpu() for name, values in made.items()}

    return Photographs(list(pixels), list(images.names), classes), maps


def example_maps(
    model: Explainable,
    images: ImageSet,
    methods: Sequence[str],
    n_steps: int = 4,
    seed: int = 0,
    sampling: Sampling | None = None,
) -> ExampleMaps:
    """Maps of all images for the trained model and after each of a few top-down steps.

    Args:
        model: the network.
        images: the photographs, a handful.
        methods: attribution methods and controls; those that the network has no use for are
            left out.
        n_steps: how many steps, evenly spread; 0 for the trained model only.
        seed: of the redrawn weights and all sampling.
        sampling: sizes of the sampling methods.
    """
    shown, maps = explained(model, images, methods, seed, sampling)
    found, twin = {"trained": maps("trained")}, RandomTwin(model, seed)
    for step in steps(model.stages, "top-down", n_steps) if n_steps else []:
        with twin.redrawn(step.stages):
            found[f"down to {step.name}"] = maps(step.name)
    return ExampleMaps(**vars(shown), maps=found)


def order_maps(
    model: Explainable,
    images: ImageSet,
    methods: Sequence[str],
    n_steps: int = 4,
    seed: int = 0,
    sampling: Sampling | None = None,
) -> OrderMaps:
    """Maps of all images for the trained model and after a few steps of each order.

    Args:
        model, images, methods, seed, sampling: as in :func:`example_maps`.
        n_steps: how many steps of each order, evenly spread.
    """
    shown, maps = explained(model, images, methods, seed, sampling)
    networks, twin = [maps("trained")], RandomTwin(model, seed)
    places: dict[frozenset[str], int] = {}
    orders: dict[str, list[tuple[str, int]]] = {}
    for order in ORDERS:
        adds = orders[order] = []
        for step in steps(model.stages, order, n_steps):
            redrawn = frozenset(stage.name for stage in step.stages)
            if redrawn not in places:
                places[redrawn] = len(networks)
                with twin.redrawn(step.stages):
                    networks.append(maps(" ".join(sorted(redrawn))))
            adds.append((step.name, places[redrawn]))
    stacked = {name: torch.stack([found[name] for found in networks]) for name in networks[0]}
    return OrderMaps(**vars(shown), orders=orders, maps=stacked)


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
        frames = [
            self.table(image, order)
            .melt(var_name="method", value_name=self.score, ignore_index=False)
            .reset_index(names="network")
            .assign(image=image, order=order)
            for image in self.images
            for order in self.orders
        ]
        columns = ["image", "order", "network", "method", self.score]
        return pd.concat(frames, ignore_index=True)[columns]

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
        pairs = [(method, image) for method in self.maps for image in self.images]
        keys = {f"{method} {image}": (method, image) for method, image in pairs}
        files = strips({key: self.maps[m][image] for key, (m, image) in keys.items()}, BUDGET)
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
        figure = show.picture_grid(
            [[pictures[image][0] for image in self.images] for pictures in self.maps.values()],
            labels=[label(method) for method in self.maps],
            titles=list(self.images),
            size=(1.7, 1.07),
        )
        return Plate(figure, self.alt, self.caption, self.numbers, pixels=True)


#: profile -> photographs, and points of sampling methods, of the trained network's maps
EXAMPLES = {"smoke": (2, 2), "quick": (3, 8), "full": (4, 16)}


#: profile -> redrawn stages (None: all of them), and points of sampling methods, of one photograph
STAGES: dict[str, tuple[int | None, int]] = {"smoke": (2, 1), "quick": (5, 3), "full": (None, 8)}


#: redrawn networks that are shown side by side
COLUMNS = 4


def examples(study: Study) -> ExampleMaps:
    """The trained network's maps of a few images."""
    count, points = EXAMPLES[study.settings.profile]
    chosen, sampling = show.pictured_images(study)[:count], Sampling(points, points)
    return example_maps(study.model, chosen, CORE_METHODS, 0, study.settings.seed, sampling)


def stage_examples(study: Study, position: int = 0) -> ExampleMaps:
    """Maps of one photograph for the trained network and as its stages are redrawn."""
    count, points = STAGES[study.settings.profile]
    images, sampling = show.pictured_images(study), Sampling(points, points)
    place, stages = min(position, len(images) - 1), count or len(study.model.stages)
    chosen = images[place : place + 1]
    return example_maps(study.model, chosen, CORE_METHODS, stages, study.settings.seed, sampling)


@show.shows()
def map_plate(study: Study, shown: ExampleMaps) -> Plate:
    """The trained model's maps: a row a photograph, a column a method."""
    rows = [f"{name}\n“{kind}”" for name, kind in zip(shown.names, shown.classes, strict=True)]
    return map_grid(
        shown.pictures,
        shown.maps["trained"],
        rows,
        f"Signed attribution maps for the class that {show.model_of(study)} predicts "
        f"(written beside each photograph). Red speaks for the class, blue against it; each map "
        f"has its own scale, cut at its 99.5 % quantile. Seed {study.settings.seed}; "
        f"{EXAMPLES[study.settings.profile][1]} points in sampling methods.",
    )


def stage_similarities(shown: ExampleMaps) -> pd.DataFrame:
    """SSIM of each map of a photograph with the trained network's map of the same method.

    Returns:
        A row a step, from ``trained`` on, and a column a method.
    """
    references = {name: Reference(base[:1]) for name, base in shown.maps["trained"].items()}
    rows = {
        step: {name: float(r.compare(maps[name][:1])["ssim"]) for name, r in references.items()}
        for step, maps in shown.maps.items()
    }
    return pd.DataFrame.from_dict(rows, "index").rename_axis("step")


@show.shows()
def stage_plate(study: Study, shown: ExampleMaps) -> Plate:
    """One photograph's maps, from the trained network to the last of the redrawn ones."""
    columns = np.linspace(0, len(shown.steps) - 1, min(len(shown.steps), COLUMNS + 1)).round()
    chosen = [shown.steps[int(column)] for column in columns]
    similarity = stage_similarities(shown)
    return stage_grid(
        shown.pictures[0],
        {
            method: {step: shown.maps[step][method][0] for step in chosen}
            for method in shown.maps["trained"]
        },
        f"Maps of “{shown.names[0]}” as {show.model_of(study)} is redrawn from "
        "the classifier downwards; under each map its SSIM with the trained model's map "
        "(second-moment normalisation, window 7, L = joint range). One image, one seed "
        f"({study.settings.seed}), {STAGES[study.settings.profile][1]} points in sampling "
        "methods: a picture, not a measurement.",
        similarity.loc[chosen[1:]].reset_index().melt("step", var_name="method", value_name="ssim"),
    )


#: profile -> photographs, steps of each order, and points of sampling methods, of the gallery
GALLERIES = {"smoke": (2, 2, 1), "quick": (2, 4, 3), "full": (3, 5, 4)}


#: what the slider of the gallery says about the stage that a step redraws
REDRAWN = {
    "top-down": "redrawn down to {}",
    "bottom-up": "redrawn up to {}",
    "independent": "only {} redrawn",
}


@show.shows()
def gallery(study: Study) -> Gallery:
    """A choice of image, method and order, and a slider through the stages."""
    count, most, points = GALLERIES[study.settings.profile]
    chosen, sampling = show.pictured_images(study)[:count], Sampling(points, points)
    shown = order_maps(study.model, chosen, CORE_METHODS, most, study.settings.seed, sampling)
    model = show.model_of(study)
    names = [f"{name} ({kind})" for name, kind in zip(shown.names, shown.classes, strict=True)]
    stages, networks = len(study.model.stages), len(next(iter(shown.maps.values())))
    each = len(shown.orders["top-down"])
    return Gallery(
        images=names,
        photographs=shown.pictures,
        orders={
            order: [("trained", 0), *((REDRAWN[order].format(name), at) for name, at in adds)]
            for order, adds in shown.orders.items()
        },
        maps={
            method: {
                name: [map_colors(one.numpy(), VIEW_HEIGHTS[12]) for one in values[:, place]]
                for place, name in enumerate(names)
            }
            for method, values in shown.maps.items()
        },
        scores=gallery_similarities(shown, names),
        score="SSIM with the trained map",
        alt=f"Maps of {len(names)} photographs by {len(shown.maps)} methods for {networks} "
        f"networks: {model} as trained, and redrawn from the top, from the bottom and stage by "
        "stage, with their SSIM.",
        caption=f"Maps of {model} for the class that it predicts, written behind the name of the "
        f"photograph. Of its {stages} stages, {each} steps of each order are shown. "
        "SSIM with the trained network's map: second-moment normalisation, window 7, L = joint "
        f"range. {SCALE} {len(names)} images, one seed ({study.settings.seed}), {points} points in "
        "sampling methods: pictures, not a measurement.",
    )


def gallery_similarities(shown: OrderMaps, names: list[str]) -> pd.DataFrame:
    """SSIM of every map of a gallery with the trained network's map.

    Args:
        shown: the maps.
        names: of the images, as the gallery shows them.

    Returns:
        One row an image, method and network: ``image``, ``method``, ``place``, ``score``.
    """
    rows = []
    for method, networks in shown.maps.items():
        reference = Reference(networks[0])
        for place, maps in enumerate(networks):
            found = reference.compare(maps)["ssim"].tolist()
            rows += [
                {"image": name, "method": method, "place": place, "score": value}
                for name, value in zip(names, found, strict=True)
            ]
    return pd.DataFrame(rows)


@show.shows()
def stage_stepper(study: Study, shown: ExampleMaps) -> Stepper:
    """A slider through the stages: one photograph's maps as the network is redrawn."""
    model, points = show.model_of(study), STAGES[study.settings.profile][1]
    similarity = stage_similarities(shown)
    height = next(height for most, height in VIEW_HEIGHTS.items() if len(shown.steps) <= most)
    maps = {
        method: [map_colors(shown.maps[step][method][0].numpy(), height) for step in shown.steps]
        for method in shown.maps["trained"]
    }
    redrawn = len(shown.steps) - 1
    return Stepper(
        step="network",
        frames=[step if step == "trained" else f"redrawn {step}" for step in shown.steps],
        panels=[
            Panel("photograph", {EVERY_METHOD: [shown.pictures[0]]}),
            Panel("map of the trained network", {name: row[:1] for name, row in maps.items()}),
            Panel("map at this stage", maps),
        ],
        values={"SSIM with the trained map": similarity},
        alt=f"Maps of the photograph “{shown.names[0]}” for the trained network and for {redrawn} "
        "networks that are redrawn from the classifier downwards, with their SSIM.",
        caption=f"Maps of “{shown.names[0]}” (class “{shown.classes[0]}”) as {model} is redrawn "
        f"from the classifier downwards; shown are {redrawn} of {len(study.model.stages)} stages. "
        "SSIM with the trained network's map: second-moment normalisation, window 7, L = joint "
        f"range. {SCALE} One image, one seed ({study.settings.seed}), {points} points in sampling "
        "methods: a picture, not a measurement.",
    )
