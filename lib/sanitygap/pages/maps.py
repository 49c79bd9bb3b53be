"""Pages that show attribution maps."""

import pandas as pd

from sanitygap.attribution import Sampling
from sanitygap.experiments.example_maps import ExampleMaps, example_maps
from sanitygap.experiments.randomization_test import CORE_METHODS
from sanitygap.figures import Plate, theme
from sanitygap.figures.maps import map_grid, stage_grid
from sanitygap.images import load_images
from sanitygap.runs import Study
from sanitygap.similarity import Reference

#: profile -> photographs, steps and points of sampling methods in the pictures of maps
EXAMPLES = {"smoke": (2, 1, 2), "quick": (3, 3, 8), "full": (4, 4, 16)}


def examples(study: Study) -> ExampleMaps:
    """Maps of a few images of the run; of the embedded photographs where the run is recorded."""
    count, n_steps, points = EXAMPLES[study.settings.profile]
    images = load_images("photos") if study.recorded else study.images
    chosen = images[: min(count, len(images))]
    sampling = Sampling(points, points)
    return example_maps(study.model, chosen, CORE_METHODS, n_steps, study.settings.seed, sampling)


def map_plate(study: Study, shown: ExampleMaps) -> Plate:
    """The trained model's maps: a row a photograph, a column a method."""
    theme()
    rows = [f"{name}\n“{kind}”" for name, kind in zip(shown.names, shown.classes, strict=True)]
    return map_grid(
        shown.pictures,
        shown.maps["trained"],
        rows,
        f"Signed attribution maps for the class that {study.settings.public()['model']} predicts "
        f"(written beside each photograph). Red speaks for the class, blue against it; each map "
        f"has its own scale, cut at its 99.5 % quantile. Seed {study.settings.seed}; "
        f"{EXAMPLES[study.settings.profile][2]} points in sampling methods.",
    )


def stage_plate(study: Study, shown: ExampleMaps, position: int = 0) -> Plate:
    """One photograph's maps as the network is redrawn from the top."""
    theme()
    rows, maps = [], {}
    for method, base in shown.maps["trained"].items():
        reference = Reference(base[position][None])
        maps[method] = {step: shown.maps[step][method][position] for step in shown.steps}
        rows += [
            {
                "method": method,
                "step": step,
                "ssim": float(reference.compare(shown.maps[step][method][position][None])["ssim"]),
            }
            for step in shown.steps[1:]
        ]
    return stage_grid(
        shown.pictures[position],
        maps,
        f"Maps of “{shown.names[position]}” as {study.settings.public()['model']} is redrawn from "
        "the classifier downwards; under each map its SSIM with the trained model's map "
        "(second-moment normalisation, window 7, L = joint range). One image, one seed "
        f"({study.settings.seed}): a picture, not a measurement.",
        pd.DataFrame(rows),
    )
