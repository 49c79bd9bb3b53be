"""One photograph with its regions replaced, computed as the page is executed."""

import pandas as pd
import torch

from sanitygap import show
from sanitygap.attribution import Sampling
from sanitygap.chapters.occlusion.measure import REPLACEMENTS, example_occlusion
from sanitygap.faithfulness import BLUR, REGIONS, occlusion_steps, replaced
from sanitygap.figures.maps import map_colors, picture_row
from sanitygap.figures.plate import Plate
from sanitygap.figures.stepper import EVERY_METHOD, SCALE, VIEW_HEIGHTS, Panel, Regions, Stepper
from sanitygap.runs import Study
from sanitygap.sanity_check import CORE_METHODS
from sanitygap.seeds import normal, stable_seed
from sanitygap.words import plural


@show.shows()
def replacement_pictures(study: Study, photo: int = 0) -> Plate:
    """One photograph with 30 regions in random order replaced in each way."""
    model = study.model
    images = show.pictured_images(study)
    inputs = model.prepare([images.open(photo)])
    seed = stable_seed(study.settings.seed, images.keys[photo])
    order = occlusion_steps(normal(tuple(inputs.shape[2:]), [seed], inputs), 15)
    pictures, rows = {"unchanged": inputs}, []
    for name, make in REPLACEMENTS.items():
        pictures[name] = replaced(inputs, make(model, inputs, [seed]), order, REGIONS)
    for name, changed in pictures.items():
        with torch.no_grad():
            probability = model.module(changed).softmax(1)[0, model.predict(inputs)[0]]
        rows.append({"replacement": name, "softmax": float(probability)})
    return picture_row(
        {name: model.preprocessing.to_rgb(x)[0].cpu() for name, x in pictures.items()},
        [f"{row['softmax']:.2f}" for row in rows],
        f"“{images.names[photo]}” with {REGIONS} regions of 15 × 15 pixels, in random order, "
        "replaced in five ways; below each the probability of the class that "
        f"{study.settings.public()['model']} predicts for the photograph. One image: a picture, "
        "not a measurement.",
        pd.DataFrame(rows),
    )


#: profile -> numbers of blurred regions and points of sampling methods
OCCLUSIONS: dict[str, tuple[tuple[int, ...], int]] = {
    "smoke": ((1, 3), 1),
    "quick": ((1, 2, 3, 5, 8, 12, 16, 20, 25, REGIONS), 4),
    "full": (tuple(range(1, REGIONS + 1)), 8),
}


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
    maps = {name: map_colors(one.numpy(), VIEW_HEIGHTS[1]) for name, one in shown.maps.items()}
    return Stepper(
        step="blurred regions",
        frames=[f"{plural(n, 'region')} blurred" if n else "none blurred" for n in shown.counts],
        panels=[
            Panel("what the network sees", {EVERY_METHOD: [shown.picture]}, shown.soft, True),
            Panel("map", {name: [picture] for name, picture in maps.items()}, marks=True),
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
