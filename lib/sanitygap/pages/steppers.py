"""Views that a reader steps through: the stages of a randomisation, the steps of an occlusion."""

import pandas as pd

from sanitygap import show
from sanitygap.attribution import Sampling
from sanitygap.experiments.example_maps import ExampleMaps, OrderMaps, order_maps
from sanitygap.experiments.example_occlusion import example_occlusion
from sanitygap.experiments.randomization_test import CORE_METHODS
from sanitygap.faithfulness import BLUR, REGIONS
from sanitygap.figures.gallery import Gallery
from sanitygap.figures.maps import map_colors
from sanitygap.figures.stepper import EVERY_METHOD, Panel, Regions, Stepper
from sanitygap.pages.maps import STAGES, stage_similarities
from sanitygap.runs import Study
from sanitygap.similarity import Reference

#: profile -> photographs, steps of each order, and points of sampling methods, of the gallery
GALLERIES = {"smoke": (2, 2, 1), "quick": (3, 5, 4), "full": (3, 5, 4)}

#: what the slider of the gallery says about the stage that a step redraws
REDRAWN = {
    "top-down": "redrawn down to {}",
    "bottom-up": "redrawn up to {}",
    "independent": "only {} redrawn",
}

#: profile -> numbers of blurred regions and points of sampling methods
OCCLUSIONS: dict[str, tuple[tuple[int, ...], int]] = {
    "smoke": ((1, 3), 1),
    "quick": ((1, 2, 3, 5, 8, 12, 16, 20, 25, REGIONS), 4),
    "full": (tuple(range(1, REGIONS + 1)), 8),
}

#: at most that many pictures a method -> pixels of their height; longer views have smaller ones
HEIGHTS = {1: 160, 12: 96, 1000: 80}

SCALE = (
    "Red speaks for the class, blue against it; each map has its own scale, cut at its 99.5 % "
    "quantile, and each pixel shown is the mean of those that it covers."
)


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
                name: [map_colors(one.numpy(), HEIGHTS[12]) for one in values[:, place]]
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
    height = next(height for most, height in HEIGHTS.items() if len(shown.steps) <= most)
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


@show.shows()
def occlusion_stepper(study: Study, position: int = 0) -> Stepper:
    """A slider through the occlusion: one photograph as a map's highest regions are blurred."""
    counts, points = OCCLUSIONS[study.settings.profile]
    images = show.pictured_images(study)
    shown = example_occlusion(
        study.model,
        images,
        min(position, len(images) - 1),
        CORE_METHODS,
        counts,
        study.settings.seed,
        Sampling(points, points),
    )
    model, patch = show.model_of(study), shown.patch
    tables = {
        value: shown.scores.pivot(index="regions", columns="method", values=value)[list(shown.maps)]
        for value in ("softmax", "logit")
    }
    return Stepper(
        step="blurred regions",
        frames=[
            "none blurred" if not count else f"{count} region{'s' * (count > 1)} blurred"
            for count in shown.counts
        ],
        panels=[
            Panel(
                "what the network sees",
                {EVERY_METHOD: [shown.picture]},
                beneath=shown.soft,
                marks=True,
            ),
            Panel(
                "map",
                {
                    name: [map_colors(values.numpy(), HEIGHTS[1])]
                    for name, values in shown.maps.items()
                },
                marks=True,
            ),
        ],
        values=tables,
        alt=f"The photograph “{shown.name}” as the {shown.counts[-1]} regions that a map ranks "
        "highest are blurred one after the other, beside the map, with softmax and logit.",
        caption=f"“{shown.name}” as regions of {patch} × {patch} pixels are replaced by a copy "
        f"that is blurred over {BLUR} × {BLUR} pixels, those first that the method's map ranks "
        f"highest; softmax and logit of the class “{shown.class_name}” that {model} predicts. "
        f"{SCALE} One image, one seed ({study.settings.seed}), {points} points in sampling "
        "methods: a picture, not a measurement.",
        regions=Regions(shown.boxes, shown.counts, shown.soft.shape[:2]),
    )
