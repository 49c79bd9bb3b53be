"""Maps of single photographs, computed as the page is executed."""

import numpy as np
import pandas as pd

from sanitygap import show
from sanitygap.attribution import Sampling
from sanitygap.chapters.attribution_maps.measure import (
    ExampleMaps,
    OrderMaps,
    example_maps,
    order_maps,
)
from sanitygap.chapters.attribution_maps.plots import Gallery
from sanitygap.figures.maps import map_colors, map_grid, stage_grid
from sanitygap.figures.plate import Plate
from sanitygap.figures.stepper import EVERY_METHOD, SCALE, VIEW_HEIGHTS, Panel, Stepper
from sanitygap.randomization_test import CORE_METHODS
from sanitygap.runs import Study
from sanitygap.similarity import Reference

#: profile -> photographs, and points of sampling methods, of the trained network's maps
EXAMPLES = {"smoke": (2, 2), "quick": (3, 8), "full": (4, 16)}


#: profile -> redrawn stages (None: all of them), and points of sampling methods, of one photograph
STAGES: dict[str, tuple[int | None, int]] = {"smoke": (2, 1), "quick": (8, 4), "full": (None, 8)}


#: redrawn networks that are shown side by side
COLUMNS = 4


def examples(study: Study) -> ExampleMaps:
    """The trained network's maps of a few images."""
    count, points = EXAMPLES[study.settings.profile]
    images = show.pictured_images(study)
    chosen = images[: min(count, len(images))]
    sampling = Sampling(points, points)
    return example_maps(study.model, chosen, CORE_METHODS, 0, study.settings.seed, sampling)


def stage_examples(study: Study, position: int = 0) -> ExampleMaps:
    """Maps of one photograph for the trained network and as its stages are redrawn."""
    count, points = STAGES[study.settings.profile]
    images = show.pictured_images(study)
    place = min(position, len(images) - 1)
    return example_maps(
        study.model,
        images[place : place + 1],
        CORE_METHODS,
        len(study.model.stages) if count is None else count,
        study.settings.seed,
        Sampling(points, points),
    )


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
    columns = {}
    for method, base in shown.maps["trained"].items():
        reference = Reference(base[:1])
        columns[method] = [
            float(reference.compare(shown.maps[step][method][:1])["ssim"]) for step in shown.steps
        ]
    return pd.DataFrame(columns, index=pd.Index(shown.steps, name="step"))


@show.shows()
def stage_plate(study: Study, shown: ExampleMaps) -> Plate:
    """One photograph's maps, from the trained network to the last of the redrawn ones."""
    columns = np.linspace(0, len(shown.steps) - 1, min(len(shown.steps), COLUMNS + 1)).round()
    steps = [shown.steps[int(column)] for column in columns]
    similarity = stage_similarities(shown)
    return stage_grid(
        shown.pictures[0],
        {
            method: {step: shown.maps[step][method][0] for step in steps}
            for method in shown.maps["trained"]
        },
        f"Maps of “{shown.names[0]}” as {show.model_of(study)} is redrawn from "
        "the classifier downwards; under each map its SSIM with the trained model's map "
        "(second-moment normalisation, window 7, L = joint range). One image, one seed "
        f"({study.settings.seed}), {STAGES[study.settings.profile][1]} points in sampling "
        "methods: a picture, not a measurement.",
        similarity.loc[steps[1:]].reset_index().melt("step", var_name="method", value_name="ssim"),
    )


#: profile -> photographs, steps of each order, and points of sampling methods, of the gallery
GALLERIES = {"smoke": (2, 2, 1), "quick": (3, 5, 4), "full": (3, 5, 4)}


#: what the slider of the gallery says about the stage that a step redraws
REDRAWN = {
    "top-down": "redrawn down to {}",
    "bottom-up": "redrawn up to {}",
    "independent": "only {} redrawn",
}


@show.shows()
def gallery(study: Study) -> Gallery:
    """A choice of image, method and order, and a slider through the stages."""
    count, steps, points = GALLERIES[study.settings.profile]
    images = show.pictured_images(study)
    chosen = images[: min(count, len(images))]
    shown = order_maps(
        study.model, chosen, CORE_METHODS, steps, study.settings.seed, Sampling(points, points)
    )
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
